//! Messages that break the formats of RFC 5354: nothing of them takes effect, and the registrar goes on serving.
use rand::RngExt;
use rserpool_machine::Scheme;
use rserpool_wire::{CauseCode, PoolHandle};

use crate::case::group;
use crate::inspect;
use crate::outcome::{Problem, Verdict, check, same};
use crate::probe::{Exchange, Probe};
use crate::raw;
use crate::tester::Tester;

group! { "malformed":
    "registration-without-a-handle-has-no-effect" ["5352-2.2.1-01"] no_handle;
    "registration-without-an-element-has-no-effect" ["5352-2.2.1-01"] no_element;
    "deregistration-without-an-identifier-is-harmless" ["5352-2.2.2-01"] no_identifier;
    "element-without-a-transport-is-not-registered" ["5354-3.10-01", "5352-2.2.1-02"] no_transport;
    "element-without-a-policy-is-not-registered" ["5352-2.2.1-02", "5354-3.8-01"] no_policy;
    "transport-without-an-address-is-not-registered" ["5354-3.4-02"] no_address;
    "sctp-transport-without-an-address-is-not-registered" ["5354-3.4-02"] sctp_no_address;
    "unknown-transport-use-is-not-registered" ["5354-3.4-01"] transport_use;
    "address-of-wrong-length-is-not-registered" ["5354-3-01"] address_length;
    "truncated-policy-is-not-registered" ["5354-3.8-01"] policy_truncated;
    "truncated-element-is-not-registered" ["5352-2.2.1-02"] element_truncated;
    "parameter-shorter-than-its-header-has-no-effect" ["5354-3-01"] too_short;
    "parameter-longer-than-the-message-has-no-effect" ["5354-3-01"] too_long;
    "parameter-longer-than-its-enclosure-has-no-effect" ["5354-3-01"] nested_too_long;
    "invalid-values-are-answered-with-their-cause" ["5352-3.1-29", "5352-2.2.14-02"] invalid_values;
    "header-alone-of-every-message-is-harmless" ["5352-4-09"] headers_alone;
    "messages-for-others-are-harmless" ["5352-4-09"] for_others;
    "random-messages-are-harmless" ["5352-4-09"] random;
    "padding-of-any-value-is-ignored" ["5354-3-04", "5354-4-03"] padding;
    "message-that-counts-its-final-padding-is-understood" ["5354-4-01", "5354-4-03"] counted_padding;
    "message-that-ends-with-a-padded-parameter-is-understood" ["5354-4-01", "5354-4-02"] uncounted_padding;
    "longest-message-is-survived" ["5354-4-01"] longest;
    "message-in-single-bytes-is-understood" ["5354-4-01"] single_bytes;
    "impossible-message-length-ends-no-other-link" ["5354-4-01"] impossible_length;
    "message-cut-off-by-the-end-of-the-link-is-harmless" ["5354-4-01"] cut_off;
    "answers-are-padded-with-zeros" ["5354-3-02", "5354-3-03", "5354-4-01", "5354-4-02"] answers_padded;
}

/// Sends a registration of this element in a pool, which must not be granted and not take effect.
async fn not_registered(tester: &Tester, element: Vec<u8>) -> Verdict<Exchange> {
    let pool = tester.pool();
    let registration = raw::registration(&pool, &element);
    without_effect(tester, &pool, registration).await
}

/// Sends bytes after which this pool must not exist, and other links must work.
async fn without_effect(tester: &Tester, pool: &PoolHandle<'_>, bytes: Vec<u8>) -> Verdict<Exchange> {
    let (mut probe, mut user) = (tester.probe().await?, tester.probe().await?);
    let exchange = probe.exchange(bytes).await?;
    let dialect = tester.dialect();
    for answer in &exchange.answers {
        let fine = match inspect::asap(answer, dialect)? {
            rserpool_wire::asap::Message::Error(_) => true,
            rserpool_wire::asap::Message::RegistrationResponse(response) => response.rejected,
            _ => false,
        };
        check(fine, "an ASAP_ERROR, a rejection, or silence", inspect::asap(answer, dialect)?)?;
    }
    let response = user.resolve(pool).await?;
    check(response.elements.is_empty(), "no element to be registered", &response)?;
    Ok(exchange)
}

