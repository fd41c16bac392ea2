//! The host's side: starts the kernel, forwards its output, and ends it when it takes too long.
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::cargo::COMMAND_VARIABLE;
use crate::job::{Files, Job, OUTPUT_ENDS, OUTPUT_FOLLOWS};
use crate::kernel::Kernel;

const ADVICE: &str = "apt-get install user-mode-linux kmod iproute2 tcpdump iptables, \
    and rsplib-registrar rsplib-services rsplib-tools for the reference implementation";

/// The status of commands that were ended because of the time limit, as with timeout(1).
pub const TIMED_OUT: i32 = 124;

/// How much longer than the commands the kernel may take, to boot and to end.
const OVERHEAD: Duration = Duration::from_secs(40);

/// A kernel to be booted for some commands. They run as root on the host's files, after one another.
///
/// ```no_run
/// # use rserpool_interop::Machine;
/// let machine = Machine { hosts: 2, ..Machine::default() };
/// let outcome = machine.run("addresses", &[["ip", "-n", "n1", "address"]])?;
/// assert_eq!(outcome.status, 0);
/// # Ok::<(), rserpool_interop::LabError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Machine {
    /// Which kernel it is. Default user-mode Linux, which is booted.
    pub kernel: Kernel,
    /// The program that is the first process; it has to begin with [`run_as_first_process`](crate::run_as_first_process).
    /// Default the one named `lab` that lies beside this program, or above it.
    pub first_process: Option<PathBuf>,
    /// How many hosts there are, as network namespaces `n1`, `n2` and so on. Default 0: commands run in the one namespace
    /// that there is.
    pub hosts: u8,
    /// How many networks there are, with an interface of every host on each. Default 1.
    pub networks: u8,
    /// Whether the packets of each network are captured, where the kernel can do that. Default true; measurements want
    /// `false`.
    pub captures: bool,
    /// How long the commands may take, all together. Default 2 minutes.
    pub time_limit: Duration,
    /// How much memory user-mode Linux has, as `mem=` takes it. Default `512M`.
    pub memory: String,
    /// Variables for the commands, in addition to `PATH` and `HOME`.
    pub environment: BTreeMap<String, String>,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            kernel: Kernel::default(),
            first_process: None,
            hosts: 0,
            networks: 1,
            captures: true,
            time_limit: Duration::from_secs(120),
            memory: "512M".to_owned(),
            environment: BTreeMap::new(),
        }
    }
}

/// How the commands ended.
#[derive(Debug)]
pub struct Outcome {
    /// The status of the first command that failed, [`TIMED_OUT`], or 0.
    pub status: i32,
    /// What is left of the run: kernel log, captures, and what the commands left there. Deleted when it is dropped, unless
    /// the status is not 0.
    pub kept: Kept,
}

/// A folder that is deleted when it is dropped, if it is not to be kept.
#[derive(Debug)]
pub struct Kept {
    folder: PathBuf,
    keep: bool,
}

/// Why the commands could not be run, or not to the end.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// Something that is needed is not installed.
    #[error("`{program}` is not installed; {ADVICE}")]
    Missing {
        /// The program.
        program: &'static str,
    },
    /// Namespaces cannot be made.
    #[error(
        "networks on this machine's own kernel need root, and leave to make namespaces (`unshare --net --mount --pid`)"
    )]
    NotPermitted,
    /// The kernel ended by itself before the commands had: it crashed, or was killed.
    #[error("the kernel died ({how}); it said:\n{log}\n(files: {folder})")]
    Died {
        /// How it ended.
        how: ExitStatus,
        /// The kernel's output.
        log: String,
        /// Where its files are.
        folder: PathBuf,
    },
    /// The kernel took too long: it did not even end the commands at their time limit.
    #[error("the kernel did not get to the end in time; it said:\n{log}\n(files: {folder})")]
    Stuck {
        /// The kernel's output.
        log: String,
        /// Where its files are.
        folder: PathBuf,
    },
    /// Something else failed on this side.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// What is needed for user-mode Linux and not installed.
pub fn missing() -> Option<LabError> {
    Kernel::UserMode.missing()
}

