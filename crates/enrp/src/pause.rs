//! Pauses of the process and jumps of the clock: answers that lie waiting are read before their senders are taken for dead.
use std::time::{Duration, Instant};

use rserpool_machine::Timers;

use crate::core::Timer;

/// How many pauses may follow each other before time counts again. A machine that is late each time does not pause, it is slow:
/// there too, what is over must end.
const IN_A_ROW: u8 = 3;

/// The last pause, as long as it is made up for.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    /// Until then nothing is concluded from time.
    until: Option<Instant>,
    in_a_row: u8,
}

impl Pause {
    /// Time-outs that are served later than `stall` show a pause: what fell due while nobody served it gets the time that it
    /// would have had, and `stall` more.
    pub(crate) fn make_up(&mut self, timers: &mut Timers<Timer>, stall: Duration, now: Instant) {
        let Some(first) = timers.next() else { return };
        if now.saturating_duration_since(first) <= stall || self.in_a_row == IN_A_ROW {
            return;
        }
        let mut due = Vec::new();
        while let Some(at) = timers.next()
            && let Some(timer) = timers.pop(now)
        {
            // What we say ourselves is said at once: nobody's silence is in it, and others wait for it.
            let is_said = matches!(timer, Timer::Subscribers | Timer::Heartbeat);
            due.push((timer, if is_said { at } else { now + stall + at.saturating_duration_since(first) }));
        }
        due.into_iter().for_each(|(timer, at)| timers.arm(timer, at));
        self.until = Some(now + stall);
        self.in_a_row += 1;
    }

    /// Whether time counts, at `now`, when all that is due has been served.
    pub(crate) fn is_over(&mut self, now: Instant) -> bool {
        let is_over = self.until.is_none_or(|until| until <= now);
        if is_over {
            *self = Self::default();
        }
        is_over
    }

    /// When what would be concluded at `at` may be.
    pub(crate) fn put_off(&self, at: Instant) -> Instant {
        self.until.map_or(at, |until| at.max(until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_secs(1);

    #[allow(clippy::disallowed_methods, reason = "a starting point for the test's own time")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn after_a_pause_what_is_due_keeps_its_order_and_distance() {
        let (start, mut timers, mut pause) = (start(), Timers::new(), Pause::default());
        let at = |millis| start + Duration::from_millis(millis);
        timers.arm(Timer::Patience, at(1_000));
        timers.arm(Timer::Mentor, at(3_000));
        timers.arm(Timer::Drain, at(100_000));
        pause.make_up(&mut timers, STALL, at(1_500));
        assert_eq!(timers.due(Timer::Patience), Some(at(1_000)), "half a second late is no pause");
        assert!(pause.is_over(at(1_500)));
        pause.make_up(&mut timers, STALL, at(60_000));
        assert_eq!(timers.due(Timer::Patience), Some(at(61_000)));
        assert_eq!(timers.due(Timer::Mentor), Some(at(63_000)));
        assert_eq!(timers.due(Timer::Drain), Some(at(100_000)));
        assert!(!pause.is_over(at(60_999)));
        assert_eq!(pause.put_off(at(60_500)), at(61_000));
        assert!(pause.is_over(at(61_000)));
        assert_eq!(pause.put_off(at(61_500)), at(61_500));
    }

    /// Found on a machine so busy that its timers were always late: subscribers and peers heard nothing.
    #[test]
    fn subscribers_and_peers_are_told_however_late_it_is() {
        let (start, mut timers) = (start(), Timers::new());
        let said = [Timer::Subscribers, Timer::Heartbeat];
        said.into_iter().for_each(|timer| timers.arm(timer, start));
        timers.arm(Timer::Mentor, start);
        let late = start + Duration::from_secs(60);
        Pause::default().make_up(&mut timers, STALL, late);
        assert!(said.iter().all(|timer| timers.due(*timer) == Some(start)));
        assert_eq!(timers.due(Timer::Mentor), Some(late + STALL));
    }

    #[test]
    fn who_is_late_again_and_again_is_slow() {
        let (mut now, mut timers, mut pause) = (start(), Timers::new(), Pause::default());
        timers.arm(Timer::Mentor, now);
        for _ in 0..IN_A_ROW {
            now += 3 * STALL;
            pause.make_up(&mut timers, STALL, now);
            assert_eq!(timers.due(Timer::Mentor), Some(now + STALL));
            assert!(!pause.is_over(now));
        }
        now += 3 * STALL;
        pause.make_up(&mut timers, STALL, now);
        assert_eq!(timers.pop(now), Some(Timer::Mentor));
        assert!(pause.is_over(now));
        timers.arm(Timer::Mentor, now);
        pause.make_up(&mut timers, STALL, now + 3 * STALL);
        assert_eq!(timers.due(Timer::Mentor), Some(now + 4 * STALL), "a new pause");
    }
}
