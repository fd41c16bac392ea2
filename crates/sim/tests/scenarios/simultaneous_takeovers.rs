//! Everybody notices the death of a registrar in the same instant; and two die at once, then the heir of one.
use std::time::Duration;

use rserpool_sim::{Disturbance, Scenario, Weather};

use crate::all_settings;

#[test]
fn takeovers_started_by_all_at_once() {
    for mut settings in all_settings() {
        // Messages cross: the way is long, and nobody is sooner than the others.
        settings.weather = Weather { least_delay: Duration::from_millis(20), ..Weather::local() };
        let scenario = Scenario::new("takeovers_started_by_all_at_once", settings).with(6, 12, 2);
        let death = Disturbance::Death { node: scenario.registrar(5), silent: true };
        scenario.fault(Duration::from_secs(1), Duration::ZERO, death).check(0..5);
    }
}

#[test]
fn two_die_and_then_an_heir() {
    for settings in all_settings() {
        let pace = settings.pace;
        let scenario = Scenario::new("two_die_and_then_an_heir", settings).with(6, 18, 2);
        let death = |n, silent| Disturbance::Death { node: scenario.registrar(n), silent };
        let (first, second) = (Duration::from_secs(1), Duration::from_secs(1) + pace.detection());
        for third in [second, second + pace.registrar.max_time_no_response / 2, second + pace.takeover()] {
            let scenario = scenario.clone().fault(first, Duration::ZERO, death(5, true));
            let scenario = scenario.fault(first, Duration::ZERO, death(4, false));
            scenario.fault(third, Duration::ZERO, death(3, true)).check(0..2);
        }
    }
}
