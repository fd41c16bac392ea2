//! What registrars select, policy by policy (RFC 5356, "ENRP Server Considerations").
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]
mod support;

use std::collections::BTreeMap;

use rserpool_handlespace::Handlespace;
use rserpool_handlespace::policy::{Draw, Member, Places, Selection};
use rserpool_wire::{Dialect, Load, Policy, PolicyType};
use support::{element, lu, lud, plu, pool_of, register, resolve};

fn wrr(weight: u32) -> Policy {
    Policy::WeightedRoundRobin { weight }
}

fn wrand(weight: u32) -> Policy {
    Policy::WeightedRandom { weight }
}

fn rlu(load: f64) -> Policy {
    Policy::RandomizedLeastUsed { load: Load::from_fraction(load) }
}

fn prio(priority: u32) -> Policy {
    Policy::Priority { priority }
}

/// What the first element of `count` resolutions was, how often.
fn firsts(handlespace: &mut Handlespace, items: usize, count: usize) -> BTreeMap<u32, usize> {
    let mut firsts = BTreeMap::new();
    for _ in 0..count {
        *firsts.entry(resolve(handlespace, "pool", items)[0]).or_default() += 1;
    }
    firsts
}

/// Checks that a frequency is what a probability makes likely: within five standard deviations.
fn assert_likely(times: usize, of: usize, probability: f64) {
    let (expected, tries) = (of as f64 * probability, of as f64);
    let deviation = (tries * probability * (1.0 - probability)).sqrt();
    assert!((times as f64 - expected).abs() < 5.0 * deviation, "{times} of {of}, expected {expected}");
}

// 5356-4.1.2-01, 5356-4.1.2-02, 5356-4.1.2-03
#[test]
fn round_robin_returns_the_list_from_its_head_and_advances_by_one() {
    let mut handlespace = pool_of(vec![Policy::RoundRobin; 4]);
    assert_eq!(resolve(&mut handlespace, "pool", 3), [1, 2, 3]);
    assert_eq!(resolve(&mut handlespace, "pool", 3), [2, 3, 4]);
    assert_eq!(resolve(&mut handlespace, "pool", 9), [3, 4, 1, 2]);
    assert_eq!(resolve(&mut handlespace, "pool", 1), [4]);
    assert_eq!(resolve(&mut handlespace, "pool", 0), [] as [u32; 0]);
    assert_eq!(resolve(&mut handlespace, "pool", 1), [1]);
}

#[test]
fn round_robin_keeps_its_order_as_elements_come_and_go() {
    let mut handlespace = pool_of(vec![Policy::RoundRobin; 5]);
    assert_eq!(resolve(&mut handlespace, "pool", 1), [1]);
    for gone in [2, 4] {
        let key = handlespace.find(b"pool", rserpool_wire::PeIdentifier(gone)).unwrap();
        handlespace.remove(key);
    }
    register(&mut handlespace, "pool", &element(9, Policy::RoundRobin));
    assert_eq!(resolve(&mut handlespace, "pool", 4), [3, 5, 1, 9]);
}

// 5356-4.1.1-01
#[test]
fn unknown_policies_are_handled_as_round_robin() {
    let unknown = Policy::Other { policy_type: PolicyType(0xb000_1001), data: Box::new([1, 2, 3, 4]) };
    let mut handlespace = pool_of(vec![unknown; 3]);
    assert_eq!(resolve(&mut handlespace, "pool", 2), [1, 2]);
    assert_eq!(resolve(&mut handlespace, "pool", 2), [2, 3]);
}

// 5356-4.2.2-01
/// A policy of the reference implementation: its code, and its numbers.
fn extended(policy_type: u32, values: &[u32]) -> Policy {
    let data = values.iter().flat_map(|value| value.to_be_bytes()).collect();
    Policy::Other { policy_type: PolicyType(policy_type), data }
}

