//! Every order of events, where that can be enumerated: take-over arbitration and ownership (RFC 5353 §3.5) among a few real
//! registrar machines, whose target has died.
//!
//! A run is a list of [`Step`]s: the next message on a link arrives, a timer fires, a link breaks and loses what was on its
//! way, a registrar crashes. Machines can be neither copied nor compared, but they are deterministic: a run is repeated to
//! get back to where it led, and two runs lead to the same if every machine has seen the same inputs in the same order.
//! That is why this is a breadth-first search of its own and not a model for a checker, which wants states to hash and clone:
//! the states here are runs, and what is left of a checker then is a queue and a set.
use std::collections::{BTreeSet, VecDeque};

use rserpool_wire::{Dialect, ServerId};

use crate::registrars::Registrars;

/// Something that happens in a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    /// What is first on its way on this link to this end arrives.
    Receive(usize, usize),
    /// The next timer of this registrar that matters fires.
    Timer(usize),
    /// This link breaks; what is on its way is lost.
    Break(usize),
    /// This registrar crashes.
    Crash(usize),
}

/// What to explore.
#[derive(Clone, Debug)]
pub struct Arbitration {
    /// The registrars that may take over; the first ones to start come first. Equal identifiers are allowed.
    pub survivors: Vec<ServerId>,
    /// The one that has died, and that owned an element.
    pub target: ServerId,
    /// The dialect, which says who goes first.
    pub dialect: Dialect,
    /// Whether messages are faster than timers: a timer fires only while nothing is on its way. Otherwise anything goes.
    pub timely: bool,
    /// How many links may break.
    pub breaks: u32,
    /// How many registrars may crash.
    pub crashes: u32,
    /// How many timers may fire at each registrar.
    pub timers: u32,
    /// How many steps a run may have.
    pub depth: usize,
    /// How many states to look at before giving up.
    pub states: usize,
}

/// What was explored.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// Those where nothing more could happen, or the depth was reached.
    pub leaves: usize,
    /// The longest run.
    pub deepest: usize,
    /// Whether every run within the limits on faults and timers was followed to its end.
    pub complete: bool,
    /// How many registrars completed a take-over of the target, in any run.
    pub completions: BTreeSet<usize>,
}

impl Arbitration {
    /// Three registrars, or as many as there are identifiers, without faults, in which messages are faster than timers.
    #[must_use]
    pub fn of(survivors: &[u32], target: u32) -> Self {
        Self {
            survivors: survivors.iter().copied().map(ServerId).collect(),
            target: ServerId(target),
            dialect: Dialect::Rfc,
            timely: true,
            breaks: 0,
            crashes: 0,
            timers: 3,
            depth: 64,
            states: 2_000_000,
        }
    }

    /// Follows every run. Where it ends, everything on its way arrives and timers fire in order, and then all registrars
    /// that run must hold the same, under homes that run.
    ///
    /// # Errors
    /// The shortest run after which something is not as it must be, and what.
    pub fn explore(&self) -> Result<Explored, (Vec<Step>, String)> {
        let mut explored = Explored { complete: true, ..Explored::default() };
        let mut seen = BTreeSet::new();
        let mut queue = VecDeque::from([Vec::new()]);
        while let Some(run) = queue.pop_front() {
            let mut registrars = self.replay(&run).map_err(|what| (run.clone(), what))?;
            if !seen.insert(registrars.fingerprint()) {
                continue;
            }
            explored.states += 1;
            explored.deepest = explored.deepest.max(run.len());
            self.check(&registrars).map_err(|what| (run.clone(), what))?;
            let steps = self.steps(&registrars, &run);
            explored.complete &= steps.is_empty() || run.len() < self.depth;
            if steps.is_empty() || run.len() >= self.depth {
                explored.leaves += 1;
                registrars.let_all_come_right().map_err(|what| (run.clone(), what))?;
                explored.completions.insert(registrars.completions(self.target).len());
                continue;
            }
            if explored.states >= self.states {
                explored.complete = false;
                break;
            }
            queue.extend(steps.into_iter().map(|step| [run.as_slice(), &[step]].concat()));
        }
        Ok(explored)
    }

    fn replay(&self, run: &[Step]) -> Result<Registrars, String> {
        let mut registrars = Registrars::with_a_dead_target(&self.survivors, self.target, self.dialect)?;
        run.iter().for_each(|step| registrars.take(*step));
        Ok(registrars)
    }

    /// Everything that may happen next.
    fn steps(&self, registrars: &Registrars, run: &[Step]) -> Vec<Step> {
        let count = |is: fn(&Step) -> bool| run.iter().filter(|step| is(step)).count() as u32;
        let mut steps: Vec<Step> = registrars.arrivals();
        let quiet = steps.is_empty();
        for n in 0..self.survivors.len() {
            let fired = run.iter().filter(|step| **step == Step::Timer(n)).count() as u32;
            if (quiet || !self.timely) && fired < self.timers && registrars.has_timer(n) {
                steps.push(Step::Timer(n));
            }
        }
        if count(|step| matches!(step, Step::Break(_))) < self.breaks {
            steps.extend(registrars.breakable().into_iter().map(Step::Break));
        }
        if count(|step| matches!(step, Step::Crash(_))) < self.crashes {
            steps.extend((0..self.survivors.len()).filter(|n| registrars.runs(*n)).map(Step::Crash));
        }
        steps
    }

    /// At every state: without faults, and with messages faster than timers, at most one completes a take-over, and nobody
    /// takes over a registrar that lives (RFC 5353 §3.5.1). Of two with the same identifier, only one is asked.
    fn check(&self, registrars: &Registrars) -> Result<(), String> {
        if !self.timely || self.breaks > 0 || self.crashes > 0 || registrars.has_twins() {
            return Ok(());
        }
        let by = registrars.completions(self.target);
        if by.len() > 1 {
            return Err(format!("registrars {by:?} have all taken over {}", self.target));
        }
        for survivor in &self.survivors {
            if !registrars.completions(*survivor).is_empty() {
                return Err(format!("{survivor} lives, and was taken over"));
            }
        }
        Ok(())
    }
}
