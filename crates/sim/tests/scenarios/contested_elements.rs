//! Two registrars think of an element as theirs. What the world found about that, made into scenarios: the faults are those
//! that were left when all others had been taken away.
use std::time::Duration;

use rserpool_sim::{Disturbance, NodeId, Scenario, Settings, Weather};

use crate::{all_settings, end};

/// A registrar was taken over while it stood still. It claims its elements back; one hangs up on the heir to follow it while
/// the heir asks it once more, and is not dead for that.
#[test]
fn an_element_that_is_claimed_back_is_not_dead_for_its_heir() {
    for settings in all_settings() {
        let pace = settings.pace;
        let scenario = Scenario::new("an_element_that_is_claimed_back", settings).with(3, 9, 2);
        let pause = Disturbance::Pause { node: scenario.registrar(1) };
        let lasts = pace.detection() + pace.takeover();
        scenario.fault(pace.detection(), lasts, pause).check(0..10);
    }
}

/// A registrar stands still, and finds registrations of elements in its inbox that have given it up since and registered
/// elsewhere: they end up with one home, and know which, long before T4.
#[test]
fn registrations_that_waited_too_long_do_not_split_ownership() {
    for settings in [Settings::fast(), Settings::rfc()] {
        let pace = settings.pace;
        let mut scenario = Scenario::new("registrations_that_waited_too_long", settings).with(2, 8, 0);
        // Elements cannot reach the other one at first, so they try the one that stands still.
        let elements: Vec<NodeId> = (0..8).map(|n| scenario.element(n)).collect();
        let (still, other) = (scenario.registrar(1), scenario.registrar(0));
        let begin = pace.detection();
        let patience = pace.asap.registration * (pace.asap.max_registration_attempts.get() + 1);
        let cut = Disturbance::Cut { from: vec![other], to: elements, both: true };
        scenario = scenario.fault(begin, patience, cut);
        scenario = scenario.fault(begin, patience * 3, Disturbance::Pause { node: still });
        let bound = pace.settling();
        assert!(end(&scenario.faults) > patience);
        for report in scenario.check(0..10) {
            assert!(report.settled <= bound, "{report:?}");
        }
    }
}

/// A cut is shorter than what breaks links, but longer than what an element may take to answer: it is removed, is told so as
/// soon as the cut is over, and registers at once.
#[test]
fn an_element_that_was_removed_behind_a_short_cut_registers_at_once() {
    let settings = Settings { weather: Weather::local(), ..Settings::rfc() };
    let pace = settings.pace;
    let scenario = Scenario::new("an_element_that_was_removed_behind_a_short_cut", settings).with(2, 40, 0);
    let registrars = vec![scenario.registrar(0), scenario.registrar(1)];
    let elements = (0..40).map(|n| scenario.element(n)).collect();
    let cut = Disturbance::Cut { from: registrars, to: elements, both: true };
    let reports = scenario.fault(Duration::from_secs(60), pace.user_timeout * 9 / 10, cut).check(0..5);
    let bound = pace.user_timeout + pace.registration();
    assert!(reports.iter().all(|report| report.settled <= bound), "{reports:?}");
}
