//! What is sent and received: messages, and what goes with them (RFC 6458 §5.3).
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::notification::Notification;
use crate::options::millis;
use crate::sys::layout::{Prinfo, Rcvinfo, Sndinfo};

/// The kernel's name for an association of a one-to-many socket (`sctp_assoc_t`).
///
/// It is given out when the association comes up or when a connection is begun, and may be given out again after the
/// association has ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AssocId(pub(crate) i32);

impl AssocId {
    /// All associations that will come into being on the socket (`SCTP_FUTURE_ASSOC`). Only settings can be given to it.
    pub const FUTURE: Self = Self(libc::SCTP_FUTURE_ASSOC);
}

impl fmt::Display for AssocId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a message is to be sent (`struct sctp_sndinfo`, `struct sctp_prinfo`).
///
/// ```
/// # use rserpool_sctp::SendInfo;
/// const ASAP: SendInfo = SendInfo::new(11);
/// let urgent = SendInfo { unordered: true, ..ASAP };
/// # assert_eq!((urgent.ppid, urgent.stream), (11, 0));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SendInfo {
    /// The payload protocol identifier, which the other end receives with the message. On the wire it is big-endian, as the
    /// IANA registry means it.
    pub ppid: u32,
    /// The stream number; less than the number of outbound streams that was agreed on.
    pub stream: u16,
    /// Whether the message may overtake others of its stream (`SCTP_UNORDERED`).
    pub unordered: bool,
    /// Whether the other end is asked to acknowledge at once (`SCTP_SACK_IMMEDIATELY`).
    pub sack_immediately: bool,
    /// Not sent: comes back with the message if it cannot be delivered.
    pub context: u32,
    /// After this long, in whole milliseconds, the message is given up if it has not been delivered (`SCTP_PR_SCTP_TTL`,
    /// RFC 7496). `None`: never, as long as the association lives.
    pub lifetime: Option<Duration>,
}

impl SendInfo {
    /// Ordered, reliable, on stream 0.
    pub const fn new(ppid: u32) -> Self {
        Self { ppid, stream: 0, unordered: false, sack_immediately: false, context: 0, lifetime: None }
    }

    pub(crate) fn sndinfo(&self, assoc: AssocId) -> Sndinfo {
        let flag = |set: bool, flag: libc::c_int| if set { flag as u16 } else { 0 };
        Sndinfo {
            snd_sid: self.stream,
            snd_flags: flag(self.unordered, libc::SCTP_UNORDERED)
                | flag(self.sack_immediately, libc::SCTP_SACK_IMMEDIATELY),
            // Opaque to the kernel, which copies it to the wire as it is.
            snd_ppid: self.ppid.to_be(),
            snd_context: self.context,
            snd_assoc_id: assoc.0,
        }
    }

    pub(crate) fn prinfo(&self) -> Option<Prinfo> {
        // A lifetime of 0 would mean "for ever" to the kernel.
        let pr_value = millis(self.lifetime?).max(1);
        Some(Prinfo { pr_policy: libc::SCTP_PR_SCTP_TTL as u16, padding: 0, pr_value })
    }
}

/// How a message was sent (`struct sctp_rcvinfo`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RecvInfo {
    /// The payload protocol identifier, as given by the sender.
    pub ppid: u32,
    /// The stream it came on.
    pub stream: u16,
    /// Whether it may have overtaken others of its stream.
    pub unordered: bool,
    /// Its number in the stream; means nothing for unordered messages.
    pub ssn: u16,
    /// The transmission sequence number of (one of) its chunks.
    pub tsn: u32,
}

impl RecvInfo {
    pub(crate) fn from_raw(raw: &Rcvinfo) -> Self {
        Self {
            ppid: u32::from_be(raw.rcv_ppid),
            stream: raw.rcv_sid,
            unordered: libc::c_int::from(raw.rcv_flags) & libc::SCTP_UNORDERED != 0,
            ssn: raw.rcv_ssn,
            tsn: raw.rcv_tsn,
        }
    }
}

/// A whole message from the other end of an association.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// The association it came on.
    pub assoc: AssocId,
    /// The address it came from: one of the peer's.
    pub from: SocketAddr,
    /// What was sent with it.
    pub info: RecvInfo,
    /// The message.
    pub bytes: Bytes,
}

/// What a socket yields.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Received {
    /// A message.
    Message(Message),
    /// Something happened to an association.
    Notification(Notification),
    /// A message longer than [`SocketConfig::max_message`](crate::SocketConfig::max_message) is coming in. It is told as
    /// soon as that is known; the message is discarded. The association is intact: end it, or go on.
    Oversized {
        /// The association it comes on.
        assoc: AssocId,
        /// The address it comes from.
        from: SocketAddr,
        /// What was sent with it.
        info: RecvInfo,
        /// The limit that it exceeds, in bytes.
        limit: usize,
    },
}

impl Received {
    /// The association that it came on or is about; `None` for notifications that this crate does not know.
    pub fn assoc(&self) -> Option<AssocId> {
        match self {
            Self::Message(Message { assoc, .. }) | Self::Oversized { assoc, .. } => Some(*assoc),
            Self::Notification(notification) => notification.assoc(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_protocol_identifier_is_big_endian_for_the_kernel() {
        let raw = SendInfo::new(11).sndinfo(AssocId(7));
        assert_eq!(raw.snd_ppid.to_ne_bytes(), [0, 0, 0, 11]);
        assert_eq!(raw.snd_assoc_id, 7);
        let info =
            RecvInfo::from_raw(&Rcvinfo { rcv_ppid: raw.snd_ppid, rcv_flags: 1, ..Rcvinfo::default() });
        assert_eq!((info.ppid, info.unordered), (11, true));
    }

    #[test]
    fn a_lifetime_is_at_least_a_millisecond() {
        assert!(SendInfo::new(0).prinfo().is_none());
        let lifetime = |lifetime| SendInfo { lifetime: Some(lifetime), ..SendInfo::new(0) };
        assert_eq!(lifetime(Duration::from_nanos(1)).prinfo().unwrap().pr_value, 1);
        assert_eq!(lifetime(Duration::from_secs(2)).prinfo().unwrap().pr_value, 2000);
    }
}
