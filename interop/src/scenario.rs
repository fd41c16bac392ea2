//! Tests in which several programs take part, the project's own command and those of the reference implementation: started
//! on hosts of a laboratory, with their output in files that are kept with the captures, and followed with deadlines.
use std::cell::Cell;
use std::fs::{self, File};
use std::io::Write;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::job::Files;
use crate::lab::Lab;
use crate::machine::lab_program;
use crate::network::{Network, Running, project_command_inside};
use crate::tshark::{no_message_can_be_read, no_message_is_objectionable};

/// Of the reference implementation, and what reads captures.
const PROGRAMS: [&str; 5] = ["rspregistrar", "rspserver", "rspterminal", "hsdump", "tshark"];

/// How long to wait for what has no time of its own. The kernel is slow, and programs take a while to start in it.
const PATIENCE: Duration = Duration::from_secs(60);
const TIME_LIMIT: Duration = Duration::from_secs(240);
const POLL: Duration = Duration::from_millis(50);

/// A configuration for registrars: fast timers, but time enough to answer in for a kernel that is slow, and that stands still
/// for seconds while its host does something else.
pub const UNHURRIED: &str = "\
[timing]
max_time_last_heard = 4
max_time_no_response = 5
takeover_watch = 12
keep_alive_timeout = 6
detached_grace = 2
download_session = 5
resync_interval = 5
stall = 1
[links]
connect_timeout = 5
handshake_timeout = 15
[sctp]
rto_initial = 1
rto_min = 1
rto_max = 4
association_retransmissions = 10
";

/// A test on hosts on which both implementations can be started.
///
/// When it has succeeded, tshark reads its captures, and must not object to any message of either.
///
/// It is skipped, and says so, where one of them or user-mode Linux is missing, unless the environment has
/// `RSERPOOL_LAB=required`.
///
/// ```no_run
/// # use rserpool_interop::Scenario;
/// #[test]
/// fn an_element_registers() {
///     Scenario::new("an_element_registers").hosts(2).run(|hosts| {
///         let _registrar = hosts.registrar(1, &[]);
///         let _element = hosts.rsplib(2, "rspserver", &["-echo", "-registrar=10.9.0.1:3863"]);
///         hosts.rserpool(2, &["watch", "--pool", "EchoPool", "--registrar", "sctp://10.9.0.1:3863"]).prints("added");
///     });
/// }
/// ```
pub struct Scenario(Lab);

impl Scenario {
    /// For the test of this name.
    pub fn new(test: &'static str) -> Self {
        Self(Lab::new(test).time_limit(TIME_LIMIT).afterwards(no_message_is_objectionable))
    }

    /// The same for a test in which all links are secured: there must be some in its captures, and nothing in clear.
    pub fn sealed(test: &'static str) -> Self {
        Self(Lab::new(test).time_limit(TIME_LIMIT).afterwards(no_message_can_be_read))
    }

    /// The same for a test that sends what tshark must object to: its captures are not read.
    pub fn unread(test: &'static str) -> Self {
        Self(Lab::new(test))
    }

    /// Sets how many hosts there are. Default 1.
    #[must_use]
    pub fn hosts(self, hosts: u8) -> Self {
        Self(self.0.hosts(hosts))
    }

    /// Sets how many networks there are. Default 1.
    #[must_use]
    pub fn networks(self, networks: u8) -> Self {
        Self(self.0.networks(networks))
    }

    /// Sets how long the test may take. Default 4 minutes, so that what takes too long is told by the test first.
    #[must_use]
    pub fn time_limit(self, limit: Duration) -> Self {
        Self(self.0.time_limit(limit))
    }

    /// Captures nothing, so that nothing slows down what is measured; tshark has nothing to object to.
    #[must_use]
    pub fn unrecorded(self) -> Self {
        Self(self.0.unrecorded())
    }

    /// Runs the body inside.
    ///
    /// # Panics
    /// If it panics, takes too long, or cannot be run.
    #[allow(clippy::panic, reason = "this is how a test fails")]
    pub fn run(self, body: impl FnOnce(&Hosts<'_>)) {
        self.0.needs(&PROGRAMS).needs_command().run(|network| match Hosts::new(network) {
            Ok(hosts) => body(&hosts),
            Err(error) => panic!("{error}"),
        });
    }
}

/// The hosts of a scenario: a [`Network`], and ways to start programs on it.
pub struct Hosts<'a> {
    network: &'a Network,
    folder: PathBuf,
    started: AtomicU32,
}