/// A registrar that still does its work.
async fn serves(tester: &Tester) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    same("a registrar that goes on serving:", &vec![element.identifier], &probe.members(&pool).await?)
}

async fn no_handle(tester: Tester) -> Verdict {
    let element = raw::element(&tester.element(), tester.dialect());
    without_effect(&tester, &tester.pool(), raw::message(raw::REGISTRATION, &element)).await.map(drop)
}

async fn no_element(tester: Tester) -> Verdict {
    not_registered(&tester, Vec::new()).await.map(drop)
}

async fn no_identifier(tester: Tester) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    for value in [raw::handle(&pool), [raw::handle(&pool), raw::parameter(raw::PE_IDENTIFIER, &[1])].concat()]
    {
        probe.exchange(raw::message(raw::DEREGISTRATION, &value)).await?;
    }
    same("the element", &vec![element.identifier], &tester.probe().await?.members(&pool).await?)
}

async fn no_transport(tester: Tester) -> Verdict {
    let element = raw::element_of(&tester.element(), &[raw::round_robin()]);
    not_registered(&tester, element).await.map(drop)
}

async fn no_policy(tester: Tester) -> Verdict {
    let element = raw::element_of(&tester.element(), &[raw::tcp_transport(&[raw::ipv4()])]);
    not_registered(&tester, element).await.map(drop)
}

async fn no_address(tester: Tester) -> Verdict {
    let parameters = [raw::tcp_transport(&[]), raw::round_robin()];
    not_registered(&tester, raw::element_of(&tester.element(), &parameters)).await.map(drop)
}

async fn sctp_no_address(tester: Tester) -> Verdict {
    let parameters = [raw::parameter(raw::SCTP_TRANSPORT, &[0, 7, 0, 0]), raw::round_robin()];
    not_registered(&tester, raw::element_of(&tester.element(), &parameters)).await.map(drop)
}

async fn transport_use(tester: Tester) -> Verdict {
    let sctp = raw::parameter(raw::SCTP_TRANSPORT, &[vec![0, 7, 0, 2], raw::ipv4()].concat());
    not_registered(&tester, raw::element_of(&tester.element(), &[sctp, raw::round_robin()])).await.map(drop)
}

async fn address_length(tester: Tester) -> Verdict {
    for address in [vec![192, 0, 2], vec![192, 0, 2, 1, 0, 0, 0, 0]] {
        let transport = raw::tcp_transport(&[raw::parameter(raw::IPV4_ADDRESS, &address)]);
        not_registered(&tester, raw::element_of(&tester.element(), &[transport, raw::round_robin()])).await?;
    }
    Ok(())
}

async fn policy_truncated(tester: Tester) -> Verdict {
    let transport = raw::tcp_transport(&[raw::ipv4()]);
    // Half a policy type, and a Weighted Round Robin without its weight.
    for policy in [vec![0, 0], vec![0, 0, 0, 2]] {
        let parameters = [transport.clone(), raw::parameter(raw::POLICY, &policy)];
        not_registered(&tester, raw::element_of(&tester.element(), &parameters)).await?;
    }
    Ok(())
}

async fn element_truncated(tester: Tester) -> Verdict {
    for length in [0, 4, 8] {
        not_registered(&tester, raw::parameter(raw::POOL_ELEMENT, &vec![0; length])).await?;
    }
    Ok(())
}

async fn too_short(tester: Tester) -> Verdict {
    for claimed in 0..4 {
        let pool = tester.pool();
        let element = raw::element(&tester.element(), tester.dialect());
        let handle = raw::parameter_claiming(raw::POOL_HANDLE, claimed, pool.as_bytes());
        let registration = raw::message(raw::REGISTRATION, &[handle, element].concat());
        without_effect(&tester, &pool, registration).await?;
    }
    Ok(())
}

