//! Handle resolution and dynamic updates (RFC 5352 §3.3, §2.2.5, §2.2.6).
use rserpool_machine::Protocol;
use rserpool_wire::asap::{HandleResolution, HandleResolutionResponse, Message};
use rserpool_wire::{CauseCode, Policy, PoolHandle};

use crate::support::{ClientId, Net, config, element, millis, policy_element, secs};

/// The one answer: whether updates will follow, and the identifiers, or the cause of the rejection.
fn response(net: &mut Net, client: ClientId) -> Result<(bool, Vec<u32>), CauseCode> {
    net.answer(client, |message| match message {
        Message::HandleResolutionResponse(response) => outcome(response),
        other => panic!("{other:?}"),
    })
}

fn outcome(response: HandleResolutionResponse<'_>) -> Result<(bool, Vec<u32>), CauseCode> {
    match response.error {
        Some(error) => {
            assert!(response.elements.is_empty() && response.policy.is_none());
            Err(error.causes.first().expect("a cause").code)
        }
        None => Ok((response.accept_updates, response.elements.iter().map(|e| e.identifier.0).collect())),
    }
}

fn ask(net: &mut Net, client: ClientId, items: u32) -> Vec<u32> {
    let pool_handle = PoolHandle::from("echo");
    net.send(client, HandleResolution { pool_handle, subscribe: false, items: Some(items) });
    response(net, client).expect("elements").1
}

#[test]
fn all_elements_of_the_pool_are_listed() {
    // 5352-3.3-13, -14, -15
    let mut net = Net::with(&[1, 2]);
    for n in 1..=5 {
        let client = net.client_at(n, 1 + n % 2);
        net.register(client, "echo", element(client, n));
    }
    let user = net.client_at(100, 1);
    net.resolve(user, "echo", false);
    let (accepts, mut identifiers) = response(&mut net, user).expect("elements");
    identifiers.sort_unstable();
    assert_eq!((accepts, identifiers), (false, vec![1, 2, 3, 4, 5]));
}

#[test]
fn the_policy_is_named_unless_it_is_round_robin() {
    // 5352-3.3-16
    let mut net = Net::with(&[1]);
    let client = net.client_at(1, 1);
    net.register(client, "rr", element(client, 1));
    net.register(client, "random", policy_element(client, 1, Policy::Random));
    for (pool, policy) in [("rr", None), ("random", Some(Policy::Random))] {
        net.resolve(client, pool, false);
        let named = net.answer(client, |message| match message {
            Message::HandleResolutionResponse(response) => response.policy,
            other => panic!("{other:?}"),
        });
        assert_eq!(named, policy, "{pool}");
    }
}

#[test]
fn an_unknown_pool_is_an_error_and_not_subscribed_to() {
    // 5352-3.3-17
    let mut net = Net::with(&[1]);
    let user = net.client_at(1, 1);
    net.resolve(user, "echo", true);
    assert_eq!(response(&mut net, user), Err(CauseCode::UNKNOWN_POOL_HANDLE));
    let client = net.client_at(2, 1);
    net.register(client, "echo", element(client, 1));
    net.run(millis(100));
    assert!(net.answers(user).is_empty(), "no update when the pool is created");
}

#[test]
fn the_user_says_how_many_and_the_limits_have_the_last_word() {
    let mut net = Net::new();
    let mut limited = config(1, &[]);
    limited.limits.default_items = 2;
    limited.limits.max_items = 4;
    net.start(limited);
    let client = net.client_at(1, 1);
    for n in 1..=6 {
        net.register(client, "echo", element(client, n));
    }
    assert_eq!(ask(&mut net, client, 3).len(), 3);
    assert_eq!(ask(&mut net, client, 1).len(), 1);
    assert_eq!(ask(&mut net, client, u32::MAX).len(), 4);
    assert_eq!(ask(&mut net, client, 0).len(), 1, "5352-2.2.6-02: at least one");
    net.resolve(client, "echo", false);
    assert_eq!(response(&mut net, client).expect("elements").1.len(), 2);
}

#[test]
fn a_pool_that_exceeds_a_message_is_listed_as_far_as_it_goes() {
    let mut net = Net::with(&[1]);
    let client = net.client_at(1, 1);
    for n in 0..2_000 {
        net.register(client, "echo", element(client, n));
    }
    net.resolve(client, "echo", false);
    let listed = response(&mut net, client).expect("elements").1.len();
    assert!((1_000..2_000).contains(&listed), "{listed}");
}

#[test]
fn subscribers_hear_of_every_change_wherever_it_happens() {
    let mut net = Net::with(&[1, 2]);
    let first = net.client_at(1, 1);
    net.register(first, "echo", element(first, 1));
    let user = net.client_at(100, 2);
    net.resolve(user, "echo", true);
    assert_eq!(response(&mut net, user), Ok((true, vec![1])));

    let second = net.client_at(2, 2);
    net.register(second, "echo", element(second, 2));
    net.run(millis(20));
    assert_eq!(response(&mut net, user).expect("an update").1.len(), 2);

    net.kill(first);
    net.run(secs(1));
    assert_eq!(response(&mut net, user), Ok((true, vec![2])));
}

#[test]
fn a_subscription_ends_with_the_pool() {
    let mut net = Net::with(&[1]);
    let element_host = net.client_at(1, 1);
    net.register(element_host, "echo", element(element_host, 1));
    let user = net.client_at(100, 1);
    net.resolve(user, "echo", true);
    net.answers(user);
    net.kill(element_host);
    net.run(secs(1));
    assert_eq!(response(&mut net, user), Err(CauseCode::UNKNOWN_POOL_HANDLE), "a last word");
    let again = net.client_at(2, 1);
    net.register(again, "echo", element(again, 1));
    net.run(secs(1));
    assert!(net.answers(user).is_empty());
}

#[test]
fn changes_within_the_delay_are_told_at_once() {
    let mut net = Net::new();
    let mut patient = config(1, &[]);
    patient.timers.update_delay = millis(200);
    net.start(patient);
    let client = net.client_at(1, 1);
    net.register(client, "echo", element(client, 1));
    let user = net.client_at(100, 1);
    net.resolve(user, "echo", true);
    net.answers(user);
    for n in 2..=9 {
        net.register(client, "echo", element(client, n));
    }
    net.run(millis(300));
    assert_eq!(response(&mut net, user).expect("one update").1.len(), 9);
}

#[test]
fn a_link_may_have_so_many_subscriptions_and_no_more() {
    let mut net = Net::new();
    let mut limited = config(1, &[]);
    limited.limits.subscriptions_per_link = 1;
    net.start(limited);
    let client = net.client_at(1, 1);
    let user = net.client_at(100, 1);
    for (pool, accepted) in [("one", true), ("two", false), ("one", true)] {
        net.register(client, pool, element(client, 1));
        net.answers(user);
        net.resolve(user, pool, true);
        assert_eq!(response(&mut net, user), Ok((accepted, vec![1])), "{pool}");
    }
    net.hang_up(user);
    net.connect(user, 1, Protocol::Asap);
    net.resolve(user, "two", true);
    assert_eq!(response(&mut net, user), Ok((true, vec![1])), "the old link's subscriptions are gone");
}
