//! Handle updates (RFC 5353 §3.3), in both directions.
use std::time::Duration;

use rserpool_wire::enrp::UpdateAction;
use rserpool_wire::{CauseCode, Policy, PoolElement, RegistrationLife, ServerId, Transport};

use crate::case::group;
use crate::outcome::{Verdict, check, same};
use crate::probe::sorted;
use crate::tester::Tester;

group! { "update":
    "registration-is-told-to-peers" ["5352-3.1-34", "5353-3.3.1-01", "5353-2.4-01"] registration;
    "update-has-the-whole-element" ["5353-3.3.1-02"] whole_element;
    "update-names-its-sender-and-no-receiver" ["5353-3.3.1-03"] sender;
    "reregistration-is-told-to-peers" ["5353-3.3.1-01", "5352-3.1-34"] reregistration;
    "every-peer-is-told" ["5353-3.3.1-01"] every_peer;
    "rejected-registration-is-not-told" ["5352-3.1-34", "5353-3.3.1-01"] rejected;
    "deregistration-is-told-to-peers" ["5352-3.2-13", "5353-3.3.2-01", "5353-3.3.2-02", "5353-3.3.2-03"] deregistration;
    "removal-names-its-sender-and-no-receiver" ["5353-3.3.2-04"] removal_sender;
    "deregistration-of-nobody-is-not-told" ["5352-3.2-14"] nobody;
    "end-of-a-life-is-told-to-peers" ["5353-3.3.2-01"] end_of_life;
    "removal-of-a-silent-element-is-told-to-peers" ["5353-3.3.2-01"] silent;
    "removal-of-a-reported-element-is-told-to-peers" ["5353-3.3.2-01"] reported;
    "added-element-founds-its-pool" ["5353-3.3.1-05", "5353-3.3.1-07"] founds;
    "added-element-joins-its-pool" ["5353-3.3.1-08"] joins;
    "added-element-has-all-attributes" ["5353-3.3.1-06"] attributes;
    "added-element-keeps-its-home" ["5353-3.3.1-06"] keeps_home;
    "changed-element-is-replaced" ["5353-3.3.1-09"] replaced;
    "deleted-element-is-gone" ["5353-3.3.2-05"] deleted;
    "deleted-last-element-takes-its-pool-along" ["5353-3.3.2-05", "5353-3.3.2-06"] last_deleted;
    "deletion-of-an-unknown-element-is-harmless" ["5353-3.3.2-07"] unknown_deleted;
    "deletion-by-another-than-the-home-has-no-effect" ["5353-3.3.2-01"] not_the_home;
    "reserved-update-action-has-no-effect" ["5353-2.4-02"] reserved_action;
    "element-of-a-peer-may-register-here" ["5352-3.1-27", "5353-3.3.1-01"] moves_here;
    "subscriber-is-told-of-updates-of-peers" ["5352-3.3-15"] subscriber;
    "registration-in-the-pool-of-a-peer-obeys-its-policy" ["5353-3.3.1-07", "5352-3.1-22"] policy_of_peer;
    "updates-of-registrations-come-in-order" ["5353-3.3.1-01"] in_order;
}

