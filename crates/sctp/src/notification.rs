//! What the kernel tells about associations, as types (RFC 6458 §6.1).
use std::net::SocketAddr;

use bytes::Bytes;

use crate::address;
use crate::message::{AssocId, SendInfo};
use crate::sys::layout::{self, Header};

/// `SCTP_ASSOC_CHANGE`
pub(crate) const ASSOC_CHANGE: u16 = 0x8001;
/// `SCTP_PEER_ADDR_CHANGE`
pub(crate) const PEER_ADDR_CHANGE: u16 = 0x8002;
/// `SCTP_REMOTE_ERROR`
pub(crate) const REMOTE_ERROR: u16 = 0x8004;
/// `SCTP_SHUTDOWN_EVENT`
pub(crate) const SHUTDOWN_EVENT: u16 = 0x8005;
/// `SCTP_PARTIAL_DELIVERY_EVENT`
pub(crate) const PARTIAL_DELIVERY_EVENT: u16 = 0x8006;
/// `SCTP_SENDER_DRY_EVENT`
pub(crate) const SENDER_DRY_EVENT: u16 = 0x8009;
/// `SCTP_SEND_FAILED_EVENT`
pub(crate) const SEND_FAILED_EVENT: u16 = 0x800d;

/// Something that happened to an association.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Notification {
    /// An association came up, was restarted, or ended (`SCTP_ASSOC_CHANGE`).
    AssocChange(AssocChange),
    /// A path to the peer changed its state (`SCTP_PEER_ADDR_CHANGE`).
    PeerAddrChange {
        /// The association.
        assoc: AssocId,
        /// The peer's address at the end of that path.
        address: SocketAddr,
        /// What happened to it.
        state: PeerAddrState,
    },
    /// A message could not be delivered, and comes back (`SCTP_SEND_FAILED_EVENT`).
    SendFailed(SendFailed),
    /// The peer sent an ERROR chunk (`SCTP_REMOTE_ERROR`).
    RemoteError {
        /// The association.
        assoc: AssocId,
        /// The cause code (RFC 9260 §3.3.10).
        cause: u16,
        /// The cause as it came.
        data: Bytes,
    },
    /// The peer has begun to shut down: nothing more can be sent (`SCTP_SHUTDOWN_EVENT`).
    Shutdown {
        /// The association.
        assoc: AssocId,
    },
    /// The rest of a message that had been received in part will not come (`SCTP_PARTIAL_DELIVERY_EVENT`). What had come
    /// has been discarded.
    PartialDeliveryAborted {
        /// The association.
        assoc: AssocId,
        /// The message's stream.
        stream: u16,
    },
    /// All that was sent has been acknowledged (`SCTP_SENDER_DRY_EVENT`). Only for those who
    /// [subscribe](crate::Association::subscribe_sender_dry).
    SenderDry {
        /// The association.
        assoc: AssocId,
    },
    /// A notification that this crate does not know.
    Other {
        /// Its type (`sn_type`).
        kind: u16,
        /// All of it, in the kernel's byte order and layout.
        bytes: Bytes,
    },
}

impl Notification {
    /// The association that it is about; `None` for notifications that this crate does not know.
    pub fn assoc(&self) -> Option<AssocId> {
        match self {
            Self::AssocChange(AssocChange { assoc, .. })
            | Self::SendFailed(SendFailed { assoc, .. })
            | Self::PeerAddrChange { assoc, .. }
            | Self::RemoteError { assoc, .. }
            | Self::Shutdown { assoc }
            | Self::PartialDeliveryAborted { assoc, .. }
            | Self::SenderDry { assoc } => Some(*assoc),
            Self::Other { .. } => None,
        }
    }
}

/// An association came up, was restarted, or ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AssocChange {
    /// The association.
    pub assoc: AssocId,
    /// What happened.
    pub state: AssocState,
    /// Why, for [`AssocState::CommLost`]: a cause code (RFC 9260 §3.3.10), where the kernel gives one.
    pub error: u16,
    /// On how many streams may be sent.
    pub outbound_streams: u16,
    /// On how many streams the peer may send.
    pub inbound_streams: u16,
    /// For [`AssocState::CommLost`] and [`AssocState::CantStart`]: the ABORT chunk, if one was received.
    pub info: Bytes,
}

/// What happened to an association (`sac_state`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AssocState {
    /// It is ready for use.
    CommUp,
    /// It failed: aborted by either side, or the peer is unreachable.
    CommLost,
    /// The peer was restarted and has set the same association up again. What was on the way is lost.
    Restart,
    /// It was shut down in an orderly manner.
    ShutdownComplete,
    /// It could not be set up.
    CantStart,
    /// Something that this crate does not know.
    Other(u16),
}

impl AssocState {
    /// Whether there is no association after this.
    pub fn is_end(self) -> bool {
        matches!(self, Self::CommLost | Self::ShutdownComplete | Self::CantStart)
    }
}

