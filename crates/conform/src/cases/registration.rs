//! Registration (RFC 5352 §3.1): the five rules that a registrar follows, and what it answers where one is broken.
use rserpool_machine::Scheme;
use rserpool_wire::{
    CauseCode, Load, Policy, PolicyType, PoolElement, PoolHandle, RegistrationLife, ServerId, Transport,
    TransportUse,
};

use crate::case::group;
use crate::outcome::{Problem, Verdict, check, same};
use crate::probe::{Probe, sorted};
use crate::tester::Tester;

group! { "registration":
    "registration-is-granted" ["5352-3.1-29", "5352-3.1-30", "5352-4-09"] granted;
    "registration-creates-the-pool" ["5352-3.1-19"] creates_the_pool;
    "registration-joins-an-existing-pool" ["5352-3.1-21"] joins;
    "first-element-decides-the-policy" ["5352-3.1-20", "5352-3.3-16"] first_decides_policy;
    "other-policy-is-rejected" ["5352-3.1-21", "5352-3.1-22", "5352-3.1-31", "5352-3.1-32"] other_policy;
    "rejection-names-the-policy-of-the-pool" ["5352-3.1-32"] policy_is_named;
    "other-transport-is-rejected" ["5352-3.1-21", "5352-3.1-22", "5352-3.1-31", "5352-3.1-32"] other_transport;
    "rejection-names-the-transport-of-the-pool" ["5352-3.1-32"] transport_is_named;
    "other-transport-use-is-rejected" ["5352-3.1-20", "5352-3.1-22", "5352-3.1-32"] other_transport_use;
    "rejected-element-is-not-in-the-pool" ["5352-3.1-22"] rejected_stays_out;
    "pool-is-founded-anew-when-it-was-empty" ["5352-3.1-19", "5352-3.1-20"] founded_anew;
    "reregistration-is-granted" ["5352-3.1-23", "5352-3.1-30"] reregistered;
    "reregistration-replaces-the-attributes" ["5352-3.1-25"] replaced;
    "reregistration-with-other-policy-is-rejected" ["5352-3.1-24", "5352-3.1-31"] reregistered_other_policy;
    "reregistration-with-other-transport-is-rejected" ["5352-3.1-24"] reregistered_other_transport;
    "reregistration-with-other-transport-use-is-rejected" ["5352-3.1-24"] reregistered_other_use;
    "reregistration-of-the-only-element-obeys-the-pool-too" ["5352-3.1-24"] only_element_obeys;
    "rejected-reregistration-changes-nothing" ["5352-3.1-24", "5352-3.1-25"] rejected_changes_nothing;
    "reregistration-over-another-link-is-granted" ["5352-3.1-23", "5352-3.1-27"] reregistered_elsewhere;
    "registrar-becomes-the-home" ["5352-3.1-26", "5352-3.1-33"] becomes_home;
    "home-named-by-the-element-is-overwritten" ["5352-3.1-26", "5352-3.1-33"] home_is_overwritten;
    "several-elements-register-over-one-link" ["5352-3.1-29"] several_on_one_link;
    "one-identifier-may-be-in-two-pools" ["5352-3.1-19"] two_pools;
    "registrations-sent-at-once-are-all-answered" ["5352-3.1-29"] at_once;
    "handle-of-any-bytes-is-taken" ["5352-3.1-19"] any_bytes;
    "handle-of-any-length-is-taken" ["5352-3.1-19", "5354-3-02"] any_length;
    "handles-are-told-apart-by-trailing-zeros" ["5352-3.1-19", "5354-3-04"] trailing_zeros;
    "dccp-transport-is-kept" ["5352-2.1-02", "5354-3.3-02"] dccp;
    "sctp-transport-with-mixed-addresses-is-kept" ["5352-2.1-02", "5354-3.4-02"] mixed_addresses;
    "sctp-transport-with-control-channel-is-kept" ["5352-3.1-20", "5354-3.4-01"] control_channel;
    "tcp-transport-over-ipv6-is-kept" ["5352-2.1-02", "5354-3.5-02"] tcp_ipv6;
    "udp-transport-is-kept" ["5352-2.1-02", "5354-3.6-02"] udp;
    "udp-lite-transport-is-kept" ["5352-2.1-02", "5354-3.7-02"] udp_lite;
    "opaque-transport-is-kept" ["5352-2.1-02"] opaque;
    "user-defined-policy-is-kept-or-rejected" ["5354-3.8-01"] user_defined_policy;
    "endless-registration-life-is-kept" ["5352-3.1-29"] endless;
    "address-of-the-link-becomes-the-asap-transport" ["5352-3.1-28", "5354-3.10-02"] asap_transport;
}

