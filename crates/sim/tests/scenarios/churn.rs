//! Every policy, while elements come, go, and change their values.
use std::time::Duration;

use rserpool_sim::{Disturbance, Scenario, Settings};
use rserpool_wire::{Load, Policy};

/// The `n`-th values of each policy.
fn policies(n: u32) -> [Policy; 9] {
    let (load, degradation) = (Load(n * 0x0800_0000), Load(0x0100_0000));
    [
        Policy::RoundRobin,
        Policy::WeightedRoundRobin { weight: n + 1 },
        Policy::Random,
        Policy::WeightedRandom { weight: n + 1 },
        Policy::Priority { priority: n },
        Policy::LeastUsed { load },
        Policy::LeastUsedDegradation { load, degradation },
        Policy::PriorityLeastUsed { load, degradation },
        Policy::RandomizedLeastUsed { load },
    ]
}

#[test]
fn every_policy_under_churn() {
    for (index, policy) in policies(0).into_iter().enumerate() {
        let settings = Settings { policy, ..Settings::fast() };
        let pace = settings.pace;
        let mut scenario = Scenario::new("every_policy_under_churn", settings).with(3, 12, 3);
        for n in 0..8 {
            let at = pace.call_interval * n;
            let what = Disturbance::Leave { node: scenario.element(n) };
            scenario = scenario.fault(at, pace.call_interval * 5, what);
            let what = Disturbance::Crash { node: scenario.element(11 - n), same_identifier: true };
            scenario = scenario.fault(at + pace.call_interval / 2, pace.call_interval * 3, what);
        }
        scenario.check(0..2);

        let mut world = scenario.build(7);
        scenario.start(&mut world).expect("all is well");
        for round in 0..20_u32 {
            for n in 0..12 {
                world.set_policy(scenario.element(n), &policies((round + n) % 16)[index]);
            }
            assert!(world.run(Duration::from_millis(30)), "{:?}", world.violations());
        }
        // Nothing but the last values is listed, and everywhere.
        let bound = pace.asap.policy_update_interval + pace.registration();
        world.settle(bound, Duration::from_millis(20)).expect("all have the last values");
    }
}
