//! What was measured, as a table for `docs/failover.md`.
use std::fmt;

use rserpool_interop_net::Timers;

use crate::Measured;

/// Rows of times.
#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

struct Row {
    failure: &'static str,
    timers: Timers,
    what: String,
    /// In milliseconds, from the shortest on.
    times: Vec<f64>,
}

impl Table {
    /// Adds what all runs of a failure have measured.
    pub(crate) fn add(&mut self, failure: &'static str, timers: Timers, runs: &[Measured]) {
        for what in runs.first().into_iter().flat_map(Measured::keys) {
            let mut times: Vec<_> = runs.iter().filter_map(|run| run.get(what).copied()).collect();
            times.sort_by(f64::total_cmp);
            self.0.push(Row { failure, timers, what: what.clone(), times });
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what fails | timers | measured | min | median | max | runs |")?;
        writeln!(f, "|---|---|---|--:|--:|--:|--:|")?;
        for Row { failure, timers, what, times } in &self.0 {
            let at = |place: usize| Time(times.get(place).copied().unwrap_or_default());
            let last = times.len().saturating_sub(1);
            let (min, median, max) = (at(0), at(last / 2), at(last));
            let runs = times.len();
            writeln!(f, "| {failure} | {timers} | {what} | {min} | {median} | {max} | {runs} |")?;
        }
        Ok(())
    }
}

/// Milliseconds, as exact as they are worth.
struct Time(f64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            short @ ..10.0 => write!(f, "{short:.1} ms"),
            middle @ ..1000.0 => write!(f, "{middle:.0} ms"),
            long => write!(f, "{:.1} s", long / 1e3),
        }
    }
}
