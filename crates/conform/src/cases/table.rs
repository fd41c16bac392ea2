//! Downloads of the handlespace (RFC 5353 §3.2.3, §3.6.3), and the checksum over what the registrar owns (§3.6.2).
use std::collections::BTreeSet;

use rserpool_wire::enrp::{Body, Message};
use rserpool_wire::{Load, PeIdentifier, Policy, PoolElement, PoolHandle, Transport};

use crate::case::group;
use crate::checksum::checksum;
use crate::conduct::Entry;
use crate::outcome::{Problem, Verdict, check, same};
use crate::peer::Peer;
use crate::tester::Tester;

group! { "table":
    "table-request-is-answered" ["5353-3.2.3-03", "5353-2.3-01"] answered;
    "table-has-elements-as-registered" ["5353-3.2.3-03", "5353-2.3-04"] as_registered;
    "table-names-the-registrar-as-home-of-its-own" ["5353-3.2.3-03", "5352-3.1-26"] names_home;
    "table-has-elements-of-peers" ["5353-3.2.3-03"] of_peers;
    "table-of-own-children-has-no-others" ["5353-3.6.3-04"] own_children;
    "table-comes-in-parts" ["5353-3.2.3-04", "5353-3.2.3-05", "5353-3.2.3-06"] parts;
    "parts-of-a-table-have-each-element-once" ["5353-3.2.3-05", "5353-3.2.3-06"] once;
    "download-over-a-new-link-begins-anew" ["5353-3.2.3-03", "5353-3.2.3-20"] anew;
    "two-downloads-at-once-are-both-whole" ["5353-3.2.3-05"] two_at_once;
    alone "checksum-is-over-the-elements-owned" ["5353-3.6.2-02", "5353-3.6.2-03", "5353-3.6.1-02"] checksum_of_own;
    alone "checksum-follows-registrations" ["5353-3.6.2-04"] checksum_follows;
    alone "checksum-leaves-out-elements-of-peers" ["5353-3.6.2-03"] checksum_of_peers;
}

/// An element with a transport so large that a few dozen of them do not fit a message.
fn large(tester: &Tester) -> PoolElement {
    PoolElement { user_transport: Transport::Opaque(vec![0x55; 1_200].into()), ..tester.element() }
}

fn find<'a>(
    parts: &'a [Vec<Entry>],
    pool: &PoolHandle<'_>,
    identifier: PeIdentifier,
) -> Option<&'a PoolElement> {
    let mut entries = parts.iter().flatten();
    let found = entries.find(|(handle, element)| handle == pool && element.identifier == identifier);
    found.map(|(_, element)| element)
}

async fn answered(tester: Tester) -> Verdict {
    let (mut peer, mut probe) = (tester.peer().await?, tester.probe().await?);
    probe.found(&[tester.element()]).await?;
    peer.download(false).await.map(drop)
}

async fn as_registered(tester: Tester) -> Verdict {
    let (mut peer, mut probe) = (tester.peer().await?, tester.probe().await?);
    let asap_transport = Some(Transport::Tcp(probe.local));
    let policy = Policy::PriorityLeastUsed { load: Load(1), degradation: Load(2) };
    let element = PoolElement { asap_transport, ..tester.element_with(policy) };
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    let parts = peer.download(false).await?;
    let seen = find(&parts, &pool, element.identifier);
    // Which ASAP transport it has is up to the registrar (RFC 5352 §3.1, rule 4).
    let asap_transport = seen.and_then(|seen| seen.asap_transport.clone());
    let expected = PoolElement { home: peer.registrar, asap_transport, ..element };
    same("element", &Some(&expected), &seen)
}

async fn names_home(tester: Tester) -> Verdict {
    let (mut peer, mut probe) = (tester.peer().await?, tester.probe().await?);
    probe.found(&[tester.element()]).await?;
    let parts = peer.download(true).await?;
    let foreign = parts.iter().flatten().find(|(_, element)| element.home != peer.registrar);
    check(foreign.is_none(), "only elements whose home is the registrar", foreign)
}

async fn of_peers(tester: Tester) -> Verdict {
    let (mut peer, mut other) = (tester.peer().await?, tester.peer().await?);
    let pool = tester.pool();
    let element = other.announce(&pool, &tester.element());
    other.settle().await?;
    let parts = peer.download(false).await?;
    same("element of another registrar", &Some(&element), &find(&parts, &pool, element.identifier))
}

async fn own_children(tester: Tester) -> Verdict {
    let (mut peer, mut probe, own) = (tester.peer().await?, tester.probe().await?, tester.element());
    let (pool, element) = (tester.pool(), tester.element());
    peer.announce(&pool, &element);
    probe.join(&pool, &own).await?;
    peer.settle().await?;
    let parts = peer.download(true).await?;
    check(find(&parts, &pool, element.identifier).is_none(), "no element of others", &pool)?;
    check(find(&parts, &pool, own.identifier).is_some(), "the registrar's own element", &pool)
}

