//! The tests of `rserpool-sctp`, and those of links over SCTP, that need SCTP in the kernel.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
use std::path::{Path, PathBuf};
use std::time::Duration;

use rserpool_interop::{Machine, skipped, test_programs};

#[test]
fn sockets_associations_and_notifications_work_with_a_real_kernel() {
    pass_inside("sctp", "rserpool-sctp", "");
}

#[test]
fn links_work_over_sctp_with_a_real_kernel() {
    pass_inside("sctp-links", "rserpool-transport", "sctp_links-");
}

/// Runs the test programs of a package whose names begin like this.
fn pass_inside(name: &str, package: &str, wanted: &str) {
    if skipped() {
        return;
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let is_wanted = |program: &PathBuf| {
        program.file_name().is_some_and(|name| name.to_string_lossy().starts_with(wanted))
    };
    let mut programs = test_programs(&manifest, package).unwrap();
    programs.retain(is_wanted);
    assert!(!programs.is_empty(), "{package} has no tests {wanted}");
    let commands: Vec<_> = programs.iter().map(|program| [program.to_str().unwrap()]).collect();
    let machine = Machine { time_limit: Duration::from_secs(300), ..Machine::default() };
    let outcome = machine.run(name, &commands).unwrap();
    assert_eq!(outcome.status, 0, "log: {}", outcome.kept.folder().display());
}