/// Which of these programs is not installed.
pub(crate) fn missing_of(programs: &[&'static str]) -> Option<LabError> {
    let program = programs.iter().find(|name| find(name).is_none())?;
    Some(LabError::Missing { program })
}

impl Machine {
    /// Boots the kernel, or makes namespaces, runs `commands` in this process's folder, and waits for their end. What they write, to standard
    /// output or standard error, goes to this process's standard output. `name` is for the folder.
    ///
    /// # Errors
    /// If the commands could not be run to their end. That they fail, or are ended because of the time limit, is an
    /// [`Outcome`].
    pub fn run<S: AsRef<str>, C: AsRef<[S]>>(&self, name: &str, commands: &[C]) -> Result<Outcome, LabError> {
        if let Some(missing) = self.kernel.missing() {
            return Err(missing);
        }
        let folder = new_folder(name).map_err(during("make a folder for the run"))?;
        let files = Files::in_folder(&folder);
        let mut kept = Kept { folder: folder.clone(), keep: true };
        let job = Job {
            kernel: self.kernel,
            commands: commands.iter().map(words).collect(),
            directory: std::env::current_dir().map_err(during("find the current folder"))?,
            environment: self.environment.clone(),
            hosts: self.hosts,
            networks: self.networks,
            captures: self.captures,
            time_limit: self.time_limit,
        };
        job.write(&files).map_err(during("write the job"))?;
        let mut kernel = self.boot(&files)?;
        let ended = self.follow(&mut kernel, &files);
        // Whatever happened: no part of the kernel is left.
        let _ = kill_process_group(Pid::from_child(&kernel), Signal::KILL);
        let how = kernel.wait().map_err(during("wait for the kernel"))?;
        let in_time = ended.map_err(during("read the kernel's output"))?;

        let status = fs::read_to_string(&files.status).ok().and_then(|text| text.trim().parse().ok());
        let Some(status) = status else {
            let log = fs::read(&files.boot_log).unwrap_or_default();
            let log = String::from_utf8_lossy(&log).into_owned();
            return Err(if in_time {
                LabError::Died { how, log, folder }
            } else {
                LabError::Stuck { log, folder }
            });
        };
        kept.keep = status != 0;
        Ok(Outcome { status, kept })
    }

    /// Lets commands inside use this program as the project's command.
    pub fn use_command(&mut self, program: &Path) {
        let program = program.to_string_lossy().into_owned();
        self.environment.insert(COMMAND_VARIABLE.to_owned(), program);
    }

    fn boot(&self, files: &Files) -> Result<Child, LabError> {
        let log = || File::options().create(true).append(true).open(&files.boot_log);
        let first = match &self.first_process {
            Some(program) => program.clone(),
            None => lab_program().map_err(during("find the `lab` program"))?,
        };
        let mut command = self.kernel.command(&self.memory, &first, files);
        command
            .stdout(Stdio::piped())
            .stderr(log().map_err(during("write the kernel's log"))?)
            .process_group(0);
        command.spawn().map_err(during("start the kernel"))
    }

    /// Forwards what the commands write until the kernel ends, or the time is over; whether it ended in time.
    fn follow(&self, kernel: &mut Child, files: &Files) -> io::Result<bool> {
        let Some(output) = kernel.stdout.take() else { return Ok(true) };
        let mut log = File::options().append(true).open(&files.boot_log)?;
        let (end, ended) = mpsc::channel();
        // Lives until the output ends, and it does when the kernel is killed.
        let forwarding = std::thread::spawn(move || {
            let result = forward(BufReader::new(output), &mut log);
            let _ = end.send(());
            result
        });
        let in_time = ended.recv_timeout(self.time_limit + OVERHEAD).is_ok();
        if !in_time {
            let _ = kill_process_group(Pid::from_child(kernel), Signal::KILL);
        }
        let forwarded = forwarding.join();
        forwarded
            .unwrap_or_else(|_| Err(io::Error::other("the forwarding thread panicked")))
            .map(|()| in_time)
    }
}

impl Kept {
    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps the folder, or not.
    pub fn keep(&mut self, keep: bool) {
        self.keep = keep;
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Lines between the marks go to standard output, others to the log.
fn forward(mut console: impl BufRead, log: &mut impl Write) -> io::Result<()> {
    let mut line = Vec::new();
    let mut begun = false;
    loop {
        line.clear();
        if console.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        // A terminal ends lines with both.
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\r', '\n']);
        match text {
            OUTPUT_FOLLOWS => begun = true,
            OUTPUT_ENDS => begun = false,
            // Through the macro, so that the test framework can capture it.
            _ if begun => println!("{text}"),
            _ => writeln!(log, "{text}")?,
        }
    }
}

/// The program that is the first process: this one, or the one that lies beside it or, for tests, above it.
pub(crate) fn lab_program() -> io::Result<PathBuf> {
    let current = std::env::current_exe()?;
    let beside = current.ancestors().skip(1).take(2).map(|folder| folder.join("lab"));
    let found = beside.into_iter().find(|program| program.is_file());
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("not near {}", current.display())))
}

/// A new folder for each run, also of several processes at once.
fn new_folder(name: &str) -> io::Result<PathBuf> {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let folder =
        std::env::temp_dir().join("rserpool-lab").join(format!("{name}-{}-{run}", std::process::id()));
    fs::create_dir_all(&folder)?;
    folder.canonicalize()
}

fn words<S: AsRef<str>, C: AsRef<[S]>>(command: &C) -> Vec<String> {
    command.as_ref().iter().map(|word| word.as_ref().to_owned()).collect()
}

fn find(program: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // What only root uses is not in everybody's path; in the guest, all are root.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program.as_ref())).find(|file| file.is_file())
}

fn during(what: &'static str) -> impl FnOnce(io::Error) -> LabError {
    move |source| LabError::Io { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_between_the_marks_goes_to_the_log() {
        let console = format!("Booting\r\nOops\r\n{OUTPUT_FOLLOWS}\r\nhello\r\n{OUTPUT_ENDS}\r\nHalted");
        let mut log = Vec::new();
        forward(console.as_bytes(), &mut log).unwrap();
        assert_eq!(log, b"Booting\nOops\nHalted\n");
    }

    #[test]
    fn a_folder_is_deleted_unless_it_is_to_be_kept() {
        let folder = new_folder("kept").unwrap();
        drop(Kept { folder: folder.clone(), keep: true });
        assert!(folder.is_dir());
        drop(Kept { folder: folder.clone(), keep: false });
        assert!(!folder.exists());
    }
}
