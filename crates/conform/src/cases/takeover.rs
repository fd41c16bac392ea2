//! Take-over (RFC 5353 §3.5): what a registrar does when others say that one is dead, and when it finds so itself. The tester
//! plays the dead one, the others, and the elements that get a new home.
use rserpool_wire::enrp::{Body, Message, TakeoverServer, UpdateAction};
use rserpool_wire::{PoolElement, PoolHandle, ServerId};

use crate::case::group;
use crate::host::Host;
use crate::outcome::{Problem, Verdict, check, same};
use crate::peer::Peer;
use crate::probe::KeepAlive;
use crate::tester::Tester;

group! { "takeover":
    "proposal-is-agreed-to" ["5353-3.5.1-04", "5353-3.5.1-11"] agreed;
    "proposal-for-an-unknown-target-is-agreed-to" ["5353-3.5.1-11"] unknown_target;
    "proposal-for-the-registrar-itself-is-answered-with-its-presence" ["5353-3.5.1-05"] itself;
    "registrar-that-was-taken-for-dead-keeps-its-elements" ["5353-3.5.1-05", "5353-3.5.1-06"] keeps_elements;
    "completed-takeover-moves-the-elements" ["5353-3.5.2-05"] completed;
    "completed-takeover-moves-only-those-of-the-target" ["5353-3.5.2-05"] only_the_targets;
    "silent-peer-is-proposed-for-takeover" ["5353-3.4.3-02", "5353-3.4.3-03", "5353-3.5.1-01", "5353-3.5.1-02"] silent_peer;
    "lost-peer-is-proposed-for-takeover" ["5353-3.4.3-03", "5353-3.5.1-01", "5353-3.5.1-02"] lost_peer;
    "proposal-goes-to-every-peer" ["5353-3.5.1-01", "5353-3.5.1-03"] every_peer;
    "agreed-takeover-is-completed" ["5353-3.5.1-12", "5353-3.5.2-01", "5353-3.5.2-02"] agreed_is_completed;
    "registrar-becomes-home-of-what-it-takes-over" ["5353-3.5.2-04"] becomes_home;
    "elements-taken-over-get-the-h-bit" ["5353-3.5.2-04", "5352-2.2.7-01"] home_bit;
    "elements-taken-over-that-answer-stay" ["5353-3.5.2-04", "5352-3.5-07"] answering_stay;
    "elements-taken-over-that-are-silent-are-removed" ["5352-3.5-10", "5353-3.3.2-01"] silent_removed;
    "target-that-speaks-stops-the-takeover" ["5353-3.5.1-06", "5353-3.5.1-13"] target_speaks;
    "registrar-yields-to-one-that-goes-first" ["5353-3.5.1-07", "5353-3.5.1-08", "5353-3.5.1-09"] yields;
    "registrar-does-not-yield-to-one-that-goes-after-it" ["5353-3.5.1-07", "5353-3.5.1-10"] does_not_yield;
    "unasked-agreement-is-harmless" ["5353-3.5.1-12"] unasked_agreement;
}

/// Whether this is an agreement to the take-over of `target`.
fn agreement(target: ServerId) -> impl FnMut(&Message<'_>) -> Option<()> {
    move |message| matches!(&message.body, Body::InitTakeoverAck(ack) if ack.target == target).then_some(())
}

/// Whether this proposes the take-over of `target`; gives the sender.
fn proposal(target: ServerId) -> impl FnMut(&Message<'_>) -> Option<ServerId> {
    move |message| match &message.body {
        Body::InitTakeover(init) if init.target == target => Some(message.sender),
        _ => None,
    }
}

/// Whether this says that `target` was taken over; gives the sender.
fn completion(target: ServerId) -> impl FnMut(&Message<'_>) -> Option<ServerId> {
    move |message| match &message.body {
        Body::TakeoverServer(done) if done.target == target => Some(message.sender),
        _ => None,
    }
}

/// Two peers; the first owns an element.
struct Scene {
    target: Peer,
    other: Peer,
    pool: PoolHandle<'static>,
    element: PoolElement,
}

impl Scene {
    async fn new(tester: &Tester) -> Verdict<Self> {
        Self::with(tester, tester.element(), tester.server_id()).await
    }

    async fn with(tester: &Tester, element: PoolElement, other: ServerId) -> Verdict<Self> {
        let (mut target, mut other) = (tester.peer().await?, tester.peer_as(other).await?);
        let pool = tester.pool();
        let element = target.announce(&pool, &element);
        target.settle().await?;
        other.settle().await?;
        Ok(Self { target, other, pool, element })
    }

    /// Waits for the proposal to take the target over, which the other peer sees.
    async fn proposed(other: &mut Peer, target: ServerId) -> Verdict {
        let patience = other.tester.patience().timers;
        let expected = format!("an ENRP_INIT_TAKEOVER for {target}");
        let sender = other.expect_within(patience, &expected, proposal(target)).await?;
        same("sender", &other.registrar, &sender)
    }

