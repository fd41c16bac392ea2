//! Dynamic updates (RFC 5352 §2.2.5, §2.2.6): the S bit asks for them, the A bit says that they will come. A registrar may
//! decline, which is told by the A bit; then there is nothing to test.
use rserpool_wire::asap::{HandleResolution, HandleResolutionResponse};
use rserpool_wire::{Policy, PoolElement, PoolHandle};

use crate::case::group;
use crate::outcome::{Problem, Verdict, check, same};
use crate::probe::{Probe, identifiers, sorted};
use crate::tester::Tester;

group! { "subscription":
    "without-the-s-bit-there-is-no-a-bit" ["5352-3.3-14"] not_asked;
    "without-the-s-bit-there-are-no-updates" ["5352-3.3-14"] no_updates;
    "subscribed-response-is-a-whole-response" ["5352-3.3-14", "5352-3.3-15"] whole_response;
    "subscriber-is-told-of-a-joining-element" ["5352-3.3-15"] joining;
    "subscriber-is-told-of-a-leaving-element" ["5352-3.3-15"] leaving;
    "subscriber-is-told-of-changed-attributes" ["5352-3.3-15", "5352-3.1-25"] changed;
    "updates-carry-the-a-bit-and-the-policy" ["5352-3.3-16"] update_is_whole;
    "subscriber-is-not-told-of-other-pools" ["5352-3.3-14"] other_pools;
    "subscriptions-to-several-pools-are-kept-apart" ["5352-3.3-14"] several;
    "every-subscriber-is-told" ["5352-3.3-14"] every_subscriber;
    "subscribing-twice-brings-each-update-once" ["5352-3.3-14"] twice;
    "unknown-pool-is-not-subscribed-to" ["5352-3.3-17"] unknown_pool;
    "end-of-the-pool-is-no-update-with-elements" ["5352-3.3-17", "5352-2.2.6-02"] end_of_pool;
}

/// Subscribes a new link to a pool.
async fn subscribe(
    tester: &Tester,
    pool: &PoolHandle<'_>,
) -> Verdict<(Probe, HandleResolutionResponse<'static>)> {
    let mut probe = tester.probe().await?;
    let request = HandleResolution { pool_handle: pool.borrowed(), subscribe: true, items: None };
    let response = probe.request(request).await?;
    check(response.error.is_none(), "a positive response", &response)?;
    if response.accept_updates {
        Ok((probe, response))
    } else {
        Err(Problem::skipped("the registrar declines to send updates: A bit 0"))
    }
}

/// The next update of a subscriber that lists what it should; earlier ones may come in between.
async fn told(probe: &mut Probe, expected: &[PoolElement]) -> Verdict<HandleResolutionResponse<'static>> {
    loop {
        let update = probe.resolution().await.map_err(|problem| match problem {
            Problem::Failed { seen, .. } => {
                Problem::failed(format!("an update that lists {:?}", sorted(expected)), seen)
            }
            skipped @ Problem::Skipped { .. } => skipped,
        })?;
        let as_expected = |element: &PoolElement| {
            expected.iter().any(|known| {
                known.identifier == element.identifier
                    && known.policy == element.policy
                    && known.user_transport == element.user_transport
            })
        };
        if identifiers(&update) == sorted(expected) && update.elements.iter().all(as_expected) {
            return Ok(update);
        }
    }
}

async fn not_asked(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let pool = probe.found(&[tester.element()]).await?;
    same("A bit", &false, &probe.resolve(&pool).await?.accept_updates)
}

async fn no_updates(tester: Tester) -> Verdict {
    let (mut element, mut user) = (tester.probe().await?, tester.probe().await?);
    let pool = element.found(&[tester.element()]).await?;
    user.resolve(&pool).await?;
    element.join(&pool, &tester.element()).await?;
    // Whatever the change leads to is on its way before the answer to a request that comes after it.
    element.settle().await?;
    let updates = user.settle().await?.answers;
    check(updates.is_empty(), "no update", updates)
}

async fn whole_response(tester: Tester) -> Verdict {
    let mut element = tester.probe().await?;
    let elements = tester.elements(4, |_| Policy::Random);
    let pool = element.found(&elements).await?;
    let (_, response) = subscribe(&tester, &pool).await?;
    same("all elements", &sorted(&elements), &identifiers(&response))?;
    same("policy", &Some(Policy::Random), &response.policy)
}

async fn joining(tester: Tester) -> Verdict {
    let (mut element, first, second) = (tester.probe().await?, tester.element(), tester.element());
    let pool = element.found(std::slice::from_ref(&first)).await?;
    let (mut user, _) = subscribe(&tester, &pool).await?;
    element.join(&pool, &second).await?;
    told(&mut user, &[first, second]).await.map(drop)
}

