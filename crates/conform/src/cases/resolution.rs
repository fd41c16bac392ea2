//! Handle resolution (RFC 5352 §3.3).
use rserpool_wire::asap::HandleResolution;
use rserpool_wire::{CauseCode, Load, Policy, PolicyType, PoolElement, RegistrationLife, Transport};

use crate::case::group;
use crate::outcome::{Verdict, check, same};
use crate::probe::sorted;
use crate::tester::Tester;

group! { "resolution":
    "unknown-pool-is-answered-with-its-cause" ["5352-3.3-13", "5352-3.3-17"] unknown_pool;
    "negative-response-names-no-elements" ["5352-3.3-17"] negative_is_empty;
    "existing-pool-is-answered" ["5352-3.3-12", "5352-3.3-14", "5352-2.2.6-02"] existing_pool;
    "all-elements-are-listed" ["5352-3.3-15"] all_listed;
    "large-pool-is-listed-whole" ["5352-3.3-15"] large_pool;
    "pool-too-large-for-a-message-is-answered-with-a-part" ["5352-3.3-14", "5352-2.2.6-02"] too_large;
    "no-element-is-listed-twice" ["5356-4.3.2-01", "5356-4.4.2-02", "5356-5.1.2-03", "5356-5.3.2-03"] none_twice;
    "elements-are-listed-as-registered" ["5352-3.3-15", "5352-3.1-25"] as_registered;
    "policy-is-named-unless-round-robin" ["5352-3.3-16"] policy_named;
    "round-robin-pool-names-no-other-policy" ["5352-3.3-16"] round_robin_named;
    "link-of-an-element-serves-a-user-too" ["5352-3.3-02", "5352-4-12"] over_the_elements_link;
    "requests-sent-at-once-are-answered-in-order" ["5352-3.3-14"] in_order;
    "one-answer-per-request" ["5352-3.3-14"] one_answer;
    "users-on-many-links-are-served" ["5352-3.3-12"] many_links;
    "limit-of-items-is-kept-or-skipped" ["5356-4.3.2-01", "5354-3-01"] items;
}

async fn unknown_pool(tester: Tester) -> Verdict {
    let response = tester.probe().await?.resolve(&tester.pool()).await?;
    let unknown = response.error.as_ref().is_some_and(|error| error.has(CauseCode::UNKNOWN_POOL_HANDLE));
    check(unknown, "the cause Unknown Pool Handle", response)
}

async fn negative_is_empty(tester: Tester) -> Verdict {
    let response = tester.probe().await?.resolve(&tester.pool()).await?;
    let empty = response.elements.is_empty() && response.policy.is_none() && !response.accept_updates;
    check(empty, "no Pool Element, no policy and no A bit", response)
}

async fn existing_pool(tester: Tester) -> Verdict {
    let pool = tester.pool();
    let mut element = tester.probe().await?;
    element.join(&pool, &tester.element()).await?;
    let response = tester.probe().await?.resolve(&pool).await?;
    check(response.error.is_none() && response.elements.len() == 1, "one element and no error", response)
}

async fn all_listed(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let elements = tester.elements(20, |_| Policy::RoundRobin);
    let pool = probe.found(&elements).await?;
    same("all elements", &sorted(&elements), &probe.members(&pool).await?)
}

async fn large_pool(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let elements = tester.elements(300, |_| Policy::Random);
    let pool = probe.found(&elements).await?;
    same("all 300 elements", &sorted(&elements), &probe.members(&pool).await?)
}

async fn too_large(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let large =
        |_| PoolElement { user_transport: Transport::Opaque(vec![0x55; 1_000].into()), ..tester.element() };
    let elements: Vec<_> = (0..100).map(large).collect();
    let pool = probe.found(&elements).await?;
    let (all, listed) = (sorted(&elements), probe.members(&pool).await?);
    check(
        !listed.is_empty() && listed.iter().all(|listed| all.contains(listed)),
        "some of the elements",
        listed,
    )
}