impl Deref for Hosts<'_> {
    type Target = Network;
    fn deref(&self) -> &Network {
        self.network
    }
}

impl<'a> Hosts<'a> {
    fn new(network: &'a Network) -> std::io::Result<Self> {
        let folder = Files::of_environment()?.folder;
        Ok(Self { network, folder, started: AtomicU32::new(0) })
    }

    /// Starts our registrar on a host, at the assigned SCTP ports of its address on network 1, with the reference
    /// implementation's dialect, and waits until it is ready. Its identifier is the number of the host; its administrative
    /// service is at port 8080.
    pub fn registrar(&self, host: u8, more: &[&str]) -> Process {
        let registrar = self.start_registrar(host, more);
        registrar.prints("ready ");
        registrar
    }

    /// As [`registrar`](Self::registrar), without waiting.
    pub fn start_registrar(&self, host: u8, more: &[&str]) -> Process {
        let [address, _] = self.addresses(host, 1);
        let asap = format!("--asap=sctp://{address}:3863");
        let enrp = format!("--enrp=sctp://{address}:9901");
        let (admin, id) = (format!("--admin={address}:8080"), format!("--id={host}"));
        let arguments = ["registrar", &asap, &enrp, &admin, &id];
        self.rserpool(host, &[&arguments, more].concat())
    }

    /// Starts the project's command on a host, with the reference implementation's dialect if the arguments name none.
    pub fn rserpool(&self, host: u8, arguments: &[&str]) -> Process {
        let name = arguments.first().copied().unwrap_or_default();
        let mut command = self.network.rserpool(host);
        command.args(arguments);
        if !arguments.iter().any(|argument| argument.starts_with("--dialect")) {
            command.arg("--dialect=rsplib");
        }
        self.start(name, host, &mut command)
    }

    /// Starts an element or a user of ours that speaks a protocol of the reference implementation's examples, at the registrar
    /// on host 1; see `peers/src/main.rs` for its other arguments.
    pub fn peer(&self, host: u8, role: &str, arguments: &[&str]) -> Process {
        let ([registrar, _], [address, _]) = (self.addresses(1, 1), self.addresses(host, 1));
        let mut command = self.on(host, project_command_inside().with_file_name("rserpool-peer"));
        command.arg(role).arg(format!("--registrar=sctp://{registrar}:3863"));
        if role.ends_with("element") {
            command.arg(format!("--listen={address}"));
        }
        self.start(role, host, command.args(arguments))
    }

    /// Starts a program of the reference implementation on a host.
    pub fn rsplib(&self, host: u8, program: &str, arguments: &[&str]) -> Process {
        self.start(program, host, self.on(host, program).args(arguments).arg("-logcolor=off"))
    }

    #[allow(clippy::panic, reason = "this is how a test fails")]
    fn start(&self, name: &str, host: u8, command: &mut Command) -> Process {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let output = format!("{number:02}-n{host}-{name}.log");
        match Process::start(command.current_dir(&self.folder), self.folder.join(output)) {
            Ok(process) => process,
            Err(error) => panic!("{command:?}: {error}"),
        }
    }

    /// Runs the project's command on a host to its end, and returns what it prints.
    ///
    /// # Errors
    /// With what it prints if it fails.
    pub fn ask(&self, host: u8, arguments: &[&str]) -> Result<String, String> {
        answer(self.network.rserpool(host).args(arguments))
    }

    /// What our registrar on a host has, as `rserpool dump --json` prints it; `Null` if it does not answer.
    pub fn dump(&self, host: u8) -> serde_json::Value {
        let [address, _] = self.addresses(host, 1);
        let answer = self.ask(host, &["dump", "--json", &format!("--admin=http://{address}:8080")]);
        answer.ok().and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default()
    }

    /// Where a file or directory of this name is, or would be.
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    /// Writes a file for a program to read, and returns its path.
    ///
    /// # Panics
    /// If it cannot be written.
    #[allow(clippy::panic, reason = "this is how a test fails")]
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap_or_else(|error| panic!("{name}: {error}"));
        path
    }

    /// A counter of our registrar on a host, as `/metrics` calls it without prefix and suffix: `reregistrations`.
    ///
    /// # Panics
    /// If it has none, or does not answer.
    #[allow(clippy::panic, reason = "this is how a test fails")]
    pub fn counter(&self, host: u8, name: &str) -> u64 {
        let [address, _] = self.addresses(host, 1);
        let lab = lab_program().unwrap_or_else(|_| "lab".into());
        let metrics = answer(self.on(host, lab).args(["get", &format!("{address}:8080"), "/metrics"]));
        let line = format!("rserpool_{name}_total ");
        let number = metrics.as_ref().ok().and_then(|text| text.lines().find_map(|l| l.strip_prefix(&line)));
        match number.map(str::parse) {
            Some(Ok(number)) => number,
            _ => panic!("no counter {name}: {metrics:?}"),
        }
    }
}