/// Joins a pool as first element and tries to join as a second one.
async fn refuse(
    tester: &Tester,
    first: PoolElement,
    second: PoolElement,
    code: CauseCode,
) -> Verdict<(Probe, PoolHandle<'static>, Vec<u8>)> {
    let mut probe = tester.probe().await?;
    let pool = probe.found(&[first]).await?;
    let cause = probe.refused(&pool, &second, code).await?;
    Ok((probe, pool, cause.information.into_owned()))
}

async fn granted(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let response = probe.register(&tester.pool(), &tester.element()).await?;
    check(!response.rejected && response.error.is_none(), "R flag 0 and no Operation Error", response)
}

async fn creates_the_pool(tester: Tester) -> Verdict {
    let (mut probe, element, pool) = (tester.probe().await?, tester.element(), tester.pool());
    same("no element before", &vec![], &probe.members(&pool).await?)?;
    probe.join(&pool, &element).await?;
    same("the element alone", &vec![element.identifier], &probe.members(&pool).await?)
}

async fn joins(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let elements = tester.elements(3, |_| Policy::RoundRobin);
    let pool = probe.found(&elements).await?;
    same("all elements", &sorted(&elements), &probe.members(&pool).await?)
}

async fn first_decides_policy(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let elements = tester.elements(2, |i| Policy::Priority { priority: 10 - i });
    let pool = probe.found(&elements).await?;
    let response = probe.resolve(&pool).await?;
    let policy = response.policy.as_ref().map(Policy::policy_type);
    same("policy", &Some(Policy::Priority { priority: 0 }.policy_type()), &policy)
}

async fn other_policy(tester: Tester) -> Verdict {
    let other = tester.element_with(Policy::Random);
    refuse(&tester, tester.element(), other, CauseCode::INCONSISTENT_POOLING_POLICY).await.map(drop)
}

async fn policy_is_named(tester: Tester) -> Verdict {
    let first = tester.element_with(Policy::LeastUsed { load: Load(7) });
    let code = CauseCode::INCONSISTENT_POOLING_POLICY;
    let (_, _, information) = refuse(&tester, first, tester.element(), code).await?;
    let policy_type = information.get(4..8);
    check(
        information.starts_with(&[0, 8]) && policy_type == Some(&0x4000_0001_u32.to_be_bytes()),
        "a Pool Member Selection Policy parameter with the policy of the pool in the cause",
        information,
    )
}

fn udp_element(tester: &Tester) -> PoolElement {
    PoolElement { user_transport: Transport::Udp(([192, 0, 2, 1], 7).into()), ..tester.element() }
}

async fn other_transport(tester: Tester) -> Verdict {
    let code = CauseCode::INCONSISTENT_TRANSPORT_TYPE;
    refuse(&tester, tester.element(), udp_element(&tester), code).await.map(drop)
}

async fn transport_is_named(tester: Tester) -> Verdict {
    let code = CauseCode::INCONSISTENT_TRANSPORT_TYPE;
    let (_, _, information) = refuse(&tester, udp_element(&tester), tester.element(), code).await?;
    check(information.starts_with(&[0, 6]), "a UDP Transport parameter in the cause", information)
}

