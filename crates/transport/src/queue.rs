//! The writing half of a link: a bounded queue that anybody fills, and one writer at a time that empties it.
//!
//! Whoever flushes takes everything queued and writes it without holding the lock, so that pushing never waits for a
//! system call. What others push meanwhile is written by the same flush. When the socket is full, the rest is
//! left to [`LinkWriter::run`].
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::config::LinkConfig;
use crate::error::TransportError;
use crate::stream::WriteHalf;

/// Messages up to this size are copied together; larger ones are written from where they are.
const COPIED: usize = 4 << 10;
/// How much of the buffer for copying an idle link keeps.
const KEPT: usize = 16 << 10;
/// How many pieces one system call takes.
const SLICES: usize = 16;

/// Takes messages for a link, from any thread, without waiting. Clones feed the same link.
#[derive(Clone)]
pub struct SendQueue(Arc<Shared>);

/// The queue holds as many bytes as it may: the other end does not read, and the link is cut off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the other end does not read: {queued} bytes would be queued, {limit} are allowed")]
pub struct QueueFull {
    /// Bytes that would have been queued.
    pub queued: usize,
    /// How many may be.
    pub limit: usize,
}

/// The writing half of a link, which sends what could not be sent at once.
pub struct LinkWriter(SendQueue);

struct Shared {
    half: WriteHalf,
    limit: usize,
    drain: Duration,
    state: Mutex<State>,
    /// Tells the writer that the socket is full, or that the link is to be closed or has failed.
    wake: Notify,
    bytes_sent: AtomicU64,
}

#[derive(Default)]
struct State {
    /// What was pushed since the last flush.
    queued: Batch,
    /// What a flush has taken and not written yet; empty while `writing`, for then the flush has it.
    taken: Batch,
    /// Whether a flush is at work.
    writing: bool,
    /// Bytes pushed and not written.
    unsent: usize,
    phase: Phase,
}

#[derive(Default)]
enum Phase {
    #[default]
    Open,
    /// To be finished once everything is sent.
    Closing,
    /// Everything was sent and finished.
    Finished,
    Failed(Failure),
}

#[derive(Clone)]
enum Failure {
    SlowReader(QueueFull),
    DrainTimeout { unsent: usize },
    Broken(io::ErrorKind, Arc<str>),
}

/// How a flush ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flushed {
    /// Everything is written, or another flush is at it.
    Done,
    /// Everything is written, and nothing more is to come.
    Last,
    /// The socket is full.
    Blocked,
    /// The link has ended.
    Ended,
}

impl SendQueue {
    /// Queues one message, or several that follow each other. They go out with the next [`try_flush`](Self::try_flush), so
    /// push all there is for a link, then flush. On a link that is closed or broken, messages vanish.
    ///
    /// # Errors
    /// When too many bytes wait already. The link is then cut off.
    pub fn push(&self, bytes: Bytes) -> Result<(), QueueFull> {
        let mut state = self.0.state();
        match &state.phase {
            Phase::Open => {}
            Phase::Failed(Failure::SlowReader(full)) => return Err(*full),
            Phase::Closing | Phase::Finished | Phase::Failed(_) => return Ok(()),
        }
        let queued = state.unsent + bytes.len();
        if queued > self.0.limit {
            let full = QueueFull { queued, limit: self.0.limit };
            self.0.fail(&mut state, Failure::SlowReader(full));
            return Err(full);
        }
        state.unsent = queued;
        state.queued.push(bytes);
        Ok(())
    }

    /// Writes what is queued, as far as the socket has room, with one system call where that is enough. The rest goes out
    /// from [`LinkWriter::run`].
    pub fn try_flush(&self) {
        if self.0.flush() != Flushed::Done {
            self.0.wake.notify_one();
        }
    }

    /// Sends what is queued, then ends this direction of the link, and with it [`LinkWriter::run`]: call it also when the
    /// reader has ended. Without effect on a link that is closed or broken.
    pub fn close(&self) {
        let mut state = self.0.state();
        if matches!(state.phase, Phase::Open) {
            state.phase = Phase::Closing;
            self.0.wake.notify_one();
        }
    }

    /// How many bytes are queued and not yet written.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.0.state().unsent
    }

    /// Bytes written since the link is up.
    pub(crate) fn bytes_sent(&self) -> u64 {
        self.0.bytes_sent.load(Ordering::Relaxed)
    }

    /// Why the link was ended from this side, if it was.
    pub(crate) fn failure(&self) -> Option<TransportError> {
        match &self.0.state().phase {
            Phase::Failed(failure) => Some(self.0.error(failure)),
            _ => None,
        }
    }
}

impl LinkWriter {
    pub(crate) fn new(half: WriteHalf, config: &LinkConfig) -> Self {
        Self(SendQueue(Arc::new(Shared {
            half,
            limit: config.send_queue,
            drain: config.drain,
            state: Mutex::default(),
            wake: Notify::new(),
            bytes_sent: AtomicU64::new(0),
        })))
    }

    /// Feeds this half.
    #[must_use]
    pub fn queue(&self) -> SendQueue {
        self.0.clone()
    }

