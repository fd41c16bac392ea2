//! Split brain: two halves that each take the other over, and then meet again.
use rserpool_sim::{Disturbance, Scenario};

use crate::all_settings;

#[test]
fn split_brain_and_heal() {
    for settings in all_settings() {
        let pace = settings.pace;
        let scenario = Scenario::new("split_brain_and_heal", settings).with(4, 12, 3);
        let (from, to) = ([0, 1], [2, 3]);
        let cut = Disturbance::Cut {
            from: from.map(|n| scenario.registrar(n)).to_vec(),
            to: to.map(|n| scenario.registrar(n)).to_vec(),
            both: true,
        };
        let lasts = pace.detection() + pace.takeover();
        scenario.fault(pace.detection(), lasts, cut).check(0..3);
    }
}
