//! Registrars that are deliberately wrong are caught: each in one thing, and by the cases that are about it.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "in tests, a panic is the report")]
mod proxy;

use std::time::Duration;

use proxy::{Fault, failed, hold};
use rserpool_wire::asap::{HandleResolutionResponse, Message as Asap, RegistrationResponse};
use rserpool_wire::enrp::{Body, Message as Enrp, UpdateAction};
use rserpool_wire::{CauseCode, ErrorCause, OperationError, PeIdentifier, Policy, ServerId};

/// Whether these cases catch the fault, each of them.
async fn caught(fault: Fault, by: &[&str]) {
    let report = hold(fault, Duration::from_millis(800), |name| by.contains(&name)).await;
    assert_eq!(failed(&report).len(), by.len(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_fault_nothing_is_caught() {
    let report = hold(Fault::none(), Duration::from_secs(6), |_| true).await;
    assert_eq!(failed(&report), Vec::<&str>::new(), "{report}");
    assert!(report.passed() > 250, "{report}");
}

fn registration_response(response: RegistrationResponse<'_>) -> Asap<'static> {
    Asap::RegistrationResponse(RegistrationResponse {
        rejected: response.rejected,
        pool_handle: response.pool_handle.into_owned(),
        identifier: response.identifier,
        error: response.error.map(OperationError::into_owned),
    })
}

fn resolution_response(response: HandleResolutionResponse<'_>) -> Asap<'static> {
    Asap::HandleResolutionResponse(HandleResolutionResponse {
        accept_updates: response.accept_updates,
        pool_handle: response.pool_handle.into_owned(),
        policy: response.policy,
        elements: response.elements,
        error: response.error.map(OperationError::into_owned),
    })
}

/// Changes resolution responses.
fn resolves(change: impl Fn(&mut HandleResolutionResponse<'_>) + Send + Sync + 'static) -> Fault {
    Fault::says(move |message| match message {
        Asap::HandleResolutionResponse(mut response) => {
            change(&mut response);
            Some(vec![resolution_response(response)])
        }
        _ => None,
    })
}

/// Changes registration responses.
fn registers(change: impl Fn(&mut RegistrationResponse<'_>) + Send + Sync + 'static) -> Fault {
    Fault::says(move |message| match message {
        Asap::RegistrationResponse(mut response) => {
            change(&mut response);
            Some(vec![registration_response(response)])
        }
        _ => None,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn granting_everything() {
    let fault = registers(|response| {
        response.rejected = false;
        response.error = None;
    });
    caught(
        fault,
        &["other-policy-is-rejected", "other-transport-is-rejected", "other-transport-use-is-rejected"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejecting_everything_or_with_the_wrong_cause() {
    caught(registers(|response| response.rejected = true), &["registration-is-granted"]).await;
    let fault = registers(|response| {
        if response.rejected {
            response.error = Some(ErrorCause::new(CauseCode::UNSPECIFIED).into());
        }
    });
    caught(fault, &["other-policy-is-rejected", "rejection-names-the-transport-of-the-pool"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answering_about_another_element() {
    caught(registers(|response| response.identifier.0 ^= 1), &["registration-is-granted"]).await;
    let fault = Fault::says(|message| match message {
        Asap::DeregistrationResponse(response) => {
            Some(vec![Asap::DeregistrationResponse(rserpool_wire::asap::DeregistrationResponse {
                pool_handle: response.pool_handle.into_owned(),
                identifier: PeIdentifier(response.identifier.0 ^ 1),
                error: None,
            })])
        }
        _ => None,
    });
    caught(fault, &["deregistration-is-granted"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listing_the_wrong_elements() {
    let fault = resolves(|response| drop(response.elements.pop()));
    caught(
        fault,
        &["all-elements-are-listed", "registration-creates-the-pool", "large-pool-is-listed-whole"],
    )
    .await;
    let fault = resolves(|response| response.elements.extend(response.elements.first().cloned()));
    caught(fault, &["no-element-is-listed-twice"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listing_elements_in_the_wrong_order() {
    let fault = resolves(|response| response.elements.reverse());
    let by = [
        "priority-lists-in-decreasing-order",
        "least-used-lists-in-ascending-order",
        "priority-least-used-lists-by-load-and-degradation",
    ];
    caught(fault, &by).await;
    let sorted = resolves(|response| response.elements.sort_by_key(|element| element.identifier));
    let fault = Fault { asap_heard: Fault::hears(without_items).asap_heard, ..sorted };
    let by = ["round-robin-lists-the-circle-from-its-head", "round-robin-starts-with-the-next-each-time"];
    caught(fault, &by).await;
}

/// Asks for all elements always.
fn without_items(message: Asap<'_>) -> Option<Vec<Asap<'static>>> {
    match message {
        Asap::HandleResolution(request) => {
            Some(vec![Asap::HandleResolution(rserpool_wire::asap::HandleResolution {
                pool_handle: request.pool_handle.into_owned(),
                subscribe: request.subscribe,
                items: None,
            })])
        }
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn selecting_out_of_proportion() {
    // Whoever is picked, it is the one with the smallest identifier of two.
    let sorted = resolves(|response| response.elements.sort_by_key(|element| element.identifier));
    let fault = Fault { asap_heard: Fault::hears(without_items).asap_heard, ..sorted };
    let by = [
        "weighted-round-robin-is-proportional",
        "random-is-even",
        "weighted-random-is-proportional",
        "degradation-counts-selections",
        "randomized-least-used-is-proportional-to-what-is-free",
    ];
    caught(fault, &by).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeping_the_policy_of_the_pool_to_itself() {
    let fault = resolves(|response| response.policy = None);
    caught(fault, &["policy-is-named-unless-round-robin", "first-element-decides-the-policy"]).await;
    let fault = resolves(|response| response.policy = Some(Policy::Random));
    caught(fault, &["round-robin-pool-names-no-other-policy"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn being_nobodys_home() {
    let fault =
        resolves(|response| response.elements.iter_mut().for_each(|element| element.home = ServerId::NONE));
    caught(fault, &["registrar-becomes-the-home", "added-element-keeps-its-home"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answering_what_is_not_to_be_answered() {
    let error = || {
        Asap::Error(rserpool_wire::asap::ErrorReport {
            error: ErrorCause::new(CauseCode::UNSPECIFIED).into(),
        })
    };
    let twice = Fault::says(move |message| match message {
        Asap::HandleResolutionResponse(response) => Some(vec![error(), resolution_response(response)]),
        _ => None,
    });
    let by = [
        "error-is-not-answered",
        "unknown-message-00-is-discarded",
        "report-is-not-answered",
        "unasked-acknowledgement-is-harmless",
    ];
    caught(twice, &by).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paying_no_heed_to_action_bits() {
    // Whatever is unknown is skipped.
    let fault = Fault::hears_bytes(|message| {
        let at = message.windows(2).position(|pair| pair[1] == 0x3f && pair[0] & 0x3f == 0x3f);
        let mut message = message;
        if let Some(at) = at {
            message[at] = 0xbf;
        }
        vec![message]
    });
    let by = [
        "unknown-parameter-00-discards-the-message",
        "unknown-parameter-01-discards-the-message-and-is-reported",
        "unknown-parameter-11-is-skipped-and-reported",
        "unknown-parameter-00-in-an-element-discards-the-message",
    ];
    caught(fault, &by).await;
    // Whatever would be reported is not.
    let fault = Fault::says(|message| matches!(message, Asap::Error(_)).then(Vec::new));
    caught(
        fault,
        &["unknown-message-01-is-reported", "unknown-parameter-11-in-an-element-is-skipped-and-reported"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn padding_with_anything() {
    let fault = Fault::says_bytes(|mut message| {
        // The handle of the tester's odd pools ends behind 16 bytes and a tail.
        if message.first() == Some(&6) && message.get(7) == Some(&21) {
            message[25] = 1;
        }
        vec![message]
    });
    caught(fault, &["answers-are-padded-with-zeros"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_after_nobody() {
    let fault = Fault::says(|message| matches!(message, Asap::EndpointKeepAlive(_)).then(Vec::new));
    caught(fault, &["registered-element-gets-keep-alives", "report-leads-to-a-keep-alive-at-once"]).await;
    let fault = Fault::says(|message| match message {
        Asap::EndpointKeepAlive(keep_alive) => {
            Some(vec![Asap::EndpointKeepAlive(rserpool_wire::asap::EndpointKeepAlive {
                home: true,
                server: ServerId(keep_alive.server.0 ^ 1),
                pool_handle: keep_alive.pool_handle.into_owned(),
                identifier: None,
            })])
        }
        _ => None,
    });
    caught(fault, &["keep-alive-without-need-has-no-h-bit", "keep-alive-comes-from-the-home"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn being_deaf_to_reports_and_updates_of_users() {
    let fault = Fault::hears(|message| matches!(message, Asap::EndpointUnreachable(_)).then(Vec::new));
    caught(fault, &["reports-above-the-threshold-remove-an-element"]).await;
    let fault = Fault::says(|message| matches!(message, Asap::DeregistrationResponse(_)).then(Vec::new));
    caught(
        fault,
        &["deregistration-of-an-unknown-element-is-granted", "element-is-told-of-the-end-of-its-life"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promising_updates_wrongly() {
    let fault = resolves(|response| response.accept_updates = true);
    let by = ["without-the-s-bit-there-is-no-a-bit", "unknown-pool-is-not-subscribed-to"];
    caught(fault, &by).await;
    // Promised, but never sent: the registrar is not asked for them.
    let promise = resolves(|response| response.accept_updates = true);
    let unasked = Fault::hears(|message| match message {
        Asap::HandleResolution(request) => {
            Some(vec![Asap::HandleResolution(rserpool_wire::asap::HandleResolution {
                pool_handle: request.pool_handle.into_owned(),
                subscribe: false,
                items: request.items,
            })])
        }
        _ => None,
    });
    let fault = Fault { asap_heard: unasked.asap_heard, ..promise };
    caught(fault, &["subscriber-is-told-of-a-joining-element", "every-subscriber-is-told"]).await;
}

/// The same message with another body.
fn body(message: &Enrp<'_>, body: Body<'static>) -> Enrp<'static> {
    Enrp { sender: message.sender, receiver: message.receiver, body }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn being_a_bad_peer() {
    let fault = Fault::tells(|message| match &message.body {
        Body::Presence(presence) => {
            let mut presence = presence.clone();
            (presence.checksum, presence.information) = (None, None);
            Some(vec![body(&message, Body::Presence(presence))])
        }
        _ => None,
    });
    caught(fault, &["presence-carries-a-checksum", "reply-says-where-the-registrar-is"]).await;
    let fault = Fault::tells(|message| match &message.body {
        Body::Presence(presence) if presence.reply_required => Some(Vec::new()),
        _ => None,
    });
    caught(fault, &["silent-peer-is-asked", "unknown-peer-is-asked-for-its-presence"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn telling_a_wrong_checksum() {
    let fault = Fault::tells(|message| match &message.body {
        Body::Presence(presence) => {
            let mut presence = presence.clone();
            presence.checksum = presence.checksum.map(|checksum| checksum ^ 0x0100);
            Some(vec![body(&message, Body::Presence(presence))])
        }
        _ => None,
    });
    caught(fault, &["checksum-is-over-the-elements-owned"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_comparing_checksums() {
    let fault = Fault::tells(|message| matches!(message.body, Body::HandleTableRequest(_)).then(Vec::new));
    caught(
        fault,
        &[
            "wrong-checksum-leads-to-a-table-request",
            "missed-element-is-added",
            "missed-removal-is-made-up-for",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeping_changes_from_peers() {
    let fault = Fault::tells(|message| matches!(message.body, Body::HandleUpdate(_)).then(Vec::new));
    caught(
        fault,
        &[
            "registration-is-told-to-peers",
            "deregistration-is-told-to-peers",
            "end-of-a-life-is-told-to-peers",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn being_deaf_to_removals_by_peers() {
    let fault = Fault::is_told(|message| match &message.body {
        Body::HandleUpdate(update) if update.action == UpdateAction::Delete => Some(Vec::new()),
        _ => None,
    });
    caught(fault, &["deleted-element-is-gone", "deleted-last-element-takes-its-pool-along"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serving_wrong_tables() {
    // The W flag is not looked at.
    let fault = Fault::is_told_bytes(|mut message| {
        if message.first() == Some(&2) {
            message[1] = 0;
        }
        vec![message]
    });
    caught(fault, &["table-of-own-children-has-no-others"]).await;
    // The M flag is not set.
    let fault = Fault::tells_bytes(|mut message| {
        if message.first() == Some(&3) {
            message[1] &= !2;
        }
        vec![message]
    });
    caught(fault, &["table-comes-in-parts", "parts-of-a-table-have-each-element-once"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taking_over_out_of_turn() {
    let fault = Fault::tells(|message| matches!(message.body, Body::InitTakeover(_)).then(Vec::new));
    caught(fault, &["lost-peer-is-proposed-for-takeover", "silent-peer-is-proposed-for-takeover"]).await;
    let fault = Fault::tells(|message| matches!(message.body, Body::InitTakeoverAck(_)).then(Vec::new));
    caught(fault, &["proposal-is-agreed-to", "registrar-yields-to-one-that-goes-first"]).await;
    let fault = Fault::tells(|message| matches!(message.body, Body::TakeoverServer(_)).then(Vec::new));
    caught(fault, &["agreed-takeover-is-completed"]).await;
    // Agrees to its own end: what it hears is about somebody else.
    let fault = Fault::is_told(|message| match &message.body {
        Body::InitTakeover(init) if init.target == message.receiver => {
            let target = ServerId(init.target.0 ^ 1);
            Some(vec![body(&message, Body::InitTakeover(rserpool_wire::enrp::InitTakeover { target }))])
        }
        _ => None,
    });
    caught(fault, &["proposal-for-the-registrar-itself-is-answered-with-its-presence"]).await;
}