    /// Sends what [`SendQueue::try_flush`] leaves, until the link is closed by [`SendQueue::close`] and everything is sent.
    /// To be run in a task of its own: without it, nothing that the socket has no room for is ever sent.
    ///
    /// # Errors
    /// When the connection broke or was cut off, or did not take everything within [`LinkConfig::drain`] after the closing.
    pub async fn run(self) -> Result<(), TransportError> {
        let shared = &*self.0.0;
        let mut deadline = None;
        loop {
            let mut flushed = shared.flush();
            match flushed {
                Flushed::Last => match shared.finish() {
                    Err(TransportError::Broken(full)) if full.kind() == io::ErrorKind::WouldBlock => {
                        flushed = Flushed::Blocked;
                    }
                    finished => return finished,
                },
                Flushed::Ended => return self.0.failure().map_or(Ok(()), Err),
                Flushed::Done | Flushed::Blocked => {}
            }
            if deadline.is_none() && matches!(shared.state().phase, Phase::Closing) {
                deadline = Some(Instant::now() + shared.drain);
            }
            tokio::select! {
                () = shared.wake.notified() => {}
                // Errors show in the next write.
                _ = shared.half.writable(), if flushed == Flushed::Blocked => {}
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    let mut state = shared.state();
                    let unsent = state.unsent;
                    shared.fail(&mut state, Failure::DrainTimeout { unsent });
                }
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock panics; if it did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is queued until all is written or the socket is full.
    fn flush(&self) -> Flushed {
        let mut state = self.state();
        loop {
            match state.phase {
                Phase::Finished | Phase::Failed(_) => return Flushed::Ended,
                Phase::Open | Phase::Closing => {}
            }
            if state.writing {
                return Flushed::Done;
            }
            let State { queued, taken, .. } = &mut *state;
            if taken.is_empty() {
                std::mem::swap(queued, taken);
            }
            if taken.is_empty() {
                let last = matches!(state.phase, Phase::Closing);
                return if last { Flushed::Last } else { Flushed::Done };
            }
            let mut batch = std::mem::take(taken);
            state.writing = true;
            drop(state);

            let (written, result) = batch.write(&self.half);
            self.bytes_sent.fetch_add(written as u64, Ordering::Relaxed);

            state = self.state();
            state.writing = false;
            if matches!(state.phase, Phase::Failed(_)) {
                return Flushed::Ended;
            }
            state.unsent -= written;
            batch.shrink();
            state.taken = batch;
            match result {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Flushed::Blocked,
                Err(error) => {
                    let failure = Failure::Broken(error.kind(), error.to_string().into());
                    self.fail(&mut state, failure);
                }
            }
        }
    }

    /// Ends the link, unless it has ended; everything queued is dropped.
    fn fail(&self, state: &mut State, failure: Failure) {
        if matches!(state.phase, Phase::Open | Phase::Closing) {
            *state = State { writing: state.writing, phase: Phase::Failed(failure), ..State::default() };
            self.half.abort();
            self.wake.notify_one();
        }
    }

    /// Ends this direction in order.
    fn finish(&self) -> Result<(), TransportError> {
        match self.half.finish() {
            // The last words of TLS still wait for room.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(TransportError::Broken(error)),
            finished => {
                self.state().phase = Phase::Finished;
                match finished {
                    // The other end closed first.
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
                    other => other.map_err(TransportError::Broken),
                }
            }
        }
    }

    fn error(&self, failure: &Failure) -> TransportError {
        match failure {
            Failure::SlowReader(QueueFull { queued, limit }) => {
                TransportError::SlowReader { queued: *queued, limit: *limit }
            }
            Failure::DrainTimeout { unsent } => {
                TransportError::DrainTimeout { unsent: *unsent, after: self.drain }
            }
            Failure::Broken(kind, text) => TransportError::Broken(io::Error::new(*kind, text.to_string())),
        }
    }
}

/// Bytes to be written in order: first the pieces, then the copied small messages.
#[derive(Default)]
struct Batch {
    pieces: VecDeque<Bytes>,
    copied: BytesMut,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.copied.is_empty()
    }

    fn push(&mut self, bytes: Bytes) {
        if bytes.len() <= COPIED {
            self.copied.extend_from_slice(&bytes);
            return;
        }
        if !self.copied.is_empty() {
            self.pieces.push_back(self.copied.split().freeze());
        }
        self.pieces.push_back(bytes);
    }

    /// Writes until all is written or an error comes up; returns how much was written.
    fn write(&mut self, half: &WriteHalf) -> (usize, io::Result<()>) {
        let mut total = 0;
        while !self.is_empty() {
            let written = if self.pieces.is_empty() {
                half.try_write(&self.copied)
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let all = self.pieces.iter().map(AsRef::as_ref).chain([self.copied.as_ref()]);
                let mut used = 0;
                for (slot, piece) in slices.iter_mut().zip(all) {
                    *slot = IoSlice::new(piece);
                    used += 1;
                }
                half.try_write_vectored(slices.get(..used).unwrap_or_default())
            };
            match written {
                Ok(0) => return (total, Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    total += count;
                    self.advance(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (total, Err(error)),
            }
        }
        (total, Ok(()))
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(first) = self.pieces.front_mut() {
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.pieces.pop_front();
        }
        self.copied.advance(count.min(self.copied.len()));
    }

    /// Gives back memory after a burst.
    fn shrink(&mut self) {
        if self.copied.is_empty() && self.copied.capacity() > KEPT {
            self.copied = BytesMut::new();
        }
    }
}
