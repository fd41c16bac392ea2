//! The limits of a link. The RFCs leave all of them to the implementation (RFC 5355 §2.1 and §2.2 ask that floods and
//! stalled peers be survived); the defaults suit registrars and elements on one site or on several.
use std::time::Duration;

use rserpool_machine::Protocol;
use rserpool_wire::MAX_MESSAGE_LENGTH;

#[cfg(feature = "tls")]
use crate::tls::Security;

/// Limits and socket options of links, the same for those that are opened and those that are accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkConfig {
    /// The longest message taken from the other end, final padding included; a longer one ends the link. Default 65,536
    /// bytes, the most that a 16-bit length can say; at least 4. A link may hold about twice as much memory as this.
    pub max_message: usize,
    /// How long looking up a name and connecting may take, all addresses together. Default 5 s. More bears with slower
    /// networks, but delays the turn to the next registrar.
    pub connect_timeout: Duration,
    /// A link on which nothing was sent and nothing received for this long is ended. Default `None`: links of registrars
    /// and elements are silent between keep-alives, and stay. Set it for links from anybody.
    pub idle: Option<Duration>,
    /// How many bytes may wait for the other end to read; one more, and the link is cut off. Default 4 MiB, at least
    /// `max_message`. More bears with longer stalls, and costs that much memory for each stalled link.
    pub send_queue: usize,
    /// How long a link that is being closed may take to send what is queued, and to see the other end close too.
    /// Default 2 s. More delays a shutdown when the other end is stuck.
    pub drain: Duration,
    /// Whether small writes go out at once (`TCP_NODELAY`). Default `true`: messages are gathered before they are written
    /// as it is, so Nagle's algorithm would add nothing but delay.
    pub nodelay: bool,
    /// Probes on silent TCP connections, which find hosts that vanished while nothing was being sent. Default: after 15 s,
    /// every 5 s, 3 of them.
    pub keep_alive: Option<KeepAlive>,
    /// How long sent data may stay unacknowledged before the connection counts as broken (`TCP_USER_TIMEOUT`; Linux).
    /// Default 10 s; `None` leaves it to the system, which gives up after about 15 minutes. Less finds dead hosts earlier, but
    /// breaks links over shorter cuts.
    pub user_timeout: Option<Duration>,
    /// What the links carry: SCTP marks messages with its payload protocol identifier. Default ASAP.
    pub protocol: Protocol,
    /// How SCTP finds out that the other end is gone (Linux).
    pub sctp: SctpTimers,
    /// Keys and certificates for `tls://` and `sctp+tls://` endpoints, which cannot be used without. Default `None`.
    #[cfg(feature = "tls")]
    pub security: Option<Security>,
    /// How long a TLS handshake may take, on either side, once there is a connection. Default 5 s. More bears with slower
    /// networks and hosts, and with half-open handshakes for longer.
    #[cfg(feature = "tls")]
    pub handshake_timeout: Duration,
    /// How many TLS handshakes may be in progress on a listener, 10 to 40 kB each; with one more, the oldest ends. Default
    /// 1,024; at least `handshakes_per_source`. More bears with larger floods of half-open handshakes, for that memory.
    #[cfg(feature = "tls")]
    pub handshakes: usize,
    /// The same for one source: an IPv4 address, or an IPv6 network of 64 bits. Default 256. More bears with more clients
    /// behind one address that reconnect at once; fewer leaves more to others while one floods us.
    #[cfg(feature = "tls")]
    pub handshakes_per_source: usize,
    /// Whether those that we connect to may [connect to us](crate::connect_to), as registrars do to elements. Default `false`.
    ///
    /// A secured [`Listener`](crate::Listener) then lets those in who know the pre-shared key by which we connect ourselves, in the
    /// opposite direction; without such a key, nothing changes. And over SCTP with TLS we connect from its port, where they will look
    /// for us. Not both ends may: when they open an association to each other at the same time, it is one (RFC 9260 §5.2.1), and
    /// both would be clients of TLS. Over plain SCTP, which has no clients, everybody does.
    pub called_back: bool,
}

/// When SCTP gives a path or an association up (RFC 9260 §16). The defaults are the RFC's; all times in whole milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SctpTimers {
    /// The retransmission time-out before anything is measured (RTO.Initial). Default 1 s, fast 100 ms.
    pub rto_initial: Duration,
    /// The least retransmission time-out (RTO.Min). Default 1 s, fast 50 ms. Less finds dead paths earlier, and sends needlessly
    /// where acknowledgements take longer.
    pub rto_min: Duration,
    /// The greatest retransmission time-out (RTO.Max). Default 60 s, fast 200 ms.
    pub rto_max: Duration,
    /// How often idle paths are probed (HB.interval). Default 30 s, fast 100 ms.
    pub heartbeat: Duration,
    /// Failures in a row after which a path is not used any more (Path.Max.Retrans). Default 5, fast 1.
    pub path_retransmissions: u16,
    /// Failures in a row, on all paths together, after which the association is lost (Association.Max.Retrans). Default 10,
    /// fast 3.
    pub association_retransmissions: u16,
}

