//! Deregistration (RFC 5352 §3.2).
use rserpool_wire::{CauseCode, PeIdentifier, Policy};

use crate::case::group;
use crate::outcome::{Verdict, check, same};
use crate::tester::Tester;

group! { "deregistration":
    "deregistration-is-granted" ["5352-3.2-11", "5352-4-09"] granted;
    "deregistered-element-is-gone" ["5352-3.2-09"] gone;
    "pool-is-gone-with-its-last-element" ["5352-3.2-09", "5352-3.3-17"] pool_gone;
    "deregistration-of-an-unknown-element-is-granted" ["5352-3.2-10", "5352-3.2-11"] unknown_element;
    "deregistration-from-an-unknown-pool-is-granted" ["5352-3.2-10", "5352-3.2-11"] unknown_pool;
    "deregistration-twice-is-granted-twice" ["5352-3.2-10", "5352-3.2-11"] twice;
    "deregistration-leaves-other-elements" ["5352-3.2-09"] leaves_others;
    "deregistration-leaves-other-pools" ["5352-3.2-09"] leaves_other_pools;
    "deregistered-element-may-come-back" ["5352-3.1-19", "5352-3.2-09"] comes_back;
    "deregistration-over-another-link-is-answered" ["5352-3.2-11", "5352-3.2-12"] another_link;
    "deregistration-survives-the-end-of-the-link" ["5352-3.2-09"] link_ends;
}

async fn granted(tester: Tester) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    probe.leave(&pool, element.identifier).await
}

async fn gone(tester: Tester) -> Verdict {
    let (mut probe, stays, leaves) = (tester.probe().await?, tester.element(), tester.element());
    let pool = probe.found(&[stays.clone(), leaves.clone()]).await?;
    probe.leave(&pool, leaves.identifier).await?;
    same("the other element", &vec![stays.identifier], &probe.members(&pool).await?)
}

async fn pool_gone(tester: Tester) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    probe.leave(&pool, element.identifier).await?;
    let response = probe.resolve(&pool).await?;
    let unknown = response.error.as_ref().is_some_and(|error| error.has(CauseCode::UNKNOWN_POOL_HANDLE));
    check(unknown, "the cause Unknown Pool Handle", response)
}

async fn unknown_element(tester: Tester) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    probe.leave(&pool, PeIdentifier(!element.identifier.0)).await?;
    same("the element", &vec![element.identifier], &probe.members(&pool).await?)
}

async fn unknown_pool(tester: Tester) -> Verdict {
    tester.probe().await?.leave(&tester.pool(), tester.element().identifier).await
}

async fn twice(tester: Tester) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    probe.leave(&pool, element.identifier).await?;
    probe.leave(&pool, element.identifier).await
}

async fn leaves_others(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let elements = tester.elements(10, |_| Policy::RoundRobin);
    let pool = probe.found(&elements).await?;
    let mut left = crate::probe::sorted(&elements);
    while let Some(identifier) = left.pop() {
        probe.leave(&pool, identifier).await?;
        same("the others", &left, &probe.members(&pool).await?)?;
    }
    Ok(())
}

async fn leaves_other_pools(tester: Tester) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let (left, kept) = (tester.pool(), tester.pool());
    probe.join(&left, &element).await?;
    probe.join(&kept, &element).await?;
    probe.leave(&left, element.identifier).await?;
    same("the element in the other pool", &vec![element.identifier], &probe.members(&kept).await?)
}

async fn comes_back(tester: Tester) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    for _ in 0..3 {
        probe.leave(&pool, element.identifier).await?;
        probe.join(&pool, &element).await?;
    }
    same("the element", &vec![element.identifier], &probe.members(&pool).await?)
}

async fn another_link(tester: Tester) -> Verdict {
    let (mut first, mut second, element) = (tester.probe().await?, tester.probe().await?, tester.element());
    let pool = first.found(std::slice::from_ref(&element)).await?;
    let response = second.deregister(&pool, element.identifier).await?;
    // A registrar may find that the link is not the element's: then it says so, and the element stays.
    let expected = if response.error.is_none() { vec![] } else { vec![element.identifier] };
    same("what the answer says:", &expected, &second.members(&pool).await?)
}

async fn link_ends(tester: Tester) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    probe.leave(&pool, element.identifier).await?;
    drop(probe);
    same("no element", &vec![], &tester.probe().await?.members(&pool).await?)
}
