//! Running cases: side by side, so many at a time; those that must be alone one after the other, afterwards.
use std::sync::Arc;
use std::time::Instant;

use rserpool_transport::TransportError;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::case::Case;
use crate::cases::groups;
use crate::outcome::Outcome;
use crate::report::{CaseReport, Report};
use crate::target::Target;
use crate::tester::{Session, Tester};

/// Cases that run at the same time. They wait most of the time, but each keeps links open.
const AT_ONCE: usize = 32;

/// Holds a registrar to all cases that `select` takes, and tells each as it ends.
///
/// # Errors
/// When there is no link to the registrar. What goes wrong later is the failure of a case.
pub async fn run(
    target: &Target,
    select: impl Fn(&Case) -> bool,
    mut ended: impl FnMut(&CaseReport),
) -> Result<Report, TransportError> {
    let session = Arc::new(Session::new(target.clone()));
    drop(session.connect().await?);
    let started = Instant::now();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let (mut running, mut later, mut order) = (JoinSet::new(), Vec::new(), 0_usize);
    for group in groups() {
        for case in group.cases.iter().filter(|case| select(case)) {
            order += 1;
            if case.alone {
                later.push((order, group.name, case));
            } else {
                let (session, places) = (Arc::clone(&session), Arc::clone(&places));
                running.spawn(async move {
                    let _place = places.acquire().await;
                    (order, hold(&session, group.name, case).await)
                });
            }
        }
    }
    let mut reports = Vec::with_capacity(order);
    while let Some(finished) = running.join_next().await {
        match finished {
            Ok((order, report)) => {
                ended(&report);
                reports.push((order, report));
            }
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }
    for (order, group, case) in later {
        let report = hold(&session, group, case).await;
        ended(&report);
        reports.push((order, report));
    }
    reports.sort_by_key(|(order, _)| *order);
    let cases = reports.into_iter().map(|(_, report)| report).collect();
    Ok(Report { target: target.asap.to_string(), cases, took: started.elapsed() })
}

/// Holds the registrar to one case.
async fn hold(session: &Arc<Session>, group: &'static str, case: &'static Case) -> CaseReport {
    let tester = Tester::new(session);
    let started = Instant::now();
    let outcome = Outcome::from((case.run)(tester.clone()).await);
    let took = started.elapsed();
    tester.clean_up().await;
    CaseReport { group, case, outcome, took }
}
