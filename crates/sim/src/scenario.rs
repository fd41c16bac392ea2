//! A scenario: who is there, what goes wrong, and a run of it that ends with everything right again, or with the invariant
//! that does not hold, the seed, and the fewest faults that it takes.
use std::fmt;
use std::time::Duration;

use rserpool_asap::ElementRegistration;
use rserpool_wire::{PeIdentifier, PoolHandle, RegistrationLife, ServerId};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::fault::{Disturbance, Fault, NodeId};
use crate::invariants::{self, Violation};
use crate::processes::service_transport;
use crate::shrink;
use crate::world::{Settings, World};

/// Who is there, and what goes wrong.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// How tests call it: to say how a failure is repeated.
    pub name: String,
    /// The world.
    pub settings: Settings,
    /// How many registrars.
    pub registrars: u32,
    /// How many elements, in turn in the pools.
    pub elements: u32,
    /// How many users, in turn of the pools.
    pub users: u32,
    /// How many pools.
    pub pools: u32,
    /// What goes wrong, from when all is well on.
    pub faults: Vec<Fault>,
    /// How long it goes on at least.
    pub length: Duration,
}

/// What came of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    /// How long the start took.
    pub started: Duration,
    /// How long after the last fault all was well again.
    pub settled: Duration,
    /// How often users were served.
    pub served: u64,
    /// The longest that took.
    pub slowest: Duration,
    /// How many things happened.
    pub events: u64,
    /// Differs between runs in which not everything happened alike.
    pub digest: u64,
}

/// A run that went wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What is not as it must be.
    pub violation: Violation,
    /// Of which seed.
    pub seed: u64,
    /// The faults that it took.
    pub faults: Vec<Fault>,
    /// What everybody told at last.
    pub log: Vec<String>,
}

impl Scenario {
    /// Three registrars, six elements in two pools and two users, and nothing goes wrong.
    #[must_use]
    pub fn new(name: &str, settings: Settings) -> Self {
        Self {
            name: name.to_owned(),
            settings,
            registrars: 3,
            elements: 6,
            users: 2,
            pools: 2,
            faults: Vec::new(),
            length: Duration::ZERO,
        }
    }

    /// With so many registrars, elements and users.
    #[must_use]
    pub const fn with(mut self, registrars: u32, elements: u32, users: u32) -> Self {
        (self.registrars, self.elements, self.users) = (registrars, elements, users);
        self
    }

    /// Adds a fault: when all has been well for `at`, it begins.
    #[must_use]
    pub fn fault(mut self, at: Duration, lasts: Duration, what: Disturbance) -> Self {
        self.faults.push(Fault { at, lasts, what });
        self
    }

    /// Goes on for this long at least.
    #[must_use]
    pub const fn lasting(mut self, length: Duration) -> Self {
        self.length = length;
        self
    }

    /// The node of a registrar, from 0.
    #[must_use]
    pub const fn registrar(&self, n: u32) -> NodeId {
        NodeId(n)
    }

    /// The node of an element, from 0.
    #[must_use]
    pub const fn element(&self, n: u32) -> NodeId {
        NodeId(self.registrars + n)
    }

    /// The node of a user, from 0.
    #[must_use]
    pub const fn user(&self, n: u32) -> NodeId {
        NodeId(self.registrars + self.elements + n)
    }

    /// The world with everybody in it, not started.
    #[must_use]
    pub fn build(&self, seed: u64) -> World {
        let mut rng = SmallRng::seed_from_u64(seed ^ 0x5eed);
        let mut world = World::new(self.settings.clone(), seed);
        for _ in 0..self.registrars {
            world.add_registrar(ServerId(rng.random_range(1..u32::MAX)));
        }
        for n in 0..self.elements {
            let identifier = PeIdentifier(rng.random());
            world.add_element(self.registration(n, identifier).into_iter().collect());
        }
        for n in 0..self.users {
            world.add_user(self.pool(n));
        }
        world
    }

