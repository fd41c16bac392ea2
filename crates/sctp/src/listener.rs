//! Accepting associations one by one, each with a socket of its own (RFC 6458 §4.1).
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use socket2::Type;
use tokio::io::Interest;

use crate::association::addresses;
use crate::config::SocketConfig;
use crate::descriptor::{self, Descriptor};
use crate::error::Error;
use crate::message::AssocId;
use crate::stream::SctpStream;
use crate::{address, sys};

/// A one-to-one SCTP socket that listens.
///
/// ```no_run
/// # use rserpool_sctp::{SctpListener, SocketConfig};
/// # async fn example() -> Result<(), rserpool_sctp::Error> {
/// let listener = SctpListener::bind(&["[::]:7".parse().unwrap()], &SocketConfig::default())?;
/// let (stream, from) = listener.accept().await?;
/// println!("{from} has the addresses {:?}", stream.association().peer_addrs()?);
/// # Ok(())
/// # }
/// ```
pub struct SctpListener {
    descriptor: Descriptor,
    max_message: usize,
}

impl SctpListener {
    /// Listens on all these addresses; see [`SctpSocket::bind`](crate::SctpSocket::bind) for what they may be. Accepted
    /// streams have the options of `config`.
    ///
    /// # Errors
    /// As for [`SctpSocket::bind`](crate::SctpSocket::bind).
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub fn bind(addresses: &[SocketAddr], config: &SocketConfig) -> Result<Self, Error> {
        let socket = descriptor::open(Type::STREAM, addresses, config)?;
        descriptor::bind(&socket, addresses)?;
        descriptor::listen(&socket, config)?;
        Ok(Self { descriptor: Descriptor::new(socket, config.max_message)?, max_message: config.max_message })
    }

    /// The addresses that it listens on; for `0.0.0.0` and `[::]`, those of this host that they stand for now.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn local_addrs(&self) -> Result<Vec<SocketAddr>, Error> {
        addresses(&self.descriptor, sys::SCTP_GET_LOCAL_ADDRS, AssocId::FUTURE)
    }

    /// Waits for an association, and returns it with the peer's primary address.
    ///
    /// Dropping the future before it is ready loses no association.
    ///
    /// # Errors
    /// What the kernel says, in particular a lack of descriptors. The listener is intact: accept again after a pause.
    pub async fn accept(&self) -> Result<(SctpStream, SocketAddr), Error> {
        let accepting = self
            .descriptor
            .fd()
            .async_io(Interest::READABLE, |socket| socket.accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC));
        let (socket, from) = accepting.await.map_err(Error::during("accept"))?;
        let from = from.as_socket().map(address::canonical).ok_or(Error::NoAddress)?;
        Ok((SctpStream::one_to_one(Descriptor::new(socket, self.max_message)?), from))
    }
}

impl AsFd for SctpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.socket().as_fd()
    }
}

impl AsRawFd for SctpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.socket().as_raw_fd()
    }
}

impl fmt::Debug for SctpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SctpListener").field("fd", &self.as_raw_fd()).finish_non_exhaustive()
    }
}