    /// Waits for the completion.
    async fn completed(other: &mut Peer, target: ServerId) -> Verdict {
        let patience = other.tester.patience().timers;
        let expected = format!("an ENRP_TAKEOVER_SERVER for {target}");
        let sender = other.expect_within(patience, &expected, completion(target)).await?;
        same("sender", &other.registrar, &sender)
    }
}

/// Waits until users see this home of the only element of a pool.
async fn home_is(tester: &Tester, pool: &PoolHandle<'_>, home: ServerId) -> Verdict {
    let expected = format!("the home {home}");
    let patience = tester.patience().timers;
    let mut user = tester.probe().await?;
    user.until(pool, patience, &expected, |response| {
        response.elements.first().is_some_and(|element| element.home == home)
    })
    .await
    .map(drop)
}

async fn agreed(tester: Tester) -> Verdict {
    let Scene { target, mut other, .. } = Scene::new(&tester).await?;
    other.propose_takeover(target.id);
    other.expect("an ENRP_INIT_TAKEOVER_ACK", agreement(target.id)).await
}

async fn unknown_target(tester: Tester) -> Verdict {
    let (mut peer, target) = (tester.peer().await?, tester.server_id());
    peer.propose_takeover(target);
    peer.expect("an ENRP_INIT_TAKEOVER_ACK", agreement(target)).await
}

async fn itself(tester: Tester) -> Verdict {
    let mut peer = tester.peer().await?;
    let target = peer.registrar;
    peer.propose_takeover(target);
    let mut answers = peer.settle().await?;
    answers.retain(|answer| answer.first() == Some(&8));
    check(answers.is_empty(), "no ENRP_INIT_TAKEOVER_ACK", &answers)?;
    peer.propose_takeover(target);
    let presence = |message: &Message<'_>| matches!(message.body, Body::Presence(_)).then_some(());
    peer.expect("an ENRP_PRESENCE", presence).await
}

