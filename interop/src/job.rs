//! What the host tells the first process of the guest, as a file that both see. The answer goes the same way.
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::kernel::Kernel;

/// Names the file to the first process, through the kernel's command line, and to the commands.
pub(crate) const JOB_VARIABLE: &str = "RSERPOOL_LAB_JOB";

/// Tells commands whether they are inside: [`INSIDE`]. Outside, [`REQUIRED`] makes it an error that user-mode Linux is
/// missing.
pub(crate) const LAB_VARIABLE: &str = "RSERPOOL_LAB";
pub(crate) const INSIDE: &str = "inside";
pub(crate) const REQUIRED: &str = "required";

/// The guest writes these before and after the commands' output; all else is the kernel's.
pub(crate) const OUTPUT_FOLLOWS: &str = "[lab] output follows";
pub(crate) const OUTPUT_ENDS: &str = "[lab] output ends";

/// What is to be done in the guest.
#[derive(Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) kernel: Kernel,
    /// Run one after the other, all of them.
    pub(crate) commands: Vec<Vec<String>>,
    pub(crate) directory: PathBuf,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) hosts: u8,
    pub(crate) networks: u8,
    pub(crate) captures: bool,
    pub(crate) time_limit: Duration,
}

impl Job {
    pub(crate) fn write(&self, files: &Files) -> io::Result<()> {
        fs::write(&files.job, serde_json::to_vec_pretty(self)?)
    }

    pub(crate) fn read(files: &Files) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(&files.job)?)?)
    }
}

/// The files of a job, all in one folder.
pub(crate) struct Files {
    pub(crate) folder: PathBuf,
    pub(crate) job: PathBuf,
    /// The commands' status, as a number: of the first that failed.
    pub(crate) status: PathBuf,
    /// Written by a test's body when it has begun: shows that the test was found.
    pub(crate) begun: PathBuf,
    /// What the kernel said before the commands, and on standard error.
    pub(crate) boot_log: PathBuf,
}

impl Files {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let file = |name| folder.join(name);
        Self {
            folder: folder.to_owned(),
            job: file("job.json"),
            status: file("status"),
            begun: file("begun"),
            boot_log: file("boot.log"),
        }
    }

    /// The files of the job that this process is part of.
    pub(crate) fn of_environment() -> io::Result<Self> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("{JOB_VARIABLE} is not set"));
        let job = PathBuf::from(std::env::var_os(JOB_VARIABLE).ok_or_else(missing)?);
        Ok(Self::in_folder(job.parent().ok_or_else(missing)?))
    }

    /// Where the packets of a network are kept.
    pub(crate) fn capture(&self, network: u8) -> PathBuf {
        self.folder.join(format!("net{network}.pcap"))
    }
}
