//! How often something may happen: so many times a second, all of them at once if need be.
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// What was used up of an allowance per second: a time, and no timer.
///
/// ```
/// # let now = std::time::Instant::now();
/// let mut rate = rserpool_machine::Rate::default();
/// assert!(rate.admits(now, 2) && rate.admits(now, 2) && !rate.admits(now, 2));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    /// When the whole allowance is there again.
    full_at: Option<Instant>,
}

impl Rate {
    /// Whether it may happen once more, with so many admitted per second and as many at once; if so, counts it.
    #[must_use]
    pub fn admits(&mut self, now: Instant, per_second: u32) -> bool {
        let Some(price) = SECOND.checked_div(per_second) else { return false };
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + price;
        let admitted = full_at.saturating_duration_since(now) <= SECOND;
        if admitted {
            self.full_at = Some(full_at);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a starting point for the test's own time")]
    fn the_allowance_of_a_second_can_be_used_at_once_and_comes_back_evenly() {
        let start = Instant::now();
        let mut rate = Rate::default();
        let mut used = |millis| {
            let now = start + Duration::from_millis(millis);
            (0..100).take_while(|_| rate.admits(now, 10)).count()
        };
        assert_eq!([used(0), used(0), used(50), used(100), used(350)], [10, 0, 0, 1, 2]);
        assert_eq!(used(60_000), 10, "what is not used is not saved up");
        assert!(!Rate::default().admits(start, 0));
    }
}
