//! What the demo prints: when what happened, and how long recovery took.
use std::io::Write;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Color, Style};
use tokio::time::sleep;

use super::clients::Outcome;
use crate::failure::{Failure, written};

/// How long anything may take to happen.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often to look whether it has.
const GLANCE: Duration = Duration::from_millis(1);

const GOOD: Style = Style::new().fg_color(Some(Color::Ansi(AnsiColor::Green)));
const BAD: Style = Style::new().bold().fg_color(Some(Color::Ansi(AnsiColor::Red)));
const NEWS: Style = Style::new().bold();

/// Prints line by line.
pub(super) struct Timeline {
    started: Instant,
    /// The beginning of the act: what recovery is measured from.
    act: Instant,
}

impl Timeline {
    pub(super) fn start() -> Result<Self, Failure> {
        let now = Instant::now();
        let timeline = Self { started: now, act: now };
        timeline.event(NEWS, "3 registrars, 4 elements of pool `echo` and 4 clients start, on loopback")?;
        Ok(timeline)
    }

    /// Something dies.
    pub(super) fn kill(&mut self, text: String) -> Result<(), Failure> {
        self.act(BAD, &text)
    }

    /// Something comes back.
    pub(super) fn revive(&mut self, text: String) -> Result<(), Failure> {
        self.act(NEWS, &text)
    }

    fn act(&mut self, style: Style, text: &str) -> Result<(), Failure> {
        self.line("")?;
        self.event(style, text)?;
        self.act = Instant::now();
        Ok(())
    }

    /// Waits for `condition` and tells how long after the beginning of the act it came about.
    pub(super) async fn settled(
        &self,
        what: &str,
        mut condition: impl FnMut() -> bool,
    ) -> Result<(), Failure> {
        let waiting = Instant::now();
        while !condition() {
            if waiting.elapsed() > PATIENCE {
                return Err(Failure::new(format!("not within {PATIENCE:?}: {what}")));
            }
            sleep(GLANCE).await;
        }
        self.reached(what)
    }

    /// Tells that something came about.
    pub(super) fn reached(&self, what: &str) -> Result<(), Failure> {
        let after = format!("+{}", self.act.elapsed().as_millis());
        self.line(&format!("{after:>12} ms  {GOOD}{what}{GOOD:#}"))
    }

    /// Lines without a time.
    pub(super) fn list(&self, text: &str) -> Result<(), Failure> {
        self.line("")?;
        text.lines().try_for_each(|line| self.line(format!("               {line}").trim_end()))
    }

    /// What the clients have to say in the end.
    pub(super) fn end(&self, outcome: &Outcome) -> Result<(), Failure> {
        let Outcome { answered, lost, repeated, longest } = outcome;
        let style = if *lost == 0 { GOOD } else { BAD };
        let longest = longest.as_millis();
        self.line("")?;
        self.event(style, &format!("{answered} requests answered, {lost} lost; the pool is whole again"))?;
        self.line(&format!(
            "            ({repeated} of them had to be put to another element; the longest took {longest} ms)"
        ))
    }

    fn event(&self, style: Style, text: &str) -> Result<(), Failure> {
        let seconds = self.started.elapsed().as_secs_f64();
        self.line(&format!("{seconds:>8.3} s  {style}{text}{style:#}"))
    }

    fn line(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = anstream::stdout().lock();
        written(writeln!(stdout, "{text}").and_then(|()| stdout.flush()))
    }
}