async fn none_twice(tester: Tester) -> Verdict {
    let policies: [fn(u32) -> Policy; 5] = [
        |_| Policy::Random,
        |i| Policy::WeightedRandom { weight: i + 1 },
        |i| Policy::LeastUsed { load: Load(i) },
        |i| Policy::LeastUsedDegradation { load: Load(i), degradation: Load(9) },
        |i| Policy::PriorityLeastUsed { load: Load(i), degradation: Load(9) },
    ];
    let mut probe = tester.probe().await?;
    for policy in policies {
        let elements = tester.elements(9, policy);
        let pool = probe.found(&elements).await?;
        for _ in 0..10 {
            same("each element once", &sorted(&elements), &probe.members(&pool).await?)?;
        }
    }
    Ok(())
}

async fn as_registered(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let element = PoolElement {
        life: RegistrationLife::Finite(std::time::Duration::from_secs(321)),
        ..tester.element_with(Policy::LeastUsedDegradation { load: Load(0x0123_4567), degradation: Load(89) })
    };
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    let response = probe.resolve(&pool).await?;
    let seen = response.elements.first();
    // The home is the registrar's business, and so is whom it tells the ASAP transport.
    let expected = seen.map(|seen| PoolElement {
        home: seen.home,
        asap_transport: seen.asap_transport.clone(),
        ..element.clone()
    });
    same("the element", &expected.as_ref(), &seen)
}

async fn policy_named(tester: Tester) -> Verdict {
    let policies: [Policy; 8] = [
        Policy::WeightedRoundRobin { weight: 1 },
        Policy::Random,
        Policy::WeightedRandom { weight: 1 },
        Policy::Priority { priority: 1 },
        Policy::LeastUsed { load: Load(1) },
        Policy::LeastUsedDegradation { load: Load(1), degradation: Load(1) },
        Policy::PriorityLeastUsed { load: Load(1), degradation: Load(1) },
        Policy::RandomizedLeastUsed { load: Load(1) },
    ];
    let mut probe = tester.probe().await?;
    for policy in policies {
        let expected = Some(policy.policy_type());
        let pool = probe.found(&[tester.element_with(policy)]).await?;
        let response = probe.resolve(&pool).await?;
        same("policy", &expected, &response.policy.as_ref().map(Policy::policy_type))?;
    }
    Ok(())
}

async fn round_robin_named(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let pool = probe.found(&[tester.element()]).await?;
    let response = probe.resolve(&pool).await?;
    let policy = response.policy.as_ref().map(Policy::policy_type);
    check(policy.is_none_or(|policy| policy == PolicyType::ROUND_ROBIN), "no policy or Round Robin", policy)
}

async fn over_the_elements_link(tester: Tester) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    same("the element", &vec![element.identifier], &probe.members(&pool).await?)
}

async fn in_order(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let known = probe.found(&[tester.element()]).await?;
    let asked: Vec<_> = (0..100).map(|i| if i % 3 == 0 { known.clone() } else { tester.pool() }).collect();
    for pool_handle in &asked {
        let pool_handle = pool_handle.borrowed();
        probe.send(HandleResolution { pool_handle, subscribe: false, items: None });
    }
    for pool_handle in &asked {
        same("answers in the order of the requests:", pool_handle, &probe.resolution().await?.pool_handle)?;
    }
    Ok(())
}

async fn one_answer(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let pool = probe.found(&[tester.element()]).await?;
    probe.resolve(&pool).await?;
    probe.resolve(&tester.pool()).await?;
    let more = probe.settle().await?.answers;
    check(more.is_empty(), "no further answer", more)
}

async fn many_links(tester: Tester) -> Verdict {
    let mut element = tester.probe().await?;
    let registered = tester.element();
    let pool = element.found(std::slice::from_ref(&registered)).await?;
    let mut users = Vec::new();
    for _ in 0..20 {
        users.push(tester.probe().await?);
    }
    for user in &mut users {
        same("the element", &vec![registered.identifier], &user.members(&pool).await?)?;
    }
    Ok(())
}

async fn items(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let elements = tester.elements(5, |_| Policy::Random);
    let pool = probe.found(&elements).await?;
    for items in [1, 3, 100] {
        let request = HandleResolution { pool_handle: pool.borrowed(), subscribe: false, items: Some(items) };
        let listed = probe.request(request).await?.elements.len();
        let limit = elements.len().min(items as usize);
        check(listed == limit || listed == elements.len(), format!("{limit} elements, or all"), listed)?;
    }
    Ok(())
}