/// What happened to one of the peer's addresses (`spc_state`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PeerAddrState {
    /// It is reachable (again).
    Available,
    /// It failed more often in a row than the path's limit.
    Unreachable,
    /// The peer gave it up.
    Removed,
    /// The peer has it in addition.
    Added,
    /// It is now the primary destination.
    MadePrimary,
    /// It has been shown to be the peer's.
    Confirmed,
    /// It fails, but not yet often enough to be unreachable (RFC 7829).
    PotentiallyFailed,
    /// Something that this crate does not know.
    Other(i32),
}

/// A message that could not be delivered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SendFailed {
    /// The association it was for.
    pub assoc: AssocId,
    /// How it was to be sent. Its lifetime is not told.
    pub info: SendInfo,
    /// Whether it may have been sent, so that the peer may have it (`SCTP_DATA_SENT`); otherwise it never left.
    pub sent: bool,
    /// Why: a cause code, where the kernel gives one.
    pub error: u32,
    /// The message. Where its parts do not all come back, what there is of it.
    pub bytes: Bytes,
}

/// A notification, and of a returned message, which part of it this is: the kernel returns fragments one by one.
pub(crate) struct Parsed {
    pub(crate) notification: Notification,
    pub(crate) begins: bool,
    pub(crate) ends: bool,
}

/// Makes sense of a notification. One that is too short for its type, or of an unknown type, is [`Notification::Other`].
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    let kind = layout::split::<Header>(bytes).map_or(0, |(header, _)| header.sn_type);
    let known = match kind {
        SEND_FAILED_EVENT => send_failed(bytes),
        _ => whole(kind, bytes).map(|notification| Parsed { notification, begins: true, ends: true }),
    };
    known.unwrap_or_else(|| {
        let notification = Notification::Other { kind, bytes: Bytes::copy_from_slice(bytes) };
        Parsed { notification, begins: true, ends: true }
    })
}

fn whole(kind: u16, bytes: &[u8]) -> Option<Notification> {
    Some(match kind {
        ASSOC_CHANGE => {
            let (raw, info) = layout::split::<layout::AssocChange>(bytes)?;
            Notification::AssocChange(AssocChange {
                assoc: AssocId(raw.sac_assoc_id),
                state: assoc_state(raw.sac_state),
                error: raw.sac_error,
                outbound_streams: raw.sac_outbound_streams,
                inbound_streams: raw.sac_inbound_streams,
                info: Bytes::copy_from_slice(info),
            })
        }
        PEER_ADDR_CHANGE => {
            let (raw, _) = layout::split::<layout::PaddrChange>(bytes)?;
            Notification::PeerAddrChange {
                assoc: AssocId(raw.spc_assoc_id),
                address: address::decode(&raw.spc_aaddr.0)?,
                state: peer_addr_state(raw.spc_state),
            }
        }
        REMOTE_ERROR => {
            let (raw, data) = layout::split::<layout::RemoteError>(bytes)?;
            Notification::RemoteError {
                assoc: AssocId(raw.sre_assoc_id),
                // The one field of a notification that is in network byte order.
                cause: u16::from_be(raw.sre_error),
                data: Bytes::copy_from_slice(data),
            }
        }
        SHUTDOWN_EVENT => {
            let (raw, _) = layout::split::<layout::AssocEvent>(bytes)?;
            Notification::Shutdown { assoc: AssocId(raw.sse_assoc_id) }
        }
        SENDER_DRY_EVENT => {
            let (raw, _) = layout::split::<layout::AssocEvent>(bytes)?;
            Notification::SenderDry { assoc: AssocId(raw.sse_assoc_id) }
        }
        PARTIAL_DELIVERY_EVENT => {
            let (raw, _) = layout::split::<layout::PdapiEvent>(bytes)?;
            Notification::PartialDeliveryAborted {
                assoc: AssocId(raw.pdapi_assoc_id),
                stream: u16::try_from(raw.pdapi_stream).ok()?,
            }
        }
        _ => return None,
    })
}

fn send_failed(bytes: &[u8]) -> Option<Parsed> {
    // `ssf_flags`; and in `snd_flags`, where one would expect the flags given to the call, Linux returns those of the DATA
    // chunk (RFC 9260 §3.3.1).
    const DATA_SENT: u16 = 1;
    const LAST_FRAGMENT: u16 = 1;
    const FIRST_FRAGMENT: u16 = 2;
    const UNORDERED: u16 = 4;
    const SACK_IMMEDIATELY: u16 = 8;

    let (raw, data) = layout::split::<layout::SendFailedEvent>(bytes)?;
    let flags = raw.ssfe_info.snd_flags;
    let failed = SendFailed {
        assoc: AssocId(raw.ssf_assoc_id),
        info: SendInfo {
            ppid: u32::from_be(raw.ssfe_info.snd_ppid),
            stream: raw.ssfe_info.snd_sid,
            unordered: flags & UNORDERED != 0,
            sack_immediately: flags & SACK_IMMEDIATELY != 0,
            context: raw.ssfe_info.snd_context,
            lifetime: None,
        },
        sent: raw.ssf_flags & DATA_SENT != 0,
        error: raw.ssf_error,
        bytes: Bytes::copy_from_slice(data),
    };
    Some(Parsed {
        notification: Notification::SendFailed(failed),
        begins: flags & FIRST_FRAGMENT != 0,
        ends: flags & LAST_FRAGMENT != 0,
    })
}

