//! Everybody starts at once: registrars that all look for a mentor, elements and users that find none ready.
use rserpool_sim::{Scenario, Settings, Weather};

use crate::all_settings;

#[test]
fn cold_start_of_all() {
    for settings in all_settings() {
        for multicast in [false, true] {
            let settings = Settings { multicast, weather: Weather::wide(3), ..settings.clone() };
            Scenario::new("cold_start_of_all", settings).with(5, 20, 4).check(0..3);
        }
    }
}
