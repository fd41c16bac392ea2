//! Tests whose body runs inside: the same test program is started again there, with the name of the one test.
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cargo::project_command;
use crate::job::{Files, INSIDE, LAB_VARIABLE, REQUIRED};
use crate::kernel::Kernel;
use crate::machine::{LabError, Machine, missing, missing_of};
use crate::network::Network;

/// Whether this process runs in a kernel that was booted by this crate.
pub fn inside() -> bool {
    std::env::var_os(LAB_VARIABLE).is_some_and(|value| value == INSIDE)
}

/// Whether the test that asks has to be skipped, because user-mode Linux is not installed; if so, has said so. It is not
/// skipped if the environment has `RSERPOOL_LAB=required`.
///
/// # Panics
/// If it is required, and not installed.
pub fn skipped() -> bool {
    skipped_for(missing())
}

fn skipped_for(missing: Option<LabError>) -> bool {
    let Some(missing) = missing else { return false };
    assert!(std::env::var_os(LAB_VARIABLE).is_none_or(|value| value != REQUIRED), "{missing}");
    let test = std::thread::current().name().unwrap_or("test").to_owned();
    // Past the test framework, which would show it for tests that fail only.
    let _ = writeln!(std::io::stderr(), "{test}: skipped: {missing}");
    true
}

/// A test whose body runs on hosts and networks of its own.
///
/// It is [`skipped`] where there is no user-mode Linux, or no leave to make namespaces. If it fails, its captures are kept, and it says where.
///
/// ```no_run
/// # use rserpool_interop::{Lab, Running};
/// #[test]
/// fn the_server_is_reached() {
///     Lab::new("the_server_is_reached").hosts(2).run(|network| {
///         let _server = Running::start(&mut network.on(2, "echo-server")).unwrap();
///         let [address, _] = network.addresses(2, 1);
///         assert!(network.on(1, "echo-client").arg(address.to_string()).status().unwrap().success());
///     });
/// }
/// ```
pub struct Lab {
    test: &'static str,
    machine: Machine,
    needs: Vec<&'static str>,
    needs_command: bool,
    afterwards: fn(&Path),
}

impl Lab {
    /// For the test of this name: that of the function, after those of its modules.
    pub fn new(test: &'static str) -> Self {
        let mut machine = Machine { hosts: 1, ..Machine::default() };
        for name in ["RUST_BACKTRACE", "RUST_LOG"] {
            machine.environment.extend(std::env::var(name).map(|value| (name.to_owned(), value)));
        }
        Self { test, machine, needs: Vec::new(), needs_command: false, afterwards: |_| {} }
    }

    /// Skips the test where these programs are not installed.
    #[must_use]
    pub fn needs(mut self, programs: &[&'static str]) -> Self {
        self.needs.extend(programs);
        self
    }

    /// Builds the project's command before, for [`Network::rserpool`].
    #[must_use]
    pub fn needs_command(mut self) -> Self {
        self.needs_command = true;
        self
    }

    /// Runs the body on this machine's own kernel: faster, where SCTP, `tc netem` and captures are not needed.
    #[must_use]
    pub fn on_own_kernel(mut self) -> Self {
        self.machine.kernel = Kernel::Own;
        self
    }

    /// Sets the first process inside ([`Machine::first_process`]), for tests of packages that have no program `lab`.
    #[must_use]
    pub fn first_process(mut self, program: impl Into<PathBuf>) -> Self {
        self.machine.first_process = Some(program.into());
        self
    }

    /// Sets how many hosts there are. Default 1.
    #[must_use]
    pub fn hosts(mut self, hosts: u8) -> Self {
        self.machine.hosts = hosts;
        self
    }

    /// Sets how many networks there are. Default 1.
    #[must_use]
    pub fn networks(mut self, networks: u8) -> Self {
        self.machine.networks = networks;
        self
    }

    /// Sets how long the test may take. Default 2 minutes.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.machine.time_limit = limit;
        self
    }

    /// Captures nothing, and so does nothing with captures afterwards: for measurements.
    #[must_use]
    pub fn unrecorded(mut self) -> Self {
        self.machine.captures = false;
        self.afterwards = |_| {};
        self
    }

    /// Sets what is to be done outside when the body has succeeded, with the folder of its captures. It is kept if that
    /// panics.
    #[must_use]
    pub fn afterwards(mut self, check: fn(&Path)) -> Self {
        self.afterwards = check;
        self
    }

    /// Runs the body inside.
    ///
    /// # Panics
    /// If it panics, takes too long, or cannot be run.
    pub fn run(self, body: impl FnOnce(&Network)) {
        if inside() {
            match self.begin() {
                Ok(network) => return body(&network),
                Err(error) => panic!("{}: {error}", self.test),
            }
        }
        if skipped_for(self.machine.kernel.missing().or_else(|| missing_of(&self.needs))) {
            return;
        }
        let test = self.test;
        if let Err(problem) = self.run_in_guest() {
            panic!("{test}: {problem}");
        }
    }

    fn begin(&self) -> std::io::Result<Network> {
        fs::write(Files::of_environment()?.begun, self.test)?;
        Network::current()
    }

    fn run_in_guest(mut self) -> Result<(), Box<dyn std::error::Error>> {
        if self.needs_command {
            self.machine.use_command(&project_command()?);
        }
        let program = std::env::current_exe()?;
        let program = program.to_str().ok_or("the test program's path is not UTF-8")?;
        let command = [program, "--exact", self.test, "--nocapture", "--test-threads=1"];
        let mut outcome = self.machine.run(self.test, &[command]).or_else(|error| match error {
            // That says nothing about what is tested. Twice in a row it is no accident.
            LabError::Died { .. } => {
                let _ = writeln!(std::io::stderr(), "{}: once more, since {error}", self.test);
                self.machine.run(self.test, &[command])
            }
            error => Err(error),
        })?;
        let folder = outcome.kept.folder().to_owned();
        if outcome.status != 0 {
            return Err(format!(
                "failed inside, with status {}; log and captures: {}",
                outcome.status,
                folder.display()
            )
            .into());
        }
        // A test program that does not find the test is content.
        if !Files::in_folder(&folder).begun.is_file() {
            outcome.kept.keep(false);
            return Err("there is no test of this name".into());
        }
        outcome.kept.keep(true);
        (self.afterwards)(&folder);
        outcome.kept.keep(false);
        Ok(())
    }
}