async fn too_long(tester: Tester) -> Verdict {
    let element = raw::element(&tester.element(), tester.dialect());
    for more in [4, 400, 60_000] {
        let claimed = element.len() + more;
        not_registered(&tester, raw::with_length(element.clone(), claimed)).await?;
    }
    Ok(())
}

async fn nested_too_long(tester: Tester) -> Verdict {
    let transport = raw::tcp_transport(&[raw::parameter_claiming(raw::IPV4_ADDRESS, 24, &[192, 0, 2, 1])]);
    let policy = raw::parameter_claiming(raw::POLICY, 200, &1_u32.to_be_bytes());
    let parameters = [[transport, raw::round_robin()], [raw::tcp_transport(&[raw::ipv4()]), policy]];
    for parameters in parameters {
        not_registered(&tester, raw::element_of(&tester.element(), &parameters)).await?;
    }
    Ok(())
}

async fn invalid_values(tester: Tester) -> Verdict {
    let element = raw::element_of(&tester.element(), &[raw::tcp_transport(&[raw::ipv4()])]);
    let exchange = not_registered(&tester, element).await?;
    let dialect = tester.dialect();
    for answer in &exchange.answers {
        let error = match inspect::asap(answer, dialect)? {
            rserpool_wire::asap::Message::Error(report) => Some(report.error),
            rserpool_wire::asap::Message::RegistrationResponse(response) => response.error,
            _ => None,
        };
        if error.is_some_and(|error| error.has(CauseCode::INVALID_VALUES)) {
            return Ok(());
        }
    }
    Err(Problem::failed("the cause Invalid Values", inspect_all(&exchange, &tester)))
}

fn inspect_all(exchange: &Exchange, tester: &Tester) -> String {
    inspect::describe_all(&exchange.answers, rserpool_machine::Protocol::Asap, tester.dialect())
}

async fn headers_alone(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    for message_type in 0x01..=0x0e {
        let exchange = probe.exchange(raw::message(message_type, &[])).await?;
        if exchange.ended.is_some() {
            probe = tester.probe().await?;
        }
    }
    serves(&tester).await
}

async fn for_others(tester: Tester) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    let handle = raw::handle(&pool);
    let identifier = raw::parameter(raw::PE_IDENTIFIER, &element.identifier.0.to_be_bytes());
    let both = [handle.clone(), identifier].concat();
    let keep_alive = [vec![0, 0, 0, 1], handle.clone()].concat();
    let cookie = raw::parameter(0xd, b"cookie!!");
    let messages = [
        (0x03, &both),
        (0x04, &both),
        (0x06, &handle),
        (0x07, &keep_alive),
        (0x0b, &cookie),
        (0x0c, &cookie),
        (0x0d, &handle),
    ];
    for (message_type, value) in messages {
        probe.exchange(raw::message(message_type, value)).await?;
    }
    same("the element", &vec![element.identifier], &probe.members(&pool).await?)
}

async fn random(tester: Tester) -> Verdict {
    for _ in 0..10 {
        let mut probe = tester.probe().await?;
        for _ in 0..20 {
            let length = rand::rng().random_range(0..60) * 4;
            let mut value = vec![0_u8; length];
            rand::rng().fill(value.as_mut_slice());
            probe.send_bytes(raw::message(rand::rng().random_range(0..=0x0e), &value));
        }
        // A registrar may lose patience with a link on which nothing makes sense.
        probe.settle().await?;
    }
    serves(&tester).await
}

async fn padding(tester: Tester) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool: PoolHandle<'static> = [tester.pool().as_bytes(), b"x"].concat().into();
    tester.note(&pool, element.identifier);
    let mut handle = raw::handle(&pool);
    let length = handle.len();
    handle.get_mut(length - 3..).into_iter().flatten().for_each(|byte| *byte = 0xa5);
    let value = [handle, raw::element(&element, tester.dialect())].concat();
    probe.send_bytes(raw::message(raw::REGISTRATION, &value));
    let response = probe.registration_response(&pool, element.identifier).await?;
    check(!response.rejected, "the registration to be granted", response)?;
    same("the element", &vec![element.identifier], &probe.members(&pool).await?)
}