/// A peer, and a pool that needs several messages.
async fn large_pool(
    tester: &Tester,
) -> Verdict<(Peer, crate::probe::Probe, PoolHandle<'static>, BTreeSet<PeIdentifier>)> {
    let (peer, mut probe) = (tester.peer().await?, tester.probe().await?);
    let elements: Vec<_> = (0..120).map(|_| large(tester)).collect();
    let pool = probe.found(&elements).await?;
    let identifiers = elements.iter().map(|element| element.identifier).collect();
    Ok((peer, probe, pool, identifiers))
}

fn of_pool(parts: &[Vec<Entry>], pool: &PoolHandle<'_>) -> Vec<PeIdentifier> {
    let entries = parts.iter().flatten().filter(|(handle, _)| handle == pool);
    entries.map(|(_, element)| element.identifier).collect()
}

async fn parts(tester: Tester) -> Verdict {
    let (mut peer, probe, pool, identifiers) = large_pool(&tester).await?;
    let parts = peer.download(true).await?;
    drop(probe);
    check(parts.len() > 1, "several responses", parts.len())?;
    same("all elements", &identifiers, &of_pool(&parts, &pool).into_iter().collect())
}

async fn once(tester: Tester) -> Verdict {
    let (mut peer, probe, pool, identifiers) = large_pool(&tester).await?;
    let parts = peer.download(false).await?;
    drop(probe);
    same("each element once", &identifiers.len(), &of_pool(&parts, &pool).len())
}

async fn anew(tester: Tester) -> Verdict {
    let (mut peer, probe, pool, identifiers) = large_pool(&tester).await?;
    // The first part only.
    peer.send(Body::HandleTableRequest(rserpool_wire::enrp::HandleTableRequest { own_children_only: true }));
    let more = |message: &Message<'_>| match &message.body {
        Body::HandleTableResponse(response) => Some(response.more),
        _ => None,
    };
    let more = peer.expect("an ENRP_HANDLE_TABLE_RESPONSE", more).await?;
    same("M flag", &true, &more)?;
    let parts = tester.peer().await?.download(true).await?;
    drop(probe);
    same("all elements", &identifiers, &of_pool(&parts, &pool).into_iter().collect())
}

async fn two_at_once(tester: Tester) -> Verdict {
    let (mut first, probe, pool, identifiers) = large_pool(&tester).await?;
    let mut second = tester.peer().await?;
    let (a, b) = tokio::join!(first.download(true), second.download(true));
    drop(probe);
    for parts in [a?, b?] {
        same("all elements", &identifiers, &of_pool(&parts, &pool).into_iter().collect())?;
    }
    Ok(())
}

/// The checksum that the registrar tells.
async fn told(peer: &mut Peer) -> Verdict<u16> {
    // What has come until now may be older than the last change.
    peer.settle().await?;
    let presence = peer.ask_presence().await?;
    presence.checksum.ok_or_else(|| Problem::failed("a PE Checksum parameter", format!("{presence:?}")))
}

/// Waits until nothing changes any more, and compares the checksum told with that over the elements told, which it gives:
/// what other cases have left may still be on its way out, from one call to the next too.
async fn agrees(peer: &mut Peer) -> Verdict<BTreeSet<(PoolHandle<'static>, PeIdentifier)>> {
    let (mut expected, mut seen) = (0, 0);
    for _ in 0..50 {
        let before = told(peer).await?;
        let parts = peer.download(true).await?;
        let own: BTreeSet<_> =
            parts.into_iter().flatten().map(|(pool, element)| (pool, element.identifier)).collect();
        (expected, seen) =
            (checksum(own.iter().map(|(pool, identifier)| (pool, *identifier))), told(peer).await?);
        if before == seen && seen == expected {
            return Ok(own);
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Err(Problem::failed(format!("checksum 0x{expected:04x}"), format!("0x{seen:04x}")))
}

async fn checksum_of_own(tester: Tester) -> Verdict {
    let (mut peer, mut probe) = (tester.peer().await?, tester.probe().await?);
    for length in 0..5 {
        let pool: PoolHandle<'static> = [tester.pool().as_bytes(), &vec![0xee; length]].concat().into();
        for element in tester.elements(3, |_| Policy::RoundRobin) {
            probe.join(&pool, &element).await?;
        }
    }
    agrees(&mut peer).await.map(drop)
}

async fn checksum_follows(tester: Tester) -> Verdict {
    let (mut peer, mut probe, element) = (tester.peer().await?, tester.probe().await?, tester.element());
    agrees(&mut peer).await?;
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    let entry = (pool, element.identifier);
    check(agrees(&mut peer).await?.contains(&entry), "the checksum to count the new element", &entry)?;
    probe.leave(&entry.0, entry.1).await?;
    check(!agrees(&mut peer).await?.contains(&entry), "the checksum not to count it any more", &entry)
}

async fn checksum_of_peers(tester: Tester) -> Verdict {
    let mut peer = tester.peer().await?;
    agrees(&mut peer).await?;
    let (pool, element) = (tester.pool(), tester.element());
    peer.announce(&pool, &element);
    let entry = (pool, element.identifier);
    check(!agrees(&mut peer).await?.contains(&entry), "the checksum to be over own elements alone", &entry)
}
