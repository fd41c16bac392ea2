//! The links between two registrars, and between a registrar and everybody else, are reset or cut again and again.
use rserpool_sim::{Disturbance, Fault, NodeId, Scenario};

use crate::all_settings;

#[test]
fn flapping_link() {
    for settings in all_settings() {
        let beat = settings.pace.registrar.heartbeat_cycle;
        let scenario = Scenario::new("flapping_link", settings).with(4, 10, 3);
        let flap = |what: Disturbance| {
            let mut scenario = scenario.clone();
            scenario.faults = (0..40)
                .map(|n| Fault { at: beat * n * 3 / 4, lasts: beat / 3, what: what.clone() })
                .collect();
            scenario.check(0..2);
        };
        let (a, b) = (scenario.registrar(0), scenario.registrar(1));
        let others: Vec<NodeId> = (1..17).map(NodeId).collect();
        flap(Disturbance::Reset { a, b });
        flap(Disturbance::Cut { from: vec![a], to: vec![b], both: true });
        flap(Disturbance::Cut { from: vec![a], to: others, both: false });
    }
}
