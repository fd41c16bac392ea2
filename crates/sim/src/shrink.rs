//! Fewer faults: whatever can be left out while the same invariant still does not hold is left out.
use crate::fault::Fault;
use crate::scenario::{Failure, Scenario};

/// The same failure with as few faults as can be found, and with a log.
pub(crate) fn shrink(scenario: &Scenario, failure: &Failure) -> Failure {
    let mut scenario = scenario.clone();
    let mut faults = failure.faults.clone();
    let still_fails = |scenario: &mut Scenario, faults: &[Fault]| {
        scenario.faults = faults.to_vec();
        scenario
            .run(failure.seed)
            .is_err_and(|other| other.violation.invariant == failure.violation.invariant)
    };
    // Halves first, then smaller and smaller parts, down to single faults.
    let mut part = faults.len().div_ceil(2);
    while part > 0 {
        let mut from = 0;
        while from < faults.len() {
            let fewer: Vec<Fault> =
                faults.iter().take(from).chain(faults.iter().skip(from + part)).cloned().collect();
            if still_fails(&mut scenario, &fewer) {
                faults = fewer;
            } else {
                from += part;
            }
        }
        part = if part == 1 { 0 } else { part.div_ceil(2) };
    }
    scenario.faults = faults;
    scenario.settings.log = true;
    scenario.run(failure.seed).err().unwrap_or_else(|| failure.clone())
}