async fn keeps_elements(tester: Tester) -> Verdict {
    let (mut peer, mut probe, element) = (tester.peer().await?, tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    peer.propose_takeover(peer.registrar);
    peer.settle().await?;
    let home = probe.resolve(&pool).await?.elements.first().map(|element| element.home);
    same("home", &Some(peer.registrar), &home)
}

async fn completed(tester: Tester) -> Verdict {
    let Scene { target, mut other, pool, .. } = Scene::new(&tester).await?;
    other.propose_takeover(target.id);
    other.expect("an ENRP_INIT_TAKEOVER_ACK", agreement(target.id)).await?;
    other.send(Body::TakeoverServer(TakeoverServer { target: target.id }));
    other.settle().await?;
    home_is(&tester, &pool, other.id).await
}

async fn only_the_targets(tester: Tester) -> Verdict {
    let Scene { target, mut other, .. } = Scene::new(&tester).await?;
    let (mut third, mut probe, own) = (tester.peer().await?, tester.probe().await?, tester.element());
    let pools = [tester.pool(), tester.pool()];
    let [first, second] = &pools;
    third.announce(first, &tester.element());
    third.settle().await?;
    probe.join(second, &own).await?;
    other.send(Body::TakeoverServer(TakeoverServer { target: target.id }));
    other.settle().await?;
    for (pool, home) in [(first, third.id), (second, third.registrar)] {
        let seen = probe.resolve(pool).await?.elements.first().map(|element| element.home);
        same("home", &Some(home), &seen)?;
    }
    Ok(())
}

async fn silent_peer(tester: Tester) -> Verdict {
    let Scene { target, mut other, .. } = Scene::new(&tester).await?;
    target.mute();
    Scene::proposed(&mut other, target.id).await
}

async fn lost_peer(tester: Tester) -> Verdict {
    let Scene { target, mut other, .. } = Scene::new(&tester).await?;
    let id = target.id;
    drop(target);
    Scene::proposed(&mut other, id).await
}

async fn every_peer(tester: Tester) -> Verdict {
    let Scene { target, mut other, .. } = Scene::new(&tester).await?;
    let mut third = tester.peer().await?;
    let id = target.id;
    drop(target);
    Scene::proposed(&mut other, id).await?;
    Scene::proposed(&mut third, id).await
}

async fn agreed_is_completed(tester: Tester) -> Verdict {
    let Scene { target, mut other, .. } = Scene::new(&tester).await?;
    let id = target.id;
    other.withhold(id);
    drop(target);
    Scene::proposed(&mut other, id).await?;
    other.agree(id);
    Scene::completed(&mut other, id).await
}

async fn becomes_home(tester: Tester) -> Verdict {
    let host = Host::new(&tester).await?;
    let Scene { target, mut other, pool, element } =
        Scene::with(&tester, host.element.clone(), tester.server_id()).await?;
    let id = target.id;
    drop(target);
    Scene::completed(&mut other, id).await?;
    let mut probe = host.called(&pool).await?;
    probe.keep_alive().await?;
    home_is(&tester, &pool, other.registrar).await?;
    same("the element", &vec![element.identifier], &tester.probe().await?.members(&pool).await?)
}

async fn home_bit(tester: Tester) -> Verdict {
    let host = Host::new(&tester).await?;
    let Scene { target, other, pool, .. } =
        Scene::with(&tester, host.element.clone(), tester.server_id()).await?;
    drop(target);
    let mut probe = host.called(&pool).await?;
    let KeepAlive { home, server, pool_handle, .. } = probe.keep_alive().await?;
    same("H bit", &true, &home)?;
    same("server identifier", &other.registrar, &server)?;
    same("pool", &pool, &pool_handle)
}

async fn answering_stay(tester: Tester) -> Verdict {
    let host = Host::new(&tester).await?;
    let Scene { target, other, pool, element } =
        Scene::with(&tester, host.element.clone(), tester.server_id()).await?;
    drop(target);
    let mut probe = host.called(&pool).await?;
    // The first one makes the registrar its home; the next ones come because it is.
    for _ in 0..3 {
        probe.keep_alive().await?;
    }
    drop(other);
    same("the element", &vec![element.identifier], &tester.probe().await?.members(&pool).await?)
}

async fn silent_removed(tester: Tester) -> Verdict {
    let host = Host::new(&tester).await?;
    let Scene { target, mut other, pool, element } =
        Scene::with(&tester, host.element.clone(), tester.server_id()).await?;
    drop(target);
    let probe = host.called(&pool).await?;
    probe.mute();
    drop(probe);
    let patience = tester.patience().timers;
    other.expect_update(patience, UpdateAction::Delete, &pool, element.identifier).await?;
    tester.probe().await?.until_gone(&pool, element.identifier, patience).await
}

async fn target_speaks(tester: Tester) -> Verdict {
    let Scene { mut target, mut other, pool, .. } = Scene::new(&tester).await?;
    other.withhold(target.id);
    target.mute();
    Scene::proposed(&mut other, target.id).await?;
    // The registrar has announced it to all, and the target hears of it as well.
    target.speak();
    target.introduce().await?;
    // An old heartbeat may have been taken for the answer; this one shows that the presence was heard.
    target.settle().await?;
    other.agree(target.id);
    other.settle().await?;
    home_is(&tester, &pool, target.id).await
}

/// An identifier on the wanted side of the registrar's: one to which it must yield, or one to which it must not.
async fn rival(tester: &Tester, yields: bool) -> Verdict<ServerId> {
    let registrar = tester.peer().await?.registrar;
    let smaller = if registrar.0 > 2 { rand::random_range(1..registrar.0) } else { 0 };
    let larger = if registrar.0 < u32::MAX - 1 { rand::random_range(registrar.0 + 1..u32::MAX) } else { 0 };
    let candidates = [ServerId(smaller), ServerId(larger)];
    let fits = |id: &ServerId| !id.is_none() && tester.dialect().yields_takeover(registrar, *id) == yields;
    candidates.into_iter().find(fits).ok_or_else(|| {
        Problem::skipped(format!("the registrar's identifier {registrar} leaves no room for a rival"))
    })
}

async fn yields(tester: Tester) -> Verdict {
    let rival = rival(&tester, true).await?;
    let Scene { target, mut other, pool, .. } = Scene::with(&tester, tester.element(), rival).await?;
    let id = target.id;
    other.withhold(id);
    target.mute();
    Scene::proposed(&mut other, id).await?;
    other.propose_takeover(id);
    other.expect("an ENRP_INIT_TAKEOVER_ACK", agreement(id)).await?;
    other.send(Body::TakeoverServer(TakeoverServer { target: id }));
    other.settle().await?;
    home_is(&tester, &pool, other.id).await
}

async fn does_not_yield(tester: Tester) -> Verdict {
    let rival = rival(&tester, false).await?;
    let Scene { target, mut other, .. } = Scene::with(&tester, tester.element(), rival).await?;
    let id = target.id;
    other.withhold(id);
    target.mute();
    Scene::proposed(&mut other, id).await?;
    other.propose_takeover(id);
    let answers = other.settle().await?;
    let dialect = tester.dialect();
    for answer in &answers {
        let message = crate::inspect::enrp(answer, dialect)?;
        let agrees = matches!(&message.body, Body::InitTakeoverAck(ack) if ack.target == id);
        check(!agrees, "no ENRP_INIT_TAKEOVER_ACK", message.body)?;
    }
    Ok(())
}

async fn unasked_agreement(tester: Tester) -> Verdict {
    let Scene { target, mut other, pool, .. } = Scene::new(&tester).await?;
    other.agree(target.id);
    other.agree(tester.server_id());
    other.settle().await?;
    home_is(&tester, &pool, target.id).await
}
