//! A long time on a bad network: elements come and go, some of them by a crash, while packets get lost. Those that stay must
//! never be taken for dead, users must be served, and nothing may grow.
use std::fmt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rserpool_interop::{Network, Process};
use rustix::process::Signal;

use crate::caller::Caller;
use crate::site::{Site, Timers};
use crate::vitals::Vitals;

/// Of the soak: registrars on the first three, elements that stay on the next two, those that come and go, and users.
pub(crate) const REGISTRARS: u8 = 3;
const STAYING: [(u8, &str); 4] = [(4, "0x00000001"), (4, "0x00000002"), (5, "0x00000003"), (5, "0x00000004")];
const COMING_AND_GOING: u8 = 6;
const USERS: u8 = 7;

/// For the table to be the same everywhere, on a network like that.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long an element that comes and goes stays at most, once it is registered.
const STAY: Duration = Duration::from_millis(1500);
/// For what is under way in the end to be over.
const SETTLING: Duration = Duration::from_secs(30);

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct Soak {
    /// For how long.
    pub time: Duration,
    /// Which share of packets gets lost.
    pub loss: f64,
    /// The timers.
    pub timers: Timers,
    /// After which time TCP sends again what was lost, at least; `None` for the system's 200 ms.
    pub retransmission: Option<Duration>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Soaked {
    /// Elements that came and left as they should.
    pub left: usize,
    /// Elements that came and were killed.
    pub killed: usize,
    /// Requests that were answered.
    pub answered: usize,
    /// Requests that were not.
    pub lost: usize,
    /// The longest that a user waited.
    pub longest: Duration,
    /// What registrars said when they removed elements that lived.
    pub evictions: Vec<String>,
    /// Each process that stayed: early, and at the end.
    pub vitals: Vec<(String, Vitals, Vitals)>,
}

impl Soak {
    /// How many hosts it needs.
    pub const HOSTS: u8 = 7;

    /// Does it on these hosts.
    ///
    /// # Panics
    /// If something cannot be started, or the registrars do not agree in the end.
    #[allow(clippy::expect_used, reason = "the laboratory has these hosts")]
    pub fn run(&self, network: &Network) -> Soaked {
        let site = Site::new(network, REGISTRARS).timers(self.timers);
        for host in 1..=Self::HOSTS {
            network.lose(host, self.loss).expect("the kernel has a packet filter");
            if let Some(least) = self.retransmission {
                network.retransmit_after(host, 1, least).expect("the host is on the network");
            }
        }
        // Keep-alives once a second with the RFCs' timers too, or there would be hardly any to get lost.
        let timing = network.folder().join("often.toml");
        std::fs::write(&timing, "[timing]\nkeep_alive_interval = 1.0\n")
            .expect("the folder can be written to");
        let config = format!("--config={}", timing.display());
        let more: &[&str] = if self.timers == Timers::Rfc { &[&config] } else { &[] };
        let mut world = World {
            registrars: site.start_registrars_with(more),
            elements: STAYING.iter().map(|(host, id)| site.element(*host, id)).collect(),
            users: vec![site.slow_caller(USERS), site.slow_caller(USERS)],
            site,
        };

        let (mut soaked, mut killed) = (Soaked::default(), Vec::new());
        let (started, mut early) = (Instant::now(), None);
        for number in 0x100_u32.. {
            let elapsed = started.elapsed();
            if early.is_none() && elapsed > self.time / 4 {
                early = Some(world.vitals());
            }
            if elapsed > self.time {
                break;
            }
            let id = format!("{number:#010x}");
            let element = world.site.element(COMING_AND_GOING, &id);
            // Not all for the same time.
            sleep(STAY.mul_f64(f64::from(number % 5) / 4.0));
            if number % 2 == 0 {
                element.end(Signal::TERM);
                soaked.left += 1;
            } else {
                element.kill();
                killed.push(id);
            }
        }
        let staying = STAYING.map(|(_, id)| id);
        world.site.agree(&[1, 2, 3], &staying, PATIENCE);
        let early = early.unwrap_or_default();
        let settling = Instant::now();
        loop {
            let pairs = early.iter().cloned().zip(world.vitals());
            soaked.vitals = pairs.map(|((name, early), (_, late))| (name, early, late)).collect();
            // What is under way just now has not grown: it is over soon.
            if settling.elapsed() > SETTLING || soaked.grown().next().is_none() {
                break;
            }
            sleep(STAY);
        }
        soaked.killed = killed.len();
        soaked.evictions = world.evictions(&killed);
        for user in world.users {
            let log = user.finish();
            soaked.answered += log.answers.len();
            soaked.lost += log.lost;
            soaked.longest = soaked.longest.max(log.longest_since(started));
        }
        soaked
    }
}

/// All that stays.
struct World<'a> {
    site: Site<'a>,
    registrars: Vec<Process>,
    elements: Vec<Process>,
    users: Vec<Caller>,
}

impl World<'_> {
    #[allow(clippy::expect_used, reason = "these processes run to the end")]
    fn vitals(&mut self) -> Vec<(String, Vitals)> {
        let mut all = Vec::new();
        for (number, registrar) in (1..=REGISTRARS).zip(&mut self.registrars) {
            let tasks = self.site.metric(number, "tasks");
            let vitals = Vitals::of(registrar.id()).expect("the registrar runs");
            all.push((format!("registrar {number}"), Vitals { tasks, ..vitals }));
        }
        for ((_, id), element) in STAYING.iter().zip(&mut self.elements) {
            all.push((format!("element {id}"), Vitals::of(element.id()).expect("the element runs")));
        }
        for (number, user) in self.users.iter_mut().enumerate() {
            all.push((format!("user {number}"), Vitals::of(user.process()).expect("the user runs")));
        }
        all
    }

    /// What registrars said when they removed elements other than those that were killed.
    fn evictions(&self, killed: &[String]) -> Vec<String> {
        let said = self.registrars.iter().map(Process::printed);
        let lines = said.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
        let removals = lines.filter(|line| line.contains("element removed"));
        removals.filter(|line| !killed.iter().any(|id| line.contains(id.as_str()))).collect()
    }
}

impl Soaked {
    /// What went wrong, if anything did.
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<_> =
            self.evictions.iter().map(|said| format!("removed although it lived: {said}")).collect();
        if self.lost > 0 {
            problems.push(format!("{} requests were lost", self.lost));
        }
        let grown = self.grown();
        problems
            .extend(grown.map(|(name, early, late)| format!("{name} has grown: {early}; at the end {late}")));
        problems
    }

    fn grown(&self) -> impl Iterator<Item = &(String, Vitals, Vitals)> {
        self.vitals.iter().filter(|(_, early, late)| late.grown_since(early))
    }
}

impl fmt::Display for Soaked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { left, killed, answered, lost, longest, evictions, vitals } = self;
        writeln!(
            f,
            "elements: {left} came and left, {killed} came and were killed, {} evicted",
            evictions.len()
        )?;
        writeln!(f, "requests: {answered} answered, {lost} lost, the longest took {longest:?}")?;
        for (name, early, late) in vitals {
            writeln!(f, "{name}: {early}; at the end {late}")?;
        }
        Ok(())
    }
}