fn assoc_state(raw: u16) -> AssocState {
    match raw {
        0 => AssocState::CommUp,
        1 => AssocState::CommLost,
        2 => AssocState::Restart,
        3 => AssocState::ShutdownComplete,
        4 => AssocState::CantStart,
        other => AssocState::Other(other),
    }
}

fn peer_addr_state(raw: i32) -> PeerAddrState {
    match raw {
        0 => PeerAddrState::Available,
        1 => PeerAddrState::Unreachable,
        2 => PeerAddrState::Removed,
        3 => PeerAddrState::Added,
        4 => PeerAddrState::MadePrimary,
        5 => PeerAddrState::Confirmed,
        6 => PeerAddrState::PotentiallyFailed,
        other => PeerAddrState::Other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::layout::{Plain, Sndinfo, bytes_of};

    fn parse_of<T: Plain>(raw: &T, data: &[u8]) -> Notification {
        parse(&[bytes_of(raw), data].concat()).notification
    }

    #[test]
    fn an_association_that_comes_up_tells_its_streams() {
        let raw = layout::AssocChange {
            sac_type: ASSOC_CHANGE,
            sac_length: 20,
            sac_outbound_streams: 3,
            sac_inbound_streams: 4,
            sac_assoc_id: 9,
            ..Default::default()
        };
        let Notification::AssocChange(change) = parse_of(&raw, &[]) else { panic!("not an AssocChange") };
        assert_eq!((change.assoc, change.state), (AssocId(9), AssocState::CommUp));
        assert_eq!((change.outbound_streams, change.inbound_streams), (3, 4));
        assert!(!change.state.is_end());
        assert!([1, 3, 4].into_iter().all(|state| assoc_state(state).is_end()));
        assert_eq!(assoc_state(77), AssocState::Other(77));
    }

    #[test]
    fn a_path_that_fails_tells_its_address() {
        let address = "10.9.0.2:7".parse().unwrap();
        let raw = layout::PaddrChange {
            spc_type: PEER_ADDR_CHANGE,
            spc_aaddr: address::encode(Some(address)),
            spc_state: 1,
            spc_assoc_id: 4,
            ..Default::default()
        };
        let expected =
            Notification::PeerAddrChange { assoc: AssocId(4), address, state: PeerAddrState::Unreachable };
        assert_eq!(parse_of(&raw, &[]), expected);
    }

    #[test]
    fn a_returned_message_has_its_data_and_says_which_part_it_is() {
        let info = Sndinfo {
            snd_sid: 2,
            snd_flags: 2 | 4,
            snd_ppid: 11_u32.to_be(),
            snd_context: 8,
            snd_assoc_id: 5,
        };
        let raw = layout::SendFailedEvent {
            ssf_type: SEND_FAILED_EVENT,
            ssf_flags: 1,
            ssfe_info: info,
            ssf_assoc_id: 5,
            ..Default::default()
        };
        let parsed = parse(&[bytes_of(&raw), b"lost"].concat());
        assert!(parsed.begins && !parsed.ends);
        let Notification::SendFailed(failed) = parsed.notification else { panic!("not a SendFailed") };
        assert_eq!(failed.bytes, "lost");
        assert!(failed.sent);
        assert_eq!(failed.info, SendInfo { stream: 2, unordered: true, context: 8, ..SendInfo::new(11) });
    }

    #[test]
    fn a_remote_error_has_its_cause_in_host_order() {
        let raw = layout::RemoteError {
            sre_type: REMOTE_ERROR,
            sre_error: 12_u16.to_be(),
            sre_assoc_id: 1,
            ..Default::default()
        };
        let Notification::RemoteError { cause, data, .. } = parse_of(&raw, b"x") else {
            panic!("wrong kind")
        };
        assert_eq!((cause, &*data), (12, &b"x"[..]));
    }

    #[test]
    fn what_is_unknown_or_cut_off_is_kept_as_bytes() {
        for kind in 0x8001..=0x800d_u16 {
            for length in 0..12 {
                let bytes = [kind.to_ne_bytes().as_slice(), &[0; 30]].concat();
                let bytes = &bytes[..length];
                let Notification::Other { kind: parsed, bytes: kept } = parse(bytes).notification else {
                    panic!("{kind:#x} of {length} bytes was understood");
                };
                assert_eq!(parsed, if length < 8 { 0 } else { kind });
                assert_eq!(kept, bytes);
            }
        }
    }
}