fn sctp_element(tester: &Tester, transport_use: TransportUse) -> PoolElement {
    let addresses = vec![[192, 0, 2, 1].into()];
    PoolElement { user_transport: Transport::Sctp { port: 7, transport_use, addresses }, ..tester.element() }
}

async fn other_transport_use(tester: Tester) -> Verdict {
    let first = sctp_element(&tester, TransportUse::DataOnly);
    let second = sctp_element(&tester, TransportUse::DataAndControl);
    refuse(&tester, first, second, CauseCode::INCONSISTENT_DATA_CONTROL).await.map(drop)
}

async fn rejected_stays_out(tester: Tester) -> Verdict {
    let (first, second) = (tester.element(), tester.element_with(Policy::Random));
    let code = CauseCode::INCONSISTENT_POOLING_POLICY;
    let (mut probe, pool, _) = refuse(&tester, first.clone(), second, code).await?;
    same("the first element alone", &vec![first.identifier], &probe.members(&pool).await?)
}

async fn founded_anew(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let first = tester.element();
    let pool = probe.found(std::slice::from_ref(&first)).await?;
    probe.leave(&pool, first.identifier).await?;
    probe.join(&pool, &tester.element_with(Policy::Random)).await
}

async fn reregistered(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let element = tester.element();
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    probe.join(&pool, &element).await?;
    same("one element", &vec![element.identifier], &probe.members(&pool).await?)
}

/// What a pool's only element looks like to users.
async fn only_element(probe: &mut Probe, pool: &PoolHandle<'_>) -> Verdict<PoolElement> {
    let response = probe.resolve(pool).await?;
    match response.elements.as_slice() {
        [element] => Ok(element.clone()),
        _ => Err(Problem::failed("one element", format!("{response:?}"))),
    }
}

async fn replaced(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let first = tester.element_with(Policy::WeightedRoundRobin { weight: 1 });
    let second = PoolElement {
        policy: Policy::WeightedRoundRobin { weight: 77 },
        user_transport: Transport::Tcp(([192, 0, 2, 99], 99).into()),
        ..first.clone()
    };
    let pool = probe.found(&[first]).await?;
    probe.join(&pool, &second).await?;
    let seen = only_element(&mut probe, &pool).await?;
    same("the new policy", &second.policy, &seen.policy)?;
    same("the new transport", &second.user_transport, &seen.user_transport)
}

/// Registers again with something changed, which must be rejected.
async fn reregister_refused(
    tester: &Tester,
    first: PoolElement,
    second: PoolElement,
    code: CauseCode,
) -> Verdict {
    // A second element keeps the pool as it is, whatever becomes of the first.
    let other = PoolElement { identifier: tester.element().identifier, ..first.clone() };
    let mut probe = tester.probe().await?;
    let pool = probe.found(&[first.clone(), other]).await?;
    let second = PoolElement { identifier: first.identifier, ..second };
    probe.refused(&pool, &second, code).await.map(drop)
}

async fn reregistered_other_policy(tester: Tester) -> Verdict {
    let other = tester.element_with(Policy::Random);
    let code = CauseCode::INCONSISTENT_POOLING_POLICY;
    reregister_refused(&tester, tester.element(), other, code).await
}

async fn reregistered_other_transport(tester: Tester) -> Verdict {
    let code = CauseCode::INCONSISTENT_TRANSPORT_TYPE;
    reregister_refused(&tester, tester.element(), udp_element(&tester), code).await
}

async fn reregistered_other_use(tester: Tester) -> Verdict {
    let first = sctp_element(&tester, TransportUse::DataAndControl);
    let second = sctp_element(&tester, TransportUse::DataOnly);
    reregister_refused(&tester, first, second, CauseCode::INCONSISTENT_DATA_CONTROL).await
}

async fn only_element_obeys(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let element = tester.element();
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    let other = PoolElement { policy: Policy::Random, ..element };
    probe.refused(&pool, &other, CauseCode::INCONSISTENT_POOLING_POLICY).await.map(drop)
}

