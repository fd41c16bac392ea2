//! Several messages with one system call: `recvmmsg` and `sendmmsg`. For small messages, the calls cost more than what they do.
//!
//! Each message keeps its own flags, address and ancillary data; the room for what one call receives is allocated once.
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::ptr::null_mut;

use libc::{c_int, c_uint, c_void, iovec, mmsghdr};
use socket2::Socket;

use super::layout::{Prinfo, Rcvinfo, Sndinfo};
use super::{append_control, find_control};
use crate::address;

/// How many messages one call receives or sends at most.
pub(crate) const BATCH: usize = 32;

/// Longer messages are received in several pieces.
const PIECE: usize = 512;

/// Room for what one call receives.
pub(crate) struct Slots(Box<[Slot; BATCH]>);

/// Room for a message, a notification, or a piece of either.
#[derive(Clone, Copy)]
struct Slot {
    bytes: [u8; PIECE],
    length: usize,
    /// A `sockaddr_in` or `sockaddr_in6`.
    name: [u8; 32],
    control: [u8; 64],
    control_length: usize,
    flags: c_int,
}

/// What one call received in one slot.
pub(crate) struct Read<'a> {
    /// Nothing without any flag is the end of a one-to-one association.
    pub(crate) bytes: &'a [u8],
    pub(crate) notification: bool,
    pub(crate) end_of_record: bool,
    pub(crate) from: Option<SocketAddr>,
    /// Comes with messages, not with notifications.
    pub(crate) info: Option<Rcvinfo>,
}

impl Slots {
    pub(crate) fn new() -> Self {
        let empty = Slot {
            bytes: [0; PIECE],
            length: 0,
            name: [0; 32],
            control: [0; 64],
            control_length: 0,
            flags: 0,
        };
        Self(Box::new([empty; BATCH]))
    }

    /// Receives what is there, and returns how many slots have something. If they are fewer than [`BATCH`], there was no more.
    ///
    /// What is wrong with the socket is told before what was received earlier, other than by `recvmsg`; it is told once.
    pub(crate) fn receive(&mut self, socket: &Socket) -> io::Result<usize> {
        let mut parts = [iovec { iov_base: null_mut(), iov_len: 0 }; BATCH];
        let mut headers = no_headers();
        for ((slot, part), mmsghdr { msg_hdr: header, .. }) in
            self.0.iter_mut().zip(&mut parts).zip(&mut headers)
        {
            *part = iovec { iov_base: slot.bytes.as_mut_ptr().cast::<c_void>(), iov_len: slot.bytes.len() };
            // The kernel leaves it alone where there is no address.
            slot.name = [0; 32];
            header.msg_name = slot.name.as_mut_ptr().cast::<c_void>();
            header.msg_namelen = 32;
            header.msg_iov = part;
            header.msg_iovlen = 1;
            header.msg_control = slot.control.as_mut_ptr().cast::<c_void>();
            header.msg_controllen = slot.control.len() as _;
        }
        // SAFETY: every pointer in `headers` is to `parts` or to a slot of its own, with its true length; all of them outlive the
        // call, and the slots are borrowed exclusively. There is no time-out to point to.
        let count = unsafe {
            libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), BATCH as c_uint, 0, null_mut())
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (slot, header) in self.0.iter_mut().zip(&headers).take(count) {
            slot.length = header.msg_len as usize;
            slot.control_length = header.msg_hdr.msg_controllen as _;
            slot.flags = header.msg_hdr.msg_flags;
        }
        Ok(count)
    }

    /// What the last call received, in `count` slots.
    pub(crate) fn reads(&self, count: usize) -> impl Iterator<Item = Read<'_>> {
        self.0.iter().take(count).map(|slot| Read {
            bytes: slot.bytes.get(..slot.length).unwrap_or_default(),
            notification: slot.flags & libc::MSG_NOTIFICATION != 0,
            end_of_record: slot.flags & libc::MSG_EOR != 0,
            from: address::decode(&slot.name),
            info: find_control(
                slot.control.get(..slot.control_length).unwrap_or_default(),
                libc::SCTP_RCVINFO,
            ),
        })
    }
}

/// Sends at most [`BATCH`] messages of one association, and returns how many the kernel has taken. It may keep all but the last
/// until the last is there, to bundle them in packets; if it takes fewer than all, until the next call.
pub(crate) fn send_many(
    socket: &Socket,
    info: &Sndinfo,
    reliability: Option<&Prinfo>,
    messages: &[&[u8]],
) -> io::Result<usize> {
    let Some((last, others)) = messages.split_last() else { return Ok(0) };
    let send_last = || super::send(socket, None, info, reliability, last);
    if others.is_empty() {
        return send_last().map(|()| 1);
    }
    let sent = send_more(socket, info, reliability, others)?;
    // Why the kernel takes no more is told again by the next call.
    Ok(if sent == others.len() && send_last().is_ok() { sent + 1 } else { sent })
}

/// Sends messages that others will follow.
fn send_more(
    socket: &Socket,
    info: &Sndinfo,
    reliability: Option<&Prinfo>,
    messages: &[&[u8]],
) -> io::Result<usize> {
    let mut control = Vec::with_capacity(64);
    append_control(&mut control, libc::SCTP_SNDINFO, info);
    if let Some(reliability) = reliability {
        append_control(&mut control, libc::SCTP_PRINFO, reliability);
    }
    let mut parts = [iovec { iov_base: null_mut(), iov_len: 0 }; BATCH];
    let mut headers = no_headers();
    let mut count = 0;
    for ((message, part), mmsghdr { msg_hdr: header, .. }) in
        messages.iter().zip(&mut parts).zip(&mut headers)
    {
        *part = iovec { iov_base: message.as_ptr().cast_mut().cast::<c_void>(), iov_len: message.len() };
        header.msg_iov = part;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast::<c_void>();
        header.msg_controllen = control.len() as _;
        count += 1;
    }
    let flags = libc::MSG_NOSIGNAL | libc::MSG_MORE;
    // SAFETY: every pointer in the first `count` headers is to `parts`, `control` or one of `messages`, with its true length; all
    // of them outlive the call, which writes nothing but the headers.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, flags as _) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

fn no_headers() -> [mmsghdr; BATCH] {
    // SAFETY: `mmsghdr` consists of integers and pointers, for which zeros are values. (It cannot be written as a literal: some
    // platforms have private padding fields in it.)
    unsafe { std::mem::zeroed() }
}
