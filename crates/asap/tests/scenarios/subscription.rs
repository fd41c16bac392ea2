//! Subscriptions by the S and A bits (RFC 5352 §2.2.5, §2.2.6).
use rserpool_asap::{Freshness, PoolChange, SubscribeError, UserConfig, UserEvent, UserMachine};
use rserpool_wire::CauseCode;

use crate::support::*;

fn changed(change: PoolChange) -> UserEvent {
    UserEvent::PoolChanged { pool_handle: echo(), change }
}

fn subscribe(pu: &mut Driver<UserMachine>) {
    pu.machine.subscribe(pu.now, &echo()).expect("a subscription");
    pu.drain();
}

#[test]
fn a_subscriber_is_told_of_every_change_5352_2_2_5() {
    let (mut pu, link) = Driver::at_home();
    subscribe(&mut pu);
    subscribe(&mut pu);
    assert_eq!(pu.resolution_sent(link), (true, None));
    assert!(pu.nothing_sent());
    pu.list(link, &[1], true);
    assert_eq!(pu.take_events(), [changed(PoolChange::Listed)]);
    pu.list(link, &[1, 2], true);
    assert_eq!(pu.take_events(), [changed(PoolChange::Listed)]);
    pu.list(link, &[2, 1], true);
    assert_eq!(pu.take_events(), [], "another order is no change");
    pu.pass(seconds(1000));
    assert!(pu.nothing_sent());
}

#[test]
fn what_is_pushed_is_never_stale() {
    let (mut pu, link) = Driver::at_home();
    subscribe(&mut pu);
    pu.list(link, &[1], true);
    pu.pass(seconds(1000));
    pu.clear();
    assert_eq!(pu.select(&[]), Some(1));
    pu.resolve(None, Freshness::CacheAllowed);
    assert!(pu.nothing_sent());
    assert!(matches!(pu.next_event(), Some(UserEvent::Resolved { .. })));
    pu.machine.unsubscribe(&echo());
    pu.select(&[]);
    assert_eq!(pu.resolution_sent(link), (false, None));
}

#[test]
fn a_new_home_is_asked_again() {
    let (mut pu, link) = Driver::at_home();
    subscribe(&mut pu);
    pu.list(link, &[1], true);
    pu.cut(link);
    pu.clear();
    let link = pu.up(R1);
    assert_eq!(pu.resolution_sent(link), (true, None));
    pu.clear();
    pu.list(link, &[1], true);
    assert_eq!(pu.take_events(), [], "nothing has changed");
    pu.list(link, &[2], true);
    assert_eq!(pu.take_events(), [changed(PoolChange::Listed)]);
}

#[test]
fn so_is_a_home_that_took_over_from_a_silent_one() {
    let mut pu = Driver::user_of(&[R1, R2]);
    let silent = pu.up(R1);
    subscribe(&mut pu);
    pu.list(silent, &[1], true);
    pu.resolve(None, Freshness::Fresh);
    pu.pass(seconds(15));
    pu.clear();
    let link = pu.up(R2);
    assert_eq!(pu.resolution_sent(link), (true, None));
}

#[test]
fn a_registrar_that_does_not_push_is_polled() {
    let (mut pu, link) = Driver::at_home();
    subscribe(&mut pu);
    pu.list(link, &[1], false);
    pu.clear();
    for elements in [&[1][..], &[1, 2], &[1]] {
        pu.pass(seconds(10));
        assert_eq!(pu.resolution_sent(link), (true, None));
        pu.list(link, elements, false);
    }
    assert_eq!(pu.take_events(), [changed(PoolChange::Listed), changed(PoolChange::Listed)]);
    // Until it pushes after all.
    pu.list(link, &[1], true);
    pu.pass(seconds(100));
    assert!(pu.nothing_sent());
}