impl SctpTimers {
    /// The values of RFC 9260 §16: a dead peer is found within a minute or more.
    #[must_use]
    pub const fn rfc() -> Self {
        Self {
            rto_initial: Duration::from_secs(1),
            rto_min: Duration::from_secs(1),
            rto_max: Duration::from_secs(60),
            heartbeat: Duration::from_secs(30),
            path_retransmissions: 5,
            association_retransmissions: 10,
        }
    }

    /// A dead peer is found within a second, on networks with short and steady delays.
    #[must_use]
    pub const fn fast() -> Self {
        Self {
            rto_initial: Duration::from_millis(100),
            rto_min: Duration::from_millis(50),
            rto_max: Duration::from_millis(200),
            heartbeat: Duration::from_millis(100),
            path_retransmissions: 1,
            association_retransmissions: 3,
        }
    }
}

impl Default for SctpTimers {
    fn default() -> Self {
        Self::rfc()
    }
}

/// When TCP probes a silent connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepAlive {
    /// Silence before the first probe (`TCP_KEEPIDLE`); whole seconds, at least one.
    pub after: Duration,
    /// Time between probes (`TCP_KEEPINTVL`); whole seconds, at least one.
    pub every: Duration,
    /// How many probes may stay unanswered (`TCP_KEEPCNT`).
    pub probes: u32,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { after: Duration::from_secs(15), every: Duration::from_secs(5), probes: 3 }
    }
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            max_message: MAX_MESSAGE_LENGTH,
            connect_timeout: Duration::from_secs(5),
            idle: None,
            send_queue: 4 << 20,
            drain: Duration::from_secs(2),
            nodelay: true,
            keep_alive: Some(KeepAlive::default()),
            user_timeout: Some(Duration::from_secs(10)),
            protocol: Protocol::Asap,
            sctp: SctpTimers::rfc(),
            #[cfg(feature = "tls")]
            security: None,
            #[cfg(feature = "tls")]
            handshake_timeout: Duration::from_secs(5),
            #[cfg(feature = "tls")]
            handshakes: 1024,
            #[cfg(feature = "tls")]
            handshakes_per_source: 256,
            called_back: false,
        }
    }
}

/// A value of a [`LinkConfig`] that cannot work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("link configuration: `{field}` {problem}")]
pub struct ConfigError {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it, and what would be right.
    pub problem: &'static str,
}

impl LinkConfig {
    /// Checks the values, each and against each other.
    ///
    /// # Errors
    /// Names the first field that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let second = Duration::from_secs(1);
        let keep_alive = self.keep_alive.unwrap_or_default();
        let checks = [
            (
                "max_message",
                (4..=MAX_MESSAGE_LENGTH).contains(&self.max_message),
                "must be from 4 to 65536 bytes",
            ),
            ("connect_timeout", !self.connect_timeout.is_zero(), "must be more than zero"),
            (
                "idle",
                self.idle.is_none_or(|idle| !idle.is_zero()),
                "must be more than zero; `None` for no limit",
            ),
            ("send_queue", self.send_queue >= self.max_message, "must be at least `max_message`"),
            ("keep_alive.after", keep_alive.after >= second, "must be at least 1 s"),
            ("keep_alive.every", keep_alive.every >= second, "must be at least 1 s"),
            ("keep_alive.probes", (1..=127).contains(&keep_alive.probes), "must be from 1 to 127"),
            (
                "user_timeout",
                self.user_timeout.is_none_or(|timeout| timeout.as_millis() > 0),
                "must be at least 1 ms; `None` for the system's",
            ),
            (
                "sctp.rto_initial",
                (self.sctp.rto_min..=self.sctp.rto_max).contains(&self.sctp.rto_initial),
                "must be from `rto_min` to `rto_max`",
            ),
            #[cfg(feature = "tls")]
            ("handshake_timeout", !self.handshake_timeout.is_zero(), "must be more than zero"),
            #[cfg(feature = "tls")]
            ("handshakes_per_source", self.handshakes_per_source > 0, "must be at least 1"),
            #[cfg(feature = "tls")]
            (
                "handshakes",
                self.handshakes >= self.handshakes_per_source,
                "must be at least `handshakes_per_source`",
            ),
        ];
        match checks.into_iter().find(|(_, right, _)| !right) {
            Some((field, _, problem)) => Err(ConfigError { field, problem }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_a_wrong_field_is_named() {
        assert_eq!(LinkConfig::default().validate(), Ok(()));
        let field = |config: LinkConfig| config.validate().map_err(|error| error.field);
        assert_eq!(field(LinkConfig { max_message: 3, ..LinkConfig::default() }), Err("max_message"));
        assert_eq!(field(LinkConfig { send_queue: 100, ..LinkConfig::default() }), Err("send_queue"));
        let sctp = SctpTimers { rto_min: Duration::from_secs(2), ..SctpTimers::rfc() };
        assert_eq!(field(LinkConfig { sctp, ..LinkConfig::default() }), Err("sctp.rto_initial"));
        assert_eq!(field(LinkConfig { idle: Some(Duration::ZERO), ..LinkConfig::default() }), Err("idle"));
    }
}