#[test]
fn policies_that_extend_a_standard_one_are_selected_by_that() {
    let least_used = [30, 10, 20].map(|load| extended(0xb000_2002, &[load, 0x8000_0000, 0]));
    let mut handlespace = pool_of(least_used.to_vec());
    assert_eq!(resolve(&mut handlespace, "pool", 3), [2, 3, 1]);
    register(&mut handlespace, "pool", &element(1, extended(0xb000_2002, &[15, 0x8000_0000, 0])));
    assert_eq!(resolve(&mut handlespace, "pool", 3), [2, 1, 3], "a new load counts");

    let degraded = [(0, 10), (0, 20)].map(|(load, more)| extended(0xb000_1003, &[load, more]));
    let firsts = firsts(&mut pool_of(degraded.to_vec()), 1, 60);
    assert!(firsts[&1].abs_diff(40) <= 2, "{firsts:?}");
}

#[test]
fn weighted_round_robin_with_equal_weights_is_round_robin() {
    let mut handlespace = pool_of(vec![wrr(3); 3]);
    for expected in [[1, 2], [2, 3], [3, 1], [1, 2]] {
        assert_eq!(resolve(&mut handlespace, "pool", 2), expected);
    }
}

// 5356-4.2.2-01: "the ratio of the number of occurrences"
#[test]
fn weighted_round_robin_is_exact_in_each_round() {
    let mut handlespace = pool_of([wrr(5), wrr(1), wrr(3)]);
    for round in 0..100 {
        let firsts = firsts(&mut handlespace, 2, 9);
        assert_eq!(firsts, BTreeMap::from([(1, 5), (2, 1), (3, 3)]), "round {round}");
    }
}

// 5356-4.2.2-01: "as evenly distributed as possible"
#[test]
fn weighted_round_robin_spreads_the_occurrences() {
    let weights = [7, 2, 4, 1];
    let mut handlespace = pool_of(weights.map(wrr));
    let sequence: Vec<u32> = (0..14 * 20).map(|_| resolve(&mut handlespace, "pool", 1)[0]).collect();
    for (identifier, weight) in (1..).zip(weights) {
        let at: Vec<usize> = (0..sequence.len()).filter(|i| sequence[*i] == identifier).collect();
        let even = 14.0 / f64::from(weight);
        for gap in at.windows(2).map(|pair| (pair[1] - pair[0]) as f64) {
            assert!((gap - even).abs() <= 2.0, "element {identifier}: a gap of {gap}, not of {even}");
        }
    }
}

#[test]
fn weighted_round_robin_follows_a_change_of_weight() {
    let mut handlespace = pool_of([wrr(1), wrr(1)]);
    firsts(&mut handlespace, 1, 7);
    register(&mut handlespace, "pool", &element(1, wrr(4)));
    let firsts = firsts(&mut handlespace, 1, 500);
    assert!(firsts[&1].abs_diff(400) <= 1, "{firsts:?}");
}

#[test]
#[cfg_attr(miri, ignore = "hours of it")]
fn weighted_round_robin_bears_the_extremes_of_weight() {
    let mut handlespace = pool_of([wrr(1), wrr(u32::MAX)]);
    assert_eq!(firsts(&mut handlespace, 2, 1_000), BTreeMap::from([(2, 1_000)]));
    // One lap after the other of the lightest element, until the points have to be moved back.
    let mut handlespace = pool_of([wrr(1), wrr(2)]);
    assert_eq!(firsts(&mut handlespace, 1, 150_000), BTreeMap::from([(1, 50_000), (2, 100_000)]));
}