#[test]
fn an_unknown_pool_is_asked_for_again_later_and_later() {
    let (mut pu, link) = Driver::at_home();
    subscribe(&mut pu);
    for wait in [5, 10, 20, 40, 60, 60] {
        pu.resolution_sent(link);
        pu.refuse_resolution(link, CauseCode::UNKNOWN_POOL_HANDLE);
        pu.pass(seconds(wait) - millis(1));
        assert!(pu.nothing_sent());
        pu.pass(millis(1));
    }
    assert_eq!(pu.take_events(), [changed(PoolChange::Unknown)]);
    pu.list(link, &[1], true);
    assert_eq!(pu.take_events(), [changed(PoolChange::Listed)]);
    // Gone again: the wait is short again.
    pu.clear();
    pu.refuse_resolution(link, CauseCode::UNKNOWN_POOL_HANDLE);
    pu.pass(seconds(5));
    pu.resolution_sent(link);
}

#[test]
fn a_pool_that_vanishes_is_reported() {
    let (mut pu, link) = Driver::at_home();
    subscribe(&mut pu);
    pu.list(link, &[1], true);
    pu.clear();
    pu.refuse_resolution(link, CauseCode::UNKNOWN_POOL_HANDLE);
    assert_eq!(pu.take_events(), [changed(PoolChange::Unknown)]);
    assert!(pu.machine.cached(&echo()).is_none());
    pu.pass(seconds(5));
    assert_eq!(pu.resolution_sent(link), (true, None));
}

#[test]
fn a_refusal_is_reported_and_asked_again() {
    let (mut pu, link) = Driver::at_home();
    subscribe(&mut pu);
    pu.clear();
    pu.refuse_resolution(link, CauseCode::LACK_OF_RESOURCES);
    assert!(matches!(
        pu.next_event(),
        Some(UserEvent::PoolChanged { change: PoolChange::Refused(error), .. })
            if error.has(CauseCode::LACK_OF_RESOURCES)
    ));
    pu.pass(seconds(5));
    assert_eq!(pu.resolution_sent(link), (true, None));
}

#[test]
fn silence_does_not_end_a_subscription() {
    let (mut pu, link) = Driver::at_home();
    subscribe(&mut pu);
    for _ in 0..20 {
        pu.pass(seconds(60));
        pu.refuse_all();
    }
    pu.clear();
    pu.pass(seconds(120));
    assert_eq!(pu.resolution_sent(link), (true, None));
}

#[test]
fn a_subscription_while_a_request_is_on_its_way_needs_one_of_its_own() {
    let (mut pu, link) = Driver::at_home();
    let request = pu.resolve(None, Freshness::CacheAllowed);
    assert_eq!(pu.resolution_sent(link), (false, None));
    subscribe(&mut pu);
    assert!(pu.nothing_sent());
    pu.list(link, &[1], false);
    let resolved = UserEvent::Resolved { request, pool_handle: echo() };
    assert_eq!(pu.take_events(), [changed(PoolChange::Listed), resolved]);
    assert_eq!(pu.resolution_sent(link), (true, None));
}

#[test]
fn who_unsubscribes_is_told_no_more() {
    let (mut pu, link) = Driver::at_home();
    subscribe(&mut pu);
    pu.list(link, &[1], true);
    pu.clear();
    pu.machine.unsubscribe(&echo());
    pu.list(link, &[1, 2], true);
    pu.cut(link);
    pu.clear();
    pu.up(R1);
    pu.pass(seconds(100));
    assert!(pu.nothing_sent());
    assert!(!pu.take_events().iter().any(|event| matches!(event, UserEvent::PoolChanged { .. })));
}

#[test]
fn who_unsubscribes_before_the_answer_waits_for_none() {
    let (mut pu, _) = Driver::at_home();
    subscribe(&mut pu);
    pu.clear();
    pu.machine.unsubscribe(&echo());
    pu.pass(seconds(100));
    assert!(pu.nothing_sent() && pu.connecting.is_empty());
}

#[test]
fn subscriptions_are_bounded() {
    let mut pu = Driver::user(UserConfig { max_subscriptions: 0, ..UserConfig::default() });
    assert_eq!(pu.machine.subscribe(pu.now, &echo()), Err(SubscribeError::TooMany { limit: 0 }));
}
