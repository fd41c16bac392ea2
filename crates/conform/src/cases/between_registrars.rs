//! What is unknown or malformed between registrars (RFC 5353 §3.7, RFC 5354 §3, §4).
use rand::RngExt;
use rserpool_wire::enrp::{Body, Message};
use rserpool_wire::{CauseCode, OperationError, PoolElement, PoolHandle, ServerId};

use crate::case::group;
use crate::outcome::{Verdict, check, same};
use crate::peer::Peer;
use crate::raw::{self, SKIP, SKIP_AND_REPORT, STOP, STOP_AND_REPORT};
use crate::tester::Tester;

group! { "between-registrars":
    "enrp-unknown-parameter-00-discards-the-message" ["5353-3.7-01"] stop;
    "enrp-unknown-parameter-01-discards-the-message-and-is-reported" ["5353-3.7-01", "5353-3.7-02"] stop_and_report;
    "enrp-unknown-parameter-10-is-skipped" ["5353-3.7-01"] skip;
    "enrp-unknown-parameter-11-is-skipped-and-reported" ["5353-3.7-01", "5353-3.7-02"] skip_and_report;
    "enrp-unknown-message-00-is-discarded" ["5353-3.7-01"] message_stop;
    "enrp-unknown-message-01-is-reported" ["5353-3.7-01", "5353-3.7-02"] message_report;
    "enrp-error-is-not-answered" ["5353-3.7-02"] error;
    "enrp-malformed-error-is-not-answered" ["5353-3.7-02"] malformed_error;
    "enrp-error-with-unknown-parameters-is-not-answered" ["5353-3.7-02"] error_with_unknown;
    "enrp-update-without-an-element-is-harmless" ["5353-3.3.1-02"] no_element;
    "enrp-update-with-a-broken-element-has-no-effect" ["5353-3.3.1-02"] broken_element;
    "enrp-reserved-field-of-an-update-is-ignored" ["5353-2.4-03"] reserved_field;
    "enrp-truncated-messages-are-harmless" ["5353-3-01"] truncated;
    "enrp-random-messages-are-harmless" ["5353-3-01"] random;
    "enrp-table-response-that-nobody-asked-for-has-no-effect" ["5353-3.6.3-05"] unsolicited_table;
    "enrp-message-in-the-name-of-the-registrar-has-no-effect" ["5353-2.1-05", "5353-3.3.2-01"] own_name;
    "enrp-update-in-nobodys-name-has-no-effect" ["5353-2.1-05", "5353-3.3.1-03"] nobodys_name;
    "enrp-answers-name-their-receiver-or-nobody" ["5353-2.1-01", "5353-2.1-02"] receiver;
}

/// An update with a parameter of unknown type behind the element.
struct Scene {
    peer: Peer,
    pool: PoolHandle<'static>,
    element: PoolElement,
    parameter: Vec<u8>,
    update: Vec<u8>,
}

impl Scene {
    async fn new(tester: &Tester, parameter_type: u16) -> Verdict<Self> {
        let (peer, pool) = (tester.peer().await?, tester.pool());
        let element = peer.own(&pool, &tester.element());
        let parameter = raw::parameter(parameter_type, &[0xca, 0xfe, 0xba, 0xbe]);
        let encoded = raw::element(&element, tester.dialect());
        let value = [vec![0; 4], raw::handle(&pool), encoded, parameter.clone()].concat();
        let update = raw::enrp(raw::HANDLE_UPDATE, peer.id, &value);
        Ok(Self { peer, pool, element, parameter, update })
    }

    async fn is_member(&self) -> Verdict<bool> {
        let members = self.peer.tester.probe().await?.members(&self.pool).await?;
        Ok(members == vec![self.element.identifier])
    }

    async fn ends(mut self, processed: bool, reported: bool) -> Verdict {
        let update = self.update.clone();
        if reported {
            quotes(&self.peer.reported(update).await?, CauseCode::UNRECOGNIZED_PARAMETER, &self.parameter)?;
        } else {
            self.peer.unanswered(update).await?;
        }
        let expected = if processed { "the element to be added" } else { "the message to be discarded" };
        check(self.is_member().await? == processed, expected, "the opposite")
    }
}

/// Checks that a cause quotes these bytes.
fn quotes(error: &OperationError<'_>, code: CauseCode, bytes: &[u8]) -> Verdict {
    let quoted = error.causes.iter().any(|cause| cause.code == code && *cause.information == *bytes);
    check(quoted, format!("the cause {code} with the offending bytes"), error)
}