async fn rejected_changes_nothing(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let elements = tester.elements(2, |_| Policy::RoundRobin);
    let pool = probe.found(&elements).await?;
    let before = probe.resolve(&pool).await?;
    if let Some(first) = elements.first() {
        let other = PoolElement { policy: Policy::Random, ..first.clone() };
        probe.refused(&pool, &other, CauseCode::INCONSISTENT_POOLING_POLICY).await?;
    }
    let after = probe.resolve(&pool).await?;
    let by_identifier = |mut elements: Vec<PoolElement>| {
        elements.sort_by_key(|element| element.identifier);
        elements
    };
    same("the same elements", &by_identifier(before.elements), &by_identifier(after.elements))
}

async fn reregistered_elsewhere(tester: Tester) -> Verdict {
    let (mut first, mut second) = (tester.probe().await?, tester.probe().await?);
    let element = tester.element();
    let pool = first.found(std::slice::from_ref(&element)).await?;
    second.join(&pool, &element).await?;
    drop(first);
    same("one element", &vec![element.identifier], &second.members(&pool).await?)
}

async fn becomes_home(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let (here, there) = (tester.element(), tester.element());
    let pools = [probe.found(&[here]).await?, probe.found(&[there]).await?];
    let [here, there] =
        [only_element(&mut probe, &pools[0]).await?, only_element(&mut probe, &pools[1]).await?];
    check(!here.home.is_none(), "a home that is not 0", here.home)?;
    same("the same home for all elements that register here:", &here.home, &there.home)
}

async fn home_is_overwritten(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let wrong = ServerId(0xdead_beef);
    let pool = probe.found(&[PoolElement { home: wrong, ..tester.element() }]).await?;
    let home = only_element(&mut probe, &pool).await?.home;
    check(home != wrong && !home.is_none(), "the registrar as home", home)
}

async fn several_on_one_link(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    for _ in 0..3 {
        let elements = tester.elements(5, |_| Policy::RoundRobin);
        let pool = probe.found(&elements).await?;
        same("all elements", &sorted(&elements), &probe.members(&pool).await?)?;
    }
    Ok(())
}

async fn two_pools(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let element = tester.element();
    let pools = [tester.pool(), tester.pool()];
    for pool in &pools {
        probe.join(pool, &element).await?;
    }
    for pool in &pools {
        same("the element in both pools", &vec![element.identifier], &probe.members(pool).await?)?;
    }
    Ok(())
}

async fn at_once(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let (elements, pool) = (tester.elements(50, |_| Policy::RoundRobin), tester.pool());
    let entries: Vec<_> = elements.iter().map(|element| (pool.clone(), element.clone())).collect();
    probe.join_at_once(&entries).await?;
    same("all elements", &sorted(&elements), &probe.members(&pool).await?)
}

/// Registers an element in this pool and finds it there.
async fn pool_works(tester: &Tester, pool: &PoolHandle<'_>) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, tester.element());
    probe.join(pool, &element).await?;
    same("the element", &vec![element.identifier], &probe.members(pool).await?)?;
    probe.leave(pool, element.identifier).await
}

async fn any_bytes(tester: Tester) -> Verdict {
    let unique = tester.pool();
    let tail: &[u8] = &[0, 0xff, 0xfe, b'\n', b'%', 0x80, b'\'', b'"'];
    pool_works(&tester, &[unique.as_bytes(), tail].concat().into()).await
}

async fn any_length(tester: Tester) -> Verdict {
    for more in [1, 2, 3, 5, 15, 16] {
        let unique = tester.pool();
        pool_works(&tester, &[unique.as_bytes(), &vec![b'x'; more]].concat().into()).await?;
    }
    Ok(())
}

