//! Handle resolution (RFC 5352 §3.3, §3.7) and the cache.
use rserpool_asap::{Freshness, ResolveError, UserConfig, UserEvent};
use rserpool_wire::asap::HandleResolution;
use rserpool_wire::{CauseCode, PoolHandle};

use crate::support::*;

fn resolved(request: rserpool_asap::RequestId) -> UserEvent {
    UserEvent::Resolved { request, pool_handle: echo() }
}

fn failed(request: rserpool_asap::RequestId, error: ResolveError) -> UserEvent {
    UserEvent::ResolveFailed { request, pool_handle: echo(), error }
}

#[test]
fn a_pool_is_resolved_and_cached_5352_3_3_01_11() {
    let (mut pu, link) = Driver::at_home();
    let request = pu.resolve(None, Freshness::CacheAllowed);
    assert_eq!(pu.resolution_sent(link), (false, None));
    pu.list(link, &[1, 2], false);
    assert_eq!(pu.take_events(), [resolved(request)]);
    assert_eq!(pu.machine.cached(&echo()).map(|pool| pool.elements().len()), Some(2));
    // C4: an entry that is not stale is used.
    let request = pu.resolve(None, Freshness::CacheAllowed);
    assert_eq!(pu.take_events(), [resolved(request)]);
    pu.pass(seconds(20));
    assert!(pu.nothing_sent(), "T1 is stopped (5352-3.3-06)");
}

#[test]
fn without_a_home_a_request_waits_for_one_5352_6_5_1_02() {
    let mut pu = Driver::user_of(&[R1]);
    let request = pu.resolve(None, Freshness::CacheAllowed);
    pu.pass(seconds(5));
    let link = pu.up(R1);
    pu.resolution_sent(link);
    pu.clear();
    pu.list(link, &[1], false);
    assert_eq!(pu.take_events(), [resolved(request)]);
}

#[test]
fn without_any_registrar_it_fails_in_the_end() {
    let mut pu = Driver::user_of(&[R1]);
    let request = pu.resolve(None, Freshness::CacheAllowed);
    pu.pass(seconds(44));
    assert!(!pu.take_events().contains(&failed(request, ResolveError::NoRegistrar)));
    pu.pass(seconds(1));
    assert!(pu.take_events().contains(&failed(request, ResolveError::NoRegistrar)));
    assert!(!pu.connecting.is_empty(), "the hunt goes on");
}

#[test]
fn an_unanswered_request_is_sent_again_and_a_hunt_begins_in_parallel_5352_3_3_03() {
    let mut pu = Driver::user_of(&[R1, R2]);
    let silent = pu.up(R1);
    pu.clear();
    let request = pu.resolve(None, Freshness::CacheAllowed);
    pu.resolution_sent(silent);
    pu.pass(seconds(15));
    pu.resolution_sent(silent);
    assert!(pu.is_up(silent));
    assert_eq!(pu.attempts(), [R1, R2]);
    // 5352-3.7.2-01: the other registrar is adopted, and gets the request.
    let link = pu.up(R2);
    assert!(!pu.is_up(silent));
    pu.resolution_sent(link);
    pu.clear();
    pu.list(link, &[1], false);
    assert_eq!(pu.take_events(), [resolved(request)]);
}

#[test]
fn the_hunt_in_parallel_is_for_others_than_the_silent_home() {
    let mut pu = Driver::user_of(&[R1, R2, R3]);
    let (_, first) = pu.connecting.first().cloned().expect("an attempt");
    pu.up(&first.to_string());
    pu.resolve(None, Freshness::CacheAllowed);
    pu.pass(seconds(15));
    assert_eq!(pu.attempts().len(), 2);
    assert!(!pu.attempts().contains(&first.to_string()));
}

#[test]
fn a_home_that_answers_after_all_stays_home() {
    let mut pu = Driver::user_of(&[R1, R2]);
    let slow = pu.up(R1);
    let request = pu.resolve(None, Freshness::CacheAllowed);
    pu.pass(seconds(15));
    assert!(!pu.connecting.is_empty());
    pu.clear();
    pu.list(slow, &[1], false);
    assert_eq!(pu.take_events(), [resolved(request)]);
    assert!(pu.connecting.is_empty() && pu.is_up(slow));
}

