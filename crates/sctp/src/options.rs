//! The settings and the state of associations and their paths, as types (RFC 6458 §8). Times are in whole milliseconds.
use std::net::SocketAddr;
use std::time::Duration;

use crate::address;
use crate::sys::layout::{Assocparams, Paddrinfo, Paddrparams, Rtoinfo, Status as RawStatus};

/// The retransmission time-out (`SCTP_RTOINFO`). Its defaults are those of RFC 9260 §16.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RtoInfo {
    /// The time-out before anything has been measured (RTO.Initial). Default 1 s. Less finds a dead peer earlier while the
    /// association is set up, and sends needlessly where the round trip takes longer.
    pub initial: Duration,
    /// The least time-out (RTO.Min). Default 1 s. Less finds dead paths earlier (together with
    /// [`PathParams::max_retransmissions`]); below the peer's delay for acknowledgements, usually 200 ms, it makes for
    /// needless retransmissions.
    pub min: Duration,
    /// The greatest time-out (RTO.Max), at which doubling it stops. Default 60 s. Less finds dead paths earlier, and is
    /// harder on congested networks.
    pub max: Duration,
}

impl Default for RtoInfo {
    fn default() -> Self {
        Self { initial: Duration::from_secs(1), min: Duration::from_secs(1), max: Duration::from_secs(60) }
    }
}

impl RtoInfo {
    pub(crate) fn to_raw(self, srto_assoc_id: i32) -> Rtoinfo {
        Rtoinfo {
            srto_assoc_id,
            srto_initial: millis(self.initial),
            srto_max: millis(self.max),
            srto_min: millis(self.min),
        }
    }

    pub(crate) fn from_raw(raw: &Rtoinfo) -> Self {
        Self {
            initial: from_millis(raw.srto_initial),
            min: from_millis(raw.srto_min),
            max: from_millis(raw.srto_max),
        }
    }
}

/// When a whole association fails (`SCTP_ASSOCINFO`). Its defaults are those of RFC 9260 §16.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AssocParams {
    /// How many retransmissions in a row, over all paths, end the association (Association.Max.Retrans). Default 10.
    /// More bears with longer cuts. The kernel refuses more than the sum of all paths' limits on an association with
    /// several paths.
    pub max_retransmissions: u16,
    /// How long a cookie that was sent to set up an association may be used (Valid.Cookie.Life). Default 60 s. More bears
    /// with longer round trips, and makes replays easier.
    pub cookie_life: Duration,
}

impl Default for AssocParams {
    fn default() -> Self {
        Self { max_retransmissions: 10, cookie_life: Duration::from_secs(60) }
    }
}

impl AssocParams {
    pub(crate) fn to_raw(self, sasoc_assoc_id: i32) -> Assocparams {
        Assocparams {
            sasoc_assoc_id,
            sasoc_asocmaxrxt: self.max_retransmissions,
            sasoc_cookie_life: millis(self.cookie_life),
            ..Assocparams::default()
        }
    }

    pub(crate) fn from_raw(raw: &Assocparams) -> Self {
        Self { max_retransmissions: raw.sasoc_asocmaxrxt, cookie_life: from_millis(raw.sasoc_cookie_life) }
    }
}

/// How paths are watched and used (`SCTP_PEER_ADDR_PARAMS`). Its defaults are those of RFC 9260 §16.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathParams {
    /// How long a path may be idle before its reachability is probed, the retransmission time-out and a jitter of half of
    /// it being added (HB.interval); `None` turns heartbeats off, and idle paths' failures are not seen. Default 30 s.
    /// Less finds failures earlier, and costs a small packet in each direction each time.
    pub heartbeat: Option<Duration>,
    /// How many failures in a row make a path unreachable (Path.Max.Retrans); at least 1. Default 5. More bears with
    /// longer cuts, and changes to another path later.
    pub max_retransmissions: u16,
    /// How many bytes a packet may have on this path; `None` finds it out (path MTU discovery). Default `None`.
    pub mtu: Option<u32>,
    /// How long acknowledgements are held back, so that one serves two packets; at most 500 ms (RFC 9260 §6.2), `None`
    /// not at all. Default 200 ms. More saves packets, and slows down peers that send little.
    pub sack_delay: Option<Duration>,
}

