//! Worlds drawn at random: whatever goes wrong in them, all becomes well again, and no invariant is broken on the way.
//!
//! `RSERPOOL_SEEDS=1000` runs so many, `RSERPOOL_SEED=7` the one; 24 without either.
use rserpool_sim::{random_scenario, replayed_seed};

#[test]
fn random() {
    let count = std::env::var("RSERPOOL_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(24);
    let seeds = replayed_seed().map_or(0..count, |seed| seed..seed + 1);
    let (mut events, mut served) = (0, 0);
    for seed in seeds.clone() {
        let [report] = random_scenario(seed).check(seed..seed + 1)[..] else { panic!("one run, one report") };
        events += report.events;
        served += report.served;
    }
    println!("seeds {seeds:?}: {events} things happened, users were served {served} times");
}

/// Seeds in which the machines once did wrong: an element that hung up on its old home while it was asked was taken for dead
/// (442, 583), one that was claimed back was held to an old registration life (1915), old registrations in the queues of a
/// registrar that had stood still split ownership (892, 2487), an element removed behind a cut was not told (136).
#[test]
fn seeds_that_found_something() {
    for seed in [136, 442, 583, 892, 1915, 2487] {
        random_scenario(seed).check(seed..seed + 1);
    }
}

#[test]
fn a_seed_decides_everything() {
    for seed in [3, 4] {
        let scenario = random_scenario(seed);
        let run = || scenario.run(seed).map_err(|failure| failure.violation);
        assert_eq!(run(), run(), "seed {seed}");
    }
}