#[test]
fn after_max_request_retransmit_it_is_reported_5352_3_7_2() {
    let (mut pu, link) = Driver::at_home();
    let request = pu.resolve(None, Freshness::CacheAllowed);
    for _ in 0..3 {
        pu.resolution_sent(link);
        assert!(pu.nothing_sent());
        assert!(pu.take_events().is_empty());
        pu.refuse_all();
        pu.clear();
        pu.pass(seconds(15));
    }
    assert!(pu.nothing_sent());
    assert!(pu.take_events().contains(&failed(request, ResolveError::TimedOut)));
    assert_eq!(pu.machine.statistics().retransmitted, 2);
}

#[test]
fn when_the_link_breaks_the_request_goes_to_the_next_home_5352_3_3_04_05() {
    let (mut pu, link) = Driver::at_home();
    let request = pu.resolve(None, Freshness::CacheAllowed);
    pu.machine.add_registrar(endpoint(R2)).expect("no secured scope");
    pu.cut(link);
    pu.clear();
    let link = pu.up(R2);
    pu.resolution_sent(link);
    pu.list(link, &[1], false);
    assert!(pu.take_events().contains(&resolved(request)));
}

#[test]
fn an_unknown_pool_is_told_from_a_refusal_5352_3_3_17() {
    let (mut pu, link) = Driver::at_home();
    let request = pu.resolve(None, Freshness::CacheAllowed);
    pu.refuse_resolution(link, CauseCode::UNKNOWN_POOL_HANDLE);
    assert_eq!(pu.take_events(), [failed(request, ResolveError::UnknownPool)]);
    pu.resolve(None, Freshness::CacheAllowed);
    pu.refuse_resolution(link, CauseCode::REJECTED_FOR_SECURITY);
    assert!(matches!(
        pu.next_event(),
        Some(UserEvent::ResolveFailed { error: ResolveError::Rejected(error), .. })
            if error.has(CauseCode::REJECTED_FOR_SECURITY)
    ));
    pu.resolve(None, Freshness::CacheAllowed);
    pu.list(link, &[], false);
    assert!(matches!(
        pu.next_event(),
        Some(UserEvent::ResolveFailed { error: ResolveError::UnknownPool, .. })
    ));
}

#[test]
fn a_pool_that_is_gone_leaves_the_cache() {
    let (mut pu, link) = Driver::at_home();
    pu.resolve(None, Freshness::CacheAllowed);
    pu.list(link, &[1], false);
    pu.resolve(None, Freshness::Fresh);
    pu.refuse_resolution(link, CauseCode::UNKNOWN_POOL_HANDLE);
    assert!(pu.machine.cached(&echo()).is_none());
}

#[test]
fn a_stale_entry_blocks_or_answers_in_parallel_5352_3_3_10_c3() {
    let (mut pu, link) = Driver::at_home();
    pu.resolve(None, Freshness::CacheAllowed);
    pu.list(link, &[1], false);
    pu.pass(seconds(31));
    pu.clear();
    let blocked = pu.resolve(None, Freshness::CacheAllowed);
    assert_eq!(pu.take_events(), []);
    let parallel = pu.resolve(None, Freshness::StaleAllowed);
    assert_eq!(pu.take_events(), [resolved(parallel)]);
    pu.resolution_sent(link);
    assert!(pu.nothing_sent(), "one request on the wire is enough");
    pu.list(link, &[2], false);
    assert_eq!(pu.take_events(), [resolved(blocked)]);
    assert_eq!(pu.select(&[]), Some(2));
}

#[test]
fn fresh_means_fresh() {
    let (mut pu, link) = Driver::at_home();
    pu.resolve(None, Freshness::CacheAllowed);
    pu.list(link, &[1], false);
    pu.clear();
    pu.resolve(None, Freshness::Fresh);
    pu.resolution_sent(link);
    assert_eq!(pu.take_events(), []);
}

#[test]
fn the_same_pool_is_asked_for_once_at_a_time() {
    let (mut pu, link) = Driver::at_home();
    let requests = [(); 5].map(|()| pu.resolve(Some(3), Freshness::CacheAllowed));
    let fewer = pu.resolve(Some(1), Freshness::Fresh);
    assert_eq!(pu.resolution_sent(link), (false, Some(3)));
    assert!(pu.nothing_sent());
    pu.list(link, &[1, 2, 3], false);
    let all: Vec<_> = requests.into_iter().chain([fewer]).map(resolved).collect();
    assert_eq!(pu.take_events(), all);
}