fn answer(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// A program that runs on a host until this is dropped, and its output so far.
pub struct Process {
    running: Running,
    output: PathBuf,
    /// How many bytes of the output have been found already.
    seen: Cell<usize>,
}

#[allow(clippy::panic, reason = "this is how a test fails")]
impl Process {
    /// Starts a command whose output goes to this file.
    ///
    /// # Errors
    /// If it cannot be started, or the file cannot be made.
    pub fn start(command: &mut Command, output: PathBuf) -> std::io::Result<Self> {
        let file = File::create(&output)?;
        let running = Running::start(command.stdin(Stdio::piped()).stdout(file.try_clone()?).stderr(file))?;
        Ok(Self { running, output, seen: Cell::new(0) })
    }

    /// Waits until it prints a line that contains `text`, after the last line that was waited for, and returns it.
    ///
    /// # Panics
    /// If it does not within a minute.
    pub fn prints(&self, text: &str) -> String {
        self.prints_within(PATIENCE, text)
    }

    /// As [`prints`](Self::prints), with a time to wait.
    ///
    /// # Panics
    /// If it does not print the line in time.
    pub fn prints_within(&self, time: Duration, text: &str) -> String {
        let deadline = Instant::now() + time;
        loop {
            if let Some(line) = self.find(text) {
                return line;
            }
            if Instant::now() >= deadline {
                let (name, printed) = (self.output.display(), self.printed());
                panic!("no new line with `{text}` within {time:?}; {name}:\n{printed}");
            }
            thread::sleep(POLL);
        }
    }

    /// Waits until this `rserpool conform` has ended, without a case that failed.
    ///
    /// # Panics
    /// If a case fails, or it takes longer.
    pub fn conforms_within(&self, time: Duration) {
        let summary = self.prints_within(time, " failed, ");
        let printed = self.printed();
        let failures = printed.lines().skip_while(|line| *line != "failed").collect::<Vec<_>>().join("\n");
        assert!(summary.contains(" 0 failed, "), "{summary}\n{failures}");
    }

    /// The next line that contains `text`, if it has been printed already.
    pub fn find(&self, text: &str) -> Option<String> {
        let printed = self.printed();
        let news = printed.get(self.seen.get()..)?;
        let mut end = self.seen.get();
        for line in news.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            end += line.len();
            if line.contains(text) {
                self.seen.set(end);
                return Some(line.trim_end().to_owned());
            }
        }
        None
    }

    /// All that it has printed.
    pub fn printed(&self) -> String {
        fs::read(&self.output).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Writes a line to its standard input.
    ///
    /// # Panics
    /// If it does not read any more.
    pub fn tell(&mut self, line: &str) {
        let written = self.running.child().stdin.as_mut().map(|input| writeln!(input, "{line}"));
        if !matches!(written, Some(Ok(()))) {
            panic!("{} does not read: {written:?}", self.output.display());
        }
    }

    /// Its number.
    pub fn id(&mut self) -> u32 {
        self.running.child().id()
    }

    /// How much processor time it has used, as the kernel counts it: in hundredths of a second.
    ///
    /// # Panics
    /// If it has ended.
    pub fn processor_time(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.running.id());
        let stat = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        // After the name, which stands in parentheses: user and system time are the 14th and 15th field of proc(5).
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        let ticks = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
        Duration::from_millis(10 * ticks.sum::<u64>())
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.running.child().try_wait(), Ok(None))
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it has ended.
    pub fn signal(&self, signal: Signal) {
        self.running.signal(signal).unwrap_or_else(|error| panic!("{}: {error}", self.output.display()));
    }

    /// Asks it to end with `signal`, and waits until it has.
    ///
    /// # Panics
    /// If it does not end within a minute.
    pub fn end(mut self, signal: Signal) {
        self.signal(signal);
        until("the process has ended", PATIENCE, || !self.is_running());
    }

    /// Ends it at once; see [`Running::kill`].
    pub fn kill(self) {
        drop(self);
    }
}

/// Waits until the condition is true.
///
/// # Panics
/// If that takes longer than `time`.
pub fn until(what: &str, time: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + time;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {time:?}: {what}");
        thread::sleep(POLL);
    }
}
