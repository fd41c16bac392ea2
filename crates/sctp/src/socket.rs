//! One-to-many sockets (RFC 6458 §3): one port, any number of associations, in both directions.
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use socket2::Type;

use crate::association::{Association, addresses};
use crate::config::SocketConfig;
use crate::descriptor::{self, Descriptor, To};
use crate::error::Error;
use crate::message::{AssocId, Received, SendInfo};
use crate::stream::SctpStream;
use crate::sys;

/// A one-to-many SCTP socket: it is reached at one port, and opens its own associations from the same port.
///
/// All methods take `&self`; put it in an [`Arc`](std::sync::Arc) to send from several tasks. Let one task call
/// [`recv`](Self::recv) all the time: associations are also seen to begin and end there.
///
/// **The send buffer is one for all associations.** A peer that does not read takes up more and more of it, and in the end
/// sending to all others waits too. Give messages a [lifetime](SendInfo::lifetime), end associations that stall
/// (`unacked_data` in their [`Status`](crate::Status) tells), [peel them off](Self::peel_off), or set the sysctl
/// `net.sctp.sndbuf_policy` to 1, which gives each association a send buffer of its own.
///
/// Dropping the socket shuts all associations down in the background; those with unread messages are aborted.
///
/// ```no_run
/// use rserpool_sctp::{Received, SctpSocket, SendInfo, SocketConfig};
///
/// # async fn example() -> Result<(), rserpool_sctp::Error> {
/// // Two networks, one port.
/// let addresses = ["10.1.0.1:3863".parse().unwrap(), "10.2.0.1:3863".parse().unwrap()];
/// let socket = SctpSocket::bind(&addresses, &SocketConfig::default())?;
/// loop {
///     match socket.recv().await? {
///         Received::Message(message) => {
///             let answer = SendInfo { stream: message.info.stream, ..SendInfo::new(message.info.ppid) };
///             // The association may have ended meanwhile.
///             let _ = socket.association(message.assoc).send(&answer, &message.bytes).await;
///         }
///         Received::Notification(notification) => println!("{notification:?}"),
///         Received::Oversized { assoc, .. } => socket.abort(assoc, b"message too long")?,
///         _ => (),
///     }
/// }
/// # }
/// ```
pub struct SctpSocket {
    descriptor: Descriptor,
    max_message: usize,
}