async fn stop(tester: Tester) -> Verdict {
    Scene::new(&tester, STOP).await?.ends(false, false).await
}

async fn stop_and_report(tester: Tester) -> Verdict {
    Scene::new(&tester, STOP_AND_REPORT).await?.ends(false, true).await
}

async fn skip(tester: Tester) -> Verdict {
    Scene::new(&tester, SKIP).await?.ends(true, false).await
}

async fn skip_and_report(tester: Tester) -> Verdict {
    Scene::new(&tester, SKIP_AND_REPORT).await?.ends(true, true).await
}

async fn message_stop(tester: Tester) -> Verdict {
    let mut peer = tester.peer().await?;
    for message_type in [0x00, 0x0b, 0x3e] {
        peer.unanswered(raw::enrp(message_type, peer.id, &[1, 2, 3, 4])).await?;
    }
    Ok(())
}

async fn message_report(tester: Tester) -> Verdict {
    let mut peer = tester.peer().await?;
    for message_type in [0x40, 0x7e] {
        let message = raw::enrp(message_type, peer.id, &[1, 2, 3, 4]);
        quotes(&peer.reported(message.clone()).await?, CauseCode::UNRECOGNIZED_MESSAGE, &message)?;
    }
    Ok(())
}

async fn error(tester: Tester) -> Verdict {
    let mut peer = tester.peer().await?;
    for code in [0_u16, 1, 2, 3, 0x1234] {
        let error = raw::parameter(raw::OPERATION_ERROR, &raw::parameter(code, &[0; 8]));
        peer.unanswered(raw::enrp(raw::ENRP_ERROR, peer.id, &error)).await?;
    }
    Ok(())
}

async fn malformed_error(tester: Tester) -> Verdict {
    let mut peer = tester.peer().await?;
    let overlong = raw::parameter_claiming(raw::OPERATION_ERROR, 400, &[0; 8]);
    let nested = raw::parameter(raw::OPERATION_ERROR, &raw::parameter_claiming(1, 400, &[0; 8]));
    let misplaced = raw::handle(&tester.pool());
    for value in [vec![], overlong, nested, misplaced] {
        peer.unanswered(raw::enrp(raw::ENRP_ERROR, peer.id, &value)).await?;
    }
    Ok(())
}

async fn error_with_unknown(tester: Tester) -> Verdict {
    let mut peer = tester.peer().await?;
    for parameter_type in [STOP, STOP_AND_REPORT, SKIP, SKIP_AND_REPORT] {
        let error = raw::parameter(raw::OPERATION_ERROR, &raw::parameter(0, &[]));
        let value = [error, raw::parameter(parameter_type, &[0; 4])].concat();
        peer.unanswered(raw::enrp(raw::ENRP_ERROR, peer.id, &value)).await?;
    }
    Ok(())
}

async fn no_element(tester: Tester) -> Verdict {
    let (mut peer, pool) = (tester.peer().await?, tester.pool());
    let known = peer.announce(&pool, &tester.element());
    for action in [0_u8, 1] {
        for value in [vec![], vec![0, action, 0, 0], [vec![0, action, 0, 0], raw::handle(&pool)].concat()] {
            peer.exchange(raw::enrp(raw::HANDLE_UPDATE, peer.id, &value)).await?;
        }
    }
    same("elements", &vec![known.identifier], &tester.probe().await?.members(&pool).await?)
}

async fn broken_element(tester: Tester) -> Verdict {
    let (mut peer, pool) = (tester.peer().await?, tester.pool());
    let no_policy = raw::element_of(&tester.element(), &[raw::tcp_transport(&[raw::ipv4()])]);
    let no_transport = raw::element_of(&tester.element(), &[raw::round_robin()]);
    let whole = raw::element(&tester.element(), tester.dialect());
    let length = whole.len();
    for element in [no_policy, no_transport, raw::with_length(whole, length + 40)] {
        let value = [vec![0; 4], raw::handle(&pool), element].concat();
        peer.exchange(raw::enrp(raw::HANDLE_UPDATE, peer.id, &value)).await?;
    }
    same("no element", &vec![], &tester.probe().await?.members(&pool).await?)
}