async fn trailing_zeros(tester: Tester) -> Verdict {
    let (mut probe, unique) = (tester.probe().await?, tester.pool());
    let pools: [PoolHandle<'static>; 3] =
        [0, 1, 3].map(|zeros| [unique.as_bytes(), b"x", &vec![0; zeros]].concat().into());
    let elements = tester.elements(3, |_| Policy::RoundRobin);
    for (pool, element) in pools.iter().zip(&elements) {
        probe.join(pool, element).await?;
    }
    for (pool, element) in pools.iter().zip(&elements) {
        same("three pools of one element", &vec![element.identifier], &probe.members(pool).await?)?;
    }
    Ok(())
}

/// Registers an element with this user transport, and looks what users are told.
async fn keeps(tester: &Tester, user_transport: Transport) -> Verdict {
    let mut probe = tester.probe().await?;
    let pool =
        probe.found(&[PoolElement { user_transport: user_transport.clone(), ..tester.element() }]).await?;
    same("user transport", &user_transport, &only_element(&mut probe, &pool).await?.user_transport)
}

async fn dccp(tester: Tester) -> Verdict {
    keeps(&tester, Transport::Dccp { address: ([192, 0, 2, 1], 7).into(), service_code: 0x1234_5678 }).await
}

async fn mixed_addresses(tester: Tester) -> Verdict {
    let v6 = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let addresses = vec![[192, 0, 2, 1].into(), v6.into(), [192, 0, 2, 2].into()];
    keeps(&tester, Transport::Sctp { port: 7, transport_use: TransportUse::DataOnly, addresses }).await
}

async fn control_channel(tester: Tester) -> Verdict {
    keeps(&tester, sctp_element(&tester, TransportUse::DataAndControl).user_transport).await
}

async fn tcp_ipv6(tester: Tester) -> Verdict {
    keeps(&tester, Transport::Tcp(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 7).into())).await
}

async fn udp(tester: Tester) -> Verdict {
    keeps(&tester, Transport::Udp(([192, 0, 2, 1], 53).into())).await
}

async fn udp_lite(tester: Tester) -> Verdict {
    keeps(&tester, Transport::UdpLite(([192, 0, 2, 1], 7).into())).await
}

async fn opaque(tester: Tester) -> Verdict {
    keeps(&tester, Transport::Opaque(b"opaque, 19 bytes it".as_slice().into())).await
}

async fn user_defined_policy(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let data = [0xca, 0xfe, 0xba, 0xbe].as_slice().into();
    let policy = Policy::Other { policy_type: PolicyType(0x8000_1234), data };
    let (pool, element) = (tester.pool(), tester.element_with(policy));
    let response = probe.register(&pool, &element).await?;
    if response.rejected {
        return check(response.error.is_some(), "an error cause", response);
    }
    same("policy", &element.policy, &only_element(&mut probe, &pool).await?.policy)
}

async fn endless(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let element = PoolElement { life: RegistrationLife::Infinite, ..tester.element() };
    let pool = probe.found(&[element]).await?;
    same("life", &RegistrationLife::Infinite, &only_element(&mut probe, &pool).await?.life)
}

async fn asap_transport(tester: Tester) -> Verdict {
    if !matches!(tester.session.target.asap.scheme(), Scheme::Sctp | Scheme::SctpTls) {
        return Err(Problem::skipped(
            "needs --asap sctp://… or sctp+tls://…: elsewhere the source says nothing",
        ));
    }
    let (mut peer, mut probe) = (tester.peer().await?, tester.probe().await?);
    let element = tester.element();
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    let (action, patience) = (rserpool_wire::enrp::UpdateAction::Add, tester.patience().answer);
    let update = peer.expect_update(patience, action, &pool, element.identifier).await?;
    let transport = update.element.asap_transport;
    let has_link = |transport: &Transport| {
        transport.socket_addresses().any(|address| address.port() == probe.local.port())
    };
    check(transport.as_ref().is_some_and(has_link), format!("SCTP at port {}", probe.local.port()), transport)
}
