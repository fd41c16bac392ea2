//! A connection as its transport gives it, before it is known whether TLS will be on it: messages, or TLS records, go over the
//! same.
use std::io;
use std::net::SocketAddr;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use crate::config::LinkConfig;
#[cfg(target_os = "linux")]
use crate::sctp::SctpMessages;

/// A connection that is up.
pub(crate) struct Connection {
    pub(crate) medium: Medium,
    pub(crate) addresses: Addresses,
}

/// What it is made of.
pub(crate) enum Medium {
    Tcp(TcpStream),
    #[cfg(target_os = "linux")]
    Sctp(Box<SctpMessages>),
}

/// Its ends.
pub(crate) struct Addresses {
    /// Ours; one of them, if there are several.
    pub(crate) local: SocketAddr,
    /// Those of the other end: one, or several of a multi-homed one.
    pub(crate) remote: Vec<SocketAddr>,
}

impl Connection {
    /// Sets the options of a connected TCP socket.
    pub(crate) fn tcp(stream: TcpStream, config: &LinkConfig) -> io::Result<Self> {
        let socket = SockRef::from(&stream);
        socket.set_tcp_nodelay(config.nodelay)?;
        if let Some(keep_alive) = config.keep_alive {
            let probes = TcpKeepalive::new().with_time(keep_alive.after).with_interval(keep_alive.every);
            socket.set_tcp_keepalive(&probes.with_retries(keep_alive.probes))?;
        }
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(config.user_timeout)?;
        let (local, remote) = (canonical(stream.local_addr()?), canonical(stream.peer_addr()?));
        let addresses = Addresses { local, remote: vec![remote] };
        Ok(Self { medium: Medium::Tcp(stream), addresses })
    }
}

/// IPv4 peers of a dual-stack listener appear with IPv6-mapped addresses, which mean nothing to anybody else.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip if ip == address.ip() => address,
        ip => SocketAddr::new(ip, address.port()),
    }
}
