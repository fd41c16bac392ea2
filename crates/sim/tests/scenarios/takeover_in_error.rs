//! A registrar that lives is taken over: it is cut off from the others, but not from its elements, or only in one direction.
use rserpool_sim::{Disturbance, NodeId, Scenario};

use crate::all_settings;

#[test]
fn takeover_of_a_registrar_behind_a_partition() {
    for settings in all_settings() {
        let pace = settings.pace;
        let scenario = Scenario::new("takeover_of_a_registrar_behind_a_partition", settings).with(4, 12, 3);
        let alone = vec![scenario.registrar(1)];
        let others: Vec<NodeId> = [0, 2, 3].map(|n| scenario.registrar(n)).to_vec();
        let cuts = [
            Disturbance::Cut { from: alone.clone(), to: others.clone(), both: true },
            Disturbance::Cut { from: alone.clone(), to: others.clone(), both: false },
            Disturbance::Cut { from: others, to: alone, both: false },
        ];
        for cut in cuts {
            for lasts in [pace.detection(), pace.detection() + pace.takeover(), pace.settling()] {
                scenario.clone().fault(pace.detection(), lasts, cut.clone()).check(0..2);
            }
        }
    }
}
