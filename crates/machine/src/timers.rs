//! Many timers in one place: keys that are armed for an instant, moved, or cancelled, and come out when due.
//! Each operation is O(log n); order among equal instants is the order of the keys, so runs repeat exactly.
use std::collections::BTreeSet;
use std::hash::Hash;
use std::time::Instant;

use hashbrown::HashMap;

/// A set of timers, each named by a key of type `K`.
///
/// ```
/// use std::time::{Duration, Instant};
/// use rserpool_machine::Timers;
///
/// let now = Instant::now();
/// let mut timers = Timers::new();
/// timers.arm("presence", now + Duration::from_secs(30));
/// timers.arm("presence", now + Duration::from_secs(5)); // moves it
/// assert_eq!(timers.next(), Some(now + Duration::from_secs(5)));
/// assert_eq!(timers.pop(now), None);
/// assert_eq!(timers.pop(now + Duration::from_secs(5)), Some("presence"));
/// ```
#[derive(Clone, Debug)]
pub struct Timers<K> {
    queue: BTreeSet<(Instant, K)>,
    armed: HashMap<K, Instant>,
}

impl<K: Copy + Ord + Hash> Timers<K> {
    /// No timers.
    #[must_use]
    pub fn new() -> Self {
        Self { queue: BTreeSet::new(), armed: HashMap::new() }
    }

    /// Arms the timer `key` for `at`; moves it if it is armed already.
    pub fn arm(&mut self, key: K, at: Instant) {
        if let Some(before) = self.armed.insert(key, at) {
            if before == at {
                return;
            }
            self.queue.remove(&(before, key));
        }
        self.queue.insert((at, key));
    }

    /// Arms the timer `key` for `at`, unless it is armed for an earlier instant.
    pub fn arm_by(&mut self, key: K, at: Instant) {
        if self.armed.get(&key).is_none_or(|before| *before > at) {
            self.arm(key, at);
        }
    }

    /// Cancels the timer `key`; `false` if it was not armed.
    pub fn cancel(&mut self, key: K) -> bool {
        match self.armed.remove(&key) {
            Some(at) => self.queue.remove(&(at, key)),
            None => false,
        }
    }

    /// When the timer `key` is due.
    #[must_use]
    pub fn due(&self, key: K) -> Option<Instant> {
        self.armed.get(&key).copied()
    }

    /// When the first timer is due.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes the first timer that is due at `now`; it is no longer armed.
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        let (at, key) = *self.queue.first()?;
        if at > now {
            return None;
        }
        self.queue.pop_first();
        self.armed.remove(&key);
        Some(key)
    }

    /// How many timers are armed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.armed.len()
    }

    /// Whether no timer is armed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.armed.is_empty()
    }
}

impl<K: Copy + Ord + Hash> Default for Timers<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a starting point for the test's own time")]
    fn timers_come_out_in_order_once_and_not_when_cancelled() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::new();
        for (key, seconds) in [('c', 3), ('a', 1), ('b', 2), ('d', 2)] {
            timers.arm(key, at(seconds));
        }
        timers.arm_by('c', at(9));
        timers.arm('a', at(4));
        assert!(timers.cancel('b'));
        assert!(!timers.cancel('b'));
        assert_eq!(timers.next(), Some(at(2)));
        assert_eq!(std::iter::from_fn(|| timers.pop(at(10))).collect::<String>(), "dca");
        assert!(timers.is_empty());
    }
}