// 5356-4.3.2-01
#[test]
#[cfg_attr(miri, ignore = "hours of it")]
fn random_selects_each_element_equally_often_and_none_twice() {
    let mut handlespace = pool_of(vec![Policy::Random; 8]);
    let mut counts = BTreeMap::new();
    for _ in 0..8_000 {
        let mut selected = resolve(&mut handlespace, "pool", 3);
        selected.iter().for_each(|identifier| *counts.entry(*identifier).or_insert(0) += 1);
        selected.sort_unstable();
        selected.dedup();
        assert_eq!(selected.len(), 3);
    }
    assert_eq!(counts.len(), 8);
    counts.values().for_each(|times| assert_likely(*times, 8_000, 3.0 / 8.0));
    let mut all = resolve(&mut handlespace, "pool", usize::MAX);
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
#[cfg_attr(miri, ignore = "hours of it")]
fn random_lists_come_in_any_order() {
    let mut handlespace = pool_of(vec![Policy::Random; 3]);
    let mut orders = BTreeMap::new();
    for _ in 0..6_000 {
        *orders.entry(resolve(&mut handlespace, "pool", 3)).or_insert(0) += 1;
    }
    assert_eq!(orders.len(), 6);
    orders.values().for_each(|times| assert_likely(*times, 6_000, 1.0 / 6.0));
}

// 5356-4.4.2-01
#[test]
#[cfg_attr(miri, ignore = "hours of it")]
fn weighted_random_selects_in_proportion_to_weight() {
    let weights = [1, 2, 3, 4, 10, 0, 20];
    let mut handlespace = pool_of(weights.map(wrand));
    let firsts = firsts(&mut handlespace, 1, 40_000);
    for (identifier, weight) in (1..).zip(weights) {
        let times = firsts.get(&identifier).copied().unwrap_or(0);
        assert_likely(times, 40_000, f64::from(weight) / 40.0 + f64::EPSILON);
    }
}

#[test]
#[cfg_attr(miri, ignore = "hours of it")]
fn weighted_random_keeps_its_proportions_in_large_pools_as_elements_come_and_go() {
    let mut handlespace = pool_of((1..=1_000).map(wrand));
    for gone in (1..=1_000).filter(|identifier| identifier % 4 != 0) {
        let key = handlespace.find(b"pool", rserpool_wire::PeIdentifier(gone)).unwrap();
        handlespace.remove(key);
    }
    for changed in (4..=1_000).step_by(8) {
        register(&mut handlespace, "pool", &element(changed, wrand(2 * changed)));
    }
    // What is left are the multiples of 4: every other one of them with twice the weight of its number.
    let weight = |identifier: u32| if identifier % 8 == 4 { 2 * identifier } else { identifier };
    let total: u32 = (4..=1_000).step_by(4).map(weight).sum();
    let firsts = firsts(&mut handlespace, 1, 100_000);
    for (low, high) in [(1, 100), (101, 500), (501, 900), (901, 1_000)] {
        let expected: u32 = (low..=high).filter(|identifier| identifier % 4 == 0).map(weight).sum();
        let times = firsts.range(low..=high).map(|(_, times)| times).sum();
        assert_likely(times, 100_000, f64::from(expected) / f64::from(total));
    }
}

// 5356-4.4.2-02
#[test]
#[cfg_attr(miri, ignore = "hours of it")]
fn weighted_random_selects_none_twice_and_forgets_nothing() {
    let mut handlespace = pool_of((1..=40).map(wrand));
    for _ in 0..200 {
        let mut all = resolve(&mut handlespace, "pool", 100);
        all.sort_unstable();
        assert_eq!(all, (1..=40).collect::<Vec<_>>());
    }
    let second = (0..20_000).filter(|_| resolve(&mut handlespace, "pool", 2)[0] == 40).count();
    assert_likely(second, 20_000, 40.0 / 820.0);
}

// §3.2: "A weight of 0 denotes that the pool element is not capable of providing any service"
#[test]
fn elements_without_weight_are_selected_only_where_there_are_no_others() {
    for (some, none) in [(wrr(1), wrr(0)), (wrand(1), wrand(0)), (rlu(0.999), rlu(1.0))] {
        let mut handlespace = pool_of([none.clone(), some.clone(), none.clone()]);
        for _ in 0..50 {
            assert_eq!(resolve(&mut handlespace, "pool", 3), [2], "{none}");
        }
        register(&mut handlespace, "pool", &element(2, none.clone()));
        let mut all = resolve(&mut handlespace, "pool", 3);
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3], "{none}");
        assert_eq!(firsts(&mut handlespace, 1, 100).len(), 3, "{none}");
        register(&mut handlespace, "pool", &element(3, some));
        assert_eq!(firsts(&mut handlespace, 1, 50), BTreeMap::from([(3, 50)]), "{none}");
    }
}

