//! Scenarios drawn at random: who is there, in which dialect and at which pace, and a dozen faults.
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rserpool_wire::{Load, Policy};

use crate::fault::{Disturbance, Fault, NodeId};
use crate::network::Weather;
use crate::scenario::Scenario;
use crate::world::Settings;

/// The scenario of a seed.
#[must_use]
pub fn random_scenario(seed: u64) -> Scenario {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut settings = match rng.random_range(0..6) {
        0 => Settings::rfc(),
        1 => Settings::rsplib(),
        _ => Settings::fast(),
    };
    if rng.random_bool(0.3) {
        settings.weather = Weather::wide(3);
    }
    settings.multicast = rng.random_bool(0.25);
    settings.policy = policy(&mut rng);
    let mut scenario = Scenario::new("random", settings).with(
        rng.random_range(1..=5),
        rng.random_range(1..=8),
        rng.random_range(0..=3),
    );
    let count = rng.random_range(1..=12);
    // What is a second in the fast profile is as many heartbeats in the others.
    let unit = scenario.settings.pace.registrar.heartbeat_cycle * 5;
    scenario.faults = (0..count).map(|_| fault(&mut rng, &scenario, unit)).collect();
    scenario.faults.sort_by_key(|fault| fault.at);
    scenario
}

fn fault(rng: &mut SmallRng, scenario: &Scenario, unit: Duration) -> Fault {
    let at = unit.mul_f64(rng.random_range(0.0..20.0));
    let lasts = unit.mul_f64(match rng.random_range(0..3) {
        0 => rng.random_range(0.0..0.3),
        1 => rng.random_range(0.0..2.0),
        _ => rng.random_range(0.0..8.0),
    });
    Fault { at, lasts, what: disturbance(rng, scenario) }
}

fn disturbance(rng: &mut SmallRng, scenario: &Scenario) -> Disturbance {
    let nodes = scenario.registrars + scenario.elements + scenario.users;
    let node = if rng.random_bool(0.6) {
        scenario.registrar(rng.random_range(0..scenario.registrars))
    } else {
        NodeId(rng.random_range(0..nodes))
    };
    let same_identifier = rng.random_bool(0.5);
    match rng.random_range(0..14) {
        0 | 1 => Disturbance::Crash { node, same_identifier },
        2 => Disturbance::PowerLoss { node, same_identifier },
        // At least one registrar stays, and so does one element.
        3 if node != scenario.registrar(0) && node != scenario.element(0) => {
            Disturbance::Death { node, silent: rng.random_bool(0.5) }
        }
        4 => Disturbance::Leave { node },
        5 | 6 => Disturbance::Pause { node },
        7 => {
            let each =
                scenario.settings.pace.registrar.keep_alive_timeout.mul_f64(rng.random_range(0.0..0.03));
            Disturbance::Slow { node, each }
        }
        8 => Disturbance::Drift { node, percent: rng.random_range(80..=120) },
        9 => Disturbance::Reset { a: node, b: NodeId(rng.random_range(0..nodes)) },
        10 => Disturbance::Loss { percent: rng.random_range(1..=30) },
        11 => Disturbance::Delay { times: rng.random_range(2..=10) },
        12 if scenario.settings.multicast => Disturbance::Disorder,
        _ => {
            let in_part: Vec<bool> = (0..nodes).map(|_| rng.random_bool(0.4)).collect();
            let side = |inside: bool| {
                (0..nodes)
                    .zip(&in_part)
                    .filter(|(_, part)| **part == inside)
                    .map(|(n, _)| NodeId(n))
                    .collect()
            };
            Disturbance::Cut { from: side(true), to: side(false), both: rng.random_bool(0.7) }
        }
    }
}

fn policy(rng: &mut SmallRng) -> Policy {
    let load = Load(rng.random());
    match rng.random_range(0..9) {
        0 => Policy::WeightedRoundRobin { weight: rng.random_range(1..5) },
        1 => Policy::Random,
        2 => Policy::WeightedRandom { weight: rng.random_range(1..5) },
        3 => Policy::Priority { priority: rng.random_range(0..5) },
        4 => Policy::LeastUsed { load },
        5 => Policy::LeastUsedDegradation { load, degradation: Load(1 << 20) },
        6 => Policy::PriorityLeastUsed { load, degradation: Load(1 << 20) },
        7 => Policy::RandomizedLeastUsed { load: Load(load.0 / 2) },
        _ => Policy::RoundRobin,
    }
}