impl Default for PathParams {
    fn default() -> Self {
        Self {
            heartbeat: Some(Duration::from_secs(30)),
            max_retransmissions: 5,
            mtu: None,
            sack_delay: Some(Duration::from_millis(200)),
        }
    }
}

// `spp_flags`
const HB_ENABLE: u32 = 1;
const HB_DISABLE: u32 = 1 << 1;
const HB_DEMAND: u32 = 1 << 2;
const PMTUD_ENABLE: u32 = 1 << 3;
const PMTUD_DISABLE: u32 = 1 << 4;
const SACKDELAY_ENABLE: u32 = 1 << 5;
const SACKDELAY_DISABLE: u32 = 1 << 6;

impl PathParams {
    pub(crate) fn to_raw(self, spp_assoc_id: i32, path: Option<SocketAddr>) -> Paddrparams {
        Paddrparams {
            spp_assoc_id,
            spp_address: address::encode(path),
            spp_hbinterval: self.heartbeat.map_or(0, millis),
            spp_pathmaxrxt: self.max_retransmissions,
            spp_pathmtu: self.mtu.unwrap_or(0),
            spp_sackdelay: self.sack_delay.map_or(0, millis),
            spp_flags: self.heartbeat.map_or(HB_DISABLE, |_| HB_ENABLE)
                | self.mtu.map_or(PMTUD_ENABLE, |_| PMTUD_DISABLE)
                | self.sack_delay.map_or(SACKDELAY_DISABLE, |_| SACKDELAY_ENABLE),
            ..Paddrparams::default()
        }
    }

    pub(crate) fn from_raw(raw: &Paddrparams) -> Self {
        let flags = raw.spp_flags;
        Self {
            heartbeat: (flags & HB_ENABLE != 0).then(|| from_millis(raw.spp_hbinterval)),
            max_retransmissions: raw.spp_pathmaxrxt,
            mtu: (flags & PMTUD_DISABLE != 0).then_some(raw.spp_pathmtu),
            sack_delay: (flags & SACKDELAY_ENABLE != 0).then(|| from_millis(raw.spp_sackdelay)),
        }
    }

    /// Asks for what is set; with [`HB_DEMAND`] as the flag, for a heartbeat.
    pub(crate) fn query(spp_assoc_id: i32, path: Option<SocketAddr>) -> Paddrparams {
        Paddrparams { spp_assoc_id, spp_address: address::encode(path), ..Paddrparams::default() }
    }

    pub(crate) fn heartbeat_demand(spp_assoc_id: i32, path: SocketAddr) -> Paddrparams {
        Paddrparams { spp_flags: HB_DEMAND, ..Self::query(spp_assoc_id, Some(path)) }
    }
}

/// The state of an association (`SCTP_STATUS`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// Where it is in its life (`sstat_state`).
    pub state: LifeState,
    /// How many more bytes the peer is willing to receive.
    pub peer_rwnd: u32,
    /// How many chunks await the peer's acknowledgement.
    pub unacked_data: u16,
    /// How many chunks have been received and not been read.
    pub pending_data: u16,
    /// On how many streams the peer may send.
    pub inbound_streams: u16,
    /// On how many streams may be sent.
    pub outbound_streams: u16,
    /// The size from which on messages are fragmented, in bytes.
    pub fragmentation_point: u32,
    /// The path that is used first; `None` while there is none.
    pub primary: Option<PathInfo>,
}

impl Status {
    pub(crate) fn from_raw(raw: &RawStatus) -> Self {
        Self {
            state: LifeState::from_raw(raw.sstat_state),
            peer_rwnd: raw.sstat_rwnd,
            unacked_data: raw.sstat_unackdata,
            pending_data: raw.sstat_penddata,
            inbound_streams: raw.sstat_instrms,
            outbound_streams: raw.sstat_outstrms,
            fragmentation_point: raw.sstat_fragmentation_point,
            primary: PathInfo::from_raw(&raw.sstat_primary),
        }
    }
}