// 5356-4.5.2-01, 5356-4.5.2-02
#[test]
fn priority_returns_the_highest_in_decreasing_order() {
    let mut handlespace = pool_of([3, 9, 1, u32::MAX, 0].map(prio));
    assert_eq!(resolve(&mut handlespace, "pool", 2), [4, 2]);
    assert_eq!(resolve(&mut handlespace, "pool", 9), [4, 2, 1, 3, 5]);
    register(&mut handlespace, "pool", &element(4, prio(2)));
    assert_eq!(resolve(&mut handlespace, "pool", 3), [2, 1, 4]);
}

// 5356-5.1.2-01, 5356-5.1.2-02, 5356-5.1.2-03, 5356-5.1.2-05
#[test]
fn least_used_returns_the_least_loaded_in_ascending_order() {
    let mut handlespace = pool_of([50, 20, u32::MAX, 0, 30].map(lu));
    assert_eq!(resolve(&mut handlespace, "pool", 3), [4, 2, 5]);
    assert_eq!(resolve(&mut handlespace, "pool", 3), [4, 2, 5]);
    register(&mut handlespace, "pool", &element(4, lu(40)));
    assert_eq!(resolve(&mut handlespace, "pool", 9), [2, 5, 4, 1, 3]);
}

// 5356-5.1.2-04
#[test]
fn least_used_takes_turns_among_equals() {
    let mut handlespace = pool_of([5, 1, 5, 5].map(lu));
    assert_eq!(resolve(&mut handlespace, "pool", 2), [2, 1]);
    assert_eq!(resolve(&mut handlespace, "pool", 2), [2, 3]);
    assert_eq!(resolve(&mut handlespace, "pool", 3), [2, 4, 1]);
    assert_eq!(resolve(&mut handlespace, "pool", 2), [2, 1]);
}

#[test]
#[cfg_attr(miri, ignore = "hours of it")]
fn equals_share_the_first_place_fairly_however_many_are_asked_for() {
    for items in 1..=50 {
        let mut handlespace = pool_of(vec![lu(7); 45]);
        let firsts = firsts(&mut handlespace, items, 90);
        assert!(firsts.len() == 45 && firsts.values().all(|times| *times == 2), "{items} items: {firsts:?}");
    }
}

// 5356-5.2.2-01, 5356-5.2.2-03, 5356-5.2.2-04
#[test]
fn degradation_counts_every_selection() {
    let mut handlespace = pool_of([lud(0, 10), lud(5, 3), lud(100, 1)]);
    let sequence: Vec<u32> = (0..8).map(|_| resolve(&mut handlespace, "pool", 1)[0]).collect();
    // Sums of 1: 0, 10, 20, …; of 2: 5, 8, 11, 14, …
    assert_eq!(sequence, [1, 2, 2, 1, 2, 2, 2, 1]);
    let mut handlespace = pool_of([lud(0, 10), lud(5, 3), lud(100, 1)]);
    // All that are returned are selected, not just the first.
    assert_eq!(resolve(&mut handlespace, "pool", 2), [1, 2]);
    assert_eq!(resolve(&mut handlespace, "pool", 2), [2, 1]);
    assert_eq!(resolve(&mut handlespace, "pool", 1), [2]);
}

// 5356-5.2.2-02
#[test]
fn registration_resets_the_degradation_counter() {
    let mut handlespace = pool_of([lud(0, 10), lud(5, 10)]);
    assert_eq!(resolve(&mut handlespace, "pool", 1), [1]);
    assert_eq!(resolve(&mut handlespace, "pool", 1), [2]);
    assert_eq!(resolve(&mut handlespace, "pool", 1), [1]);
    register(&mut handlespace, "pool", &element(1, lud(0, 10)));
    assert_eq!(resolve(&mut handlespace, "pool", 2), [1, 2]);
}

