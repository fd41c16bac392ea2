//! The tests of `rserpool-sctp`, and those of links over SCTP, that need SCTP in the kernel.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
use std::time::Duration;

use rserpool_interop::{Machine, project_tests, skipped};

#[test]
fn sockets_associations_and_notifications_work_with_a_real_kernel() {
    pass_inside("sctp", "rserpool-sctp", &["kernel"]);
}

#[test]
fn links_work_over_sctp_with_a_real_kernel() {
    pass_inside("sctp-links", "rserpool-transport", &["sctp_links"]);
}

/// Runs these tests of a package.
fn pass_inside(name: &str, package: &str, tests: &[&str]) {
    if skipped() {
        return;
    }
    let programs = project_tests(package, tests).unwrap();
    let commands: Vec<_> = programs.iter().map(|program| [program.to_str().unwrap()]).collect();
    let machine = Machine { time_limit: Duration::from_secs(300), ..Machine::default() };
    let outcome = machine.run(name, &commands).unwrap();
    assert_eq!(outcome.status, 0, "log: {}", outcome.kept.folder().display());
}
