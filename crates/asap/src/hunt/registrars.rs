//! The registrars that an endpoint knows of: configured ones, which are never forgotten, and announced ones, which
//! are when T7-ENRPoutdate expires (RFC 5352 §3.6).
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::SmallRng;
use rserpool_machine::Endpoint;

/// The list, and what came of trying each.
pub(super) struct Registrars {
    known: Vec<Registrar>,
    max_announced: usize,
    outdate: Duration,
    /// Counts tries, so that the one tried longest ago is found.
    tries: u64,
}

struct Registrar {
    endpoint: Endpoint,
    /// When T7 expires; `None` for a configured one.
    outdated_at: Option<Instant>,
    /// The number of the last try; 0 for never.
    tried: u64,
    /// The round of the hunt of the last try.
    round: u64,
    /// Whether it failed since the last time that a home was found.
    failed: bool,
}

impl Registrars {
    pub(super) fn new(configured: Vec<Endpoint>, max_announced: usize, outdate: Duration) -> Self {
        let mut registrars = Self { known: Vec::new(), max_announced, outdate, tries: 0 };
        for endpoint in configured {
            registrars.configure(endpoint);
        }
        registrars
    }

    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> + '_ {
        self.known.iter().map(|registrar| &registrar.endpoint)
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Adds a registrar for good; an announced one becomes a configured one.
    pub(super) fn configure(&mut self, endpoint: Endpoint) {
        match self.find(&endpoint) {
            Some(registrar) => registrar.outdated_at = None,
            None => self.known.push(Registrar::new(endpoint, None)),
        }
    }

    /// Adds or confirms an announced registrar, and (re)starts its T7.
    ///
    /// Announcements can be forged, in any number (§9.2): when there are too many, a random one makes room, so that
    /// those that announce themselves again and again are there most of the time.
    pub(super) fn announce(&mut self, endpoint: Endpoint, now: Instant, rng: &mut SmallRng) {
        let outdated_at = now + self.outdate;
        if let Some(registrar) = self.find(&endpoint) {
            if let Some(at) = &mut registrar.outdated_at {
                *at = outdated_at;
            }
            return;
        }
        let announced: Vec<usize> =
            (0..).zip(&self.known).filter_map(|(i, r)| r.outdated_at.and(Some(i))).collect();
        if announced.len() >= self.max_announced {
            let Some(index) = announced.get(random_index(rng, announced.len())) else { return };
            self.known.remove(*index);
        }
        self.known.push(Registrar::new(endpoint, Some(outdated_at)));
    }

    /// Forgets the registrars that did not announce themselves in time.
    pub(super) fn forget_outdated(&mut self, now: Instant) {
        self.known.retain(|registrar| registrar.outdated_at.is_none_or(|at| at > now));
    }

    pub(super) fn next_outdated(&self) -> Option<Instant> {
        self.known.iter().filter_map(|registrar| registrar.outdated_at).min()
    }

    /// The registrar to try next in this round: of those not tried in it, the one tried longest ago; a random one
    /// of those never tried.
    pub(super) fn take_next(&mut self, round: u64, rng: &mut SmallRng) -> Option<Endpoint> {
        let untried = || self.known.iter().enumerate().filter(|(_, registrar)| registrar.round != round);
        let longest_ago = untried().map(|(_, registrar)| registrar.tried).min()?;
        let candidates: Vec<usize> =
            untried().filter(|(_, registrar)| registrar.tried == longest_ago).map(|(i, _)| i).collect();
        let index = *candidates.get(random_index(rng, candidates.len()))?;
        self.tries += 1;
        let registrar = self.known.get_mut(index)?;
        (registrar.tried, registrar.round) = (self.tries, round);
        Some(registrar.endpoint.clone())
    }

    /// The try of `endpoint` was broken off, and does not count in this round.
    pub(super) fn take_back(&mut self, endpoint: &Endpoint) {
        if let Some(registrar) = self.find(endpoint) {
            registrar.round = 0;
        }
    }

    /// Puts `endpoint` behind all others: it was in use until now.
    pub(super) fn put_last(&mut self, endpoint: &Endpoint) {
        self.tries += 1;
        let tries = self.tries;
        if let Some(registrar) = self.find(endpoint) {
            registrar.tried = tries;
        }
    }

    pub(super) fn mark_failed(&mut self, endpoint: &Endpoint) {
        if let Some(registrar) = self.find(endpoint) {
            registrar.failed = true;
        }
    }

    pub(super) fn forgive(&mut self) {
        for registrar in &mut self.known {
            registrar.failed = false;
        }
    }

    /// Whether every one failed; also when there are none.
    pub(super) fn all_failed(&self) -> bool {
        self.known.iter().all(|registrar| registrar.failed)
    }

    fn find(&mut self, endpoint: &Endpoint) -> Option<&mut Registrar> {
        self.known.iter_mut().find(|registrar| registrar.endpoint == *endpoint)
    }
}

impl Registrar {
    const fn new(endpoint: Endpoint, outdated_at: Option<Instant>) -> Self {
        Self { endpoint, outdated_at, tried: 0, round: 0, failed: false }
    }
}

fn random_index(rng: &mut SmallRng, length: usize) -> usize {
    if length < 2 { 0 } else { rng.random_range(0..length) }
}
