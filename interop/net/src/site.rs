//! Registrars, elements and users on hosts, each where the others expect it, and what must be true of them at rest.
use std::fmt;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rserpool_interop::{Network, Process};

use crate::caller::Caller;
use crate::handlespace::{Handlespace, get};

const ASAP: u16 = 3863;
const ENRP: u16 = 9901;
const ADMIN: u16 = 8080;

/// The pool of all elements.
const POOL: &str = "pool";
/// How long a process may take to start, and to find whom it needs, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const POLL: Duration = Duration::from_millis(10);
/// Between an answer and the next request of a user.
const PAUSE: Duration = Duration::from_millis(5);
/// The same for one that is not in a hurry.
const SLOW_PAUSE: Duration = Duration::from_millis(50);

/// The timers of all roles.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timers {
    /// Those of the RFCs.
    Rfc,
    /// Those that fail over in fractions of a second.
    Fast,
}

impl fmt::Display for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rfc => "rfc",
            Self::Fast => "fast",
        })
    }
}

/// Hosts of which the first few have a registrar each, that of host 1 with the identifier 1, and so on.
pub struct Site<'a> {
    network: &'a Network,
    registrars: u8,
    timers: Timers,
    registrars_timers: Timers,
    is_ipv6: bool,
    started: AtomicU32,
}

#[allow(clippy::panic, reason = "this is how a test fails")]
impl<'a> Site<'a> {
    /// A site with registrars on the hosts from 1 to `registrars`; none is started yet.
    pub fn new(network: &'a Network, registrars: u8) -> Self {
        let (timers, registrars_timers) = (Timers::Fast, Timers::Fast);
        Self { network, registrars, timers, registrars_timers, is_ipv6: false, started: AtomicU32::new(0) }
    }

    /// Sets the timers; fast ones unless said otherwise.
    #[must_use]
    pub fn timers(self, timers: Timers) -> Self {
        Self { timers, registrars_timers: timers, ..self }
    }

    /// Sets the timers of registrars alone.
    #[must_use]
    pub fn registrars_timers(self, registrars_timers: Timers) -> Self {
        Self { registrars_timers, ..self }
    }

    /// Lets all addresses be of IPv6.
    #[must_use]
    pub fn over_ipv6(self) -> Self {
        Self { is_ipv6: true, ..self }
    }

    /// Where something on a host is reached.
    pub fn address(&self, host: u8, port: u16) -> SocketAddr {
        let [v4, v6] = self.network.addresses(host, 1);
        (if self.is_ipv6 { v6 } else { v4 }, port).into()
    }

    /// Starts all registrars, each with all others as its peers, and waits until they are ready.
    pub fn start_registrars(&self) -> Vec<Process> {
        self.start_registrars_with(&[])
    }

    /// The same, with more arguments.
    pub fn start_registrars_with(&self, more: &[&str]) -> Vec<Process> {
        let started: Vec<_> =
            (1..=self.registrars).map(|host| self.start_registrar(host, host, more)).collect();
        started.iter().for_each(ready);
        started
    }

    /// Starts the registrar of a host, and waits until it is ready.
    pub fn registrar(&self, host: u8) -> Process {
        let registrar = self.start_registrar(host, host, &[]);
        ready(&registrar);
        registrar
    }

    /// Starts the registrar of a host at the addresses that a host of the number `like` would have, with more arguments.
    pub fn start_registrar(&self, host: u8, like: u8, more: &[&str]) -> Process {
        self.start_registrar_at(host, |port| self.address(like, port), more)
    }

    /// Starts the registrar of a host on all of its IPv4 addresses, whichever it has.
    pub fn start_registrar_everywhere(&self, host: u8) -> Process {
        self.start_registrar_at(host, |port| (Ipv4Addr::UNSPECIFIED, port).into(), &[])
    }

    fn start_registrar_at(&self, host: u8, at: impl Fn(u16) -> SocketAddr, more: &[&str]) -> Process {
        let mut arguments = vec![
            format!("--asap=tcp://{}", at(ASAP)),
            format!("--enrp=tcp://{}", at(ENRP)),
            format!("--admin={}", at(ADMIN)),
            format!("--id={host}"),
        ];
        let others = (1..=self.registrars).filter(|other| *other != host);
        arguments.extend(others.map(|other| format!("--peer=tcp://{}", self.address(other, ENRP))));
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        self.start("registrar", host, &arguments)
    }

    /// Starts an element that echoes, and waits until it is registered.
    pub fn element(&self, host: u8, id: &str) -> Process {
        let element = self.start_element(host, id, &[]);
        ready(&element);
        element
    }

    /// Starts an element that echoes, with more arguments.
    pub fn start_element(&self, host: u8, id: &str, more: &[&str]) -> Process {
        let mut arguments = vec![format!("--pool={POOL}"), "--echo".into(), format!("--id={id}")];
        arguments.extend(self.to_registrars());
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        self.start("pe", host, &arguments)
    }

    /// Starts a user that prints every change of the pool.
    pub fn watch(&self, host: u8) -> Process {
        let mut arguments = vec![format!("--pool={POOL}")];
        arguments.extend(self.to_registrars());
        self.start("watch", host, &arguments)
    }

    /// Starts a user that asks all the time, and waits until it has its first answer. More arguments go to `rserpool call`.
    pub fn caller(&self, host: u8, more: &[&str]) -> Caller {
        self.start_caller(host, more, PAUSE)
    }

