//! What is set on a socket before it is used. Associations begin with these settings; those of one association can be
//! changed through [`Association`](crate::Association).
use std::time::Duration;

use socket2::Socket;

use crate::error::Error;
use crate::notification;
use crate::options::{AssocParams, PathParams, RtoInfo, millis};
use crate::sys;
use crate::sys::layout::{Event, Initmsg};

/// Options of a socket. The defaults are those of RFC 9260 §16 and RFC 6458, or where these are silent, Linux's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SocketConfig {
    /// On how many streams to send, if the peer agrees (`sinit_num_ostreams`); at least 1. Default 10. Each costs a few
    /// bytes per association at both ends.
    pub outbound_streams: u16,
    /// On how many streams the peer may send (`sinit_max_instreams`); at least 1. Default 65,535: as many as it likes.
    pub max_inbound_streams: u16,
    /// How many times INIT is sent again before giving up (Max.Init.Retransmits); at least 1. Default 8. More bears with
    /// hosts that are starting, and tells later of those that are gone.
    pub init_retransmissions: u16,
    /// The greatest time between two INITs (`sinit_max_init_timeo`), in whole milliseconds, up to 65 s; `None` is
    /// [`RtoInfo::max`]. Default `None`. Together with `init_retransmissions` it bounds how long connecting takes.
    pub max_init_timeout: Option<Duration>,
    /// Retransmission time-outs.
    pub rto: RtoInfo,
    /// When associations fail.
    pub association: AssocParams,
    /// How paths are watched and used.
    pub paths: PathParams,
    /// Whether small messages go out at once, instead of waiting to share a packet with others (`SCTP_NODELAY`). Default
    /// `false`. Protocols of requests and responses want `true`.
    pub nodelay: bool,
    /// One-to-many sockets: an association without messages for this long is shut down (`SCTP_AUTOCLOSE`); whole seconds.
    /// Default `None`: never.
    pub autoclose: Option<Duration>,
    /// One-to-many sockets: whether peers may open associations to this socket. Default `true`.
    pub accept: bool,
    /// How many associations may wait to be accepted (`listen`). Default 1024; the kernel has a limit of its own
    /// (`net.core.somaxconn`).
    pub backlog: u16,
    /// How many bytes may wait to be acknowledged by all peers of a socket together (`SO_SNDBUF`); also the longest
    /// message that can be sent. Default `None`: the kernel's, about 200 kB. More bears with longer stalls, and costs that
    /// much memory for each stalled socket.
    pub send_buffer: Option<usize>,
    /// How many bytes may wait to be read (`SO_RCVBUF`). Default `None`: the kernel's, about 200 kB.
    pub receive_buffer: Option<usize>,
    /// The longest message taken; for a longer one, [`Received::Oversized`](crate::Received::Oversized) is told in its
    /// stead. Default 1 MiB; at least 1. A message that is longer than what the kernel delivers in one piece is held in
    /// memory until all of it has come: up to this much for each association.
    pub max_message: usize,
}

impl Default for SocketConfig {
    fn default() -> Self {
        Self {
            outbound_streams: 10,
            max_inbound_streams: u16::MAX,
            init_retransmissions: 8,
            max_init_timeout: None,
            rto: RtoInfo::default(),
            association: AssocParams::default(),
            paths: PathParams::default(),
            nodelay: false,
            autoclose: None,
            accept: true,
            backlog: 1024,
            send_buffer: None,
            receive_buffer: None,
            max_message: 1 << 20,
        }
    }
}

/// A value of a [`SocketConfig`] that cannot work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("SCTP configuration: `{field}` {problem}")]
pub struct ConfigError {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it, and what would be right.
    pub problem: &'static str,
}

