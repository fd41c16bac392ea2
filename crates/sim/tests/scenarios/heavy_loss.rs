//! An hour in which packets are lost: 5 % of them harm nobody, 30 % break links all the time, and still everybody is there
//! when it is over.
use std::time::Duration;

use rserpool_sim::{Disturbance, Scenario, Settings};

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn loss_of_30_percent_for_an_hour() {
    for settings in [Settings::rfc(), Settings::rsplib()] {
        let scenario = Scenario::new("loss_of_30_percent_for_an_hour", settings).with(4, 12, 3);
        let loss = Disturbance::Loss { percent: 30 };
        let reports = scenario.fault(Duration::ZERO, HOUR, loss).check(0..3);
        assert!(
            reports.iter().all(|report| report.served > 1_000),
            "users are served meanwhile: {reports:?}"
        );
    }
}

#[test]
fn loss_of_5_percent_for_an_hour_evicts_nobody() {
    // The invariants about evictions and take-overs hold at this rate.
    let mut settings = Settings::rfc();
    settings.weather.loss = 5;
    Scenario::new("loss_of_5_percent_for_an_hour", settings).with(4, 12, 3).lasting(HOUR).check(0..3);
}
