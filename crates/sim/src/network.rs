//! What lies between the nodes: delays, losses, cuts and hosts without power.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

use crate::fault::NodeId;

/// How a network is when nothing is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Weather {
    /// The least time from any node to any other.
    pub least_delay: Duration,
    /// What is added for each step between the sites of two nodes.
    pub distance: Duration,
    /// The mean of what is added at random, exponentially distributed.
    pub jitter: Duration,
    /// How many sites there are; nodes are at them in turn.
    pub sites: u32,
    /// How many of a hundred packets are lost.
    pub loss: u8,
    /// How long a lost packet takes to be sent again the first time; it doubles.
    pub retransmission: Duration,
}

impl Weather {
    /// One local network: delays below a millisecond, and no loss.
    #[must_use]
    pub const fn local() -> Self {
        Self {
            least_delay: Duration::from_micros(200),
            distance: Duration::ZERO,
            jitter: Duration::from_micros(200),
            sites: 1,
            loss: 0,
            retransmission: Duration::from_millis(200),
        }
    }

    /// Some sites, up to a few ten milliseconds from each other.
    #[must_use]
    pub const fn wide(sites: u32) -> Self {
        Self { distance: Duration::from_millis(8), jitter: Duration::from_millis(1), sites, ..Self::local() }
    }
}

/// The network as it is now.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) weather: Weather,
    /// Losses of the faults that are on, in percent.
    pub(crate) losses: Vec<u8>,
    /// Factors of the delays of the faults that are on.
    pub(crate) delays: Vec<u32>,
    /// How many faults are on that let announcements arrive twice and out of order.
    pub(crate) disorders: u32,
    /// How many cuts there are from one node to another.
    cuts: BTreeMap<(NodeId, NodeId), u32>,
    /// Hosts without power.
    dark: BTreeSet<NodeId>,
}

/// The most times that a packet is sent before its link counts as broken, whatever the timeouts.
const MOST_TRANSMISSIONS: u32 = 12;

impl Network {
    pub(crate) const fn new(weather: Weather) -> Self {
        Self {
            weather,
            losses: Vec::new(),
            delays: Vec::new(),
            disorders: 0,
            cuts: BTreeMap::new(),
            dark: BTreeSet::new(),
        }
    }

    /// Whether nothing gets from one to the other.
    pub(crate) fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        !self.dark.is_empty() && (self.dark.contains(&from) || self.dark.contains(&to))
            || !self.cuts.is_empty() && self.cuts.contains_key(&(from, to))
    }

    /// Whether something gets there and back.
    pub(crate) fn is_through(&self, a: NodeId, b: NodeId) -> bool {
        !self.is_cut(a, b) && !self.is_cut(b, a)
    }

    pub(crate) fn cut(&mut self, from: NodeId, to: NodeId) {
        if from != to {
            *self.cuts.entry((from, to)).or_default() += 1;
        }
    }

    pub(crate) fn heal(&mut self, from: NodeId, to: NodeId) {
        if let Some(cuts) = self.cuts.get_mut(&(from, to)) {
            *cuts = cuts.saturating_sub(1);
            if *cuts == 0 {
                self.cuts.remove(&(from, to));
            }
        }
    }

    pub(crate) fn switch_power(&mut self, node: NodeId, on: bool) {
        if on {
            self.dark.remove(&node);
        } else {
            self.dark.insert(node);
        }
    }

    pub(crate) fn loss(&self) -> u8 {
        self.losses.iter().copied().chain([self.weather.loss]).max().unwrap_or(0)
    }

    /// How long a packet takes that is not lost.
    pub(crate) fn delay(&self, rng: &mut SmallRng, from: NodeId, to: NodeId) -> Duration {
        let Weather { least_delay, distance, jitter, sites, .. } = self.weather;
        let steps = (from.0 % sites.max(1)).abs_diff(to.0 % sites.max(1));
        let random = -(1.0 - rng.random_range(0.0..1.0_f64)).ln();
        let times = self.delays.iter().copied().max().unwrap_or(1).max(1);
        (least_delay + distance * steps + jitter.mul_f64(random.min(12.0))) * times
    }

    /// Whether a packet that nobody sends again is lost.
    pub(crate) fn loses(&self, rng: &mut SmallRng) -> bool {
        let loss = self.loss();
        loss > 0 && rng.random_range(0..100) < u32::from(loss)
    }

    /// How long it takes longer because packets are lost and sent again, after `first` and then twice as long each time.
    /// `None` if they were lost too often.
    pub(crate) fn retransmissions(&self, rng: &mut SmallRng, first: Duration) -> Option<Duration> {
        let (mut waited, mut pause) = (Duration::ZERO, first);
        for _ in 0..MOST_TRANSMISSIONS {
            if !self.loses(rng) {
                return Some(waited);
            }
            waited += pause;
            pause *= 2;
        }
        None
    }
}