impl SctpSocket {
    /// Makes a socket that is bound to all these addresses. They share one port; port 0 stands for the others' port, or a
    /// free one. `0.0.0.0` alone stands for all IPv4 addresses of this host, `[::]` for all addresses.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if this kernel has no SCTP, [`Error::NoAddress`], [`Error::PortsDiffer`], [`Error::Config`],
    /// or what the kernel says.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub fn bind(addresses: &[SocketAddr], config: &SocketConfig) -> Result<Self, Error> {
        let socket = descriptor::open(Type::SEQPACKET, addresses, config)?;
        config.apply_autoclose(&socket)?;
        descriptor::bind(&socket, addresses)?;
        if config.accept {
            descriptor::listen(&socket, config)?;
        }
        Ok(Self { descriptor: Descriptor::new(socket, config.max_message)?, max_message: config.max_message })
    }

    /// The addresses that it is bound to; for `0.0.0.0` and `[::]`, those of this host that they stand for now.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn local_addrs(&self) -> Result<Vec<SocketAddr>, Error> {
        addresses(&self.descriptor, sys::SCTP_GET_LOCAL_ADDRS, AssocId::FUTURE)
    }

    /// Binds further addresses (`sctp_bindx`). Associations that exist are told if the kernel allows
    /// (`net.sctp.addip_enable`, RFC 5061), new ones have them.
    ///
    /// # Errors
    /// [`Error::NoAddress`], [`Error::PortsDiffer`], or what the kernel says.
    pub fn bind_add(&self, addresses: &[SocketAddr]) -> Result<(), Error> {
        let addresses = crate::address::with_one_port(addresses)?;
        descriptor::bindx(self.descriptor.socket(), sys::SCTP_SOCKOPT_BINDX_ADD, &addresses)
    }

    /// Gives up addresses (`sctp_bindx`); not the last one.
    ///
    /// # Errors
    /// [`Error::NoAddress`], [`Error::PortsDiffer`], or what the kernel says.
    pub fn bind_remove(&self, addresses: &[SocketAddr]) -> Result<(), Error> {
        let addresses = crate::address::with_one_port(addresses)?;
        descriptor::bindx(self.descriptor.socket(), sys::SCTP_SOCKOPT_BINDX_REM, &addresses)
    }

    /// Begins an association with the host that has all these addresses (`sctp_connectx`). Whether it comes about is told
    /// by an [`AssocChange`](crate::AssocChange); messages may be sent at once and wait for that.
    ///
    /// # Errors
    /// [`Error::NoAddress`], or what the kernel says, in particular if there is an association with one of the addresses.
    pub fn connectx(&self, peer: &[SocketAddr]) -> Result<AssocId, Error> {
        if peer.is_empty() {
            return Err(Error::NoAddress);
        }
        sys::connectx(self.descriptor.socket(), peer).map(AssocId).map_err(Error::during("connectx"))
    }

    /// One of its associations.
    pub fn association(&self, id: AssocId) -> Association<'_> {
        Association::new(&self.descriptor, id)
    }

    /// Its associations (`SCTP_GET_ASSOC_ID_LIST`), in the order of their ids.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn associations(&self) -> Result<Vec<AssocId>, Error> {
        const OPTION: libc::c_int = libc::SCTP_GET_ASSOC_ID_LIST;
        let mut room = 1 << 10;
        let bytes = loop {
            let mut bytes = vec![0; room];
            match sys::option_bytes(self.descriptor.socket(), OPTION, &mut bytes) {
                // The way in which the kernel says that there are more.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) && room < 1 << 24 => room *= 4,
                Err(error) => return Err(Error::new("SCTP_GET_ASSOC_ID_LIST", error)),
                Ok(_) => break bytes,
            }
        };
        let (words, _) = bytes.as_chunks::<4>();
        let count = words.first().map_or(0, |count| u32::from_ne_bytes(*count));
        let ids = words.iter().skip(1).take(usize::try_from(count).unwrap_or(0));
        let mut ids: Vec<_> = ids.map(|id| AssocId(i32::from_ne_bytes(*id))).collect();
        ids.sort();
        Ok(ids)
    }

    /// Sends one message to the association that has this address; if there is none, opens one. Otherwise as
    /// [`Association::send`].
    ///
    /// # Errors
    /// As for [`Association::send`].
    pub async fn send_to(&self, peer: SocketAddr, info: &SendInfo, bytes: &[u8]) -> Result<(), Error> {
        self.descriptor.send(To::Address(peer), info, bytes).await
    }

    /// The next message or notification of any association.
    ///
    /// Dropping the future before it is ready loses nothing. After an error, the socket can be used on.
    ///
    /// # Errors
    /// What the kernel says. Peers cannot cause errors.
    pub async fn recv(&self) -> Result<Received, Error> {
        self.descriptor
            .recv()
            .await?
            .ok_or_else(|| Error::Io { operation: "receive", source: io::ErrorKind::UnexpectedEof.into() })
    }

    /// The next message or notification, if there is one now.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<Option<Received>, Error> {
        match self.descriptor.try_recv() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            received => received.map_err(Error::during("receive")),
        }
    }

    /// Makes a stream of an association, with a socket and buffers of its own (`sctp_peeloff`). Here it is no more;
    /// what was not received yet is received there.
    ///
    /// # Errors
    /// What the kernel says, in particular if there is no such association.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub fn peel_off(&self, id: AssocId) -> Result<SctpStream, Error> {
        Ok(SctpStream::peeled_off(self.descriptor.peel_off(id)?, id))
    }

    /// Begins to shut an association down: what was sent is still delivered, nothing more can be sent. The end is told by
    /// an [`AssocChange`](crate::AssocChange).
    ///
    /// # Errors
    /// [`Error::NoAssociation`], or what the kernel says.
    pub fn shutdown(&self, id: AssocId) -> Result<(), Error> {
        self.descriptor.end(id, libc::SCTP_EOF, &[]).map_err(Error::during("shutdown"))
    }

    /// Ends an association at once. What was not delivered comes back; the peer is told `reason`.
    ///
    /// # Errors
    /// [`Error::NoAssociation`], or what the kernel says.
    pub fn abort(&self, id: AssocId, reason: &[u8]) -> Result<(), Error> {
        self.descriptor.end(id, libc::SCTP_ABORT, reason).map_err(Error::during("abort"))
    }

    /// The longest message that is taken.
    pub fn max_message(&self) -> usize {
        self.max_message
    }
}

impl AsFd for SctpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.socket().as_fd()
    }
}

impl AsRawFd for SctpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.socket().as_raw_fd()
    }
}

impl fmt::Debug for SctpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SctpSocket").field("fd", &self.as_raw_fd()).finish_non_exhaustive()
    }
}
