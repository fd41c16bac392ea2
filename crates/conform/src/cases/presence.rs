//! Presences and the peer list (RFC 5353 §3.2.2, §3.4).
use rserpool_wire::ServerId;
use rserpool_wire::enrp::{Body, Message, Presence};
use tokio::time::Instant;

use crate::case::group;
use crate::inspect;
use crate::outcome::{Problem, Verdict, check, same};
use crate::raw;
use crate::tester::Tester;

group! { "presence":
    "presence-that-requires-a-reply-is-answered" ["5353-2.1-04", "5353-3.4-01"] answered;
    "reply-says-where-the-registrar-is" ["5353-2.1-04"] reply_says_where;
    "reply-requires-no-reply" ["5353-3.4.2-02"] reply_requires_none;
    "presence-carries-a-checksum" ["5353-2.1-03", "5353-3.6.1-02"] checksum;
    "server-identifier-is-not-zero" ["5353-2.1-05", "5353-3.2.1-01"] identifier;
    "server-identifier-is-the-same-on-all-links" ["5353-2.1-05", "5353-3.2.1-01"] one_identifier;
    "unknown-peer-is-asked-for-its-presence" ["5353-3.4.1-01", "5353-3.4.1-02"] unknown_peer;
    "heartbeats-come" ["5353-3.4.2-01"] heartbeats;
    "heartbeats-require-no-reply" ["5353-3.4.2-02", "5353-2.1-01"] heartbeat_flags;
    "silent-peer-is-asked" ["5353-3.4.3-01", "5353-3.4.3-02"] silent_peer;
    "list-request-is-answered" ["5353-3.2.2.2-04", "5353-2.6-01"] list;
    "list-names-known-peers" ["5353-3.2.2.2-04", "5353-3.4.1-01"] list_names_peers;
    "list-forgets-dead-peers" ["5353-3.4.3-03", "5353-3.5.2-03"] list_forgets;
    "presence-without-parameters-is-taken" ["5353-2.1-03", "5353-3.4.1-01"] bare;
}

/// The next presence that requires no reply.
fn plain(message: &Message<'_>) -> Option<(ServerId, ServerId, Presence)> {
    match &message.body {
        Body::Presence(presence) if !presence.reply_required => {
            Some((message.sender, message.receiver, presence.clone()))
        }
        _ => None,
    }
}

async fn answered(tester: Tester) -> Verdict {
    const ASKED: usize = 10;
    let mut peer = tester.peer().await?;
    peer.settle().await?;
    for _ in 0..ASKED {
        peer.send(Body::Presence(Presence {
            reply_required: true,
            checksum: Some(0xffff),
            information: None,
        }));
    }
    let dialect = tester.dialect();
    let mut answers = 0;
    for message in peer.settle().await? {
        answers += usize::from(plain(&inspect::enrp(&message, dialect)?).is_some());
    }
    // A heartbeat may be among them.
    check(answers >= ASKED, format!("{ASKED} presences in answer to as many"), answers)
}

/// What answers a presence that requires it.
async fn reply(tester: &Tester) -> Verdict<(ServerId, ServerId, Presence)> {
    let mut peer = tester.stranger().await?;
    peer.send(Body::Presence(Presence { reply_required: true, checksum: Some(0xffff), information: None }));
    peer.expect("an ENRP_PRESENCE in answer", plain).await
}

async fn reply_says_where(tester: Tester) -> Verdict {
    let (sender, _, presence) = reply(&tester).await?;
    let information = presence.information.as_ref();
    let right = information.is_some_and(|known| known.identifier == sender && known.transport.port() != 0);
    check(right, "Server Information of the registrar", presence)
}

async fn reply_requires_none(tester: Tester) -> Verdict {
    let (sender, receiver, presence) = reply(&tester).await?;
    same("reply-required flag", &false, &presence.reply_required)?;
    check(receiver != sender, "this peer or 0 as receiver", receiver)
}

async fn checksum(tester: Tester) -> Verdict {
    let (_, _, presence) = reply(&tester).await?;
    check(presence.checksum.is_some(), "a PE Checksum parameter", presence)
}

async fn identifier(tester: Tester) -> Verdict {
    let (sender, _, _) = reply(&tester).await?;
    check(!sender.is_none(), "an identifier that is not 0", sender)
}

