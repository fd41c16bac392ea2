//! One-to-one sockets (RFC 6458 §4): one association each, connected, accepted or peeled off.
use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{Socket, Type};
use tokio::io::Interest;

use crate::association::Association;
use crate::config::SocketConfig;
use crate::descriptor::{self, Descriptor, To};
use crate::error::Error;
use crate::message::{AssocId, Received, SendInfo};
use crate::notification::Notification;
use crate::options::LifeState;
use crate::sys;

/// One association with a socket of its own.
///
/// All methods take `&self`; put it in an [`Arc`](std::sync::Arc) to send and receive in
/// different tasks. One task receives.
///
/// Dropping the stream shuts the association down in the background: what was sent is still delivered. If there are unread
/// messages in the kernel, it is aborted.
///
/// ```no_run
/// use rserpool_sctp::{Received, SctpStream, SendInfo, SocketConfig};
///
/// # async fn example() -> Result<(), rserpool_sctp::Error> {
/// let server = ["10.1.0.1:7".parse().unwrap(), "10.2.0.1:7".parse().unwrap()];
/// let stream = SctpStream::connect(&server, &SocketConfig::default()).await?;
/// stream.send(&SendInfo::default(), b"echo").await?;
/// while let Some(received) = stream.recv().await? {
///     if let Received::Message(message) = received {
///         assert_eq!(message.bytes, "echo");
///         stream.shutdown()?;
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct SctpStream {
    descriptor: Descriptor,
    origin: Origin,
    /// The association's end was told.
    ended: AtomicBool,
}

/// Linux has two kinds of sockets with one association, which shut down in different ways.
enum Origin {
    OneToOne,
    PeeledOff(AssocId),
}

impl SctpStream {
    /// Opens an association to the host that has all these addresses, from any address of this host. Bounded in time by
    /// `init_retransmissions` and `max_init_timeout` of the [`SocketConfig`]. Dropping the future gives up.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if this kernel has no SCTP, [`Error::NoAddress`], [`Error::Config`], or why the association
    /// did not come about.
    pub async fn connect(peer: &[SocketAddr], config: &SocketConfig) -> Result<Self, Error> {
        if peer.is_empty() {
            return Err(Error::NoAddress);
        }
        let socket = descriptor::open(Type::STREAM, peer, config)?;
        Self::connect_socket(socket, peer, config).await
    }

    /// As [`connect`](Self::connect), from these addresses of this host; see
    /// [`SctpSocket::bind`](crate::SctpSocket::bind) for their ports.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect), and [`Error::PortsDiffer`].
    pub async fn connect_from(
        local: &[SocketAddr],
        peer: &[SocketAddr],
        config: &SocketConfig,
    ) -> Result<Self, Error> {
        if peer.is_empty() {
            return Err(Error::NoAddress);
        }
        let socket = descriptor::open(Type::STREAM, &[local, peer].concat(), config)?;
        descriptor::bind(&socket, local)?;
        Self::connect_socket(socket, peer, config).await
    }

    async fn connect_socket(
        socket: Socket,
        peer: &[SocketAddr],
        config: &SocketConfig,
    ) -> Result<Self, Error> {
        sys::connectx(&socket, peer).map_err(Error::during("connect"))?;
        let stream = Self::one_to_one(Descriptor::new(socket, config.max_message)?);
        stream.established().await?;
        Ok(stream)
    }

    pub(crate) fn one_to_one(descriptor: Descriptor) -> Self {
        Self { descriptor, origin: Origin::OneToOne, ended: AtomicBool::new(false) }
    }

    pub(crate) fn peeled_off(descriptor: Descriptor, id: AssocId) -> Self {
        Self { descriptor, origin: Origin::PeeledOff(id), ended: AtomicBool::new(false) }
    }

    /// Waits for the association to come up. A socket without an association is never writable, but one whose association
    /// failed is readable: it has a notification.
    async fn established(&self) -> Result<(), Error> {
        loop {
            let either = Interest::READABLE | Interest::WRITABLE;
            let mut guard = self.descriptor.fd().ready(either).await.map_err(Error::during("connect"))?;
            if let Some(error) = self.descriptor.socket().take_error().map_err(Error::during("connect"))? {
                return Err(Error::Io { operation: "connect", source: error });
            }
            match self.association().status()?.state {
                LifeState::Closed | LifeState::CookieWait | LifeState::CookieEchoed => guard.clear_ready(),
                _ => return Ok(()),
            }
        }
    }

