//! Pool member selection policies (RFC 5356): in which order, and in which proportions, elements are given to users.
//!
//! Proportions are measured over so many requests that a right registrar misses the bounds less than once in a billion runs.
use std::collections::BTreeMap;

use rserpool_wire::{Load, PeIdentifier, Policy, PoolElement, PoolHandle};

use crate::case::group;
use crate::outcome::{Verdict, check, same};
use crate::probe::{Probe, sorted};
use crate::tester::Tester;

group! { "policies":
    "round-robin-starts-with-the-next-each-time" ["5356-4.1.1-01", "5356-4.1.2-01", "5356-4.1.2-02", "5356-4.1.2-03"] round_robin;
    "round-robin-lists-the-circle-from-its-head" ["5356-4.1.2-02", "5356-4.1.2-03"] round_robin_circle;
    "round-robin-takes-a-new-element-in" ["5356-4.1.2-01"] round_robin_new;
    "round-robin-goes-on-when-an-element-leaves" ["5356-4.1.2-01"] round_robin_leave;
    "weighted-round-robin-is-proportional" ["5356-4.2.2-01"] weighted_round_robin;
    "weighted-round-robin-of-equal-weights-is-round-robin" ["5356-4.2.2-01"] equal_weights;
    "weighted-round-robin-spreads-the-entries-of-an-element" ["5356-4.2.2-01"] spread;
    "weighted-round-robin-follows-new-weights" ["5356-4.2.2-01", "5352-3.1-25"] new_weights;
    "random-is-even" ["5356-4.3.2-01"] random;
    "random-differs-from-time-to-time" ["5356-4.3.2-01"] random_differs;
    "weighted-random-is-proportional" ["5356-4.4.2-01"] weighted_random;
    "weighted-random-of-weight-zero-is-not-picked" ["5356-4.4.2-01"] weight_zero;
    "priority-lists-in-decreasing-order" ["5356-4.5.2-01", "5356-4.5.2-02"] priority;
    "priority-follows-updates" ["5356-4.5.2-01", "5352-3.1-25"] priority_updates;
    "least-used-lists-in-ascending-order" ["5356-5.1.2-02", "5356-5.1.2-05"] least_used;
    "least-used-follows-updates-of-load" ["5356-5.1.2-02", "5352-3.1-25"] least_used_updates;
    "least-used-takes-turns-among-equals" ["5356-5.1.2-04"] least_used_equals;
    "least-used-compares-loads-unsigned" ["5356-5.1.2-05"] least_used_unsigned;
    "degradation-counts-selections" ["5356-5.2.2-01", "5356-5.2.2-03", "5356-5.2.2-04"] degradation;
    "degradation-ends-with-an-update" ["5356-5.2.2-02"] degradation_reset;
    "priority-least-used-lists-by-load-and-degradation" ["5356-5.3.2-02", "5356-5.3.2-05"] priority_least_used;
    "priority-least-used-takes-turns-among-equals" ["5356-5.3.2-04"] priority_least_used_equals;
    "randomized-least-used-is-proportional-to-what-is-free" ["5356-5.4.2-01"] randomized_least_used;
}

/// Registers elements whose policies `policy` says; gives their identifiers in that order, and the pool.
async fn pool_of(
    probe: &mut Probe,
    count: u32,
    policy: impl Fn(u32) -> Policy,
) -> Verdict<(Vec<PoolElement>, PoolHandle<'static>)> {
    let elements = probe.tester.clone().elements(count, policy);
    let pool = probe.found(&elements).await?;
    Ok((elements, pool))
}

/// How often each element is picked.
async fn tally(probe: &mut Probe, pool: &PoolHandle<'_>, picks: u32) -> Verdict<BTreeMap<PeIdentifier, u32>> {
    let mut tally = BTreeMap::new();
    for _ in 0..picks {
        *tally.entry(probe.pick(pool).await?).or_default() += 1;
    }
    Ok(tally)
}

/// Checks that elements are picked in proportion to `shares`, with a tolerance of so many picks.
async fn proportional(
    probe: &mut Probe,
    pool: &PoolHandle<'_>,
    elements: &[PoolElement],
    shares: &[u32],
    picks: u32,
    tolerance: u32,
) -> Verdict {
    let tally = tally(probe, pool, picks).await?;
    let all: u32 = shares.iter().sum();
    for (element, share) in elements.iter().zip(shares) {
        let (expected, seen) = (picks * share / all, tally.get(&element.identifier).copied().unwrap_or(0));
        let within = expected.abs_diff(seen) <= tolerance;
        check(
            within,
            format!("{expected} of {picks} picks within {tolerance} for a share of {share}"),
            &tally,
        )?;
    }
    Ok(())
}

/// The elements as they are listed.
async fn order(probe: &mut Probe, pool: &PoolHandle<'_>) -> Verdict<Vec<PeIdentifier>> {
    Ok(probe.resolve(pool).await?.elements.iter().map(|element| element.identifier).collect())
}