async fn one_identifier(tester: Tester) -> Verdict {
    let peers = [tester.peer().await?, tester.peer().await?];
    let [first, second] = peers.map(|peer| peer.registrar);
    same("identifier", &first, &second)?;
    let mut probe = tester.probe().await?;
    let pool = probe.found(&[tester.element()]).await?;
    let home = probe.resolve(&pool).await?.elements.first().map(|element| element.home);
    same("the same as home of its elements:", &Some(first), &home)
}

async fn unknown_peer(tester: Tester) -> Verdict {
    let mut peer = tester.stranger().await?;
    peer.send(Body::ListRequest);
    let asks = |message: &Message<'_>| match &message.body {
        Body::Presence(presence) if presence.reply_required => Some(()),
        _ => None,
    };
    peer.expect("an ENRP_PRESENCE with the reply-required flag", asks).await
}

async fn heartbeats(tester: Tester) -> Verdict {
    let mut peer = tester.peer().await?;
    let started = Instant::now();
    for _ in 0..3 {
        peer.expect_within(tester.patience().timers, "a heartbeat: an ENRP_PRESENCE unasked", plain).await?;
    }
    check(started.elapsed() < tester.patience().timers * 3, "three heartbeats", started.elapsed())
}

async fn heartbeat_flags(tester: Tester) -> Verdict {
    let mut peer = tester.peer().await?;
    // The peer answers all that it is asked, so that it has no cause to be asked again.
    for _ in 0..2 {
        let expected = "a heartbeat: an ENRP_PRESENCE unasked";
        let (sender, receiver, presence) =
            peer.expect_within(tester.patience().timers, expected, plain).await?;
        same("sender", &peer.registrar, &sender)?;
        check(receiver.is_none() || receiver == peer.id, "receiver 0 or this peer", receiver)?;
        check(presence.checksum.is_some(), "a PE Checksum parameter", presence)?;
    }
    Ok(())
}

async fn silent_peer(tester: Tester) -> Verdict {
    let mut peer = tester.peer().await?;
    let asks = |message: &Message<'_>| match &message.body {
        Body::Presence(presence) if presence.reply_required => Some(message.receiver),
        _ => None,
    };
    // One may have come when the link was new.
    peer.settle().await?;
    peer.mute();
    let expected = "an ENRP_PRESENCE with the reply-required flag";
    let receiver = peer.expect_within(tester.patience().timers, expected, asks).await?;
    check(receiver.is_none() || receiver == peer.id, "receiver 0 or this peer", receiver)
}

/// The identifiers in a list response.
async fn listed(tester: &Tester) -> Verdict<(bool, Vec<ServerId>)> {
    let mut peer = tester.peer().await?;
    peer.send(Body::ListRequest);
    let list = |message: &Message<'_>| match &message.body {
        Body::ListResponse(response) => {
            let identifiers = response.servers.iter().map(|server| server.identifier).collect();
            Some((response.rejected, identifiers))
        }
        _ => None,
    };
    peer.expect("an ENRP_LIST_RESPONSE", list).await
}

async fn list(tester: Tester) -> Verdict {
    let (rejected, _) = listed(&tester).await?;
    same("R flag", &false, &rejected)
}

async fn list_names_peers(tester: Tester) -> Verdict {
    let mut known = tester.peer().await?;
    if !known.is_reachable() {
        return Err(Problem::skipped("needs keys to be connected to: a list says where registrars are"));
    }
    known.settle().await?;
    let (_, servers) = listed(&tester).await?;
    check(servers.contains(&known.id), format!("{} in the list", known.id), servers)
}

async fn list_forgets(tester: Tester) -> Verdict {
    let mut known = tester.peer().await?;
    known.settle().await?;
    let id = known.id;
    drop(known);
    let deadline = Instant::now() + tester.patience().timers;
    loop {
        let (_, servers) = listed(&tester).await?;
        if !servers.contains(&id) {
            return Ok(());
        }
        check(Instant::now() < deadline, format!("{id} to leave the list"), &servers)?;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn bare(tester: Tester) -> Verdict {
    let mut peer = tester.stranger().await?;
    peer.unanswered(raw::enrp(raw::PRESENCE, peer.id, &[])).await
}
