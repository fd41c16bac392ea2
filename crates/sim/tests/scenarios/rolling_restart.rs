//! All registrars are restarted, one after the other, in good order or by crashing, as the same or as another.
use std::time::Duration;

use rserpool_sim::{Disturbance, Fault, Scenario};

use crate::all_settings;

#[test]
fn rolling_restart_of_all() {
    for settings in all_settings() {
        let pace = settings.pace;
        let scenario = Scenario::new("rolling_restart_of_all", settings).with(4, 12, 3);
        let (away, apart) = (pace.registrar.heartbeat_cycle * 3, pace.start() + pace.reunion());
        let restart_of_all = |restart: &dyn Fn(u32) -> Disturbance| {
            let mut scenario = scenario.clone();
            scenario.faults = (0..scenario.registrars)
                .map(|n| Fault { at: (away + apart) * n, lasts: away, what: restart(n) })
                .collect();
            scenario.check(0..2);
        };
        restart_of_all(&|n| Disturbance::Leave { node: scenario.registrar(n) });
        for same_identifier in [false, true] {
            restart_of_all(&|n| Disturbance::Crash { node: scenario.registrar(n), same_identifier });
        }
        restart_of_all(&|n| Disturbance::PowerLoss { node: scenario.registrar(n), same_identifier: true });
    }
}

#[test]
fn all_registrars_are_gone_at_once_and_come_back() {
    for settings in all_settings() {
        let pace = settings.pace;
        let mut scenario = Scenario::new("all_registrars_are_gone_at_once", settings).with(3, 12, 3);
        for n in 0..3 {
            let crash = Disturbance::Crash { node: scenario.registrar(n), same_identifier: n == 0 };
            scenario = scenario.fault(Duration::from_secs(1), pace.hunt() * (n + 1), crash);
        }
        scenario.check(0..2);
    }
}
