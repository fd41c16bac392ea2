//! What sockets of both styles are made of: a non-blocking SCTP socket that tokio watches.
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::address;
use crate::assembly::Assembly;
use crate::config::SocketConfig;
use crate::error::Error;
use crate::message::{AssocId, Received, SendInfo};
use crate::sys;

/// Longer messages are read in several pieces.
const READ_SIZE: usize = 16 << 10;

pub(crate) struct Descriptor {
    fd: AsyncFd<Socket>,
    /// Locked only around system calls that do not block.
    reading: Mutex<Reading>,
}

struct Reading {
    buffer: Box<[u8]>,
    assembly: Assembly,
}

/// Makes a socket with the options of `config`, of the family that has room for all of `addresses`.
pub(crate) fn open(kind: Type, addresses: &[SocketAddr], config: &SocketConfig) -> Result<Socket, Error> {
    let domain = if addresses.iter().all(SocketAddr::is_ipv4) { Domain::IPV4 } else { Domain::IPV6 };
    let socket =
        Socket::new(domain, kind.nonblocking(), Some(Protocol::SCTP)).map_err(Error::during("socket"))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(false).map_err(Error::during("set socket options"))?;
    }
    config.apply(&socket)?;
    Ok(socket)
}

/// Binds all of `addresses`. Port 0 is a free port, the same for all.
pub(crate) fn bind(socket: &Socket, addresses: &[SocketAddr]) -> Result<(), Error> {
    let addresses = address::with_one_port(addresses)?;
    // A restarted server gets its port back although associations of its predecessor are still being shut down.
    socket.set_reuse_address(true).map_err(Error::during("set socket options"))?;
    let mut rest = addresses.into_iter();
    if let Some(first) = rest.next() {
        socket.bind(&first.into()).map_err(Error::during("bind"))?;
    }
    let rest: Vec<_> = rest.collect();
    if rest.is_empty() { Ok(()) } else { bindx(socket, sys::SCTP_SOCKOPT_BINDX_ADD, &rest) }
}

/// Adds or removes addresses of a bound socket. Linux takes port 0 for the port that the socket is bound to.
pub(crate) fn bindx(socket: &Socket, option: libc::c_int, addresses: &[SocketAddr]) -> Result<(), Error> {
    sys::set_option_bytes(socket, option, &address::pack(addresses)).map_err(Error::during("bindx"))
}

/// Makes a bound socket take associations.
pub(crate) fn listen(socket: &Socket, config: &SocketConfig) -> Result<(), Error> {
    socket.listen(config.backlog.into()).map_err(Error::during("listen"))
}

impl Descriptor {
    pub(crate) fn new(socket: Socket, max_message: usize) -> Result<Self, Error> {
        Self::with_assembly(socket, Assembly::new(max_message))
    }

    fn with_assembly(socket: Socket, assembly: Assembly) -> Result<Self, Error> {
        let fd = sys::watch(socket).map_err(Error::during("watch the socket"))?;
        let buffer = vec![0; READ_SIZE].into_boxed_slice();
        Ok(Self { fd, reading: Mutex::new(Reading { buffer, assembly }) })
    }

    pub(crate) fn socket(&self) -> &Socket {
        self.fd.get_ref()
    }

    pub(crate) fn fd(&self) -> &AsyncFd<Socket> {
        &self.fd
    }

    /// Moves an association into a socket of its own, with what has been received of its current message.
    pub(crate) fn peel_off(&self, assoc: AssocId) -> Result<Self, Error> {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = sys::peel_off(self.socket(), assoc.0).map_err(Error::during("peel off"))?;
        Self::with_assembly(socket, reading.assembly.split_off(assoc))
    }

    /// The next message or notification; `None` at the end of a one-to-one association.
    pub(crate) async fn recv(&self) -> Result<Option<Received>, Error> {
        if let Some(complete) = self.complete() {
            return Ok(Some(complete));
        }
        let received = self.fd.async_io(Interest::READABLE, |socket| self.read(socket)).await;
        received.map_err(Error::during("receive"))
    }

