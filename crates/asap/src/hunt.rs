//! The server hunt (RFC 5352 §3.6): finds a home registrar, keeps track of it, and finds another when it is gone.
//! The hunt never gives up: it goes on in rounds, each as long as T5-Serverhunt, which doubles up to RETRAN-MAX.
mod registrars;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::SmallRng;
use rserpool_machine::{Endpoint, LinkId, Protocol};
use rserpool_wire::ServerId;

use crate::channel::Outbox;
use crate::config::AsapTimers;
use registrars::Registrars;

/// SH1: an endpoint has no more than three associations or connections, its home's included.
const MAX_LINKS: usize = 3;

/// The hunt for a home registrar, and the home that it found.
pub(crate) struct Hunt {
    registrars: Registrars,
    /// T5 at its initial value.
    t5: Duration,
    retransmission_max: Duration,
    /// T5 at its present value.
    interval: Duration,
    /// When T5 expires, if hunting.
    deadline: Instant,
    round: u64,
    hunting: bool,
    /// Whether it was reported that no registrar can be reached, in this hunt.
    exhausted: bool,
    attempts: Vec<Attempt>,
    home: Option<Home>,
    /// Links that are being closed: what still happens on them means nothing.
    closing: BTreeSet<LinkId>,
    links_opened: u64,
}

struct Attempt {
    link: LinkId,
    registrar: Endpoint,
}

/// The registrar that requests go to.
pub(crate) struct Home {
    pub(crate) link: LinkId,
    /// `None` where the registrar connected to us.
    pub(crate) registrar: Option<Endpoint>,
    /// Known from the first keep-alive on.
    pub(crate) server: Option<ServerId>,
    since: Instant,
    /// Whether it ever said something.
    proven: bool,
}

/// What became of a link.
#[derive(PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was the home's; the hunt for another one is on.
    Home,
    /// It was an attempt, or on its way out.
    Hunting,
    /// It was none of the hunt's.
    Other,
}

impl Hunt {
    pub(crate) fn new(
        registrars: Vec<Endpoint>,
        max_announced: usize,
        timers: &AsapTimers,
        now: Instant,
    ) -> Self {
        Self {
            registrars: Registrars::new(registrars, max_announced, timers.outdate),
            t5: timers.server_hunt,
            retransmission_max: timers.retransmission_max,
            interval: timers.server_hunt,
            deadline: now,
            round: 0,
            hunting: false,
            exhausted: false,
            attempts: Vec::new(),
            home: None,
            closing: BTreeSet::new(),
            links_opened: 0,
        }
    }

    pub(crate) const fn home(&self) -> Option<&Home> {
        self.home.as_ref()
    }

