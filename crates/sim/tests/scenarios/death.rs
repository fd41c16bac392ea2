//! A registrar dies and stays dead: one of the others takes it over, and nobody is lost.
use std::time::Duration;

use rserpool_sim::{Disturbance, Scenario};

use crate::all_settings;

#[test]
fn death_of_a_registrar() {
    for settings in all_settings() {
        let pace = settings.pace;
        for silent in [false, true] {
            let scenario = Scenario::new("death_of_a_registrar", settings.clone()).with(4, 12, 3);
            let death = Disturbance::Death { node: scenario.registrar(2), silent };
            let reports = scenario.fault(Duration::from_secs(1), Duration::ZERO, death).check(0..3);
            // Much less than what may be needed after any fault: detection, one take-over, and the elements' adoption.
            let bound = pace.detection() + pace.dead_link() + pace.takeover() + pace.probing(1) + pace.hunt();
            for report in reports {
                assert!(report.settled <= bound, "{:?} is longer than {bound:?}", report.settled);
            }
        }
    }
}