    fn pool(&self, n: u32) -> PoolHandle<'static> {
        PoolHandle::from(format!("pool {}", n % self.pools.max(1)))
    }

    fn registration(&self, n: u32, identifier: PeIdentifier) -> Option<ElementRegistration> {
        Some(ElementRegistration {
            pool_handle: self.pool(n),
            identifier,
            user_transport: service_transport(self.settings.scheme, self.element(n))?,
            policy: self.settings.policy.clone(),
            life: RegistrationLife::Finite(self.settings.pace.life),
        })
    }

    /// Starts everybody at once, and lets all become well.
    ///
    /// # Errors
    /// What did not.
    pub fn start(&self, world: &mut World) -> Result<Duration, Violation> {
        for node in world.node_ids() {
            world.start(node);
        }
        world.settle(self.settings.pace.settling(), self.interval())
    }

    /// How often to look whether all is well.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.settings.pace.registrar.heartbeat_cycle / 4
    }

    /// Runs it: everybody starts, the faults happen, and all becomes well again.
    ///
    /// # Errors
    /// What is not as it must be.
    pub fn run(&self, seed: u64) -> Result<Report, Failure> {
        let mut world = self.build(seed);
        self.run_in(&mut world).map_err(|violation| Failure {
            violation,
            seed,
            faults: self.faults.clone(),
            log: world.log().iter().rev().take(400).rev().cloned().collect(),
        })
    }

    fn run_in(&self, world: &mut World) -> Result<Report, Violation> {
        let started = self.start(world)?;
        let begin = world.now();
        world.plan(self.faults.iter().cloned().map(|fault| Fault { at: begin + fault.at, ..fault }));
        let end = self.faults.iter().map(Fault::end).max().unwrap_or_default().max(self.length);
        // A little longer, so that what ends last has ended.
        if !world.run(end + Duration::from_nanos(1)) {
            return Err(first(world));
        }
        let settled = world.settle(self.settings.pace.settling(), self.interval())?;
        let service = self.settings.pace.service(self.elements);
        if !world.run(service) {
            return Err(first(world));
        }
        // Late effects of what was before, such as an element found silent because of a cut, are to be over too.
        world.settle(self.settings.pace.settling(), self.interval())?;
        invariants::users_are_served(world)?;
        let served: Vec<_> = (0..self.users).map(|n| world.served(self.user(n))).collect();
        Ok(Report {
            started,
            settled,
            served: served.iter().map(|(times, _)| times).sum(),
            slowest: served.iter().map(|(_, slowest)| *slowest).max().unwrap_or_default(),
            events: world.events(),
            digest: world.digest(),
        })
    }

    /// Runs it with each of these seeds, or with the one in `RSERPOOL_SEED`.
    ///
    /// # Panics
    /// When a run goes wrong: with the invariant, the seed, the fewest faults that it takes, and what everybody told.
    pub fn check(&self, seeds: std::ops::Range<u64>) -> Vec<Report> {
        let seeds = replayed_seed().map_or(seeds, |seed| seed..seed + 1);
        seeds.map(|seed| self.run(seed).unwrap_or_else(|failure| self.fail(&failure))).collect()
    }

    #[allow(clippy::panic, reason = "this is how a test fails")]
    pub(crate) fn fail(&self, failure: &Failure) -> ! {
        panic!("{}", Explained { scenario: self, failure: &shrink::shrink(self, failure) })
    }
}

fn first(world: &World) -> Violation {
    let nothing = || Violation::new(world.now(), "None", "stopped for no reason".to_owned());
    world.violations().first().cloned().unwrap_or_else(nothing)
}

/// The seed in `RSERPOOL_SEED`, to replay one run.
#[must_use]
pub fn replayed_seed() -> Option<u64> {
    std::env::var("RSERPOOL_SEED").ok()?.parse().ok()
}

struct Explained<'a> {
    scenario: &'a Scenario,
    failure: &'a Failure,
}

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, failure } = self;
        let Scenario { name, registrars, elements, users, settings, .. } = scenario;
        for line in &failure.log {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "\n{}", failure.violation)?;
        writeln!(
            f,
            "{registrars} registrars (from n0), {elements} elements, {users} users; {}",
            settings.dialect
        )?;
        writeln!(f, "the fewest faults that show it, counted from when all was well:")?;
        failure.faults.iter().try_for_each(|fault| writeln!(f, "{fault}"))?;
        writeln!(f, "to repeat it: RSERPOOL_SEED={} cargo test -p rserpool-sim {name}", failure.seed)
    }
}
