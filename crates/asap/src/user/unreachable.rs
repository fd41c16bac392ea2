//! Elements that could not be reached (RFC 5352 §3.5): reported once for each event, at a bounded rate (threat 8 of
//! §9), and for a while not selected while there are others.
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rserpool_wire::asap::EndpointUnreachable;
use rserpool_wire::{PeIdentifier, PoolHandle};

use super::UserMachine;

/// Elements remembered at most.
const MAX_HELD: usize = 1_024;
/// Reports that wait for a home at most.
const MAX_PENDING: usize = 32;
/// Reports on all elements together that are sent within the interval.
const MAX_PER_INTERVAL: u32 = 16;

pub(super) struct Unreachable {
    interval: Duration,
    hold: Duration,
    pools: BTreeMap<PoolHandle<'static>, Vec<Held>>,
    held: usize,
    pending: VecDeque<(PoolHandle<'static>, PeIdentifier)>,
    /// When the present interval began, and how many reports it has seen.
    window: Option<(Instant, u32)>,
}

struct Held {
    identifier: PeIdentifier,
    reported: Instant,
    /// Until when it is avoided.
    until: Instant,
}

impl Unreachable {
    pub(super) const fn new(interval: Duration, hold: Duration) -> Self {
        Self { interval, hold, pools: BTreeMap::new(), held: 0, pending: VecDeque::new(), window: None }
    }

    /// The elements of a pool to avoid.
    pub(super) fn held(&self, now: Instant, pool_handle: &PoolHandle<'_>) -> Vec<PeIdentifier> {
        let held = self.pools.get(pool_handle.as_bytes()).into_iter().flatten();
        held.filter(|held| held.until > now).map(|held| held.identifier).collect()
    }

    pub(super) fn report(&mut self, now: Instant, pool_handle: &PoolHandle<'_>, identifier: PeIdentifier) {
        if self.held >= MAX_HELD {
            self.forget_past(now);
        }
        let known = self.pools.get_mut(pool_handle.as_bytes());
        match known.and_then(|pool| pool.iter_mut().find(|held| held.identifier == identifier)) {
            Some(held) => {
                held.until = now + self.hold;
                if now.saturating_duration_since(held.reported) < self.interval {
                    return;
                }
                held.reported = now;
            }
            None if self.held >= MAX_HELD => return,
            None => {
                let pool = self.pools.entry(pool_handle.borrowed().into_owned()).or_default();
                pool.push(Held { identifier, reported: now, until: now + self.hold });
                self.held += 1;
            }
        }
        if self.pending.len() < MAX_PENDING && self.within_rate(now) {
            self.pending.push_back((pool_handle.borrowed().into_owned(), identifier));
        }
    }

    fn within_rate(&mut self, now: Instant) -> bool {
        let current = self.window.filter(|(start, _)| now.saturating_duration_since(*start) < self.interval);
        let (start, count) = current.unwrap_or((now, 0));
        self.window = Some((start, count.saturating_add(1)));
        count < MAX_PER_INTERVAL
    }

    fn forget_past(&mut self, now: Instant) {
        let past = |held: &Held, interval| {
            held.until <= now && now.saturating_duration_since(held.reported) >= interval
        };
        let interval = self.interval;
        self.pools.retain(|_, pool| {
            pool.retain(|held| !past(held, interval));
            !pool.is_empty()
        });
        self.held = self.pools.values().map(Vec::len).sum();
    }
}

impl UserMachine {
    /// Sends the reports that wait for a home.
    pub(super) fn send_reports(&mut self) {
        let Some(home) = self.channel.home() else { return };
        while let Some((pool_handle, identifier)) = self.unreachable.pending.pop_front() {
            // A handle that does not fit a message names no pool.
            let _ = self.channel.out.transmit(home, &EndpointUnreachable { pool_handle, identifier }.into());
        }
    }
}
