//! The kernels that commands can run in: user-mode Linux, or the one of this machine, in namespaces of their own. In either
//! case the first process of the guest is one of our programs (`guest.rs`), and nothing of it is left afterwards.
use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::job::{Files, JOB_VARIABLE};
use crate::machine::{LabError, missing_of};

const USER_MODE: &str = "linux.uml";

/// Namespaces of their own for the network, for what is mounted, and for processes, so that all of these end with the first
/// process; and that one with whoever waits for it.
const UNSHARE: [&str; 9] = [
    "--pdeathsig",
    "KILL",
    "unshare",
    "--net",
    "--mount",
    "--propagation=private",
    "--pid",
    "--fork",
    "--kill-child",
];

/// A kernel for commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Kernel {
    /// User-mode Linux, booted for them. It has SCTP and `tc netem`, whatever the machine's has; it takes seconds to boot, and
    /// has one slow processor. What goes over its networks is captured.
    #[default]
    UserMode,
    /// The machine's own, in a network of its own: as fast as the machine, with what its kernel has. Needs root.
    Own,
}

impl Kernel {
    /// What is needed for it and not there.
    pub fn missing(self) -> Option<LabError> {
        match self {
            Self::UserMode => missing_of(&[USER_MODE, "modprobe", "ip", "tcpdump"]),
            Self::Own => missing_of(&["ip", "iptables-legacy", "unshare", "setpriv"]).or_else(|| {
                let tried = Command::new("setpriv").args(UNSHARE).arg("true").output();
                let permitted = tried.is_ok_and(|tried| tried.status.success());
                (!permitted).then_some(LabError::NotPermitted)
            }),
        }
    }

    /// The command that starts it, with its first process.
    pub(crate) fn command(self, memory: &str, first_process: &Path, files: &Files) -> Command {
        match self {
            Self::UserMode => {
                let mut command = Command::new(USER_MODE);
                command
                    .arg(format!("mem={memory}"))
                    .args(["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", "quiet"])
                    // The console is standard output; there is no input, and there are no other terminals.
                    .args(["con=null", "con0=null,fd:1", "ssl=null"])
                    .arg(format!("init={}", first_process.display()))
                    .arg(format!("{JOB_VARIABLE}={}", files.job.display()));
                command.stdin(Stdio::null());
                command
            }
            Self::Own => {
                let mut command = Command::new("setpriv");
                command.args(UNSHARE).arg(first_process).env(JOB_VARIABLE, &files.job).stdin(Stdio::null());
                command
            }
        }
    }
}
