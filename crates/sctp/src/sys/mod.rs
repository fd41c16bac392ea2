//! The system calls of SCTP that socket2 does not have, as safe functions. All of the crate's `unsafe` is in this folder.
//!
//! Nothing here blocks or retries: the sockets are non-blocking, and errors are the kernel's.
pub(crate) mod batch;
pub(crate) mod layout;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libc::{c_int, c_void, socklen_t};
use socket2::{MsgHdr, SockAddr, Socket};
use tokio::io::unix::AsyncFd;

use self::layout::{PeeloffFlags, Plain, Prinfo, bytes_of};
use crate::address;

// Options that libc does not name.
pub(crate) const SCTP_SOCKOPT_BINDX_ADD: c_int = 100;
pub(crate) const SCTP_SOCKOPT_BINDX_REM: c_int = 101;
pub(crate) const SCTP_GET_PEER_ADDRS: c_int = 108;
pub(crate) const SCTP_GET_LOCAL_ADDRS: c_int = 109;
pub(crate) const SCTP_EVENT: c_int = 127;
const SCTP_SOCKOPT_CONNECTX3: c_int = 111;
const SCTP_SOCKOPT_PEELOFF_FLAGS: c_int = 122;

/// Has tokio watch a socket.
///
/// # Panics
/// Outside of a tokio runtime with I/O enabled.
pub(crate) fn watch(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: a `Socket` owns its descriptor, always returns the same, and closes it only when dropped.
    unsafe { AsyncFd::register(socket) }.map_err(io::Error::from)
}

/// Sets an option of level `IPPROTO_SCTP`.
pub(crate) fn set_option<T: Plain>(socket: &Socket, option: c_int, value: &T) -> io::Result<()> {
    set_option_bytes(socket, option, bytes_of(value))
}

/// Sets an option of level `IPPROTO_SCTP` whose value is one `int`.
pub(crate) fn set_option_int(socket: &Socket, option: c_int, value: c_int) -> io::Result<()> {
    set_option_bytes(socket, option, &value.to_ne_bytes())
}

/// Sets an option of level `IPPROTO_SCTP` whose value has no fixed length.
pub(crate) fn set_option_bytes(socket: &Socket, option: c_int, value: &[u8]) -> io::Result<()> {
    let length = socklen_t::try_from(value.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: pointer and length are those of `value`, which the kernel only reads, during the call.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_SCTP,
            option,
            value.as_ptr().cast::<c_void>(),
            length,
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Reads an option of level `IPPROTO_SCTP`. What `value` holds says what is asked for: the association, the address.
pub(crate) fn option<T: Plain>(socket: &Socket, option: c_int, value: T) -> io::Result<T> {
    let mut value = value;
    let pointer = std::ptr::from_mut(&mut value).cast::<c_void>();
    // SAFETY: the pointer is to `value`, which is not otherwise accessed while the pointer is in use, and the kernel is
    // told its size. Whatever it writes, `Plain` promises that any bytes are a value. The one option whose structure has a
    // pointer in it is used by `connectx` only.
    unsafe { option_raw(socket, option, pointer, size_of::<T>()) }?;
    Ok(value)
}

/// Reads an option of level `IPPROTO_SCTP` that has no fixed length into `value`, and returns how many bytes it has.
pub(crate) fn option_bytes(socket: &Socket, option: c_int, value: &mut [u8]) -> io::Result<usize> {
    // SAFETY: pointer and length are those of `value`, which is borrowed exclusively; there are no pointers in it.
    unsafe { option_raw(socket, option, value.as_mut_ptr().cast::<c_void>(), value.len()) }
}

/// Opens an association to the host that has all these addresses, and returns its id. It is being set up when this
/// returns; how that ends is told by a notification.
pub(crate) fn connectx(socket: &Socket, addresses: &[SocketAddr]) -> io::Result<i32> {
    /// `struct sctp_getaddrs_old`. It has a pointer, hence is not [`Plain`].
    #[repr(C)]
    struct Addresses {
        assoc_id: i32,
        /// Bytes, whatever the name says.
        addr_num: c_int,
        addrs: *const u8,
    }
    const _: () = assert!(size_of::<Addresses>() == 8 + size_of::<usize>());

    let packed = address::pack(addresses);
    let addr_num = c_int::try_from(packed.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut argument = Addresses { assoc_id: 0, addr_num, addrs: packed.as_ptr() };
    let pointer = std::ptr::from_mut(&mut argument).cast::<c_void>();
    // SAFETY: `argument` is laid out as the kernel expects (asserted above); its pointer and length are those of `packed`,
    // which outlives the call and is only read; the kernel writes no more than the association's id, into `argument`.
    let connected = unsafe { option_raw(socket, SCTP_SOCKOPT_CONNECTX3, pointer, size_of::<Addresses>()) };
    match connected {
        // The id has been written in this case too; a non-blocking socket always comes here.
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(argument.assoc_id),
    }
}

/// Moves an association out of a one-to-many socket into a non-blocking socket of its own (RFC 6458 §9.2).
pub(crate) fn peel_off(socket: &Socket, assoc_id: i32) -> io::Result<Socket> {
    const FLAGS: u32 = (libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC).cast_unsigned();
    let argument = PeeloffFlags { associd: assoc_id, sd: -1, flags: FLAGS };
    let argument = option(socket, SCTP_SOCKOPT_PEELOFF_FLAGS, argument)?;
    // SAFETY: the call succeeded, so `sd` is a descriptor that the kernel has just made for this caller; nobody else has it.
    Ok(Socket::from(unsafe { OwnedFd::from_raw_fd(argument.sd) }))
}

/// How much room there is in the send buffer, in bytes.
pub(crate) fn send_room(socket: &Socket) -> io::Result<usize> {
    const SIZE: usize = libc::SK_MEMINFO_SNDBUF as usize;
    const USED: usize = libc::SK_MEMINFO_WMEM_QUEUED as usize;

    let mut words = [0_u32; 16];
    let mut length = size_of_val(&words) as socklen_t;
    let pointer = words.as_mut_ptr().cast::<c_void>();
    // SAFETY: pointer and length are those of `words`, of which every combination of bytes is a value.
    let done = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO, pointer, &raw mut length)
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(words[SIZE].saturating_sub(words[USED]) as usize)
}

/// Sends one message. The kernel takes all of it or nothing.
pub(crate) fn send(
    socket: &Socket,
    to: Option<SocketAddr>,
    info: &layout::Sndinfo,
    reliability: Option<&Prinfo>,
    bytes: &[u8],
) -> io::Result<()> {
    let to = to.map(SockAddr::from);
    let buffers = [io::IoSlice::new(bytes)];
    let mut control = Vec::with_capacity(64);
    append_control(&mut control, libc::SCTP_SNDINFO, info);
    if let Some(reliability) = reliability {
        append_control(&mut control, libc::SCTP_PRINFO, reliability);
    }
    let mut header = MsgHdr::new().with_control(&control);
    if let Some(to) = &to {
        header = header.with_addr(to);
    }
    if !bytes.is_empty() {
        header = header.with_buffers(&buffers);
    }
    socket.sendmsg(&header, libc::MSG_NOSIGNAL).map(|_| ())
}

/// `getsockopt` at level `IPPROTO_SCTP`; returns how much the kernel says it has written.
///
/// # Safety
/// `value` points to `length` bytes that nobody else accesses during the call and that may be given any value; if the
/// option's structure contains pointers, they are valid for what the kernel does with them.
unsafe fn option_raw(socket: &Socket, option: c_int, value: *mut c_void, length: usize) -> io::Result<usize> {
    let mut written = socklen_t::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the caller vouches for `value`; `written` is a local.
    let done =
        unsafe { libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_SCTP, option, value, &raw mut written) };
    // Success is not always 0: peeling off returns the new descriptor.
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok((written as usize).min(length)) }
}

