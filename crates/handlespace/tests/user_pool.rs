//! What pool users select from the list that a registrar returned (RFC 5356, "Pool User Considerations").
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]
mod support;

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rserpool_handlespace::UserPool;
use rserpool_wire::{Load, PeIdentifier, Policy, PolicyType, PoolElement};
use support::{element, lu, lud};

fn list(identifiers: &[u32]) -> Vec<PoolElement> {
    identifiers.iter().map(|identifier| element(*identifier, Policy::RoundRobin)).collect()
}

fn pool_of(policies: impl IntoIterator<Item = Policy>) -> UserPool {
    let elements: Vec<_> =
        (1..).zip(policies).map(|(identifier, policy)| element(identifier, policy)).collect();
    UserPool::new(elements[0].policy.clone(), elements)
}

fn select(pool: &mut UserPool, excluded: &[u32]) -> Option<u32> {
    let excluded: Vec<_> = excluded.iter().copied().map(PeIdentifier).collect();
    pool.select(&mut SmallRng::seed_from_u64(1), &excluded).map(|element| element.identifier.0)
}

fn take(pool: &mut UserPool, count: usize) -> Vec<u32> {
    (0..count).filter_map(|_| select(pool, &[])).collect()
}

fn counts(pool: &mut UserPool, count: usize) -> BTreeMap<u32, usize> {
    let (mut rng, mut counts) = (SmallRng::seed_from_u64(3), BTreeMap::new());
    for _ in 0..count {
        *counts.entry(pool.select(&mut rng, &[]).unwrap().identifier.0).or_default() += 1;
    }
    counts
}

// 5356-4.1.3-01
#[test]
fn round_robin_goes_through_the_list_again_and_again() {
    let mut pool = UserPool::new(Policy::RoundRobin, list(&[7, 3, 5]));
    assert_eq!(take(&mut pool, 5), [7, 3, 5, 7, 3]);
}

// 5356-4.2.3-01
#[test]
fn weighted_round_robin_and_unknown_policies_are_round_robin_for_users() {
    let mut pool = pool_of([1, 9].map(|weight| Policy::WeightedRoundRobin { weight }));
    assert_eq!(take(&mut pool, 4), [1, 2, 1, 2]);
    let unknown = Policy::Other { policy_type: PolicyType(0x9000_0000), data: Box::default() };
    assert_eq!(take(&mut pool_of(vec![unknown; 2]), 3), [1, 2, 1]);
}

#[test]
fn what_is_excluded_is_passed_over() {
    let mut pool = UserPool::new(Policy::RoundRobin, list(&[1, 2, 3]));
    assert_eq!(select(&mut pool, &[1]), Some(2));
    assert_eq!(select(&mut pool, &[3]), Some(1));
    assert_eq!(select(&mut pool, &[1, 2, 3]), None);
    assert_eq!(select(&mut pool, &[]), Some(2));
}

// 5356-4.1.3-01: "starting with the first"
#[test]
fn a_list_that_the_registrar_has_advanced_starts_with_its_first() {
    let mut pool = UserPool::new(Policy::RoundRobin, list(&[1, 2, 3]));
    assert_eq!(take(&mut pool, 2), [1, 2]);
    pool.replace(Policy::RoundRobin, list(&[2, 3, 1]));
    assert_eq!(take(&mut pool, 1), [2]);
}

#[test]
fn a_list_that_the_registrar_has_not_advanced_goes_on_behind_the_last_used() {
    let mut pool = UserPool::new(Policy::RoundRobin, list(&[1, 2, 3]));
    assert_eq!(take(&mut pool, 2), [1, 2]);
    pool.replace(Policy::RoundRobin, list(&[1, 9, 2, 4]));
    assert_eq!(take(&mut pool, 2), [4, 1]);
    pool.replace(Policy::RoundRobin, list(&[]));
    assert_eq!(select(&mut pool, &[]), None);
}

#[test]
fn a_removed_element_does_not_disturb_the_round() {
    let mut pool = UserPool::new(Policy::RoundRobin, list(&[1, 2, 3, 4]));
    assert_eq!(take(&mut pool, 2), [1, 2]);
    assert!(pool.remove(PeIdentifier(1)) && !pool.remove(PeIdentifier(1)));
    assert_eq!(take(&mut pool, 3), [3, 4, 2]);
    assert!(pool.remove(PeIdentifier(3)));
    assert_eq!(take(&mut pool, 1), [4]);
}

// §4.3.3, §4.4.3, §5.4.3
#[test]
#[cfg_attr(miri, ignore = "hours of it")]
fn random_policies_select_any_in_proportion_to_weight() {
    let even = counts(&mut pool_of(vec![Policy::Random; 4]), 8_000);
    assert!(even.len() == 4 && even.values().all(|times| times.abs_diff(2_000) < 200), "{even:?}");
    let weighted = counts(&mut pool_of([1, 3, 0].map(|weight| Policy::WeightedRandom { weight })), 8_000);
    assert!(weighted.len() == 2 && weighted[&1].abs_diff(2_000) < 200, "{weighted:?}");
    let loads = [0.0, 0.75, 1.0].map(|load| Policy::RandomizedLeastUsed { load: Load::from_fraction(load) });
    let unused = counts(&mut pool_of(loads), 8_000);
    assert!(unused.len() == 2 && unused[&2].abs_diff(1_600) < 200, "{unused:?}");
}

#[test]
fn elements_without_weight_are_better_than_none() {
    let mut pool = pool_of([0, 5, 0].map(|weight| Policy::WeightedRandom { weight }));
    assert!((0..20).all(|_| select(&mut pool, &[]) == Some(2)));
    assert!(matches!(select(&mut pool, &[2]), Some(1 | 3)));
    assert_eq!(select(&mut pool, &[1, 2, 3]), None);
}

// 5356-4.5.3-01
#[test]
fn priority_selects_the_highest_that_is_active() {
    let mut pool = pool_of([4, 9, 9, 1].map(|priority| Policy::Priority { priority }));
    assert_eq!(select(&mut pool, &[]), Some(2));
    assert_eq!(select(&mut pool, &[2]), Some(3));
    assert_eq!(select(&mut pool, &[2, 3]), Some(1));
}

// §5.1.3: "in the order returned by the ENRP server", which knows more than the values tell
#[test]
fn policies_that_extend_a_standard_one_are_selected_by_that() {
    let weighted = |weight: u32| Policy::Other {
        policy_type: PolicyType(0xb000_2001),
        data: [weight, 0x8000_0000, 0].iter().flat_map(|value| value.to_be_bytes()).collect(),
    };
    let mut pool = pool_of([weighted(0), weighted(1)]);
    assert_eq!(counts(&mut pool, 20), BTreeMap::from([(2, 20)]));
    let least_used = Policy::Other { policy_type: PolicyType(0xb000_2002), data: [0; 12].into() };
    assert_eq!(take(&mut pool_of([least_used.clone(), least_used]), 3), [1, 1, 1]);
}

#[test]
fn least_used_policies_keep_the_order_of_the_registrar() {
    for policies in [[lu(9), lu(3)], [lud(9, 1), lud(3, 1)]] {
        let mut pool = pool_of(policies);
        assert_eq!(
            [select(&mut pool, &[]), select(&mut pool, &[]), select(&mut pool, &[1])],
            [Some(1), Some(1), Some(2)]
        );
    }
}
