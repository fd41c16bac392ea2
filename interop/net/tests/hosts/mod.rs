//! What the tests have in common: a laboratory on this machine's own kernel, in which the project's command runs.
use std::time::Duration;

use rserpool_interop::Lab;

/// For what has no time of its own. Machines may be slow, and busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The elements that most tests have.
pub(crate) const ONE: &str = "0x00000001";
pub(crate) const TWO: &str = "0x00000002";

/// A laboratory for the test of this name.
pub(crate) fn lab(test: &'static str, hosts: u8) -> Lab {
    Lab::new(test)
        .hosts(hosts)
        .on_own_kernel()
        .first_process(env!("CARGO_BIN_EXE_failover"))
        .needs_command()
        .time_limit(Duration::from_secs(300))
}