// Control messages are laid out as in the kernel: length of a machine word, level, type, data, padding to a machine word.
const CONTROL_HEADER: usize = size_of::<usize>() + 8;

fn append_control<T: Plain>(control: &mut Vec<u8>, kind: c_int, value: &T) {
    let length = CONTROL_HEADER + size_of::<T>();
    control.extend_from_slice(&length.to_ne_bytes());
    control.extend_from_slice(&libc::IPPROTO_SCTP.to_ne_bytes());
    control.extend_from_slice(&kind.to_ne_bytes());
    control.extend_from_slice(bytes_of(value));
    control.resize(control.len().next_multiple_of(size_of::<usize>()), 0);
}

fn find_control<T: Plain>(control: &[u8], kind: c_int) -> Option<T> {
    let mut rest = control;
    loop {
        let (length, after) = rest.split_first_chunk::<{ size_of::<usize>() }>()?;
        let (level, after) = after.split_first_chunk::<4>()?;
        let (found, after) = after.split_first_chunk::<4>()?;
        let length = usize::from_ne_bytes(*length);
        let data = after.get(..length.checked_sub(CONTROL_HEADER)?)?;
        if c_int::from_ne_bytes(*level) == libc::IPPROTO_SCTP && c_int::from_ne_bytes(*found) == kind {
            return layout::split(data).map(|(value, _)| value);
        }
        rest = rest.get(length.checked_next_multiple_of(size_of::<usize>())?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::layout::Rcvinfo;
    use super::*;

    #[test]
    fn a_control_message_is_found_among_others() {
        let mut control = Vec::new();
        append_control(&mut control, libc::SCTP_PRINFO, &Prinfo { pr_policy: 1, padding: 0, pr_value: 2 });
        append_control(&mut control, libc::SCTP_RCVINFO, &Rcvinfo { rcv_sid: 3, ..Rcvinfo::default() });
        assert_eq!(control.len() % size_of::<usize>(), 0);
        assert_eq!(find_control::<Rcvinfo>(&control, libc::SCTP_RCVINFO).unwrap().rcv_sid, 3);
        assert_eq!(find_control::<Prinfo>(&control, libc::SCTP_PRINFO).unwrap().pr_value, 2);
        assert!(find_control::<Rcvinfo>(&control, libc::SCTP_NXTINFO).is_none());
    }

    #[test]
    fn control_messages_that_lie_about_their_length_are_not_followed() {
        for length in [0_usize, 1, CONTROL_HEADER - 1, CONTROL_HEADER + 100, usize::MAX] {
            let mut control = Vec::new();
            append_control(&mut control, libc::SCTP_PRINFO, &Prinfo::default());
            control.splice(..size_of::<usize>(), length.to_ne_bytes());
            assert!(find_control::<Rcvinfo>(&control, libc::SCTP_RCVINFO).is_none(), "{length}");
        }
    }

    #[test]
    fn control_messages_are_laid_out_as_in_c() {
        // SAFETY: both only compute.
        let (header, space) = unsafe { (libc::CMSG_LEN(0), libc::CMSG_SPACE(28)) };
        assert_eq!(CONTROL_HEADER, header as usize);
        let mut control = Vec::new();
        append_control(&mut control, libc::SCTP_RCVINFO, &Rcvinfo::default());
        assert_eq!(control.len(), space as usize);
    }
}
