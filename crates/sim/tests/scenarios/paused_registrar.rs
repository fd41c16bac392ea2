//! A registrar stands still for ten seconds and goes on with what lies waiting, much of which is no longer so: with the
//! timers of the RFCs nobody notices, with the fast ones it is taken over and comes to terms with its heir.
use std::time::Duration;

use rserpool_sim::{Disturbance, Scenario};

use crate::all_settings;

#[test]
fn registrar_paused_for_10_s() {
    for settings in all_settings() {
        let scenario = Scenario::new("registrar_paused_for_10_s", settings).with(4, 12, 3);
        let ten = Duration::from_secs(10);
        let pause = |n| Disturbance::Pause { node: scenario.registrar(n) };
        scenario.clone().fault(ten, ten, pause(1)).check(0..5);
        // Two at once, for not quite the same time.
        let both = scenario.clone().fault(ten, ten, pause(1));
        both.fault(ten + ten / 3, ten, pause(2)).check(0..5);
    }
}
