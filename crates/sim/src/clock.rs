//! The clock of one node, which may run fast or slow against the world's. All in integers, so that runs repeat exactly.
use std::time::{Duration, Instant};

/// A rate of one second per second.
const EVEN: u32 = 1_000_000;

/// What a node takes for the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// Since when it has run at this rate, in the world's time and in its own.
    since: (Duration, Instant),
    /// Parts per million of the world's rate.
    rate: u32,
}

impl Clock {
    pub(crate) const fn new(now: Duration, origin: Instant) -> Self {
        Self { since: (now, origin), rate: EVEN }
    }

    /// What it shows.
    pub(crate) fn read(&self, now: Duration) -> Instant {
        let (world, local) = self.since;
        local + scaled(now.saturating_sub(world), self.rate, EVEN)
    }

    /// When it will show `at`; never too early.
    pub(crate) fn when(&self, at: Instant) -> Duration {
        let (world, local) = self.since;
        let ahead = at.saturating_duration_since(local);
        let rounding = if self.rate == EVEN { 0 } else { 1 };
        world + scaled(ahead, EVEN, self.rate) + Duration::from_nanos(rounding)
    }

    /// Lets it run at another rate from now on: `percent` of the world's.
    pub(crate) fn run_at(&mut self, now: Duration, percent: u32) {
        self.since = (now, self.read(now));
        self.rate = percent.max(1).saturating_mul(EVEN / 100);
    }
}

fn scaled(time: Duration, numerator: u32, denominator: u32) -> Duration {
    if numerator == denominator {
        return time;
    }
    let nanos = time.as_nanos() * u128::from(numerator) / u128::from(denominator.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a starting point for the test's own time")]
    fn a_deadline_is_never_met_too_early_at_any_rate() {
        let origin = Instant::now();
        for percent in [50, 93, 100, 107, 200] {
            let mut clock = Clock::new(Duration::ZERO, origin);
            clock.run_at(Duration::from_secs(5), percent);
            for nanos in [1, 999, 1_000_003, 77_777_777_777] {
                let at = origin + Duration::from_secs(5) + Duration::from_nanos(nanos);
                let when = clock.when(at);
                assert!(clock.read(when) >= at, "{percent} %, {nanos} ns");
                assert!(clock.read(when) - at < Duration::from_nanos(8));
            }
        }
    }
}
