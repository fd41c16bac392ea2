//! The harness itself: what goes in and comes out of user-mode Linux, and how it ends.
use std::time::Duration;

use rserpool_interop::{Lab, LabError, Machine, Running, TIMED_OUT, missing};

/// The status of a command, or `None`, if there is no user-mode Linux.
fn status(machine: &Machine, command: &[&str]) -> Option<i32> {
    match machine.run("harness", &[command]) {
        Err(LabError::Missing { .. }) if std::env::var_os("RSERPOOL_LAB").is_none() => None,
        outcome => Some(
            outcome
                .map(|mut outcome| {
                    outcome.kept.keep(false);
                    outcome.status
                })
                .unwrap(),
        ),
    }
}

#[test]
fn the_status_of_the_command_comes_out() {
    let machine = Machine::default();
    for expected in [0, 7] {
        let Some(status) = status(&machine, &["sh", "-c", &format!("exit {expected}")]) else { return };
        assert_eq!(status, expected);
    }
}

#[test]
fn a_command_that_takes_too_long_is_ended_and_the_captures_are_kept() {
    let machine = Machine { hosts: 2, networks: 2, time_limit: Duration::from_secs(1), ..Machine::default() };
    if missing().is_some() {
        return;
    }
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
        let ping = |from: u8, to: u8, on: u8, version: usize| {
            let address = network.addresses(to, on)[version].to_string();
            let mut command = network.on(from, "ping");
            let command = command.args(["-q", "-c1", "-W1", &address]).stdout(std::process::Stdio::null());
            Running::start(command).unwrap().child().wait().unwrap().success()
        };
        for (network, version) in [(1, 0), (1, 1), (2, 0), (2, 1)] {
            assert!(ping(1, 2, network, version), "network {network}, version {version}");
        }
        network.cut(2, 1).unwrap();
        assert!(!ping(1, 2, 1, 0));
        assert!(ping(1, 2, 2, 0), "the other network is not cut");
        network.heal(2, 1).unwrap();
        assert!(ping(1, 2, 1, 0));
        network.partition(&[1, 2], 1).unwrap();
        assert!(ping(1, 2, 1, 0) && !ping(1, 3, 1, 0) && !ping(3, 2, 1, 0));
    });
}