async fn registration(tester: Tester) -> Verdict {
    let (mut peer, mut probe, element) = (tester.peer().await?, tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    let patience = tester.patience().answer;
    peer.expect_update(patience, UpdateAction::Add, &pool, element.identifier).await.map(drop)
}

async fn whole_element(tester: Tester) -> Verdict {
    let (mut peer, mut probe) = (tester.peer().await?, tester.probe().await?);
    let asap_transport = Some(Transport::Tcp(probe.local));
    let element =
        PoolElement { asap_transport, ..tester.element_with(Policy::WeightedRoundRobin { weight: 3 }) };
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    let patience = tester.patience().answer;
    let seen = peer.expect_update(patience, UpdateAction::Add, &pool, element.identifier).await?.element;
    // Which ASAP transport it has is up to the registrar (RFC 5352 §3.1, rule 4).
    let asap_transport = seen.asap_transport.clone();
    same("element", &PoolElement { home: peer.registrar, asap_transport, ..element }, &seen)
}

async fn sender(tester: Tester) -> Verdict {
    let (mut peer, mut probe, element) = (tester.peer().await?, tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    let patience = tester.patience().answer;
    let update = peer.expect_update(patience, UpdateAction::Add, &pool, element.identifier).await?;
    same("sender", &peer.registrar, &update.sender)?;
    same("receiver", &ServerId::NONE, &update.receiver)
}

async fn reregistration(tester: Tester) -> Verdict {
    let (mut peer, mut probe) = (tester.peer().await?, tester.probe().await?);
    let element = tester.element_with(Policy::WeightedRandom { weight: 1 });
    let again = PoolElement { policy: Policy::WeightedRandom { weight: 2 }, ..element.clone() };
    let pool = probe.found(&[element]).await?;
    probe.join(&pool, &again).await?;
    let patience = tester.patience().answer;
    for weight in 1..=2 {
        let update = peer.expect_update(patience, UpdateAction::Add, &pool, again.identifier).await?;
        same("policy", &Policy::WeightedRandom { weight }, &update.element.policy)?;
    }
    Ok(())
}

async fn every_peer(tester: Tester) -> Verdict {
    let mut peers = [tester.peer().await?, tester.peer().await?, tester.peer().await?];
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    for peer in &mut peers {
        let patience = tester.patience().answer;
        peer.expect_update(patience, UpdateAction::Add, &pool, element.identifier).await?;
    }
    Ok(())
}

async fn rejected(tester: Tester) -> Verdict {
    let (mut peer, mut probe) = (tester.peer().await?, tester.probe().await?);
    let pool = probe.found(&[tester.element()]).await?;
    peer.settle().await?;
    let other = tester.element_with(Policy::Random);
    probe.refused(&pool, &other, CauseCode::INCONSISTENT_POOLING_POLICY).await?;
    same("no update", &0, &peer.updates_of(&pool).await?)
}

async fn deregistration(tester: Tester) -> Verdict {
    let (mut peer, mut probe, element) = (tester.peer().await?, tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    probe.leave(&pool, element.identifier).await?;
    let patience = tester.patience().answer;
    let update = peer.expect_update(patience, UpdateAction::Delete, &pool, element.identifier).await?;
    same("transport of the element", &element.user_transport, &update.element.user_transport)?;
    same("home of the element", &peer.registrar, &update.element.home)
}

async fn removal_sender(tester: Tester) -> Verdict {
    let (mut peer, mut probe, element) = (tester.peer().await?, tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    probe.leave(&pool, element.identifier).await?;
    let patience = tester.patience().answer;
    let update = peer.expect_update(patience, UpdateAction::Delete, &pool, element.identifier).await?;
    same("sender", &peer.registrar, &update.sender)?;
    same("receiver", &ServerId::NONE, &update.receiver)
}

async fn nobody(tester: Tester) -> Verdict {
    let (mut peer, mut probe, pool) = (tester.peer().await?, tester.probe().await?, tester.pool());
    probe.leave(&pool, tester.element().identifier).await?;
    same("no update", &0, &peer.updates_of(&pool).await?)
}

async fn end_of_life(tester: Tester) -> Verdict {
    let (mut peer, mut probe) = (tester.peer().await?, tester.probe().await?);
    let life = Duration::from_secs(1);
    let element = PoolElement { life: RegistrationLife::Finite(life), ..tester.element() };
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    let patience = life + tester.patience().answer;
    peer.expect_update(patience, UpdateAction::Delete, &pool, element.identifier).await.map(drop)
}

async fn silent(tester: Tester) -> Verdict {
    let (mut peer, mut probe, element) = (tester.peer().await?, tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    probe.mute();
    let patience = tester.patience().timers;
    peer.expect_update(patience, UpdateAction::Delete, &pool, element.identifier).await.map(drop)
}

async fn reported(tester: Tester) -> Verdict {
    let (mut peer, mut probe, element) = (tester.peer().await?, tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    probe.mute();
    tester.probe().await?.report_unreachable(&pool, element.identifier);
    let patience = tester.patience().timers;
    peer.expect_update(patience, UpdateAction::Delete, &pool, element.identifier).await.map(drop)
}

async fn founds(tester: Tester) -> Verdict {
    let (mut peer, pool) = (tester.peer().await?, tester.pool());
    let element = peer.announce(&pool, &tester.element_with(Policy::Random));
    peer.settle().await?;
    let response = tester.probe().await?.resolve(&pool).await?;
    same("elements", &vec![element.identifier], &crate::probe::identifiers(&response))?;
    same("policy", &Some(Policy::Random), &response.policy)
}

async fn joins(tester: Tester) -> Verdict {
    let (mut peer, mut probe, own) = (tester.peer().await?, tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&own)).await?;
    let element = peer.announce(&pool, &tester.element());
    peer.settle().await?;
    same("elements", &sorted(&[own, element]), &probe.members(&pool).await?)
}

/// What users see of the only element of a pool that a peer announced.
async fn seen_of(tester: &Tester, element: PoolElement) -> Verdict<(PoolElement, Option<PoolElement>)> {
    let (mut peer, pool) = (tester.peer().await?, tester.pool());
    let element = peer.announce(&pool, &element);
    peer.settle().await?;
    let seen = tester.probe().await?.resolve(&pool).await?.elements.first().cloned();
    Ok((element, seen))
}

async fn attributes(tester: Tester) -> Verdict {
    let element = PoolElement {
        life: RegistrationLife::Finite(Duration::from_secs(77)),
        user_transport: Transport::Udp(([192, 0, 2, 77], 77).into()),
        ..tester.element_with(Policy::Priority { priority: 77 })
    };
    let (element, seen) = seen_of(&tester, element).await?;
    same("element", &Some(element), &seen)
}

async fn keeps_home(tester: Tester) -> Verdict {
    let (element, seen) = seen_of(&tester, tester.element()).await?;
    same("home", &Some(element.home), &seen.map(|seen| seen.home))
}

async fn replaced(tester: Tester) -> Verdict {
    let (mut peer, pool) = (tester.peer().await?, tester.pool());
    let element = peer.announce(&pool, &tester.element_with(Policy::WeightedRandom { weight: 1 }));
    let user_transport = Transport::Tcp(([192, 0, 2, 9], 99).into());
    let policy = Policy::WeightedRandom { weight: 2 };
    let element = peer.announce(&pool, &PoolElement { user_transport, policy, ..element });
    peer.settle().await?;
    same("elements", &vec![element], &tester.probe().await?.resolve(&pool).await?.elements)
}

async fn deleted(tester: Tester) -> Verdict {
    let (mut peer, pool) = (tester.peer().await?, tester.pool());
    let stays = peer.announce(&pool, &tester.element());
    let goes = peer.announce(&pool, &tester.element());
    peer.withdraw(&pool, &goes);
    peer.settle().await?;
    same("elements", &vec![stays.identifier], &tester.probe().await?.members(&pool).await?)
}

async fn last_deleted(tester: Tester) -> Verdict {
    let (mut peer, pool) = (tester.peer().await?, tester.pool());
    let only = peer.announce(&pool, &tester.element());
    peer.withdraw(&pool, &only);
    peer.settle().await?;
    let response = tester.probe().await?.resolve(&pool).await?;
    let unknown = response.error.as_ref().is_some_and(|error| error.has(CauseCode::UNKNOWN_POOL_HANDLE));
    check(unknown, "the cause Unknown Pool Handle", response)
}

async fn unknown_deleted(tester: Tester) -> Verdict {
    let (mut peer, pool) = (tester.peer().await?, tester.pool());
    let known = peer.announce(&pool, &tester.element());
    let home = peer.id;
    peer.update(UpdateAction::Delete, &pool, &PoolElement { home, ..tester.element() });
    peer.update(UpdateAction::Delete, &tester.pool(), &known);
    peer.settle().await?;
    same("elements", &vec![known.identifier], &tester.probe().await?.members(&pool).await?)
}

async fn not_the_home(tester: Tester) -> Verdict {
    let (mut peer, mut other) = (tester.peer().await?, tester.peer().await?);
    let (mut probe, own, pool) = (tester.probe().await?, tester.element(), tester.pool());
    probe.join(&pool, &own).await?;
    let foreign = peer.announce(&pool, &tester.element());
    peer.settle().await?;
    for element in [&own, &foreign] {
        other.update(UpdateAction::Delete, &pool, element);
    }
    other.settle().await?;
    same("elements", &sorted(&[own, foreign]), &probe.members(&pool).await?)
}

async fn reserved_action(tester: Tester) -> Verdict {
    let (mut peer, pool, element) = (tester.peer().await?, tester.pool(), tester.element());
    tester.note(&pool, element.identifier);
    let encoded = crate::raw::element(&PoolElement { home: peer.id, ..element }, tester.dialect());
    for action in [2_u8, 0xff] {
        let value = [vec![0, action, 0, 0], crate::raw::handle(&pool), encoded.clone()].concat();
        peer.exchange(crate::raw::enrp(crate::raw::HANDLE_UPDATE, peer.id, &value)).await?;
    }
    same("no element", &vec![], &tester.probe().await?.members(&pool).await?)
}

async fn moves_here(tester: Tester) -> Verdict {
    let (mut peer, mut probe, pool) = (tester.peer().await?, tester.probe().await?, tester.pool());
    let element = peer.announce(&pool, &tester.element());
    peer.settle().await?;
    peer.disown(&pool, element.identifier);
    probe.join(&pool, &element).await?;
    let patience = tester.patience().answer;
    let update = peer.expect_update(patience, UpdateAction::Add, &pool, element.identifier).await?;
    same("home", &peer.registrar, &update.element.home)?;
    let home = probe.resolve(&pool).await?.elements.first().map(|element| element.home);
    same("home that users see", &Some(peer.registrar), &home)
}

async fn subscriber(tester: Tester) -> Verdict {
    let (peer, mut user, pool) = (tester.peer().await?, tester.probe().await?, tester.pool());
    let first = tester.element();
    let mut probe = tester.probe().await?;
    probe.join(&pool, &first).await?;
    let pool_handle = pool.borrowed();
    let request = rserpool_wire::asap::HandleResolution { pool_handle, subscribe: true, items: None };
    if !user.request(request).await?.accept_updates {
        return Err(crate::outcome::Problem::skipped("the registrar declines to send updates: A bit 0"));
    }
    let second = peer.announce(&pool, &tester.element());
    let update = user.resolution().await?;
    same("elements", &sorted(&[first, second]), &crate::probe::identifiers(&update))
}

async fn policy_of_peer(tester: Tester) -> Verdict {
    let (mut peer, mut probe, pool) = (tester.peer().await?, tester.probe().await?, tester.pool());
    peer.announce(&pool, &tester.element_with(Policy::Random));
    peer.settle().await?;
    let other = tester.element_with(Policy::RoundRobin);
    probe.refused(&pool, &other, CauseCode::INCONSISTENT_POOLING_POLICY).await.map(drop)
}

async fn in_order(tester: Tester) -> Verdict {
    let (mut peer, mut probe) = (tester.peer().await?, tester.probe().await?);
    let pool = tester.pool();
    let element = tester.element_with(Policy::LeastUsed { load: rserpool_wire::Load(0) });
    for load in 0..20 {
        let policy = Policy::LeastUsed { load: rserpool_wire::Load(load) };
        probe.join(&pool, &PoolElement { policy, ..element.clone() }).await?;
    }
    for load in 0..20 {
        let patience = tester.patience().answer;
        let update = peer.expect_update(patience, UpdateAction::Add, &pool, element.identifier).await?;
        let policy = Policy::LeastUsed { load: rserpool_wire::Load(load) };
        same("policy", &policy, &update.element.policy)?;
    }
    Ok(())
}
