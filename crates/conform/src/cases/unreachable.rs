//! Reports that an element cannot be reached (RFC 5352 §3.5).
use std::time::Duration;

use rserpool_wire::{PeIdentifier, PoolElement, PoolHandle};

use crate::case::group;
use crate::host::Host;
use crate::outcome::{Problem, Verdict, check, same};
use crate::probe::Probe;
use crate::tester::Tester;

group! { "unreachable":
    "report-leads-to-a-keep-alive-at-once" ["5352-3.5-05"] asks_at_once;
    "keep-alive-of-a-report-has-no-h-bit" ["5352-3.5-05"] no_home_bit;
    "report-of-an-element-of-a-peer-leads-to-a-keep-alive" ["5352-3.5-05"] of_a_peer;
    "reported-element-that-answers-stays" ["5352-3.5-07"] stays;
    "reported-element-that-is-silent-is-removed" ["5352-3.5-06"] silent;
    "three-reports-do-not-remove-an-element" ["5352-3.5-07", "5352-3.5-09"] three_reports;
    "reports-above-the-threshold-remove-an-element" ["5352-3.5-08", "5352-3.5-09"] threshold;
    "report-is-not-answered" ["5352-3.5-05"] not_answered;
    "report-of-an-unknown-element-is-harmless" ["5352-3.5-05"] unknown;
    "reports-concern-one-element-only" ["5352-3.5-08", "5352-3.5-09"] one_only;
}

/// MAX-BAD-PE-REPORT (RFC 5352 §7.2): a registrar may be set otherwise, these cases take the default.
const MAX_BAD_PE_REPORT: usize = 3;
/// A registrar need not act on each of several reports in a moment.
const BETWEEN_REPORTS: Duration = Duration::from_millis(150);

/// An element on a link of its own, and a user.
async fn scene(tester: &Tester) -> Verdict<(Probe, Probe, PoolElement, PoolHandle<'static>)> {
    let (mut probe, user, element) = (tester.probe().await?, tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    Ok((probe, user, element, pool))
}

async fn asks_at_once(tester: Tester) -> Verdict {
    // Where keep-alives come by themselves within the time of an answer, this shows little, but is never wrong.
    let (mut probe, user, element, pool) = scene(&tester).await?;
    user.report_unreachable(&pool, element.identifier);
    probe.keep_alive_within(tester.patience().answer).await.map(drop)
}

async fn no_home_bit(tester: Tester) -> Verdict {
    let (mut probe, user, element, pool) = scene(&tester).await?;
    user.report_unreachable(&pool, element.identifier);
    let keep_alive = probe.keep_alive_within(tester.patience().answer).await?;
    same("H bit", &false, &keep_alive.home)?;
    same("pool", &pool, &keep_alive.pool_handle)
}

async fn of_a_peer(tester: Tester) -> Verdict {
    let (mut peer, host, pool) = (tester.peer().await?, Host::new(&tester).await?, tester.pool());
    let element = peer.announce(&pool, &host.element);
    peer.settle().await?;
    let user = tester.probe().await?;
    user.report_unreachable(&pool, element.identifier);
    let mut probe = host.called(&pool).await?;
    let keep_alive = probe.keep_alive_within(tester.patience().answer).await?;
    same("pool", &pool, &keep_alive.pool_handle)?;
    same("H bit", &false, &keep_alive.home)
}

async fn stays(tester: Tester) -> Verdict {
    let (mut probe, mut user, element, pool) = scene(&tester).await?;
    user.report_unreachable(&pool, element.identifier);
    probe.keep_alive_within(tester.patience().answer).await?;
    // The acknowledgement has gone out before this request.
    same("the element", &vec![element.identifier], &probe.members(&pool).await?)?;
    same("the element", &vec![element.identifier], &user.members(&pool).await?)
}

async fn silent(tester: Tester) -> Verdict {
    let (probe, mut user, element, pool) = scene(&tester).await?;
    probe.mute();
    user.report_unreachable(&pool, element.identifier);
    user.until_gone(&pool, element.identifier, tester.patience().timers).await
}

async fn three_reports(tester: Tester) -> Verdict {
    let (probe, mut user, element, pool) = scene(&tester).await?;
    for _ in 0..MAX_BAD_PE_REPORT {
        user.report_unreachable(&pool, element.identifier);
        tokio::time::sleep(BETWEEN_REPORTS).await;
    }
    let members = user.members(&pool).await?;
    drop(probe);
    same("the element, for the threshold is not exceeded:", &vec![element.identifier], &members)
}

async fn threshold(tester: Tester) -> Verdict {
    if tester.session.target.asap.scheme().is_secured() {
        let reason = "a secured registrar may count the reports of one identity once (RFC 5355 §2.13)";
        return Err(Problem::skipped(reason));
    }
    let (probe, mut user, element, pool) = scene(&tester).await?;
    for _ in 0..=MAX_BAD_PE_REPORT {
        user.report_unreachable(&pool, element.identifier);
        tokio::time::sleep(BETWEEN_REPORTS).await;
    }
    user.until_gone(&pool, element.identifier, tester.patience().answer).await?;
    drop(probe);
    Ok(())
}

async fn not_answered(tester: Tester) -> Verdict {
    let (probe, mut user, element, pool) = scene(&tester).await?;
    user.report_unreachable(&pool, element.identifier);
    let answers = user.settle().await?.answers;
    drop(probe);
    check(answers.is_empty(), "no answer", answers)
}

async fn unknown(tester: Tester) -> Verdict {
    let (probe, mut user, element, pool) = scene(&tester).await?;
    user.report_unreachable(&pool, PeIdentifier(!element.identifier.0));
    user.report_unreachable(&tester.pool(), element.identifier);
    let answers = user.settle().await?.answers;
    check(answers.is_empty(), "no answer", answers)?;
    let members = user.members(&pool).await?;
    drop(probe);
    same("the element", &vec![element.identifier], &members)
}

async fn one_only(tester: Tester) -> Verdict {
    let (mut probe, mut user, first, pool) = scene(&tester).await?;
    let second = tester.element();
    probe.join(&pool, &second).await?;
    for identifier in [first.identifier, second.identifier] {
        for _ in 0..2 {
            user.report_unreachable(&pool, identifier);
            tokio::time::sleep(BETWEEN_REPORTS).await;
        }
    }
    let members = user.members(&pool).await?;
    if members.len() == 2 { Ok(()) } else { Err(Problem::failed("both elements", format!("{members:?}"))) }
}
