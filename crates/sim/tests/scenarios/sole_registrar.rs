//! There is one registrar, and it loses power: elements notice by their kernels' probes, and users fetch what they need as
//! soon as it is back.
use std::time::Duration;

use rserpool_sim::{Disturbance, Scenario};

use crate::all_settings;

#[test]
fn sole_registrar_loses_power() {
    for settings in all_settings() {
        let pace = settings.pace;
        let scenario = Scenario::new("sole_registrar_loses_power", settings).with(1, 8, 3);
        let node = scenario.registrar(0);
        for lasts in [pace.connect_timeout, pace.hunt()] {
            for same_identifier in [false, true] {
                let loss = Disturbance::PowerLoss { node, same_identifier };
                scenario.clone().fault(Duration::from_secs(1), lasts, loss).check(0..2);
            }
        }
    }
}