/// Asks for a pool whose handle needs padding, with this length field.
async fn resolve_claiming(tester: &Tester, padding_counts: bool) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool: PoolHandle<'static> = [tester.pool().as_bytes(), b"xy"].concat().into();
    probe.join(&pool, &element).await?;
    let request = raw::message(raw::HANDLE_RESOLUTION, &raw::handle(&pool));
    let claimed = request.len() - if padding_counts { 0 } else { 2 };
    probe.send_bytes(raw::with_length(request, claimed));
    let response = probe.resolution().await?;
    same("elements", &vec![element.identifier], &crate::probe::identifiers(&response))
}

async fn counted_padding(tester: Tester) -> Verdict {
    resolve_claiming(&tester, true).await
}

async fn uncounted_padding(tester: Tester) -> Verdict {
    resolve_claiming(&tester, false).await
}

async fn longest(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let handle = vec![b'x'; 65_500];
    probe.exchange(raw::message(raw::HANDLE_RESOLUTION, &raw::parameter(raw::POOL_HANDLE, &handle))).await?;
    serves(&tester).await
}

/// Whether messages have no boundaries but those that their lengths say.
fn is_stream(tester: &Tester) -> Verdict {
    match tester.session.target.asap.scheme() {
        Scheme::Tcp | Scheme::Tls => Ok(()),
        scheme => Err(Problem::skipped(format!("is about streams of bytes, which {scheme} has not"))),
    }
}

async fn single_bytes(tester: Tester) -> Verdict {
    is_stream(&tester)?;
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    for byte in raw::message(raw::HANDLE_RESOLUTION, &raw::handle(&pool)) {
        probe.send_bytes(vec![byte]);
        tokio::task::yield_now().await;
    }
    let response = probe.resolution().await?;
    same("elements", &vec![element.identifier], &crate::probe::identifiers(&response))
}

async fn impossible_length(tester: Tester) -> Verdict {
    let mut other = tester.probe().await?;
    for claimed in 0..4 {
        let probe = tester.probe().await?;
        probe.send_bytes(raw::with_length(raw::message(raw::HANDLE_RESOLUTION, &[0; 4]), claimed));
        other.resolve(&tester.pool()).await?;
    }
    serves(&tester).await
}

async fn cut_off(tester: Tester) -> Verdict {
    is_stream(&tester)?;
    let pool = tester.pool();
    let registration = raw::registration(&pool, &raw::element(&tester.element(), tester.dialect()));
    for length in [1, 3, 4, 5, 20, registration.len() - 1] {
        let probe = tester.probe().await?;
        probe.send_bytes(registration.get(..length).unwrap_or_default().to_vec());
    }
    same("no element", &vec![], &tester.probe().await?.members(&pool).await?)?;
    serves(&tester).await
}

async fn answers_padded(tester: Tester) -> Verdict {
    let mut probe: Probe = tester.probe().await?;
    for tail in ["x", "xy", "xyz"] {
        let pool: PoolHandle<'static> = [tester.pool().as_bytes(), tail.as_bytes()].concat().into();
        let request = raw::message(raw::HANDLE_RESOLUTION, &raw::handle(&pool));
        probe.send_bytes(request);
        let answer = probe.next("an ASAP_HANDLE_RESOLUTION_RESPONSE").await?;
        check(answer.len() % 4 == 0, "a multiple of 4 bytes", answer.len())?;
        // The handle comes first, behind the header of the message: 4 bytes of header, 16 bytes and the tail, padding.
        let (end, next) = (8 + 16 + tail.len(), 8 + 20);
        let length = answer.get(6..8).map(<[u8]>::to_vec);
        same("a length without padding:", &Some(vec![0, (4 + 16 + tail.len()) as u8]), &length)?;
        let padding = answer.get(end..next).unwrap_or_default();
        check(padding.iter().all(|byte| *byte == 0), "padding of zeros", padding)?;
        let cause = answer.get(next..next + 2);
        check(cause == Some(&[0, 0xc]), "the next parameter right behind the padding", cause)?;
    }
    Ok(())
}