/// Where an association is in its life (RFC 9260 §4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LifeState {
    /// There is none.
    Closed,
    /// An INIT was sent.
    CookieWait,
    /// The COOKIE ECHO was sent.
    CookieEchoed,
    /// Both ends may send.
    Established,
    /// This end wants to shut down, and is waiting for acknowledgements.
    ShutdownPending,
    /// This end has sent SHUTDOWN.
    ShutdownSent,
    /// The peer has sent SHUTDOWN.
    ShutdownReceived,
    /// The peer's SHUTDOWN was acknowledged.
    ShutdownAckSent,
    /// Something that this crate does not know.
    Other(i32),
}

impl LifeState {
    fn from_raw(raw: i32) -> Self {
        match raw {
            0 | 1 => Self::Closed,
            2 => Self::CookieWait,
            3 => Self::CookieEchoed,
            4 => Self::Established,
            5 => Self::ShutdownPending,
            6 => Self::ShutdownSent,
            7 => Self::ShutdownReceived,
            8 => Self::ShutdownAckSent,
            other => Self::Other(other),
        }
    }
}

/// The state of a path to the peer (`SCTP_GET_PEER_ADDR_INFO`).
///
/// The smoothed round-trip time is left out: Linux reports it in ticks of its clock, whose length it does not tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathInfo {
    /// The peer's address at its end.
    pub address: SocketAddr,
    /// Whether it can be used.
    pub state: PathState,
    /// The congestion window, in bytes.
    pub cwnd: u32,
    /// The retransmission time-out.
    pub rto: Duration,
    /// How many bytes a packet may have.
    pub mtu: u32,
}

impl PathInfo {
    pub(crate) fn from_raw(raw: &Paddrinfo) -> Option<Self> {
        Some(Self {
            address: address::decode(&raw.spinfo_address.0)?,
            state: match raw.spinfo_state {
                0 => PathState::Inactive,
                1 => PathState::PotentiallyFailed,
                2 => PathState::Active,
                3 => PathState::Unconfirmed,
                other => PathState::Other(other),
            },
            cwnd: raw.spinfo_cwnd,
            rto: from_millis(raw.spinfo_rto),
            mtu: raw.spinfo_mtu,
        })
    }
}

/// Whether a path can be used (`spinfo_state`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PathState {
    /// Unreachable.
    Inactive,
    /// It fails, but not yet often enough to be unreachable (RFC 7829).
    PotentiallyFailed,
    /// Reachable.
    Active,
    /// Not yet shown to be the peer's.
    Unconfirmed,
    /// Something that this crate does not know.
    Other(i32),
}

/// Whole milliseconds, as the kernel takes them.
pub(crate) fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

fn from_millis(millis: u32) -> Duration {
    Duration::from_millis(millis.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::layout::bytes_of;

    #[test]
    fn settings_survive_the_way_to_the_kernel_and_back() {
        let rto = RtoInfo { initial: Duration::from_millis(300), ..RtoInfo::default() };
        assert_eq!(RtoInfo::from_raw(&rto.to_raw(1)), rto);
        let association = AssocParams { max_retransmissions: 3, cookie_life: Duration::from_secs(5) };
        assert_eq!(AssocParams::from_raw(&association.to_raw(1)), association);
        let off = PathParams { heartbeat: None, max_retransmissions: 2, mtu: Some(1400), sack_delay: None };
        for path in [PathParams::default(), off] {
            assert_eq!(PathParams::from_raw(&path.to_raw(1, None)), path);
        }
    }

    #[test]
    fn path_parameters_are_packed_as_in_the_kernel() {
        let path = PathParams { mtu: Some(0x0102_0304), ..PathParams::default() };
        let raw = path.to_raw(7, Some("10.9.0.1:5".parse().unwrap()));
        let bytes = bytes_of(&raw);
        assert_eq!(bytes[..4], 7_u32.to_ne_bytes());
        assert_eq!(bytes[8..12], [10, 9, 0, 1]);
        assert_eq!(bytes[132..136], 30_000_u32.to_ne_bytes());
        assert_eq!(bytes[136..138], 5_u16.to_ne_bytes());
        assert_eq!(bytes[138..142], 0x0102_0304_u32.to_ne_bytes());
        assert_eq!(bytes[142..146], 200_u32.to_ne_bytes());
        assert_eq!(bytes[146..150], (HB_ENABLE | PMTUD_DISABLE | SACKDELAY_ENABLE).to_ne_bytes());
    }
}
