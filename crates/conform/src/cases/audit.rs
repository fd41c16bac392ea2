//! Auditing and resynchronisation (RFC 5353 §3.6): a registrar compares the checksum that a peer tells with its own copy, and
//! fetches anew what differs.
use rserpool_wire::enrp::{Body, Message};
use rserpool_wire::{Policy, PoolElement, PoolHandle};

use crate::case::group;
use crate::conduct::Table;
use crate::inspect;
use crate::outcome::{Verdict, same};
use crate::peer::Peer;
use crate::probe::sorted;
use crate::tester::Tester;

group! { "audit":
    "right-checksum-leads-to-nothing" ["5353-3.6.1-01", "5353-3.6.1-03"] right;
    "right-checksum-over-odd-handles-leads-to-nothing" ["5353-3.6.2-01", "5353-3.6.2-02"] odd_handles;
    "wrong-checksum-leads-to-a-table-request" ["5353-3.6.1-04", "5353-3.6.3-01", "5353-3.6.3-03"] wrong;
    "missed-element-is-added" ["5353-3.6.3-05"] added;
    "missed-change-is-made-up-for" ["5353-3.6.3-05", "5353-3.6.3-06"] changed;
    "missed-removal-is-made-up-for" ["5353-3.6.3-02", "5353-3.6.3-07", "5353-3.6.3-08"] removed;
    "elements-that-are-listed-stay" ["5353-3.6.3-06", "5353-3.6.3-08"] listed_stay;
    "table-in-parts-is-fetched-whole" ["5353-3.6.3-05", "5353-3.2.3-08"] in_parts;
    "rejected-request-changes-nothing" ["5353-3.6.3-08", "5353-2.3-01"] rejected;
}

/// A peer that owns elements which the registrar knows of.
async fn scene(tester: &Tester, count: u32) -> Verdict<(Peer, PoolHandle<'static>, Vec<PoolElement>)> {
    let (mut peer, pool) = (tester.peer().await?, tester.pool());
    let elements = tester.elements(count, |i| Policy::WeightedRandom { weight: i + 1 });
    let elements = elements.iter().map(|element| peer.announce(&pool, element)).collect();
    peer.settle().await?;
    Ok((peer, pool, elements))
}

/// How many table requests have come, and come before the answer to a further request.
async fn requests(peer: &mut Peer) -> Verdict<usize> {
    let dialect = peer.tester.dialect();
    let mut requests = 0;
    for message in peer.settle().await? {
        requests +=
            usize::from(matches!(inspect::enrp(&message, dialect)?.body, Body::HandleTableRequest(_)));
    }
    Ok(requests)
}

/// Tells the checksum over what the peer owns by now, until the registrar asks for it. It may leave some time between
/// two resynchronisations.
async fn resynchronize(peer: &mut Peer) -> Verdict {
    peer.send_presence(None);
    let asks = |message: &Message<'_>| match &message.body {
        Body::HandleTableRequest(request) => Some(request.own_children_only),
        _ => None,
    };
    let own_children_only = peer.expect("an ENRP_HANDLE_TABLE_REQUEST", asks).await?;
    same("W flag", &true, &own_children_only)
}

/// Waits until users see these elements in the pool.
async fn users_see(peer: &Peer, pool: &PoolHandle<'_>, elements: &[PoolElement]) -> Verdict {
    let (patience, expected) = (peer.tester.patience().answer, sorted(elements));
    let mut user = peer.tester.probe().await?;
    let told = format!("the elements {expected:?}");
    user.until(pool, patience, &told, |response| crate::probe::identifiers(response) == expected)
        .await
        .map(drop)
}

async fn right(tester: Tester) -> Verdict {
    let (mut peer, _, _) = scene(&tester, 3).await?;
    peer.send_presence(None);
    same("no table request", &0, &requests(&mut peer).await?)
}

