//! The end-to-end tests of `rserpool`, which it runs over TCP, once more over SCTP.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
use std::time::Duration;

use rserpool_interop::{Machine, project_tests, skipped};

/// Those of its test programs in which registrars are reached, and sessions run, over whatever the environment says.
const OVER_ANY_TRANSPORT: [&str; 5] = ["failover", "session", "watch", "cleanup", "unhappy"];

#[test]
fn pools_and_sessions_survive_over_sctp_as_over_tcp() {
    if skipped() {
        return;
    }
    let programs = project_tests("rserpool", &OVER_ANY_TRANSPORT).unwrap();
    // One at a time: the timers are fast, and the kernel is slow.
    let commands: Vec<_> =
        programs.iter().map(|program| [program.to_str().unwrap(), "--test-threads=1"]).collect();
    let mut machine = Machine { time_limit: Duration::from_secs(300), ..Machine::default() };
    machine.environment.insert("RSERPOOL_TEST_SCHEME".to_owned(), "sctp".to_owned());
    let outcome = machine.run("stack", &commands).unwrap();
    assert_eq!(outcome.status, 0, "log: {}", outcome.kept.folder().display());
}