async fn round_robin(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let (elements, pool) = pool_of(&mut probe, 4, |_| Policy::RoundRobin).await?;
    let mut heads = Vec::new();
    for _ in 0..8 {
        heads.extend(order(&mut probe, &pool).await?.first().copied());
    }
    let (first, second) = heads.split_at(4);
    same("the same circle again:", first, second)?;
    let mut once = first.to_vec();
    once.sort_unstable();
    same("each element first once in a round:", &sorted(&elements), &once)
}

async fn round_robin_circle(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let (_, pool) = pool_of(&mut probe, 5, |_| Policy::RoundRobin).await?;
    let mut expected = order(&mut probe, &pool).await?;
    for _ in 0..6 {
        if !expected.is_empty() {
            expected.rotate_left(1);
        }
        same("the list, rotated by one:", &expected, &order(&mut probe, &pool).await?)?;
    }
    Ok(())
}

async fn round_robin_new(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let (mut elements, pool) = pool_of(&mut probe, 3, |_| Policy::RoundRobin).await?;
    probe.pick(&pool).await?;
    elements.push(tester.element());
    if let Some(last) = elements.last() {
        probe.join(&pool, last).await?;
    }
    proportional(&mut probe, &pool, &elements, &[1; 4], 40, 1).await
}

async fn round_robin_leave(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let (mut elements, pool) = pool_of(&mut probe, 4, |_| Policy::RoundRobin).await?;
    probe.pick(&pool).await?;
    if let Some(left) = elements.pop() {
        probe.leave(&pool, left.identifier).await?;
    }
    proportional(&mut probe, &pool, &elements, &[1; 3], 30, 1).await
}

async fn weighted_round_robin(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let weight = |i| Policy::WeightedRoundRobin { weight: i + 1 };
    let (elements, pool) = pool_of(&mut probe, 4, weight).await?;
    proportional(&mut probe, &pool, &elements, &[1, 2, 3, 4], 100, 1).await
}

async fn equal_weights(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let (elements, pool) = pool_of(&mut probe, 3, |_| Policy::WeightedRoundRobin { weight: 1 }).await?;
    for _ in 0..3 {
        let mut round = Vec::new();
        for _ in 0..3 {
            round.push(probe.pick(&pool).await?);
        }
        round.sort_unstable();
        same("each element once in a round:", &sorted(&elements), &round)?;
    }
    Ok(())
}

async fn spread(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let weight = |i| Policy::WeightedRoundRobin { weight: if i == 0 { 6 } else { 3 } };
    let (elements, pool) = pool_of(&mut probe, 2, weight).await?;
    let mut picks = Vec::new();
    for _ in 0..36 {
        picks.push(probe.pick(&pool).await?);
    }
    // Twice the weight: two of it, one of the other. One more in a row may come where the list begins again.
    let longest = picks.chunk_by(|a, b| a == b).map(<[_]>::len).max();
    check(
        longest.is_some_and(|longest| longest <= 3),
        format!("no long runs of one of {}", elements.len()),
        picks,
    )
}

async fn new_weights(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let (elements, pool) = pool_of(&mut probe, 2, |_| Policy::WeightedRoundRobin { weight: 1 }).await?;
    if let Some(first) = elements.first() {
        let heavier = PoolElement { policy: Policy::WeightedRoundRobin { weight: 4 }, ..first.clone() };
        probe.join(&pool, &heavier).await?;
    }
    // The list may begin anywhere, once.
    proportional(&mut probe, &pool, &elements, &[4, 1], 100, 5).await
}

async fn random(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let (elements, pool) = pool_of(&mut probe, 4, |_| Policy::Random).await?;
    proportional(&mut probe, &pool, &elements, &[1; 4], 400, 60).await
}

async fn random_differs(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let (_, pool) = pool_of(&mut probe, 4, |_| Policy::Random).await?;
    let mut picks = Vec::new();
    for _ in 0..64 {
        picks.push(probe.pick(&pool).await?);
    }
    let rounds: Vec<_> = picks.chunks(4).collect();
    let repeats = rounds.windows(2).all(|pair| matches!(pair, [a, b] if a == b));
    check(!repeats, "no fixed order", picks)
}

async fn weighted_random(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let weight = |i| Policy::WeightedRandom { weight: 1 + 2 * i };
    let (elements, pool) = pool_of(&mut probe, 3, weight).await?;
    proportional(&mut probe, &pool, &elements, &[1, 3, 5], 450, 66).await
}

async fn weight_zero(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let weight = |i| Policy::WeightedRandom { weight: if i == 0 { 0 } else { 1 } };
    let (elements, pool) = pool_of(&mut probe, 3, weight).await?;
    proportional(&mut probe, &pool, &elements, &[0, 1, 1], 200, 44).await?;
    let tally = tally(&mut probe, &pool, 50).await?;
    let never = elements.first().is_none_or(|zero| !tally.contains_key(&zero.identifier));
    check(never, "an element of weight 0 never to be picked before others", tally)
}