#[test]
fn degraded_load_keeps_its_order_beyond_full_load() {
    let mut handlespace = pool_of([lud(u32::MAX, u32::MAX), lud(u32::MAX - 1, u32::MAX)]);
    for expected in [2, 1, 2, 1, 2, 1] {
        assert_eq!(resolve(&mut handlespace, "pool", 1), [expected]);
    }
}

// 5352-2.2.6: what did not fit the message was not selected
#[test]
fn an_element_that_is_refused_was_not_selected() {
    let mut handlespace = pool_of([lud(0, 5), lud(1, 5), lud(2, 5)]);
    let mut offered = 0;
    let selected = handlespace.resolve(b"pool", 3, |_| {
        offered += 1;
        offered < 2
    });
    assert_eq!((selected, offered), (Some(1), 2));
    assert_eq!(resolve(&mut handlespace, "pool", 3), [2, 3, 1]);
}

// 5356-5.3.2-01, 5356-5.3.2-02, 5356-5.3.2-03, 5356-5.3.2-05; the example of §5.3.1
#[test]
fn priority_least_used_ranks_by_the_load_to_come() {
    let half = Load::from_fraction(0.5).0;
    let mut handlespace = pool_of([plu(half, half), plu(half, half / 5), plu(u32::MAX, u32::MAX)]);
    for _ in 0..3 {
        assert_eq!(resolve(&mut handlespace, "pool", 3), [2, 1, 3]);
    }
}

// 5356-5.3.2-04
#[test]
fn priority_least_used_takes_turns_among_equal_sums() {
    let mut handlespace = pool_of([plu(10, 5), plu(5, 10), plu(1, 1)]);
    assert_eq!(resolve(&mut handlespace, "pool", 2), [3, 1]);
    assert_eq!(resolve(&mut handlespace, "pool", 2), [3, 2]);
    assert_eq!(resolve(&mut handlespace, "pool", 3), [3, 1, 2]);
}

// 5356-5.4.2-01
#[test]
#[cfg_attr(miri, ignore = "hours of it")]
fn randomized_least_used_selects_in_proportion_to_what_is_not_used() {
    let mut handlespace = pool_of([0.0, 0.5, 0.75, 0.25].map(rlu));
    let firsts = firsts(&mut handlespace, 1, 25_000);
    for (identifier, unused) in [(1, 1.0), (2, 0.5), (3, 0.25), (4, 0.75)] {
        assert_likely(firsts[&identifier], 25_000, unused / 2.5);
    }
}

/// A policy of one's own: the latest element first.
#[derive(Default)]
struct LastInFirst(Vec<Member>);

impl Selection for LastInFirst {
    fn insert(&mut self, member: Member, _: &Policy, _: &mut Places) {
        self.0.push(member);
    }

    fn update(&mut self, _: Member, _: &Policy, _: &mut Places) {}

    fn remove(&mut self, member: Member, _: &mut Places) {
        self.0.retain(|other| *other != member);
    }

    fn select(&mut self, draw: &mut Draw<'_>) {
        for member in self.0.iter().rev() {
            if draw.is_done() || !draw.offer(*member) {
                return;
            }
        }
    }
}

// §7.1: types from 0x80000000 on are for private use
#[test]
fn a_policy_can_be_plugged_in() {
    let policy_type = PolicyType(0x8000_0001);
    let mut handlespace =
        Handlespace::new(Dialect::Rfc, 1).with_policy(policy_type, || Box::<LastInFirst>::default());
    let policy = Policy::Other { policy_type, data: Box::default() };
    for identifier in 1..=3 {
        register(&mut handlespace, "own", &element(identifier, policy.clone()));
        register(&mut handlespace, "other", &element(identifier, Policy::RoundRobin));
    }
    assert_eq!(resolve(&mut handlespace, "own", 2), [3, 2]);
    assert_eq!(resolve(&mut handlespace, "other", 2), [1, 2]);
    let key = handlespace.find(b"own", rserpool_wire::PeIdentifier(3)).unwrap();
    handlespace.remove(key);
    assert_eq!(resolve(&mut handlespace, "own", 5), [2, 1]);
}
