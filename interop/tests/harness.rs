//! The harness itself: what goes in and comes out of user-mode Linux, and how it ends.
use std::time::Duration;

use rserpool_interop::{Lab, Machine, Running, TIMED_OUT, skipped};

#[test]
fn the_status_of_the_command_comes_out() {
    if skipped() {
        return;
    }
    for expected in [0, 7] {
        let command = ["sh", "-c", &format!("exit {expected}")];
        let mut outcome = Machine::default().run("status", &[command]).unwrap();
        outcome.kept.keep(false);
        assert_eq!(outcome.status, expected);
    }
}

#[test]
fn a_command_that_takes_too_long_is_ended_and_the_captures_are_kept() {
    if skipped() {
        return;
    }
    let machine = Machine { hosts: 2, networks: 2, time_limit: Duration::from_secs(1), ..Machine::default() };
    let mut outcome = machine.run("too-long", &[["sleep", "1000"], ["touch", "not-reached"]]).unwrap();
    assert_eq!(outcome.status, TIMED_OUT);
    let folder = outcome.kept.folder().to_owned();
    for capture in ["net1.pcap", "net2.pcap"] {
        let length = folder.join(capture).metadata().unwrap().len();
        assert!(length >= 24, "{capture} has no header");
    }
    outcome.kept.keep(false);
    drop(outcome);
    assert!(!folder.exists());
}

#[test]
fn hosts_reach_each_other_unless_their_cable_is_cut() {
    Lab::new("hosts_reach_each_other_unless_their_cable_is_cut").hosts(3).networks(2).run(|network| {
        let reaches = |from: u8, to: u8, on: u8, version: usize| {
            let mut command = network.on(from, env!("CARGO_BIN_EXE_lab"));
            let command = command.arg("reach").arg(network.addresses(to, on)[version].to_string());
            Running::start(command).unwrap().child().wait().unwrap().success()
        };
        for (network, version) in [(1, 0), (1, 1), (2, 0), (2, 1)] {
            assert!(reaches(1, 2, network, version), "network {network}, version {version}");
        }
        network.cut(2, 1).unwrap();
        assert!(!reaches(1, 2, 1, 0));
        assert!(reaches(1, 2, 2, 0), "the other network is not cut");
        network.heal(2, 1).unwrap();
        assert!(reaches(1, 2, 1, 0));
        network.partition(&[1, 2], 1).unwrap();
        assert!(reaches(1, 2, 1, 0) && !reaches(1, 3, 1, 0) && !reaches(3, 2, 1, 0));
    });
}