/// Checks that elements are listed in this order, which is by what their policies say, every time.
async fn listed(tester: &Tester, elements: &[PoolElement], rounds: usize) -> Verdict {
    let mut probe = tester.probe().await?;
    let pool = tester.pool();
    // Registered in another order, so that it is not that of registration.
    for element in elements.iter().skip(1).step_by(2).chain(elements.iter().step_by(2)) {
        probe.join(&pool, element).await?;
    }
    let expected: Vec<_> = elements.iter().map(|element| element.identifier).collect();
    for _ in 0..rounds {
        same("the order", &expected, &order(&mut probe, &pool).await?)?;
    }
    Ok(())
}

async fn priority(tester: Tester) -> Verdict {
    let priorities = [u32::MAX, 0x8000_0000, 0x7fff_ffff, 700, 3, 0];
    let elements = priorities.map(|priority| tester.element_with(Policy::Priority { priority }));
    listed(&tester, &elements, 4).await
}

async fn priority_updates(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let (elements, pool) = pool_of(&mut probe, 3, |i| Policy::Priority { priority: 10 - i }).await?;
    for element in elements.iter().rev() {
        let first = PoolElement { policy: Policy::Priority { priority: 100 }, ..element.clone() };
        probe.join(&pool, &first).await?;
        same("the one with the highest priority", &element.identifier, &probe.pick(&pool).await?)?;
        probe.join(&pool, element).await?;
    }
    Ok(())
}

async fn least_used(tester: Tester) -> Verdict {
    let elements =
        [1, 2, 30, 400, 50_000].map(|load| tester.element_with(Policy::LeastUsed { load: Load(load) }));
    listed(&tester, &elements, 4).await
}

async fn least_used_updates(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let (elements, pool) = pool_of(&mut probe, 3, |i| Policy::LeastUsed { load: Load(1_000 + i) }).await?;
    for (i, element) in elements.iter().rev().enumerate() {
        let load = Load(500 - i as u32);
        probe.join(&pool, &PoolElement { policy: Policy::LeastUsed { load }, ..element.clone() }).await?;
        for _ in 0..3 {
            same("the least used", &element.identifier, &probe.pick(&pool).await?)?;
        }
    }
    Ok(())
}

async fn least_used_equals(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let (elements, pool) = pool_of(&mut probe, 3, |_| Policy::LeastUsed { load: Load(7) }).await?;
    proportional(&mut probe, &pool, &elements, &[1; 3], 30, 1).await
}

async fn least_used_unsigned(tester: Tester) -> Verdict {
    let loads = [0, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    let elements = loads.map(|load| tester.element_with(Policy::LeastUsed { load: Load(load) }));
    listed(&tester, &elements, 1).await
}

async fn degradation(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    // Each selection costs the first one 10 and the second one 20: the first gets two of three.
    let cost = |i| Policy::LeastUsedDegradation { load: Load(1_000), degradation: Load(10_000 * (i + 1)) };
    let (elements, pool) = pool_of(&mut probe, 2, cost).await?;
    proportional(&mut probe, &pool, &elements, &[2, 1], 60, 2).await
}

async fn degradation_reset(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let policy = |load| Policy::LeastUsedDegradation { load: Load(load), degradation: Load(100) };
    let (elements, pool) = pool_of(&mut probe, 2, |i| policy(if i == 0 { 0 } else { 1_000 })).await?;
    let [first, second] = elements.as_slice() else { return Ok(()) };
    // It is used until it is as loaded as the other one; by then the counter is at 10.
    for _ in 0..10 {
        same("the less loaded one", &first.identifier, &probe.pick(&pool).await?)?;
    }
    for _ in 0..20 {
        probe.pick(&pool).await?;
    }
    probe.join(&pool, first).await?;
    probe.join(&pool, second).await?;
    for _ in 0..10 {
        same("the less loaded one again", &first.identifier, &probe.pick(&pool).await?)?;
    }
    Ok(())
}

async fn priority_least_used(tester: Tester) -> Verdict {
    // Load and what one more user adds: 105, 110, 1000 and 1001 together, in no order of either alone.
    let policies = [(100, 5), (10, 100), (0, 1_000), (900, 101)];
    let elements = policies.map(|(load, degradation)| {
        let (load, degradation) = (Load(load), Load(degradation));
        tester.element_with(Policy::PriorityLeastUsed { load, degradation })
    });
    listed(&tester, &elements, 3).await
}

async fn priority_least_used_equals(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let policy = |i| Policy::PriorityLeastUsed { load: Load(100 + i), degradation: Load(100 - i) };
    let (elements, pool) = pool_of(&mut probe, 3, policy).await?;
    proportional(&mut probe, &pool, &elements, &[1; 3], 30, 1).await
}

async fn randomized_least_used(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let free = |i| Policy::RandomizedLeastUsed { load: Load::from_fraction(0.75 - 0.25 * f64::from(i)) };
    let (elements, pool) = pool_of(&mut probe, 3, free).await?;
    proportional(&mut probe, &pool, &elements, &[1, 2, 3], 420, 63).await
}
