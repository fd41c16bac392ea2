//! Selection from the cache by the policy of the pool (RFC 5352 §6.5.2, RFC 5356).
use rserpool_asap::{Freshness, UserConfig};
use rserpool_wire::asap::HandleResolutionResponse;
use rserpool_wire::{Load, PeIdentifier, Policy};

use crate::support::*;

#[test]
fn without_a_policy_it_is_round_robin_5352_2_2_6() {
    let (mut pu, link) = Driver::at_home();
    assert_eq!(pu.select(&[]), None);
    pu.resolve(None, Freshness::CacheAllowed);
    pu.list(link, &[1, 2, 3], false);
    let selected: Vec<_> = (0..6).filter_map(|_| pu.select(&[])).collect();
    assert_eq!(selected, [1, 2, 3, 1, 2, 3]);
    assert_eq!(pu.select(&[1, 2]), Some(3));
    assert_eq!(pu.select(&[1, 2, 3]), None);
}

#[test]
fn the_policy_of_the_response_counts_and_not_that_of_elements() {
    let (mut pu, link) = Driver::at_home();
    pu.resolve(None, Freshness::CacheAllowed);
    let mut elements = vec![element(1), element(2), element(3)];
    for (priority, element) in (1..).zip(&mut elements) {
        element.policy = Policy::Priority { priority };
    }
    let policy = Some(Policy::Priority { priority: 0 });
    pu.say(
        link,
        HandleResolutionResponse {
            accept_updates: false,
            pool_handle: echo(),
            policy,
            elements,
            error: None,
        },
    );
    assert_eq!([pu.select(&[]), pu.select(&[]), pu.select(&[3])], [Some(3), Some(3), Some(2)]);
}

#[test]
fn policies_of_elements_do_not_make_that_of_the_pool_5352_2_2_6_01() {
    let (mut pu, link) = Driver::at_home();
    for (policy, expected) in [(None, [1, 2, 3]), (Some(Policy::LeastUsed { load: Load::ZERO }), [1, 1, 1])] {
        pu.resolve(None, Freshness::Fresh);
        let mut elements = vec![element(1), element(2), element(3)];
        for (priority, element) in (1..).zip(&mut elements) {
            element.policy = Policy::Priority { priority };
        }
        let (accept_updates, pool_handle, error) = (false, echo(), None);
        pu.say(link, HandleResolutionResponse { accept_updates, pool_handle, policy, elements, error });
        let selected: Vec<_> = (0..3).filter_map(|_| pu.select(&[])).collect();
        assert_eq!(selected, expected, "by priority it would be 3");
    }
}

#[test]
fn selecting_from_a_stale_entry_refreshes_it_5352_3_3_10() {
    let (mut pu, link) = Driver::at_home();
    pu.resolve(None, Freshness::CacheAllowed);
    pu.list(link, &[1], false);
    pu.clear();
    assert_eq!(pu.select(&[]), Some(1));
    assert!(pu.nothing_sent());
    pu.pass(seconds(31));
    assert_eq!([pu.select(&[]), pu.select(&[])], [Some(1), Some(1)]);
    pu.resolution_sent(link);
    assert!(pu.nothing_sent());
    pu.list(link, &[2], false);
    assert_eq!(pu.select(&[]), Some(2));
    assert_eq!(pu.take_events(), []);
}

#[test]
fn an_element_reported_unreachable_is_the_last_resort_for_a_while() {
    let (mut pu, link) = Driver::at_home();
    pu.resolve(None, Freshness::CacheAllowed);
    pu.list(link, &[1, 2], false);
    pu.machine.report_unreachable(pu.now, &echo(), PeIdentifier(1));
    assert_eq!(pu.machine.cached(&echo()).map(|pool| pool.elements().len()), Some(1));
    // The registrar has not noticed yet.
    pu.resolve(None, Freshness::Fresh);
    pu.list(link, &[1, 2], false);
    assert_eq!([pu.select(&[]), pu.select(&[])], [Some(2), Some(2)]);
    assert_eq!(pu.select(&[2]), Some(1), "better than none");
    pu.pass(seconds(30));
    let selected: Vec<_> = (0..2).filter_map(|_| pu.select(&[])).collect();
    assert!(selected.contains(&1));
}

#[test]
fn the_cache_is_bounded() {
    let config = UserConfig { registrars: endpoints(&[R1]), max_cached_pools: 1, ..UserConfig::default() };
    let mut pu = Driver::user(config);
    let link = pu.up(R1);
    pu.resolve(None, Freshness::CacheAllowed);
    pu.list(link, &[1], false);
    let other = rserpool_wire::PoolHandle::from("other");
    pu.machine.resolve(pu.now, &other, None, Freshness::CacheAllowed);
    pu.drain();
    pu.say(
        link,
        HandleResolutionResponse {
            accept_updates: false,
            pool_handle: other.clone(),
            policy: None,
            elements: vec![element(1)],
            error: None,
        },
    );
    assert!(pu.machine.cached(&echo()).is_none() && pu.machine.cached(&other).is_some());
    pu.machine.purge(&other);
    assert!(pu.machine.cached(&other).is_none());
}