    pub(crate) fn registrars(&self) -> impl Iterator<Item = &Endpoint> + '_ {
        self.registrars.endpoints()
    }

    /// Starts looking for another registrar than the present home, which stays the home until one is found.
    pub(crate) fn start<E>(&mut self, now: Instant, rng: &mut SmallRng, out: &mut Outbox<E>) {
        if self.hunting {
            return;
        }
        if let Some(registrar) = self.home.as_ref().and_then(|home| home.registrar.clone()) {
            self.registrars.put_last(&registrar);
        }
        self.interval = self.t5;
        self.hunting = true;
        self.next_round(now, rng, out);
    }

    /// The home said something: it serves. A hunt that was on in parallel is off.
    pub(crate) fn prove<E>(&mut self, server: Option<ServerId>, out: &mut Outbox<E>) {
        let Some(home) = &mut self.home else { return };
        home.proven = true;
        home.server = server.or(home.server);
        self.exhausted = false;
        self.stop(out);
    }

    /// Gives up the home, and hunts for another one.
    pub(crate) fn leave<E>(&mut self, now: Instant, rng: &mut SmallRng, out: &mut Outbox<E>) {
        if let Some(home) = self.home.take() {
            self.close(home.link, out);
            self.resume(&home, now, rng, out);
        }
    }

    /// Makes the registrar at the other end of `link`, which it opened, the home (§3.4, KA2.4).
    pub(crate) fn adopt<E>(&mut self, link: LinkId, server: ServerId, now: Instant, out: &mut Outbox<E>) {
        self.stop(out);
        if let Some(old) = self.home.take() {
            self.close(old.link, out);
        }
        self.home = Some(Home { link, registrar: None, server: Some(server), since: now, proven: true });
        self.exhausted = false;
        self.registrars.forgive();
    }

    /// Whether `link` was an attempt and is now the home (SH3, SH6). The first one wins, the others are closed.
    pub(crate) fn link_up<E>(&mut self, link: LinkId, now: Instant, out: &mut Outbox<E>) -> bool {
        let Some(index) = self.attempts.iter().position(|attempt| attempt.link == link) else { return false };
        let Attempt { link, registrar } = self.attempts.swap_remove(index);
        self.stop(out);
        if let Some(old) = self.home.take() {
            self.close(old.link, out);
        }
        self.home = Some(Home { link, registrar: Some(registrar), server: None, since: now, proven: false });
        self.registrars.forgive();
        true
    }

    pub(crate) fn link_down<E>(
        &mut self,
        link: LinkId,
        now: Instant,
        rng: &mut SmallRng,
        out: &mut Outbox<E>,
    ) -> Ended {
        if self.closing.remove(&link) {
            return Ended::Hunting;
        }
        if let Some(home) = self.home.take_if(|home| home.link == link) {
            self.resume(&home, now, rng, out);
            return Ended::Home;
        }
        match self.attempts.iter().position(|attempt| attempt.link == link) {
            Some(index) => {
                let failed = self.attempts.swap_remove(index);
                self.registrars.mark_failed(&failed.registrar);
                self.try_more(rng, out);
                Ended::Hunting
            }
            None => Ended::Other,
        }
    }

    /// Whether `link` is on its way out.
    pub(crate) fn is_closing(&self, link: LinkId) -> bool {
        self.closing.contains(&link)
    }

    /// Closes `link`, of which nothing is wanted any more.
    pub(crate) fn close<E>(&mut self, link: LinkId, out: &mut Outbox<E>) {
        self.closing.insert(link);
        out.disconnect(link);
    }

    /// Adds a registrar for good.
    pub(crate) fn configure<E>(&mut self, registrar: Endpoint, rng: &mut SmallRng, out: &mut Outbox<E>) {
        self.registrars.configure(registrar);
        self.try_more(rng, out);
    }

    /// Adds or confirms a registrar until its T7 expires.
    pub(crate) fn announce<E>(
        &mut self,
        registrar: Endpoint,
        now: Instant,
        rng: &mut SmallRng,
        out: &mut Outbox<E>,
    ) {
        self.registrars.announce(registrar, now, rng);
        self.try_more(rng, out);
    }

    pub(crate) fn handle_timeout<E>(&mut self, now: Instant, rng: &mut SmallRng, out: &mut Outbox<E>) {
        if self.registrars.next_outdated().is_some_and(|at| at <= now) {
            self.registrars.forget_outdated(now);
        }
        if self.hunting && self.deadline <= now {
            // SH5.1: T5 doubles up to RETRAN-MAX. SH5.2: the attempts are stopped, and others are made.
            self.interval = (self.interval * 2).min(self.retransmission_max);
            for attempt in std::mem::take(&mut self.attempts) {
                self.registrars.mark_failed(&attempt.registrar);
                self.close(attempt.link, out);
            }
            self.next_round(now, rng, out);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let hunting = self.hunting.then_some(self.deadline);
        hunting.into_iter().chain(self.registrars.next_outdated()).min()
    }

    /// If no registrar can be reached, how many are known: once in each hunt.
    pub(crate) fn take_exhausted(&mut self) -> Option<usize> {
        // Where none is known, announcements are given one round to come.
        let given_time = self.registrars.len() > 0 || self.round > 1;
        let exhausted = self.hunting && !self.exhausted && given_time && self.registrars.all_failed();
        self.exhausted |= exhausted;
        exhausted.then(|| self.registrars.len())
    }

    /// Hunts again after the loss of `home`.
    ///
    /// A registrar that takes a connection and drops it at once must not be connected to in a tight loop: if it
    /// never said anything, the round in which it was found goes on, with those not tried yet, until its T5
    /// expires.
    fn resume<E>(&mut self, home: &Home, now: Instant, rng: &mut SmallRng, out: &mut Outbox<E>) {
        if let Some(registrar) = &home.registrar {
            self.registrars.put_last(registrar);
        }
        if self.hunting {
            return self.try_more(rng, out);
        }
        if home.proven || now.saturating_duration_since(home.since) >= self.t5 {
            self.exhausted = false;
            return self.start(now, rng, out);
        }
        if let Some(registrar) = &home.registrar {
            self.registrars.mark_failed(registrar);
        }
        self.hunting = true;
        self.try_more(rng, out);
    }

    fn stop<E>(&mut self, out: &mut Outbox<E>) {
        self.hunting = false;
        for attempt in std::mem::take(&mut self.attempts) {
            // Should the round go on, it may be tried still: it did not fail.
            self.registrars.take_back(&attempt.registrar);
            self.close(attempt.link, out);
        }
    }

    fn next_round<E>(&mut self, now: Instant, rng: &mut SmallRng, out: &mut Outbox<E>) {
        self.round += 1;
        self.deadline = now + self.interval.mul_f64(rng.random_range(0.75..=1.0));
        self.try_more(rng, out);
    }

    /// SH1 and SH4: attempts up to three, each to a registrar that was not tried in this round.
    fn try_more<E>(&mut self, rng: &mut SmallRng, out: &mut Outbox<E>) {
        while self.hunting && self.attempts.len() + usize::from(self.home.is_some()) < MAX_LINKS {
            let Some(registrar) = self.registrars.take_next(self.round, rng) else { return };
            let link = LinkId::opened(self.links_opened);
            self.links_opened += 1;
            out.connect(link, Protocol::Asap, registrar.clone());
            self.attempts.push(Attempt { link, registrar });
        }
    }
}
