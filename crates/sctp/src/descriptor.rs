//! What sockets of both styles are made of: a non-blocking SCTP socket that tokio watches.
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use crate::address;
use crate::assembly::Assembly;
use crate::bundle::{Bundle, footprint};
use crate::config::SocketConfig;
use crate::error::Error;
use crate::message::{AssocId, Received, SendInfo};
use crate::sys;
use crate::sys::batch::{self, BATCH, Slots};

/// With less room in the send buffer than this, it is worth asking whether there is more by now.
const ROOM: usize = 64 << 10;

pub(crate) struct Descriptor {
    fd: AsyncFd<Socket>,
    /// Locked only around system calls that do not block.
    reading: Mutex<Reading>,
    /// How much room the send buffer has at least; the same applies.
    room: Mutex<usize>,
    /// Whether there always was room so far: there is before tokio has been told.
    never_full: AtomicBool,
}

struct Reading {
    slots: Slots,
    assembly: Assembly,
    /// What went wrong with the socket, until all that was received before is read.
    failure: Option<io::Error>,
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
        let reading = Reading { slots: Slots::new(), assembly, failure: None };
        Ok(Self { fd, reading: Mutex::new(reading), room: Mutex::new(0), never_full: AtomicBool::new(true) })
    }

    pub(crate) fn socket(&self) -> &Socket {
        self.fd.get_ref()
    }

    pub(crate) fn fd(&self) -> &AsyncFd<Socket> {
        &self.fd
    }

    /// Moves an association into a socket of its own, with what has been received and not been taken.
    pub(crate) fn peel_off(&self, assoc: AssocId) -> Result<Self, Error> {
        let mut reading = self.reading();
        let socket = sys::peel_off(self.socket(), assoc.0).map_err(Error::during("peel off"))?;
        Self::with_assembly(socket, reading.assembly.split_off(assoc))
    }

    /// The next message or notification; `None` at the end of a one-to-one association.
    pub(crate) async fn recv(&self) -> Result<Option<Received>, Error> {
        loop {
            if let Some(complete) = self.reading().assembly.next() {
                return Ok(Some(complete));
            }
            let guard = self.fd.readable().await.map_err(Error::during("receive"))?;
            if let Some(received) = self.read_ready(guard) {
                return received;
            }
        }
    }

    pub(crate) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Received>, Error>> {
        if let Some(complete) = self.reading().assembly.next() {
            return Poll::Ready(Ok(Some(complete)));
        }
        loop {
            let guard = ready!(self.fd.poll_read_ready(cx)).map_err(Error::during("receive"))?;
            if let Some(received) = self.read_ready(guard) {
                return Poll::Ready(received);
            }
        }
    }

    /// As [`recv`](Self::recv), or `WouldBlock`.
    pub(crate) fn try_recv(&self) -> io::Result<Option<Received>> {
        let mut reading = self.reading();
        match reading.assembly.next() {
            Some(complete) => Ok(Some(complete)),
            None => {
                self.fd.try_io(Interest::READABLE, |socket| reading.next(socket)).map(|next| next.received)
            }
        }
    }

    /// Reads from a socket that is said to be readable; `None` if it is not.
    fn read_ready(
        &self,
        mut guard: AsyncFdReadyGuard<'_, Socket>,
    ) -> Option<Result<Option<Received>, Error>> {
        let next = guard.try_io(|fd| self.reading().next(fd.get_ref())).ok()?;
        if next.as_ref().is_ok_and(|next| next.drained) {
            // It says so again when there is more: no need to ask for it in vain.
            guard.clear_ready();
        }
        Some(next.map(|next| next.received).map_err(Error::during("receive")))
    }

    fn write(&self, to: To, info: &SendInfo, bytes: &[u8]) -> io::Result<()> {
        let (address, assoc) = match to {
            To::Association(assoc) => (None, assoc),
            To::Address(address) => (Some(address), AssocId::FUTURE),
        };
        let mut room = self.room();
        *room = room.saturating_sub(footprint(bytes));
        sys::send(self.socket(), address, &info.sndinfo(assoc), info.prinfo().as_ref(), bytes)
    }

    /// Sends something unless there is known to be no room.
    fn if_writable<T>(&self, send: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if !self.never_full.load(Ordering::Relaxed) {
            return self.fd.try_io(Interest::WRITABLE, |_| send());
        }
        let sent = send();
        let full = sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        self.never_full.fetch_and(!full, Ordering::Relaxed);
        sent
    }

    fn room(&self) -> MutexGuard<'_, usize> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn send(&self, to: To, info: &SendInfo, bytes: &[u8]) -> Result<(), Error> {
        let sent = self.fd.async_io(Interest::WRITABLE, |_| self.write(to, info, bytes)).await;
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
            if let Ok(sent) = guard.try_io(|_| self.write(to, info, bytes)) {
                return Poll::Ready(sent.map_err(|error| send_error(error, bytes)));
            }
        }
    }

    /// Whether the message was taken; otherwise the send buffer is full.
    pub(crate) fn try_send(&self, to: To, info: &SendInfo, bytes: &[u8]) -> Result<bool, Error> {
        match self.if_writable(|| self.write(to, info, bytes)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(send_error(error, bytes)),
        }
    }

    /// Sends messages, as many as there is room for, and returns how many. Not for sockets whose send buffer associations share:
    /// those that others fill make room when they want.
    pub(crate) fn try_send_many<'m>(
        &self,
        assoc: AssocId,
        info: &SendInfo,
        messages: impl Iterator<Item = &'m [u8]>,
    ) -> Result<usize, Error> {
        let (raw, reliability) = (info.sndinfo(assoc), info.prinfo());
        let (mut messages, mut sent) = (messages.peekable(), 0);
        let mut room = self.room();
        while let Some(first) = messages.peek().copied() {
            if *room < ROOM {
                // If it is not known, no message waits for another.
                *room = sys::send_room(self.socket()).unwrap_or(0);
            }
            let bundle = Bundle::next(&mut messages, *room);
            let send = || batch::send_many(self.socket(), &raw, reliability.as_ref(), bundle.messages());
            match self.if_writable(send) {
                Ok(taken) => {
                    *room = room.saturating_sub(bundle.footprint());
                    sent += taken;
                    if taken < bundle.messages().len() {
                        break;
                    }
                }
                Err(error) if sent > 0 || error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(send_error(error, first)),
            }
        }
        Ok(sent)
    }

    /// Ends an association: `flag` is `SCTP_EOF` or `SCTP_ABORT`. The kernel takes either whatever is queued.
    pub(crate) fn end(&self, assoc: AssocId, flag: libc::c_int, reason: &[u8]) -> io::Result<()> {
        let mut raw = SendInfo::default().sndinfo(assoc);
        raw.snd_flags = flag as u16;
        sys::send(self.socket(), None, &raw, None, reason)
    }
}