async fn reserved_field(tester: Tester) -> Verdict {
    let (mut peer, pool) = (tester.peer().await?, tester.pool());
    let element = peer.own(&pool, &tester.element());
    let encoded = raw::element(&element, tester.dialect());
    let value = [vec![0, 0, 0xab, 0xcd], raw::handle(&pool), encoded].concat();
    peer.exchange(raw::enrp(raw::HANDLE_UPDATE, peer.id, &value)).await?;
    same("elements", &vec![element.identifier], &tester.probe().await?.members(&pool).await?)
}

async fn truncated(tester: Tester) -> Verdict {
    let mut peer = tester.peer().await?;
    for message_type in raw::PRESENCE..=raw::ENRP_ERROR {
        for length in [0, 4] {
            peer.send_bytes(raw::message(message_type, &vec![0x11; length]));
        }
    }
    peer.settle().await?;
    tester.peer().await.map(drop)
}

async fn random(tester: Tester) -> Verdict {
    for _ in 0..5 {
        let mut peer = tester.peer().await?;
        for _ in 0..20 {
            let mut value = vec![0_u8; rand::rng().random_range(0..40) * 4];
            rand::rng().fill(value.as_mut_slice());
            // Take-overs and updates of somebody else would be no nonsense.
            let message_type =
                *[raw::PRESENCE, 0x03, 0x06, raw::ENRP_ERROR, 0x0b].get(value.len() % 5).unwrap_or(&0);
            peer.send_bytes(raw::enrp(message_type, peer.id, &value));
        }
        peer.settle().await?;
    }
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    same("a registrar that goes on serving:", &vec![element.identifier], &probe.members(&pool).await?)
}

async fn unsolicited_table(tester: Tester) -> Verdict {
    let (mut peer, pool) = (tester.peer().await?, tester.pool());
    let element = PoolElement { home: peer.id, ..tester.element() };
    tester.note(&pool, element.identifier);
    let entry =
        rserpool_wire::enrp::PoolEntry { pool_handle: pool.borrowed(), elements: vec![element.into()] };
    let response =
        rserpool_wire::enrp::HandleTableResponse { rejected: false, more: false, entries: vec![entry] };
    peer.send(Body::HandleTableResponse(response));
    peer.settle().await?;
    same("no element", &vec![], &tester.probe().await?.members(&pool).await?)
}

/// Sends an update in this name, whatever becomes of the link.
fn forge(peer: &Peer, sender: ServerId, action: u8, pool: &PoolHandle<'_>, element: &PoolElement) {
    let element = PoolElement { home: sender, ..element.clone() };
    let encoded = raw::element(&element, peer.tester.dialect());
    let value = [vec![0, action, 0, 0], raw::handle(pool), encoded].concat();
    peer.send_bytes(raw::enrp(raw::HANDLE_UPDATE, sender, &value));
}

/// Waits until what a peer has sent before has had its effect: a registrar may have closed that link.
async fn taken(tester: &Tester) -> Verdict {
    tester.peer().await?.settle().await.map(drop)
}

async fn own_name(tester: Tester) -> Verdict {
    let (peer, mut probe, element) = (tester.peer().await?, tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    forge(&peer, peer.registrar, 1, &pool, &element);
    taken(&tester).await?;
    same("the registrar's own element", &vec![element.identifier], &probe.members(&pool).await?)
}

async fn nobodys_name(tester: Tester) -> Verdict {
    let (peer, pool, element) = (tester.peer().await?, tester.pool(), tester.element());
    tester.note(&pool, element.identifier);
    forge(&peer, ServerId::NONE, 0, &pool, &element);
    taken(&tester).await?;
    same("no element", &vec![], &tester.probe().await?.members(&pool).await?)
}

async fn receiver(tester: Tester) -> Verdict {
    let (mut peer, target) = (tester.peer().await?, tester.server_id());
    let (id, registrar) = (peer.id, peer.registrar);
    peer.send(Body::ListRequest);
    peer.propose_takeover(target);
    let parties = |message: &Message<'_>| match &message.body {
        Body::ListResponse(_) | Body::InitTakeoverAck(_) => Some((message.sender, message.receiver)),
        _ => None,
    };
    for _ in 0..2 {
        let (sender, receiver) = peer.expect("two answers", parties).await?;
        same("sender", &registrar, &sender)?;
        check(receiver == id || receiver == ServerId::NONE, format!("receiver {id} or 0"), receiver)?;
    }
    Ok(())
}
