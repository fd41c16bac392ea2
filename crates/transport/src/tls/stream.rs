//! The two directions of a TLS link over one connection. Whoever reads or writes does the cryptography too, under a lock and
//! without waiting: no task in between, so that a request is answered as on TCP.
use std::io::{self, IoSlice};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;

use super::carrier::Carrier;
use super::engine::Engine;

/// How often a read may bring nothing for the application before other tasks have a turn: records may be empty.
const ROUNDS: usize = 64;

/// A connection with TLS on it, shared by both directions.
pub(crate) struct Stream {
    carrier: Carrier,
    session: Mutex<Session>,
}

struct Session {
    engine: Engine,
    /// How many bytes of the application are sealed and not sent.
    sealed: usize,
    /// Whether the other end is told that nothing more comes.
    closed: bool,
}

impl Stream {
    pub(super) fn new(carrier: Carrier, engine: Engine) -> Self {
        Self { carrier, session: Mutex::new(Session { engine, sealed: 0, closed: false }) }
    }

    /// Appends what is there to `buffer`; 0 bytes are the end, which the other end announced. A connection that just ends was
    /// cut, perhaps by an attacker: that is an error.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        for _ in 0..ROUNDS {
            let received = {
                let mut session = self.session();
                let opened = session.engine.open(buffer);
                // What TLS has to say to the other end of its own accord. If there is no room, it goes with the next message.
                let _ = session.engine.send(&mut &self.carrier);
                match opened {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    opened => return Poll::Ready(opened),
                }
                session.engine.receive(&mut &self.carrier)
            };
            match received {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.carrier.poll_read_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes as much as there is room for. After `WouldBlock`, the same bytes must come again: some of them may be sealed.
    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut session = self.session();
        if session.sealed == 0 {
            session.sealed = session.engine.seal(slices)?;
        }
        session.engine.send(&mut &self.carrier)?;
        Ok(std::mem::take(&mut session.sealed))
    }

    /// Ends this direction, in order; to be repeated after `WouldBlock`.
    pub(crate) fn finish(&self) -> io::Result<()> {
        let mut session = self.session();
        if !std::mem::replace(&mut session.closed, true) {
            session.engine.close();
        }
        session.engine.send(&mut &self.carrier)?;
        self.carrier.finish()
    }

    /// Waits until there may be room.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.carrier.writable().await
    }

    /// Ends both directions at once, and forgets what the system still holds to send. Wakes the reader.
    pub(crate) fn abort(&self) {
        self.carrier.abort();
    }

    /// Takes back what is sent and not delivered, over SCTP.
    pub(crate) fn take_back(&self) {
        if !matches!(self.carrier, Carrier::Tcp(_)) {
            self.carrier.abort();
        }
    }

    /// Takes bytes for good once those that were taken before are out. They go out themselves by [`poll_flush`](Self::poll_flush), if not
    /// at once.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        let mut session = self.session();
        let taken = session.engine.seal(&[IoSlice::new(bytes)])?;
        match session.engine.send(&mut &self.carrier) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    /// Sends what was taken.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_until_written(cx, || self.session().engine.send(&mut &self.carrier))
    }

    /// Ends this direction, in order.
    pub(super) fn poll_finish(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_until_written(cx, || self.finish())
    }

    fn poll_until_written(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn() -> io::Result<()>,
    ) -> Poll<io::Result<()>> {
        loop {
            match write() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.carrier.poll_write_ready(cx))?;
                }
                written => return Poll::Ready(written),
            }
        }
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        // No code that holds the lock panics. If it did, the engine would refuse to go on.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
