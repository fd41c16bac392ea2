//! Keep-alives (RFC 5352 §3.4, §3.5): a registrar looks after the elements whose home it is.
use std::collections::BTreeSet;
use std::time::Duration;

use rserpool_wire::PeIdentifier;
use rserpool_wire::asap::EndpointKeepAliveAck;
use tokio::time::Instant;

use crate::case::group;
use crate::outcome::{Problem, Verdict, check, same};
use crate::tester::Tester;

group! { "keep-alive":
    "registered-element-gets-keep-alives" ["5352-3.5-10", "5352-4-10"] comes;
    "keep-alive-names-the-pool" ["5352-3.4-02"] names_pool;
    "keep-alive-comes-from-the-home" ["5352-3.1-33"] from_home;
    "keep-alive-without-need-has-no-h-bit" ["5352-3.1-33"] no_home_bit;
    "element-that-answers-stays" ["5352-3.5-07"] stays;
    "element-that-is-silent-is-removed" ["5352-3.5-10"] silent;
    "silent-element-leaves-others-on-the-link" ["5352-3.5-10"] others_stay;
    "element-without-a-link-is-removed" ["5352-3.5-10"] no_link;
    "unasked-acknowledgement-is-harmless" ["5352-4-10"] unasked;
    "acknowledgement-of-an-unknown-element-is-harmless" ["5352-4-10"] unknown;
    "keep-alives-are-spread-over-time" ["5352-3.5-11", "5355-2.14.3-01"] spread;
    "elements-after-deregistration-get-none" ["5352-3.2-09"] deregistered;
}

async fn comes(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    probe.found(&[tester.element()]).await?;
    for _ in 0..2 {
        probe.keep_alive().await?;
    }
    Ok(())
}

async fn names_pool(tester: Tester) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    let keep_alive = probe.keep_alive().await?;
    same("pool", &pool, &keep_alive.pool_handle)?;
    // The RFC has no identifier there. An implementation that adds one must mean this element.
    let meant = keep_alive.identifier.is_none_or(|identifier| identifier == element.identifier);
    check(meant, format!("{} or no identifier", element.identifier), keep_alive.identifier)
}

async fn from_home(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let pool = probe.found(&[tester.element()]).await?;
    let home = probe.resolve(&pool).await?.elements.first().map(|element| element.home);
    same("server identifier", &home, &Some(probe.keep_alive().await?.server))
}

async fn no_home_bit(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    probe.found(&[tester.element()]).await?;
    same("H bit", &false, &probe.keep_alive().await?.home)
}

async fn stays(tester: Tester) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    for _ in 0..3 {
        probe.keep_alive().await?;
        same("the element", &vec![element.identifier], &tester.probe().await?.members(&pool).await?)?;
    }
    Ok(())
}

async fn silent(tester: Tester) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    probe.mute();
    let patience = tester.patience().timers;
    tester.probe().await?.until_gone(&pool, element.identifier, patience).await
}

async fn others_stay(tester: Tester) -> Verdict {
    let (mut probe, stays, goes) = (tester.probe().await?, tester.element(), tester.element());
    let kept = probe.found(std::slice::from_ref(&stays)).await?;
    let pool = tester.pool();
    // Registered by hand, so that its keep-alives are not acknowledged.
    tester.note(&pool, goes.identifier);
    probe.send(rserpool_wire::asap::Registration { pool_handle: pool.borrowed(), element: goes.clone() });
    probe.registration_response(&pool, goes.identifier).await?;
    let mut user = tester.probe().await?;
    user.until_gone(&pool, goes.identifier, tester.patience().timers).await?;
    same("the other element", &vec![stays.identifier], &user.members(&kept).await?)
}

async fn no_link(tester: Tester) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    drop(probe);
    let patience = tester.patience().timers;
    tester.probe().await?.until_gone(&pool, element.identifier, patience).await
}

async fn unasked(tester: Tester) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    for _ in 0..3 {
        probe.send(EndpointKeepAliveAck { pool_handle: pool.borrowed(), identifier: element.identifier });
    }
    let answers = probe.settle().await?.answers;
    check(answers.is_empty(), "no answer", answers)?;
    same("the element", &vec![element.identifier], &probe.members(&pool).await?)
}

async fn unknown(tester: Tester) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    let other = PeIdentifier(!element.identifier.0);
    probe.send(EndpointKeepAliveAck { pool_handle: pool.borrowed(), identifier: other });
    probe.send(EndpointKeepAliveAck { pool_handle: tester.pool(), identifier: other });
    let answers = probe.settle().await?.answers;
    check(answers.is_empty(), "no answer", answers)?;
    same("the element alone", &vec![element.identifier], &probe.members(&pool).await?)
}

async fn spread(tester: Tester) -> Verdict {
    const ELEMENTS: usize = 30;
    const ROUNDS: usize = 3;
    let mut probe = tester.probe().await?;
    let entries: Vec<_> = (0..ELEMENTS).map(|_| (tester.pool(), tester.element())).collect();
    let started = Instant::now();
    probe.join_at_once(&entries).await?;
    // Keep-alives that all follow their registrations by the same time take as long as these. Those of a registrar that is
    // slow take longer, of whatever kind they are: the bound has a bound.
    let least = (started.elapsed() * 3).clamp(Duration::from_millis(20), Duration::from_millis(200));
    let mut seen = Vec::new();
    for _ in 0..ROUNDS {
        let mut asked = BTreeSet::from([probe.keep_alive().await?.pool_handle]);
        let first = Instant::now();
        while asked.len() < ELEMENTS {
            asked.insert(probe.keep_alive().await?.pool_handle);
        }
        if first.elapsed() >= least {
            return Ok(());
        }
        seen.push(first.elapsed());
    }
    Err(Problem::failed(format!("{ELEMENTS} keep-alives over {least:?} at least"), format!("{seen:?}")))
}

async fn deregistered(tester: Tester) -> Verdict {
    let (mut probe, leaves, stays) = (tester.probe().await?, tester.element(), tester.element());
    let left = probe.found(std::slice::from_ref(&leaves)).await?;
    probe.found(std::slice::from_ref(&stays)).await?;
    probe.leave(&left, leaves.identifier).await?;
    for _ in 0..3 {
        if probe.keep_alive().await?.pool_handle == left {
            return Err(Problem::failed("no keep-alive", "one for the element that left"));
        }
    }
    Ok(())
}