#[test]
fn who_wants_more_elements_waits_for_another_answer() {
    let (mut pu, link) = Driver::at_home();
    let few = pu.resolve(Some(1), Freshness::CacheAllowed);
    let more = pu.resolve(Some(5), Freshness::CacheAllowed);
    let default = pu.resolve(None, Freshness::CacheAllowed);
    assert_eq!(pu.resolution_sent(link), (false, Some(1)));
    pu.list(link, &[1], false);
    assert_eq!(pu.take_events(), [resolved(few)]);
    assert_eq!(pu.resolution_sent(link), (false, Some(HandleResolution::ALL_ITEMS)));
    pu.list(link, &[1, 2], false);
    assert_eq!(pu.take_events(), [resolved(more), resolved(default)]);
    assert!(pu.nothing_sent());
}

#[test]
fn a_cancelled_request_gets_no_answer() {
    let (mut pu, link) = Driver::at_home();
    let cancelled = pu.resolve(None, Freshness::CacheAllowed);
    pu.machine.cancel(cancelled);
    pu.clear();
    pu.list(link, &[1], false);
    pu.pass(seconds(100));
    assert!(pu.take_events().is_empty() && pu.nothing_sent() && pu.connecting.is_empty());
    assert!(pu.machine.cached(&echo()).is_none(), "nobody asked any more");
}

#[test]
fn cancelling_one_request_does_not_hold_up_the_next() {
    let (mut pu, link) = Driver::at_home();
    let first = pu.resolve(Some(1), Freshness::CacheAllowed);
    let second = pu.resolve(Some(5), Freshness::CacheAllowed);
    pu.machine.cancel(first);
    pu.clear();
    pu.list(link, &[1], false);
    assert_eq!(pu.take_events(), []);
    pu.resolution_sent(link);
    pu.list(link, &[1, 2], false);
    assert_eq!(pu.take_events(), [resolved(second)]);

    // Nor where the registrar answers neither.
    let first = pu.resolve(Some(1), Freshness::Fresh);
    let second = pu.resolve(Some(5), Freshness::Fresh);
    pu.machine.cancel(first);
    pu.pass(seconds(90));
    assert!(pu.take_events().contains(&failed(second, ResolveError::TimedOut)));
}

#[test]
fn requests_are_bounded() {
    let config = UserConfig { registrars: endpoints(&[R1]), max_requests: 2, ..UserConfig::default() };
    let mut pu = Driver::user(config);
    pu.resolve(None, Freshness::Fresh);
    pu.resolve(None, Freshness::Fresh);
    let third = pu.resolve(None, Freshness::Fresh);
    assert_eq!(pu.take_events(), [failed(third, ResolveError::TooManyRequests { limit: 2 })]);
    let link = pu.up(R1);
    pu.list(link, &[1], false);
    pu.clear();
    pu.resolve(None, Freshness::Fresh);
    pu.resolution_sent(link);
}

#[test]
fn a_handle_that_is_too_long_fails_at_once() {
    let (mut pu, _) = Driver::at_home();
    let handle = PoolHandle::from(vec![b'x'; 65_531]);
    pu.machine.resolve(pu.now, &handle, None, Freshness::CacheAllowed);
    pu.drain();
    assert!(matches!(
        pu.next_event(),
        Some(UserEvent::ResolveFailed { error: ResolveError::TooLong(_), .. })
    ));
}

#[test]
fn late_and_foreign_answers_mean_nothing() {
    let (mut pu, link) = Driver::at_home();
    pu.list(link, &[1], false);
    assert!(pu.machine.cached(&echo()).is_none());
    let request = pu.resolve(None, Freshness::CacheAllowed);
    pu.list(link, &[1], false);
    pu.list(link, &[2], false);
    assert_eq!(pu.take_events(), [resolved(request)]);
    assert_eq!(pu.select(&[]), Some(1), "the answer to a retransmission is no news");
}

#[test]
fn registrars_that_come_and_go_do_not_keep_a_request_for_ever() {
    let mut pu = Driver::user_of(&[R1]);
    let request = pu.resolve(None, Freshness::CacheAllowed);
    let start = pu.now;
    while !pu.take_events().contains(&failed(request, ResolveError::TimedOut)) {
        if !pu.connecting.is_empty() {
            let link = pu.up(R1);
            pu.pass(seconds(10));
            pu.cut(link);
        }
        pu.pass(seconds(1));
        assert!(pu.now - start < seconds(60));
    }
}
