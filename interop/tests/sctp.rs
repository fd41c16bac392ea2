//! The tests of `rserpool-sctp` that need SCTP in the kernel.
use std::path::Path;
use std::time::Duration;

use rserpool_interop::{Machine, skipped, test_programs};

#[test]
fn sockets_associations_and_notifications_work_with_a_real_kernel() {
    if skipped() {
        return;
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let programs = test_programs(&manifest, "rserpool-sctp").unwrap();
    let commands: Vec<_> = programs.iter().map(|program| [program.to_str().unwrap()]).collect();
    let machine = Machine { time_limit: Duration::from_secs(300), ..Machine::default() };
    let outcome = machine.run("sctp", &commands).unwrap();
    assert_eq!(outcome.status, 0, "log: {}", outcome.kept.folder().display());
}