impl SocketConfig {
    /// Checks the values, each and against each other.
    ///
    /// # Errors
    /// Names the first field that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let millisecond = Duration::from_millis(1);
        let second = Duration::from_secs(1);
        let (rto, paths) = (&self.rto, &self.paths);
        let init = self.max_init_timeout.unwrap_or(second);
        let checks = [
            ("outbound_streams", self.outbound_streams > 0, "must be at least 1"),
            ("max_inbound_streams", self.max_inbound_streams > 0, "must be at least 1"),
            ("init_retransmissions", self.init_retransmissions > 0, "must be at least 1"),
            (
                "max_init_timeout",
                init >= millisecond && init.as_millis() <= u128::from(u16::MAX),
                "must be from 1 ms to 65.535 s; `None` for `rto.max`",
            ),
            ("rto.min", rto.min >= millisecond, "must be at least 1 ms"),
            (
                "rto.initial",
                (rto.min..=rto.max).contains(&rto.initial),
                "must be from `rto.min` to `rto.max`",
            ),
            ("rto.max", rto.max <= second * 86_400, "must be at most a day"),
            (
                "association.max_retransmissions",
                self.association.max_retransmissions > 0,
                "must be at least 1",
            ),
            ("association.cookie_life", self.association.cookie_life >= millisecond, "must be at least 1 ms"),
            (
                "paths.heartbeat",
                paths.heartbeat.is_none_or(|every| every >= millisecond && every <= second * 86_400),
                "must be from 1 ms to a day; `None` turns heartbeats off",
            ),
            ("paths.max_retransmissions", paths.max_retransmissions > 0, "must be at least 1"),
            (
                "paths.mtu",
                paths.mtu.is_none_or(|mtu| mtu >= 512),
                "must be at least 512 bytes; `None` finds it out",
            ),
            (
                "paths.sack_delay",
                paths.sack_delay.is_none_or(|delay| delay >= millisecond && delay <= second / 2),
                "must be from 1 to 500 ms; `None` for no delay",
            ),
            (
                "autoclose",
                self.autoclose.is_none_or(|idle| idle >= second && idle <= second * 86_400),
                "must be from 1 s to a day; `None` for never",
            ),
            ("max_message", self.max_message > 0, "must be at least 1 byte"),
        ];
        match checks.into_iter().find(|(_, right, _)| !right) {
            Some((field, _, problem)) => Err(ConfigError { field, problem }),
            None => Ok(()),
        }
    }

    /// Sets the options on a socket that has no association yet.
    pub(crate) fn apply(&self, socket: &Socket) -> Result<(), Error> {
        self.validate()?;
        self.apply_options(socket).map_err(Error::during("set socket options"))
    }

    fn apply_options(&self, socket: &Socket) -> std::io::Result<()> {
        let initmsg = Initmsg {
            sinit_num_ostreams: self.outbound_streams,
            sinit_max_instreams: self.max_inbound_streams,
            sinit_max_attempts: self.init_retransmissions,
            sinit_max_init_timeo: self
                .max_init_timeout
                .map_or(0, |longest| u16::try_from(millis(longest)).unwrap_or(u16::MAX)),
        };
        sys::set_option(socket, libc::SCTP_INITMSG, &initmsg)?;
        sys::set_option(socket, libc::SCTP_RTOINFO, &self.rto.to_raw(libc::SCTP_FUTURE_ASSOC))?;
        sys::set_option(socket, libc::SCTP_ASSOCINFO, &self.association.to_raw(libc::SCTP_FUTURE_ASSOC))?;
        let paths = self.paths.to_raw(libc::SCTP_FUTURE_ASSOC, None);
        sys::set_option(socket, libc::SCTP_PEER_ADDR_PARAMS, &paths)?;
        sys::set_option_int(socket, libc::SCTP_NODELAY, self.nodelay.into())?;
        // A peer that stalls in the middle of a long message must not hold up those of others.
        sys::set_option_int(socket, libc::SCTP_FRAGMENT_INTERLEAVE, 1)?;
        // Without it, messages would come without their association.
        sys::set_option_int(socket, libc::SCTP_RECVRCVINFO, 1)?;
        let wanted = [
            notification::ASSOC_CHANGE,
            notification::PEER_ADDR_CHANGE,
            notification::REMOTE_ERROR,
            notification::SHUTDOWN_EVENT,
            notification::PARTIAL_DELIVERY_EVENT,
            notification::SEND_FAILED_EVENT,
        ];
        for se_type in wanted {
            let event = Event { se_assoc_id: libc::SCTP_FUTURE_ASSOC, se_type, se_on: 1, padding: 0 };
            sys::set_option(socket, sys::SCTP_EVENT, &event)?;
        }
        if let Some(size) = self.send_buffer {
            socket.set_send_buffer_size(size)?;
        }
        if let Some(size) = self.receive_buffer {
            socket.set_recv_buffer_size(size)?;
        }
        Ok(())
    }

    /// Sets the one option that exists on one-to-many sockets only.
    pub(crate) fn apply_autoclose(&self, socket: &Socket) -> Result<(), Error> {
        let seconds = self.autoclose.map_or(0, |idle| i32::try_from(idle.as_secs()).unwrap_or(i32::MAX));
        sys::set_option_int(socket, libc::SCTP_AUTOCLOSE, seconds).map_err(Error::during("set autoclose"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_a_wrong_field_is_named() {
        assert_eq!(SocketConfig::default().validate(), Ok(()));
        let field = |config: SocketConfig| config.validate().map_err(|error| error.field);
        let default = SocketConfig::default;
        assert_eq!(field(SocketConfig { outbound_streams: 0, ..default() }), Err("outbound_streams"));
        let rto = RtoInfo { initial: Duration::from_millis(1), ..RtoInfo::default() };
        assert_eq!(field(SocketConfig { rto, ..default() }), Err("rto.initial"));
        let paths = PathParams { sack_delay: Some(Duration::from_secs(1)), ..PathParams::default() };
        assert_eq!(field(SocketConfig { paths, ..default() }), Err("paths.sack_delay"));
        let autoclose = Some(Duration::from_millis(10));
        assert_eq!(field(SocketConfig { autoclose, ..default() }), Err("autoclose"));
    }
}