    /// The association: its addresses, paths, settings and state.
    pub fn association(&self) -> Association<'_> {
        Association::new(&self.descriptor, self.id())
    }

    /// Sends one message; see [`Association::send`].
    ///
    /// # Errors
    /// As for [`Association::send`].
    pub async fn send(&self, info: &SendInfo, bytes: &[u8]) -> Result<(), Error> {
        self.association().send(info, bytes).await
    }

    /// Sends messages one after the other, as many as there is room for in the send buffer now, and says how many. If these are
    /// not all, send the rest when there [may be room](Self::writable).
    ///
    /// That costs much less than to send each by itself: there are few system calls, and small messages share packets
    /// (RFC 9260 §6.10), also with [`SocketConfig::nodelay`]. What was taken does not wait for the rest.
    ///
    /// # Errors
    /// As for [`Association::send`], if the first message cannot be sent.
    pub fn try_send_many<'m>(
        &self,
        info: &SendInfo,
        messages: impl IntoIterator<Item = &'m [u8]>,
    ) -> Result<usize, Error> {
        self.descriptor.try_send_many(self.id(), info, messages.into_iter())
    }

    /// The next message or notification; `None` once the association has ended and all has been received.
    ///
    /// Dropping the future before it is ready loses nothing.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn recv(&self) -> Result<Option<Received>, Error> {
        match self.after_end() {
            Some(received) => Ok(received),
            None => self.descriptor.recv().await.map(|received| self.note_end(received)),
        }
    }

    /// The next message or notification, if there is one now. Several are received with one system call: this gets those that came
    /// with the first. `None` also after the end, which [`recv`](Self::recv) tells.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn try_recv(&self) -> Result<Option<Received>, Error> {
        match self.descriptor.try_recv() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock || self.has_ended() => Ok(None),
            received => received.map(|received| self.note_end(received)).map_err(Error::during("receive")),
        }
    }

    /// As [`recv`](Self::recv), for implementations of futures: the task of the last caller is woken.
    pub fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Received>, Error>> {
        match self.after_end() {
            Some(received) => Poll::Ready(Ok(received)),
            None => self.descriptor.poll_recv(cx).map_ok(|received| self.note_end(received)),
        }
    }

    /// As [`send`](Self::send), for implementations of futures: the task of the last caller is woken.
    pub fn poll_send(&self, cx: &mut Context<'_>, info: &SendInfo, bytes: &[u8]) -> Poll<Result<(), Error>> {
        self.descriptor.poll_send(cx, To::Association(self.id()), info, bytes)
    }

    /// Begins to shut the association down: what was sent is still delivered, nothing more can be sent. Go on receiving
    /// until `None`. SCTP has no half-closed state: the peer cannot send any more either, once it has been told.
    ///
    /// # Errors
    /// [`Error::NoAssociation`], or what the kernel says.
    pub fn shutdown(&self) -> Result<(), Error> {
        let done = match self.origin {
            Origin::OneToOne => self.descriptor.socket().shutdown(Shutdown::Write),
            Origin::PeeledOff(id) => self.descriptor.end(id, libc::SCTP_EOF, &[]),
        };
        done.map_err(Error::during("shutdown"))
    }

    /// Ends the association at once. What was not delivered is lost. Whoever receives sees the end.
    ///
    /// The peer of a stream that was peeled off is told now, that of one that was connected or accepted when it is dropped:
    /// Linux has no other way.
    ///
    /// # Errors
    /// [`Error::NoAssociation`], or what the kernel says.
    pub fn abort(&self) -> Result<(), Error> {
        let done = match self.origin {
            // Closing aborts then. Shutting down for reading tells nobody, but wakes whoever receives.
            Origin::OneToOne => {
                let socket = self.descriptor.socket();
                socket.set_linger(Some(Duration::ZERO)).and_then(|()| socket.shutdown(Shutdown::Read))
            }
            Origin::PeeledOff(id) => self.descriptor.end(id, libc::SCTP_ABORT, &[]),
        };
        done.map_err(Error::during("abort"))
    }

    /// Waits until there may be room in the send buffer; see [`Association::try_send`].
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn writable(&self) -> Result<(), Error> {
        let ready = self.descriptor.fd().ready(Interest::WRITABLE).await;
        ready.map(drop).map_err(Error::during("wait for room to send"))
    }

    /// As [`writable`](Self::writable), for implementations of futures: the task of the last caller is woken.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let ready = self.descriptor.fd().poll_write_ready(cx);
        ready.map(|ready| ready.map(drop).map_err(Error::during("wait for room to send")))
    }

    fn id(&self) -> AssocId {
        match self.origin {
            // The kernel looks for no id where there is one association.
            Origin::OneToOne => AssocId::FUTURE,
            Origin::PeeledOff(id) => id,
        }
    }

    /// After the end there is no waiting: the socket might never become readable again. But what could not be delivered
    /// comes back after the end was told.
    fn after_end(&self) -> Option<Option<Received>> {
        self.has_ended().then(|| self.descriptor.try_recv().ok().flatten())
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    fn note_end(&self, received: Option<Received>) -> Option<Received> {
        let ends = match &received {
            None => true,
            Some(Received::Notification(Notification::AssocChange(change))) => change.state.is_end(),
            Some(_) => false,
        };
        self.ended.fetch_or(ends, Ordering::Relaxed);
        received
    }
}

impl AsFd for SctpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.socket().as_fd()
    }
}

impl AsRawFd for SctpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.socket().as_raw_fd()
    }
}

impl fmt::Debug for SctpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SctpStream").field("fd", &self.as_raw_fd()).finish_non_exhaustive()
    }
}
