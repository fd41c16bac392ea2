//! Runs the real `rserpool` command: long-running ones as children that die with the test, others to their end.
#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(clippy::expect_used, clippy::disallowed_methods, reason = "a test runs commands, in real time")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often to look whether a condition holds.
const GLANCE: Duration = Duration::from_millis(5);

/// A command that runs.
pub(crate) struct Running {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

/// What a command that has ended said.
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Starts `rserpool` with these arguments; its logs go to the test's standard error.
pub(crate) fn start(arguments: &[&str]) -> Running {
    spawn(command(arguments).stderr(Stdio::inherit()))
}

/// Starts `rserpool` with these arguments and its logs, from level info, on a pipe.
pub(crate) fn start_with_log(arguments: &[&str]) -> Running {
    spawn(command(arguments).stderr(Stdio::piped()).env("RUST_LOG", "info"))
}

fn spawn(command: &mut Command) -> Running {
    let mut child = command.spawn().expect("the binary is built");
    let output = child.stdout.take().expect("piped");
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            if line.is_err() || line.is_ok_and(|line| sender.send(line).is_err()) {
                return;
            }
        }
    });
    Running { input: child.stdin.take(), child, lines }
}

/// Runs `rserpool` with these arguments and this input to its end.
pub(crate) fn run(arguments: &[&str], input: &str) -> Ended {
    run_bytes(arguments, input.as_bytes())
}

/// The same with input that is no text.
pub(crate) fn run_bytes(arguments: &[&str], input: &[u8]) -> Ended {
    let mut child = command(arguments).stderr(Stdio::piped()).spawn().expect("the binary is built");
    // A command that fails at once may not read its input.
    let _ = child.stdin.take().expect("piped").write_all(input);
    let (mut stdout, mut stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let reading = thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).map(|_| text)
    });
    let output = thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let mut running = Running { child, input: None, lines: channel().1 };
    let status = running.end();
    Ended {
        status: status.code(),
        stdout: output.join().expect("no panic").expect("text"),
        stderr: reading.join().expect("no panic").expect("text"),
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rserpool"));
    command.args(arguments).env("RUST_LOG", "warn").stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

impl Running {
    /// The next line of its output.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line of output in time")
    }

    /// The parts of the line that says that it serves.
    pub(crate) fn ready(&self) -> BTreeMap<String, String> {
        let line = self.line();
        let parts = line.strip_prefix("ready ").unwrap_or_else(|| panic!("`{line}` is no ready line"));
        let pair = |part: &str| part.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        parts.split(' ').map(|part| pair(part).expect("name=value")).collect()
    }

    /// Writes a line to its input.
    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.input.as_mut().expect("open"), "{line}").expect("it reads");
    }

    /// Ends its input.
    pub(crate) fn hush(&mut self) {
        self.input = None;
    }

    /// Asks it to end, as a service manager does.
    pub(crate) fn terminate(&self) {
        kill(self.pid(), Signal::SIGTERM).expect("it runs");
    }

    /// Tells it that its configuration has changed.
    pub(crate) fn hang_up(&self) {
        kill(self.pid(), Signal::SIGHUP).expect("it runs");
    }

    /// Its logs, once, if they are on a pipe.
    pub(crate) fn log(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Ends it as a crash does.
    pub(crate) fn crash(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ran");
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the command ends", || {
            status = self.child.try_wait().expect("it ran");
            status.is_some()
        });
        status.expect("it has ended")
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().expect("process identifiers are small"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(GLANCE);
    }
}

/// A registrar with everything on free ports, and the parts of its ready line.
pub(crate) fn registrar(more: &[&str]) -> (Running, BTreeMap<String, String>) {
    let mut arguments = vec!["registrar", "--timers", "fast", "--asap", "tcp://127.0.0.1:0"];
    arguments.extend(["--enrp", "tcp://127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    arguments.extend(more);
    let running = start(&arguments);
    let ready = running.ready();
    (running, ready)
}

/// An echo element of `pool`, and the parts of its ready line.
pub(crate) fn echo(pool: &str, registrar: &str, more: &[&str]) -> (Running, BTreeMap<String, String>) {
    let mut arguments = vec!["pe", "--echo", "--timers", "fast", "--pool", pool, "--registrar", registrar];
    arguments.extend(more);
    let running = start(&arguments);
    let ready = running.ready();
    (running, ready)
}

/// The address in a `tcp://` URL.
pub(crate) fn address(url: &str) -> SocketAddr {
    url.strip_prefix("tcp://").and_then(|address| address.parse().ok()).expect("a tcp:// URL with an address")
}

/// What standard output says as JSON.
pub(crate) fn json(ended: &Ended) -> serde_json::Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error} in: {}", ended.stdout))
}