    pub(crate) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Received>, Error>> {
        if let Some(complete) = self.complete() {
            return Poll::Ready(Ok(Some(complete)));
        }
        loop {
            let mut guard = ready!(self.fd.poll_read_ready(cx)).map_err(Error::during("receive"))?;
            if let Ok(received) = guard.try_io(|fd| self.read(fd.get_ref())) {
                return Poll::Ready(received.map_err(Error::during("receive")));
            }
        }
    }

    /// As [`recv`](Self::recv), or `WouldBlock`.
    pub(crate) fn try_recv(&self) -> io::Result<Option<Received>> {
        match self.complete() {
            Some(complete) => Ok(Some(complete)),
            None => self.fd.try_io(Interest::READABLE, |socket| self.read(socket)),
        }
    }

    pub(crate) async fn send(&self, to: To, info: &SendInfo, bytes: &[u8]) -> Result<(), Error> {
        let sent = self.fd.async_io(Interest::WRITABLE, |socket| write(socket, to, info, bytes)).await;
        sent.map_err(|error| send_error(error, bytes))
    }

    pub(crate) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        to: To,
        info: &SendInfo,
        bytes: &[u8],
    ) -> Poll<Result<(), Error>> {
        loop {
            let mut guard = ready!(self.fd.poll_write_ready(cx)).map_err(Error::during("send"))?;
            if let Ok(sent) = guard.try_io(|fd| write(fd.get_ref(), to, info, bytes)) {
                return Poll::Ready(sent.map_err(|error| send_error(error, bytes)));
            }
        }
    }

    /// Whether the message was taken; otherwise the send buffer is full.
    pub(crate) fn try_send(&self, to: To, info: &SendInfo, bytes: &[u8]) -> Result<bool, Error> {
        match self.fd.try_io(Interest::WRITABLE, |socket| write(socket, to, info, bytes)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(send_error(error, bytes)),
        }
    }

    /// Ends an association: `flag` is `SCTP_EOF` or `SCTP_ABORT`. The kernel takes either whatever is queued.
    pub(crate) fn end(&self, assoc: AssocId, flag: libc::c_int, reason: &[u8]) -> io::Result<()> {
        let mut raw = SendInfo::default().sndinfo(assoc);
        raw.snd_flags = flag as u16;
        sys::send(self.socket(), None, &raw, None, reason)
    }

    fn complete(&self) -> Option<Received> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner).assembly.next()
    }

    fn read(&self, socket: &Socket) -> io::Result<Option<Received>> {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let Reading { buffer, assembly } = &mut *reading;
        loop {
            if let Some(complete) = assembly.next() {
                return Ok(Some(complete));
            }
            let read = match sys::receive(socket, buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            let bytes = buffer.get(..read.length).unwrap_or_default();
            if bytes.is_empty() && !read.notification {
                return Ok(None);
            }
            assembly.take(&read, bytes);
        }
    }
}

/// Where a message goes.
#[derive(Clone, Copy)]
pub(crate) enum To {
    Association(AssocId),
    /// To the association with this address, which is opened if there is none.
    Address(SocketAddr),
}

fn write(socket: &Socket, to: To, info: &SendInfo, bytes: &[u8]) -> io::Result<()> {
    let (address, assoc) = match to {
        To::Association(assoc) => (None, assoc),
        To::Address(address) => (Some(address), AssocId::FUTURE),
    };
    sys::send(socket, address, &info.sndinfo(assoc), info.prinfo().as_ref(), bytes)
}

fn send_error(error: io::Error, bytes: &[u8]) -> Error {
    match error.raw_os_error() {
        Some(libc::EMSGSIZE) => Error::MessageTooLong { length: bytes.len() },
        _ => Error::new("send", error),
    }
}