async fn odd_handles(tester: Tester) -> Verdict {
    let mut peer = tester.peer().await?;
    for length in 1..8 {
        let pool: PoolHandle<'static> = [tester.pool().as_bytes(), &vec![0xfe; length]].concat().into();
        for element in tester.elements(2, |_| Policy::RoundRobin) {
            peer.announce(&pool, &element);
        }
    }
    peer.settle().await?;
    peer.send_presence(None);
    same("no table request", &0, &requests(&mut peer).await?)
}

async fn wrong(tester: Tester) -> Verdict {
    let (mut peer, pool, _) = scene(&tester, 2).await?;
    peer.own(&pool, &tester.element_with(Policy::WeightedRandom { weight: 9 }));
    resynchronize(&mut peer).await
}

async fn added(tester: Tester) -> Verdict {
    let (mut peer, pool, mut elements) = scene(&tester, 2).await?;
    elements.push(peer.own(&pool, &tester.element_with(Policy::WeightedRandom { weight: 9 })));
    resynchronize(&mut peer).await?;
    users_see(&peer, &pool, &elements).await
}

async fn changed(tester: Tester) -> Verdict {
    let (mut peer, pool, elements) = scene(&tester, 2).await?;
    // A change of attributes alone does not show in the checksum; one more element makes the registrar look.
    let Some(first) = elements.first() else { return Ok(()) };
    let policy = Policy::WeightedRandom { weight: 99 };
    peer.own(&pool, &PoolElement { policy: policy.clone(), ..first.clone() });
    peer.own(&pool, &tester.element_with(Policy::WeightedRandom { weight: 9 }));
    resynchronize(&mut peer).await?;
    let mut user = tester.probe().await?;
    let has_changed =
        |element: &PoolElement| element.identifier == first.identifier && element.policy == policy;
    let expected = "the element with its new weight 99";
    user.until(&pool, tester.patience().answer, expected, |response| {
        response.elements.iter().any(has_changed)
    })
    .await
    .map(drop)
}

async fn removed(tester: Tester) -> Verdict {
    let (mut peer, pool, mut elements) = scene(&tester, 3).await?;
    if let Some(gone) = elements.pop() {
        peer.disown(&pool, gone.identifier);
    }
    resynchronize(&mut peer).await?;
    users_see(&peer, &pool, &elements).await
}

async fn listed_stay(tester: Tester) -> Verdict {
    let (mut peer, pool, mut elements) = scene(&tester, 5).await?;
    let mut probe = tester.probe().await?;
    let own = tester.element_with(Policy::WeightedRandom { weight: 7 });
    probe.join(&pool, &own).await?;
    elements.push(own);
    let gone = elements.remove(2);
    peer.disown(&pool, gone.identifier);
    resynchronize(&mut peer).await?;
    users_see(&peer, &pool, &elements).await
}

async fn in_parts(tester: Tester) -> Verdict {
    let (mut peer, pool, mut elements) = scene(&tester, 1).await?;
    peer.serve_table(Table::Parts);
    for weight in 10..16 {
        elements.push(peer.own(&pool, &tester.element_with(Policy::WeightedRandom { weight })));
    }
    resynchronize(&mut peer).await?;
    let asks = |message: &Message<'_>| match &message.body {
        Body::HandleTableRequest(request) => Some(request.own_children_only),
        _ => None,
    };
    for _ in 1..elements.len() {
        let own_children_only = peer.expect("an ENRP_HANDLE_TABLE_REQUEST for the next part", asks).await?;
        same("W flag", &true, &own_children_only)?;
    }
    users_see(&peer, &pool, &elements).await
}

async fn rejected(tester: Tester) -> Verdict {
    let (mut peer, pool, mut elements) = scene(&tester, 3).await?;
    peer.serve_table(Table::Rejected);
    let hidden = elements.pop();
    if let Some(element) = &hidden {
        peer.disown(&pool, element.identifier);
    }
    resynchronize(&mut peer).await?;
    peer.settle().await?;
    elements.extend(hidden);
    users_see(&peer, &pool, &elements).await
}