    /// A user that asks now and then, for a long time.
    pub(crate) fn slow_caller(&self, host: u8) -> Caller {
        self.start_caller(host, &[], SLOW_PAUSE)
    }

    fn start_caller(&self, host: u8, more: &[&str], pause: Duration) -> Caller {
        let mut command = self.command("call", host);
        command.arg(format!("--pool={POOL}")).args(self.to_registrars()).args(more);
        let log = self.output("call", host);
        let started = File::create(log).and_then(|log| Caller::start(command.stderr(log), pause));
        let caller = started.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        self.until("the user is answered", PATIENCE, || !caller.log().answers.is_empty());
        caller
    }

    /// A command that resolves the pool once.
    pub fn resolve(&self, host: u8) -> Command {
        let mut command = self.command("resolve", host);
        command.arg(format!("--pool={POOL}")).args(self.to_registrars()).stdout(Stdio::null());
        command
    }

    fn to_registrars(&self) -> impl Iterator<Item = String> {
        (1..=self.registrars).map(|host| format!("--registrar=tcp://{}", self.address(host, ASAP)))
    }

    fn command(&self, verb: &str, host: u8) -> Command {
        let mut command = self.network.rserpool(host);
        let timers = if verb == "registrar" { self.registrars_timers } else { self.timers };
        command.arg(verb).arg(format!("--timers={timers}"));
        command
    }

    fn start(&self, verb: &str, host: u8, arguments: &[String]) -> Process {
        let mut command = self.command(verb, host);
        command.args(arguments);
        let output = self.output(verb, host);
        Process::start(&mut command, output).unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// Where a process writes.
    fn output(&self, verb: &str, host: u8) -> PathBuf {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        self.network.folder().join(format!("{number:02}-n{host}-{verb}.log"))
    }

    /// What a registrar has; `None` if it does not answer.
    pub fn handlespace(&self, registrar: u8) -> Option<Handlespace> {
        self.handlespace_at(registrar, registrar)
    }

    /// The same for a registrar at the addresses that a host of the number `like` would have.
    pub fn handlespace_at(&self, registrar: u8, like: u8) -> Option<Handlespace> {
        let admin = self.address(like, ADMIN);
        self.network.within(registrar, || Handlespace::ask(admin).ok()).ok()?
    }

    /// Waits until a user is answered what it asks from now on.
    pub fn serves(&self, user: &Caller) {
        let now = Instant::now();
        self.until("the user is served", PATIENCE, || user.is_served_since(now));
    }

    /// A counter of a registrar, as `/metrics` calls it without prefix and suffix.
    pub fn counter(&self, registrar: u8, name: &str) -> u64 {
        self.metric(registrar, &format!("{name}_total"))
    }

    /// A sample of a registrar's `/metrics`, by its name without prefix.
    pub fn metric(&self, registrar: u8, name: &str) -> u64 {
        let admin = self.address(registrar, ADMIN);
        let mut metrics = Ok(String::new());
        self.until("the registrar tells its metrics", PATIENCE, || {
            metrics = self.network.within(registrar, || get(admin, "/metrics")).and_then(|answer| answer);
            metrics.is_ok()
        });
        let line = format!("rserpool_{name} ");
        let number = metrics.as_ref().ok().and_then(|text| text.lines().find_map(|l| l.strip_prefix(&line)));
        match number.map(str::parse) {
            Some(Ok(number)) => number,
            _ => panic!("registrar {registrar} has no {name}: {metrics:?}"),
        }
    }

    /// A counter of these registrars together.
    pub fn counters(&self, registrars: &[u8], name: &str) -> u64 {
        registrars.iter().map(|registrar| self.counter(*registrar, name)).sum()
    }

    /// Waits until these registrars agree: they have the same table with the same checksums, of exactly these elements, each of
    /// which has one of them as its home. Returns the table, and how long that took.
    pub fn agree(&self, registrars: &[u8], elements: &[&str], time: Duration) -> (Handlespace, Duration) {
        let homes: Vec<_> = registrars.iter().map(|host| format!("{host:#010x}")).collect();
        let (started, mut tables) = (Instant::now(), Vec::new());
        loop {
            tables.clear();
            tables.extend(registrars.iter().map(|registrar| self.handlespace(*registrar)));
            let mut each = tables.iter().flatten();
            let first = each.next().filter(|first| {
                let is_home = |home: &&str| homes.iter().any(|one| one == home);
                first.ready
                    && first.elements.keys().eq(elements)
                    && first.homes().iter().all(is_home)
                    && tables.iter().all(|table| table.as_ref() == Some(first))
            });
            if let Some(agreed) = first {
                return (agreed.clone(), started.elapsed());
            }
            let tables = &tables;
            assert!(
                started.elapsed() < time,
                "{elements:?} at {registrars:?} not agreed within {time:?}: {tables:#?}"
            );
            std::thread::sleep(POLL);
        }
    }

    /// Waits until the condition is true, and returns how long that took.
    pub fn until(&self, what: &str, time: Duration, mut condition: impl FnMut() -> bool) -> Duration {
        let started = Instant::now();
        while !condition() {
            assert!(started.elapsed() < time, "not within {time:?}: {what}");
            std::thread::sleep(POLL);
        }
        started.elapsed()
    }
}

/// Waits until a registrar or an element says that it is ready.
fn ready(process: &Process) {
    process.prints_within(PATIENCE, "ready ");
}