async fn leaving(tester: Tester) -> Verdict {
    let (mut element, first, second) = (tester.probe().await?, tester.element(), tester.element());
    let pool = element.found(&[first.clone(), second.clone()]).await?;
    let (mut user, _) = subscribe(&tester, &pool).await?;
    element.leave(&pool, second.identifier).await?;
    told(&mut user, &[first]).await.map(drop)
}

async fn changed(tester: Tester) -> Verdict {
    let mut element = tester.probe().await?;
    let before = tester.element_with(Policy::WeightedRandom { weight: 1 });
    let after = PoolElement { policy: Policy::WeightedRandom { weight: 2 }, ..before.clone() };
    let pool = element.found(&[before]).await?;
    let (mut user, _) = subscribe(&tester, &pool).await?;
    element.join(&pool, &after).await?;
    told(&mut user, &[after]).await.map(drop)
}

async fn update_is_whole(tester: Tester) -> Verdict {
    let mut element = tester.probe().await?;
    let elements = tester.elements(2, |priority| Policy::Priority { priority });
    let pool = element.found(elements.get(..1).unwrap_or_default()).await?;
    let (mut user, _) = subscribe(&tester, &pool).await?;
    for second in elements.iter().skip(1) {
        element.join(&pool, second).await?;
    }
    let update = told(&mut user, &elements).await?;
    let policy = update.policy.as_ref().map(Policy::policy_type);
    same("policy", &Some(Policy::Priority { priority: 0 }.policy_type()), &policy)?;
    same("A bit", &true, &update.accept_updates)
}

async fn other_pools(tester: Tester) -> Verdict {
    let mut element = tester.probe().await?;
    let pool = element.found(&[tester.element()]).await?;
    let other = element.found(&[tester.element()]).await?;
    let (mut user, _) = subscribe(&tester, &pool).await?;
    element.join(&other, &tester.element()).await?;
    element.settle().await?;
    let updates = user.settle().await?.answers;
    check(updates.is_empty(), "no update", updates)
}

async fn several(tester: Tester) -> Verdict {
    let mut element = tester.probe().await?;
    let elements = tester.elements(4, |_| Policy::RoundRobin);
    let [a, b, c, d] = elements.as_slice() else { return Ok(()) };
    let pools =
        [element.found(std::slice::from_ref(a)).await?, element.found(std::slice::from_ref(b)).await?];
    let [first, second] = &pools;
    let (mut user, _) = subscribe(&tester, first).await?;
    let request = HandleResolution { pool_handle: second.borrowed(), subscribe: true, items: None };
    user.request(request).await?;
    element.join(second, d).await?;
    let update = told(&mut user, &[b.clone(), d.clone()]).await?;
    same("pool", second, &update.pool_handle)?;
    element.join(first, c).await?;
    let update = told(&mut user, &[a.clone(), c.clone()]).await?;
    same("pool", first, &update.pool_handle)
}

async fn every_subscriber(tester: Tester) -> Verdict {
    let (mut element, first, second) = (tester.probe().await?, tester.element(), tester.element());
    let pool = element.found(std::slice::from_ref(&first)).await?;
    let mut users = Vec::new();
    for _ in 0..5 {
        users.push(subscribe(&tester, &pool).await?.0);
    }
    element.join(&pool, &second).await?;
    for user in &mut users {
        told(user, &[first.clone(), second.clone()]).await?;
    }
    Ok(())
}

async fn twice(tester: Tester) -> Verdict {
    let (mut element, first, second) = (tester.probe().await?, tester.element(), tester.element());
    let pool = element.found(std::slice::from_ref(&first)).await?;
    let (mut user, _) = subscribe(&tester, &pool).await?;
    user.request(HandleResolution { pool_handle: pool.borrowed(), subscribe: true, items: None }).await?;
    element.join(&pool, &second).await?;
    told(&mut user, &[first, second]).await?;
    let more = user.settle().await?.answers;
    check(more.is_empty(), "no further update", more)
}

async fn unknown_pool(tester: Tester) -> Verdict {
    let (mut user, mut element, pool) = (tester.probe().await?, tester.probe().await?, tester.pool());
    let request = HandleResolution { pool_handle: pool.borrowed(), subscribe: true, items: None };
    same("A bit", &false, &user.request(request).await?.accept_updates)?;
    element.join(&pool, &tester.element()).await?;
    element.settle().await?;
    let updates = user.settle().await?.answers;
    check(updates.is_empty(), "no update", updates)
}

async fn end_of_pool(tester: Tester) -> Verdict {
    let (mut element, only) = (tester.probe().await?, tester.element());
    let pool = element.found(std::slice::from_ref(&only)).await?;
    let (mut user, _) = subscribe(&tester, &pool).await?;
    element.leave(&pool, only.identifier).await?;
    element.settle().await?;
    // The RFC does not say whether subscribers are told. If they are, then as of any pool that is not there.
    user.send(HandleResolution { pool_handle: pool.borrowed(), subscribe: false, items: None });
    let response = user.resolution().await?;
    check(response.error.is_some() && response.elements.is_empty(), "a negative response", response)
}
