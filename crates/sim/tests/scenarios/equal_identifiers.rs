//! Two registrars have picked the same identifier. RFC 5353 §3.2.1 knows of "no severe consequence"; here is what follows,
//! and that it is over as soon as one of the two picks another.
use std::time::Duration;

use rserpool_enrp::RegistrarMachine;
use rserpool_sim::{Disturbance, Fault, Scenario, World};
use rserpool_wire::ServerId;

use crate::all_settings;

#[test]
fn equal_identifiers() {
    for settings in all_settings() {
        let pace = settings.pace;
        let scenario = Scenario::new("equal_identifiers", settings).with(4, 12, 3);
        for seed in 0..4 {
            let mut world = scenario.build(seed);
            let twin = ServerId(0x1234_5678);
            for n in [1, 2] {
                world.set_identifier(scenario.registrar(n), twin);
            }
            for node in world.node_ids() {
                world.start(node);
            }
            assert!(world.run(pace.settling()), "no invariant is broken meanwhile: {:?}", world.violations());
            let machine = |world: &World, n| world.registrar(scenario.registrar(n)).map(faults_and_takeovers);
            for n in [1, 2] {
                let (faults, takeovers) = machine(&world, n).expect("both run");
                assert!(faults > 0, "n{n} sees and reports the other one");
                assert_eq!(takeovers, 0, "and neither takes anybody over");
            }
            // An operator restarts one, which picks another identifier.
            let what = Disturbance::Crash { node: scenario.registrar(2), same_identifier: false };
            world.plan([Fault { at: world.now(), lasts: Duration::from_secs(1), what }]);
            world.run(Duration::from_secs(2));
            world.settle(pace.settling(), scenario.interval()).expect("all is well again");
        }
    }
}

fn faults_and_takeovers(machine: &RegistrarMachine) -> (u64, u64) {
    (machine.statistics().faults, machine.statistics().takeovers_completed)
}
