//! A registrar that starts loses its mentor while it downloads the handlespace: the next one takes over from there.
use std::time::Duration;

use rserpool_sim::{Disturbance, Scenario};

use crate::all_settings;

#[test]
fn mentor_dies_during_download() {
    for settings in all_settings() {
        // Slow enough for the download to take a while, and the mentor dies at some moment of it.
        let base = Scenario::new("mentor_dies_during_download", settings).with(4, 30, 2);
        let (newcomer, back) = (base.registrar(3), Duration::from_secs(20));
        for moment in [5, 12, 18, 25, 40] {
            for mentor in 0..3 {
                let at = back + Duration::from_millis(moment);
                let slow = Disturbance::Slow { node: base.registrar(mentor), each: Duration::from_millis(2) };
                base.clone()
                    .fault(
                        Duration::ZERO,
                        back,
                        Disturbance::Crash { node: newcomer, same_identifier: false },
                    )
                    .fault(back, Duration::from_secs(1), slow)
                    .fault(
                        at,
                        Duration::ZERO,
                        Disturbance::Death { node: base.registrar(mentor), silent: true },
                    )
                    .check(0..1);
            }
        }
    }
}
