//! The two directions of a TLS link over one connection. Whoever reads or writes does the cryptography too, under a lock and
//! without waiting: no task in between, so that a request is answered as on TCP.
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use socket2::SockRef;
use tokio::net::TcpStream;

use super::engine::Engine;

/// How often a read may bring nothing for the application before other tasks have a turn: records may be empty.
const ROUNDS: usize = 64;

/// A connection with TLS on it, shared by both directions.
pub(crate) struct Stream {
    socket: TcpStream,
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
    pub(super) fn new(socket: TcpStream, engine: Engine) -> Self {
        Self { socket, session: Mutex::new(Session { engine, sealed: 0, closed: false }) }
    }

    pub(crate) const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Appends what is there to `buffer`; 0 bytes are the end, which the other end announced. A connection that just ends was
    /// cut, perhaps by an attacker: that is an error.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        for _ in 0..ROUNDS {
            let received = {
                let mut session = self.session();
                let opened = session.engine.open(buffer);
                // What TLS has to say to the other end of its own accord. If the socket is full, it goes with the next message.
                let _ = session.engine.send(&mut Socket(&self.socket));
                match opened {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    opened => return Poll::Ready(opened),
                }
                session.engine.receive(&mut Socket(&self.socket))
            };
            match received {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_read_ready(cx))?;
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
        session.engine.send(&mut Socket(&self.socket))?;
        Ok(std::mem::take(&mut session.sealed))
    }

    /// Ends this direction, in order; to be repeated after `WouldBlock`.
    pub(crate) fn finish(&self) -> io::Result<()> {
        let mut session = self.session();
        if !std::mem::replace(&mut session.closed, true) {
            session.engine.close();
        }
        session.engine.send(&mut Socket(&self.socket))?;
        SockRef::from(&self.socket).shutdown(Shutdown::Write)
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        // No code that holds the lock panics. If it did, the engine would refuse to go on.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket as blocking streams are: what would have to wait is an error.
pub(super) struct Socket<'a>(pub(super) &'a TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
