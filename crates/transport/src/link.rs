//! A link: one other end, whole messages in both directions. Its reading half is here, its writing half in `queue`.
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rserpool_machine::PeerIdentity;
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::config::LinkConfig;
use crate::connection::{Addresses, Connection, Medium};
use crate::error::TransportError;
use crate::framing::Framer;
use crate::queue::{LinkWriter, SendQueue};
#[cfg(target_os = "linux")]
use crate::sctp;
use crate::stream::{ReadHalf, WriteHalf};
#[cfg(feature = "tls")]
use crate::tls;

/// A link that is up.
pub struct Link {
    /// The addresses of the other end: one, or several of a multi-homed one.
    pub remote: Vec<SocketAddr>,
    /// Our address.
    pub local: SocketAddr,
    /// Who is known to be at the other end.
    pub identity: PeerIdentity,
    reader: LinkReader,
    writer: LinkWriter,
}

impl Link {
    /// Makes a link of a connection without TLS.
    pub(crate) fn plain(connection: Connection, config: &LinkConfig) -> Self {
        let Connection { medium, addresses } = connection;
        let (read, write) = match medium {
            Medium::Tcp(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf::Tcp(read), WriteHalf::Tcp(write))
            }
            #[cfg(target_os = "linux")]
            Medium::Sctp(messages) => {
                let (read, write) = sctp::halves(messages);
                (ReadHalf::Sctp(read), WriteHalf::Sctp(write))
            }
        };
        Self::new(read, write, addresses, PeerIdentity::Anonymous, config)
    }

    /// Makes a link of a connection with TLS on it.
    #[cfg(feature = "tls")]
    pub(crate) fn tls(shaken: tls::Shaken, config: &LinkConfig) -> Self {
        let tls::Shaken { stream, addresses, identity } = shaken;
        let stream = Arc::new(stream);
        let (read, write) = (ReadHalf::Tls(Arc::clone(&stream)), WriteHalf::Tls(stream));
        Self::new(read, write, addresses, identity, config)
    }

    fn new(
        read: ReadHalf,
        write: WriteHalf,
        addresses: Addresses,
        identity: PeerIdentity,
        config: &LinkConfig,
    ) -> Self {
        let writer = LinkWriter::new(write, config);
        let reader = LinkReader::new(read, writer.queue(), config);
        let Addresses { local, remote } = addresses;
        Self { remote, local, identity, reader, writer }
    }

    /// The two directions, to be driven independently. The connection is released when both, and all queues, are dropped.
    #[must_use]
    pub fn split(self) -> (LinkReader, LinkWriter) {
        (self.reader, self.writer)
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (local, remote, identity) = (&self.local, &self.remote, &self.identity);
        write!(f, "Link({local} to {remote:?}, {identity:?})")
    }
}

/// The reading half of a link.
pub struct LinkReader {
    half: ReadHalf,
    framer: Framer,
    /// Knows why a link was cut off, and whether something was sent.
    queue: SendQueue,
    idle: Option<Idle>,
    drain: Duration,
}

/// Watches for a link on which nothing happens. The timer runs on while the link is in use: that costs nothing per read.
struct Idle {
    limit: Duration,
    timer: Pin<Box<Sleep>>,
    last_read: Instant,
    bytes_sent: u64,
}

impl LinkReader {
    fn new(half: ReadHalf, queue: SendQueue, config: &LinkConfig) -> Self {
        let idle = config.idle.map(|limit| {
            let timer = Box::pin(sleep(limit));
            Idle { limit, timer, last_read: Instant::now(), bytes_sent: 0 }
        });
        Self { half, framer: Framer::new(config.max_message), queue, idle, drain: config.drain }
    }

    /// Waits for more of the stream and reads what is there, with one system call: any number of messages, or a part of
    /// one. Messages not yet taken by [`next_message`](Self::next_message) stay. `false` is the clean end: the other end closed
    /// between two messages.
    ///
    /// Nothing is lost when the future is dropped before it is ready.
    ///
    /// # Errors
    /// When the link has ended in any other way: broken, idle for too long, or cut off for not reading.
    pub async fn fill(&mut self) -> Result<bool, TransportError> {
        poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// The next message that has arrived, padded; `None` asks for [`fill`](Self::fill).
    ///
    /// # Errors
    /// When a length field is impossible or exceeds [`LinkConfig::max_message`]. There is no going on: close the link.
    pub fn next_message(&mut self) -> Result<Option<&[u8]>, TransportError> {
        self.framer.next_message()
    }

    /// Throws away what still arrives until the other end closes too, for [`LinkConfig::drain`] at most. To be called on a
    /// link that was closed here: on a connection dropped with bytes unread, the last messages sent may get lost. What was
    /// not delivered until then never is, where the transport can take it back (SCTP).
    pub async fn drain(mut self) {
        let patience = self.drain;
        let end = async {
            while let Ok(true) = self.fill().await {
                self.framer.discard();
            }
        };
        // When the other end does not close in time, there is nothing more to wait for.
        if timeout(patience, end).await.is_err() {
            self.half.take_back();
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, TransportError>> {
        let Poll::Ready(read) = self.half.poll_read(cx, self.framer.room()) else {
            return self.poll_idle(cx).map(Err);
        };
        match read {
            Ok(0) => Poll::Ready(match (self.queue.failure(), self.framer.pending()) {
                (Some(failure), _) => Err(failure),
                (None, 0) => Ok(false),
                (None, received) => Err(TransportError::Truncated { received }),
            }),
            Ok(count) => {
                self.framer.filled(count);
                if let Some(idle) = &mut self.idle {
                    idle.last_read = Instant::now();
                }
                Poll::Ready(Ok(true))
            }
            Err(error) => {
                let broken = || error.downcast().unwrap_or_else(TransportError::Broken);
                Poll::Ready(Err(self.queue.failure().unwrap_or_else(broken)))
            }
        }
    }

    /// Ready when the link has been idle for too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<TransportError> {
        let Some(idle) = &mut self.idle else { return Poll::Pending };
        loop {
            ready!(idle.timer.as_mut().poll(cx));
            let now = Instant::now();
            let bytes_sent = self.queue.bytes_sent();
            if bytes_sent != idle.bytes_sent {
                // When exactly, nobody noted: a whole period more is close enough.
                idle.bytes_sent = bytes_sent;
                idle.last_read = now;
            }
            let at = idle.last_read + idle.limit;
            if at <= now {
                return Poll::Ready(TransportError::Idle { after: idle.limit });
            }
            idle.timer.as_mut().reset(at);
        }
    }
}
