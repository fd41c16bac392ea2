//! A user that asks all the time: `rserpool call`, with somebody who types fast, and reads every answer with a clock.
use std::io::{self, BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rserpool_interop::Running;
use rustix::process::Signal;

/// One request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// When it was asked.
    pub asked: Instant,
    /// When the answer came.
    pub answered: Instant,
}

/// What became of the requests.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Those that were answered, in order.
    pub answers: Vec<Answer>,
    /// Those that were not, or wrongly: never more than one, for the user ends with it.
    pub lost: usize,
}

impl Log {
    /// The longest time that a request took that was answered after `moment`.
    pub fn longest_since(&self, moment: Instant) -> Duration {
        let since = self.answers.iter().filter(|answer| answer.answered > moment);
        since.map(|answer| answer.answered - answer.asked).max().unwrap_or_default()
    }
}

/// A user at work.
pub struct Caller {
    /// Ends with the value.
    running: Running,
    log: Arc<Mutex<Log>>,
    stop: Arc<AtomicBool>,
    asking: Option<JoinHandle<()>>,
}

impl Caller {
    /// Starts a command that answers each line with the same line, and asks it every `pause`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(command: &mut Command, pause: Duration) -> io::Result<Self> {
        let mut running = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let child = running.child();
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let (log, stop) = (Arc::default(), Arc::default());
        let asking = {
            let (log, stop) = (Arc::clone(&log), Arc::clone(&stop));
            thread::spawn(move || ask(input, output, pause, &log, &stop))
        };
        Ok(Self { running, log, stop, asking: Some(asking) })
    }

    /// The log so far.
    pub fn log(&self) -> Log {
        lock(&self.log).clone()
    }

    /// Whether a request has been answered that was asked after `moment`.
    pub fn is_served_since(&self, moment: Instant) -> bool {
        lock(&self.log).answers.last().is_some_and(|answer| answer.asked > moment)
    }

    /// Its process.
    pub fn process(&mut self) -> u32 {
        self.running.child().id()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        self.running.signal(signal)
    }

    /// Lets it finish its request, and returns the log.
    pub fn finish(mut self) -> Log {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(asking) = self.asking.take() {
            // It does not panic: whatever fails is in the log.
            let _ = asking.join();
        }
        self.log()
    }
}

fn ask(mut input: ChildStdin, output: ChildStdout, pause: Duration, log: &Mutex<Log>, stop: &AtomicBool) {
    let (mut output, mut line) = (BufReader::new(output), String::new());
    for number in 1_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let (asked, question) = (Instant::now(), format!("request {number}\n"));
        line.clear();
        let exchanged = input.write_all(question.as_bytes()).and_then(|()| output.read_line(&mut line));
        let mut log = lock(log);
        if exchanged.is_err() || line != question {
            log.lost += 1;
            return;
        }
        log.answers.push(Answer { asked, answered: Instant::now() });
        drop(log);
        thread::sleep(pause);
    }
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}
