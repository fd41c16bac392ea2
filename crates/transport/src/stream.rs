//! The seam between links and transports: one variant per transport and direction. A transport reads into a buffer,
//! writes without waiting, and says when it can write again; all else (framing, queues, limits) is the same for all.
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::pin;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

#[cfg(target_os = "linux")]
use crate::sctp::{SctpReader, SctpWriter};
#[cfg(feature = "tls")]
use crate::tls;

/// Where bytes come from.
pub(crate) enum ReadHalf {
    Tcp(OwnedReadHalf),
    #[cfg(feature = "tls")]
    Tls(Arc<tls::Stream>),
    #[cfg(target_os = "linux")]
    Sctp(SctpReader),
}

impl ReadHalf {
    /// Appends what is there to `buffer`, as far as it has room; 0 bytes are the end.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        match self {
            // The future has no state of its own: polling a new one each time loses nothing.
            Self::Tcp(half) => pin!(half.read_buf(buffer)).poll(cx),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.poll_read(cx, buffer),
            #[cfg(target_os = "linux")]
            Self::Sctp(half) => half.poll_read(cx, buffer),
        }
    }

    /// Takes back what is sent and not delivered, over SCTP. Over TCP, the user time-out limits how late that may arrive.
    pub(crate) fn take_back(&self) {
        match self {
            Self::Tcp(_) => {}
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.take_back(),
            #[cfg(target_os = "linux")]
            Self::Sctp(half) => half.abort(),
        }
    }
}

/// Where bytes go to; shared by everybody who sends.
pub(crate) enum WriteHalf {
    Tcp(OwnedWriteHalf),
    #[cfg(feature = "tls")]
    Tls(Arc<tls::Stream>),
    #[cfg(target_os = "linux")]
    Sctp(SctpWriter),
}

impl WriteHalf {
    /// Writes as much as there is room for, `WouldBlock` if there is none: the same bytes must come again then, with others
    /// behind them or not.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(half) => half.try_write(bytes),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.try_write_vectored(&[IoSlice::new(bytes)]),
            #[cfg(target_os = "linux")]
            Self::Sctp(half) => half.try_write(&[IoSlice::new(bytes)]),
        }
    }

    /// The same from several slices.
    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(half) => half.try_write_vectored(slices),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.try_write_vectored(slices),
            #[cfg(target_os = "linux")]
            Self::Sctp(half) => half.try_write(slices),
        }
    }

    /// Waits until there may be room.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(half) => half.writable().await,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.writable().await,
            #[cfg(target_os = "linux")]
            Self::Sctp(half) => half.writable().await,
        }
    }

    /// Ends this direction, in order: the other end sees the end after everything written. To be repeated after `WouldBlock`.
    pub(crate) fn finish(&self) -> io::Result<()> {
        match self {
            Self::Tcp(half) => SockRef::from(half.as_ref()).shutdown(Shutdown::Write),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.finish(),
            #[cfg(target_os = "linux")]
            Self::Sctp(half) => half.finish(),
        }
    }

    /// Ends both directions at once, and forgets what the system still holds to send. Wakes the reader.
    pub(crate) fn abort(&self) {
        match self {
            Self::Tcp(half) => abort_tcp(half.as_ref()),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.abort(),
            #[cfg(target_os = "linux")]
            Self::Sctp(half) => half.abort(),
        }
    }
}

/// Ends a TCP connection in both directions, and forgets what the system still holds to send. Wakes the reader.
pub(crate) fn abort_tcp(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    // Should they fail, the connection is gone already, which is what is wanted.
    let _ = socket.set_linger(Some(Duration::ZERO));
    let _ = socket.shutdown(Shutdown::Both);
}