/// What comes next from a socket.
struct Next {
    /// `None` at the end of a one-to-one association.
    received: Option<Received>,
    /// Whether there is nothing more to read now.
    drained: bool,
}

impl Reading {
    /// The next message or notification, or `WouldBlock`.
    fn next(&mut self, socket: &Socket) -> io::Result<Next> {
        let mut drained = false;
        loop {
            if let Some(complete) = self.assembly.next() {
                return Ok(Next { received: Some(complete), drained });
            }
            let count = match self.slots.receive(socket) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock && self.failure.is_none() => {
                    self.failure = Some(error);
                    continue;
                }
                Err(error) => return Err(self.failure.take().unwrap_or(error)),
            };
            drained = count < BATCH;
            for read in self.slots.reads(count) {
                if read.bytes.is_empty() && !read.notification {
                    // The end, which is read again and again: what was received before it comes first.
                    return match self.assembly.next() {
                        received @ Some(_) => Ok(Next { received, drained: false }),
                        None => self.failure.take().map_or(Ok(Next { received: None, drained: false }), Err),
                    };
                }
                self.assembly.take(&read);
            }
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

fn send_error(error: io::Error, bytes: &[u8]) -> Error {
    match error.raw_os_error() {
        Some(libc::EMSGSIZE) => Error::MessageTooLong { length: bytes.len() },
        _ => Error::new("send", error),
    }
}
