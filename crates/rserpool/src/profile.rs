//! The two sets of timers: what the RFCs say, and what fails over in fractions of a second.
use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use rserpool_asap::AsapTimers;
use rserpool_enrp::RegistrarTimers;
use rserpool_transport::{KeepAlive, LinkConfig, SctpTimers};
use rserpool_wire::Dialect;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Which timers a role runs with. Roles of different profiles work together, at the pace of the slower one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum TimerProfile {
    /// Every default of RFC 5352 §7 and RFC 5353 §4: detection within a minute or so, hardly any traffic.
    #[default]
    Rfc,
    /// Detection and takeover within a second, for a few more messages per second and peer.
    Fast,
}

impl TimerProfile {
    pub(crate) fn asap(self) -> AsapTimers {
        match self {
            Self::Rfc => AsapTimers::rfc(),
            Self::Fast => AsapTimers::fast(),
        }
    }

    /// The timers of a registrar. In the rsplib dialect, [`Rfc`](Self::Rfc) has heartbeats that the reference implementation
    /// does not miss.
    #[must_use]
    pub const fn registrar(self, dialect: Dialect) -> RegistrarTimers {
        match self {
            Self::Rfc => RegistrarTimers::of_dialect(dialect),
            Self::Fast => RegistrarTimers::fast(),
        }
    }

    /// Limits of links to and between registrars, and of connections with TLS on them between users and elements: how soon the other
    /// end counts as gone.
    #[must_use]
    pub fn links(self) -> LinkConfig {
        LinkConfig {
            connect_timeout: self.connect_timeout(),
            user_timeout: Some(self.user_timeout()),
            keep_alive: Some(self.keep_alive()),
            sctp: self.sctp(),
            ..LinkConfig::default()
        }
    }

    /// Settings for an SCTP socket on which an element serves, so that users and elements miss each other as soon as
    /// registrars do.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn sctp_socket(self) -> rserpool_sctp::SocketConfig {
        rserpool_sctp::SocketConfig { nodelay: true, ..self.sctp().socket() }
    }

    const fn sctp(self) -> SctpTimers {
        match self {
            Self::Rfc => SctpTimers::rfc(),
            Self::Fast => SctpTimers::fast(),
        }
    }

    /// How long connecting to a registrar or an element may take.
    pub(crate) const fn connect_timeout(self) -> Duration {
        match self {
            Self::Rfc => Duration::from_secs(5),
            Self::Fast => Duration::from_millis(200),
        }
    }

    /// How long the TLS handshake with an element may take before another one is tried.
    pub(crate) const fn handshake_timeout(self) -> Duration {
        match self {
            Self::Rfc => Duration::from_secs(5),
            Self::Fast => Duration::from_secs(1),
        }
    }

    /// When a connection that is silent is probed: an element whose registrar fell silent hears of it from nobody else.
    const fn keep_alive(self) -> KeepAlive {
        let seconds = Duration::from_secs;
        match self {
            Self::Rfc => KeepAlive { after: seconds(15), every: seconds(5), probes: 3 },
            Self::Fast => KeepAlive { after: seconds(1), every: seconds(1), probes: 2 },
        }
    }

    /// How long sent data may stay unacknowledged before a connection counts as dead.
    pub(crate) const fn user_timeout(self) -> Duration {
        match self {
            Self::Rfc => Duration::from_secs(10),
            Self::Fast => Duration::from_millis(250),
        }
    }

    /// Settings for a TCP connection between a user and an element: what is sent goes out at once, and a host that is gone is
    /// noticed, whether data is under way or the other side is waited for.
    pub(crate) fn tune(self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (socket, KeepAlive { after, every, probes }) = (SockRef::from(stream), self.keep_alive());
        let probing = TcpKeepalive::new().with_time(after).with_interval(every).with_retries(probes);
        socket.set_tcp_keepalive(&probing)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(self.user_timeout()))?;
        Ok(())
    }

    /// How long a call such as `connect` or `register` goes on trying before it fails.
    pub(crate) const fn patience(self) -> Duration {
        match self {
            Self::Rfc => Duration::from_secs(30),
            Self::Fast => Duration::from_secs(10),
        }
    }

    /// The pause between two attempts when there is nobody left to try.
    pub(crate) const fn retry_pause(self) -> Duration {
        match self {
            Self::Rfc => Duration::from_millis(500),
            Self::Fast => Duration::from_millis(20),
        }
    }
}

impl fmt::Display for TimerProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rfc => "rfc",
            Self::Fast => "fast",
        })
    }
}

/// Reads `rfc` or `fast`.
impl FromStr for TimerProfile {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "rfc" => Ok(Self::Rfc),
            "fast" => Ok(Self::Fast),
            _ => Err("a timer profile is `rfc` or `fast`"),
        }
    }
}
