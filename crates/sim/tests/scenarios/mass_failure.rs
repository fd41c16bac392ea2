//! A thousand elements lose their home at once: they register elsewhere spread out, not in one burst.
use std::time::Duration;

use rserpool_sim::{Disturbance, NodeId, Scenario, Settings, Weather};

const ELEMENTS: u32 = 1_000;

#[test]
fn mass_failure_and_return() {
    // Small delays and a queue that takes one at a time would show a burst; here it is counted.
    let settings = Settings { weather: Weather::local(), ..Settings::rfc() };
    let pace = settings.pace;
    let mut scenario = Scenario::new("mass_failure_and_return", settings).with(3, ELEMENTS, 4);
    scenario.pools = 10;
    let mut world = scenario.build(1);
    scenario.start(&mut world).expect("all is well");
    let quiet: Vec<u64> = (0..3).map(|n| world.traffic(NodeId(n)).sent).collect();
    world.run(Duration::from_secs(60));
    let in_a_minute: Vec<u64> =
        (0..3).zip(quiet).map(|(n, before)| world.traffic(NodeId(n)).sent - before).collect();
    let each = u64::from(ELEMENTS) * 2 / 3 / 60;
    assert!(
        in_a_minute.iter().all(|sent| *sent <= each * 60 * 4),
        "keep-alives and updates: {in_a_minute:?}"
    );

    let before: Vec<u64> = (0..3).map(|n| world.traffic(NodeId(n)).sent).collect();
    let at = world.now() + Duration::from_secs(1);
    let what = Disturbance::Crash { node: NodeId(0), same_identifier: false };
    world.plan([rserpool_sim::Fault { at, lasts: pace.settling(), what }]);
    world.run(Duration::from_secs(2));
    world.settle(pace.settling(), Duration::from_secs(1)).expect("all have a home again");
    for n in 1..3 {
        let sent = world.traffic(NodeId(n)).sent - before[n as usize];
        // To each orphan: a probe, an answer to its registration, and news to peers of both, at most twice.
        let most = u64::from(ELEMENTS) * 12;
        assert!(sent <= most, "n{n} sent {sent} messages, more than {most}");
        // In one second: half of the registrations, which are spread over two seconds, and as many probes.
        let (peak, most) = (world.traffic(NodeId(n)).peak, u64::from(ELEMENTS) * 5);
        assert!(peak <= most, "n{n} sent {peak} messages in one second, more than {most}");
    }
    world.run(pace.settling());
    world.settle(pace.settling(), Duration::from_secs(1)).expect("and also after the return");
}

#[test]
fn half_of_the_elements_vanish_and_come_back() {
    for settings in [Settings::fast(), Settings::rfc()] {
        let pace = settings.pace;
        let mut scenario =
            Scenario::new("half_of_the_elements_vanish_and_come_back", settings).with(3, 60, 4);
        for n in 0..30 {
            let what = Disturbance::PowerLoss { node: scenario.element(n), same_identifier: true };
            scenario = scenario.fault(Duration::from_secs(1), pace.burial(), what);
        }
        scenario.check(0..3);
    }
}
