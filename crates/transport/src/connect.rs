//! Connecting: names are looked up, addresses of both families tried in turn, and the first that answers wins
//! (RFC 8305, "Happy Eyeballs", without its sorting by history).
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rserpool_machine::{Authority, Endpoint, Host, Scheme};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::config::LinkConfig;
use crate::connection::Connection;
use crate::error::TransportError;
use crate::link::Link;
#[cfg(target_os = "linux")]
use crate::sctp;
#[cfg(feature = "tls")]
use crate::tls;

/// How long one address may take before the next is tried as well (RFC 8305 §5, "Connection Attempt Delay").
const STAGGER: Duration = Duration::from_millis(250);

/// Opens a link to `remote`.
///
/// # Errors
/// When the configuration is wrong, the name unknown, no address of the endpoint answers within
/// [`LinkConfig::connect_timeout`], or it does not prove who it is.
pub async fn connect(remote: &Endpoint, config: &LinkConfig) -> Result<Link, TransportError> {
    config.validate()?;
    connect_over(open(remote, config), remote, config).await
}

/// Makes a link to `remote` of the connection that is being opened. What TLS needs is looked for before it is.
pub(crate) async fn connect_over(
    opening: impl Future<Output = Result<Connection, TransportError>>,
    remote: &Endpoint,
    config: &LinkConfig,
) -> Result<Link, TransportError> {
    #[cfg(feature = "tls")]
    if remote.scheme().is_secured() {
        let client = tls::of_client(remote, config)?;
        let shaken = tls::connect(opening.await?, remote, &client, config).await?;
        return Ok(Link::tls(shaken, config));
    }
    #[cfg(not(feature = "tls"))]
    let _ = remote;
    Ok(Link::plain(opening.await?, config))
}

async fn open(remote: &Endpoint, config: &LinkConfig) -> Result<Connection, TransportError> {
    match remote.scheme() {
        scheme if !is_built_in(scheme) => {
            Err(TransportError::UnsupportedScheme { endpoint: remote.clone(), scheme })
        }
        #[cfg(target_os = "linux")]
        Scheme::Sctp | Scheme::SctpTls => sctp::connect(remote, config).await,
        _ => connect_tcp(remote, config).await,
    }
}

/// Whether links of this scheme exist on this platform and in this build.
pub(crate) const fn is_built_in(scheme: Scheme) -> bool {
    match scheme {
        Scheme::Tcp => true,
        Scheme::Tls => cfg!(feature = "tls"),
        Scheme::Sctp => cfg!(target_os = "linux"),
        Scheme::SctpTls => cfg!(all(feature = "tls", target_os = "linux")),
    }
}

/// Opens a link to `remote`, where whoever has this identity is expected: a client of ours that is
/// [called back](LinkConfig::called_back).
///
/// If [`ServerSecurity::psk`](crate::ServerSecurity::psk) has a key for the identity, both ends prove that they know it: it serves the
/// opposite direction too, as a key derived from it, so that no handshake of one direction is good for the other. Where there is no
/// such key, or the other end does not take it, this is [`connect`].
///
/// # Errors
/// As [`connect`].
pub async fn connect_to(
    identity: &str,
    remote: &Endpoint,
    config: &LinkConfig,
) -> Result<Link, TransportError> {
    #[cfg(feature = "psk")]
    if remote.scheme().is_secured()
        && let Some(client) = tls::of_caller(identity, config)
    {
        config.validate()?;
        let connection = open(remote, config).await?;
        match tls::connect(connection, remote, &client, config).await {
            Ok(shaken) => return Ok(Link::tls(shaken, config)),
            Err(error) if tls::of_client(remote, config).is_err() => return Err(error),
            Err(error) => tracing::debug!(%remote, identity, %error, "not by a pre-shared key"),
        }
    }
    #[cfg(not(feature = "psk"))]
    let _ = identity;
    connect(remote, config).await
}

/// Connects to `remote` by TCP, in time.
async fn connect_tcp(remote: &Endpoint, config: &LinkConfig) -> Result<Connection, TransportError> {
    let attempt = async {
        let addresses = look_up(remote).await?;
        let failed =
            |(address, source)| TransportError::Connect { endpoint: remote.clone(), address, source };
        let (address, stream) = connect_any(addresses).await.map_err(failed)?;
        Connection::tcp(stream, config).map_err(|source| failed((address, source)))
    };
    match timeout(config.connect_timeout, attempt).await {
        Ok(result) => result,
        Err(_) => {
            Err(TransportError::ConnectTimeout { endpoint: remote.clone(), after: config.connect_timeout })
        }
    }
}

/// The addresses of `endpoint`, families alternating; at least one.
pub(crate) async fn look_up(endpoint: &Endpoint) -> Result<VecDeque<SocketAddr>, TransportError> {
    let mut found = Vec::new();
    for Authority { host, port } in endpoint.authorities() {
        match host {
            Host::Address(ip) => found.push(SocketAddr::new(*ip, *port)),
            Host::Name(name) => {
                let failed = |source| TransportError::NameLookup { endpoint: endpoint.clone(), source };
                found.extend(lookup_host((&**name, *port)).await.map_err(failed)?);
            }
        }
    }
    if found.is_empty() {
        let source = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        return Err(TransportError::NameLookup { endpoint: endpoint.clone(), source });
    }
    Ok(interleave(found))
}

/// Lets the families take turns, beginning with that of the first address: a family without a route costs one turn.
fn interleave(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = VecDeque::new();
    loop {
        let before = turns.len();
        turns.extend(first.next());
        turns.extend(second.next());
        if turns.len() == before {
            return turns;
        }
    }
}

/// Connects to the first address that answers. A further one is tried whenever one fails, or is silent for a while; the
/// error is that of the last to fail. Attempts that lose are aborted.
async fn connect_any(
    mut addresses: VecDeque<SocketAddr>,
) -> Result<(SocketAddr, TcpStream), (SocketAddr, io::Error)> {
    let mut attempts = JoinSet::new();
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    let mut failed = (unspecified, io::ErrorKind::AddrNotAvailable.into());
    loop {
        // Here, and not by a timer that is due: even that one would wait for the next millisecond.
        if let Some(address) = addresses.pop_front() {
            attempts.spawn(async move { (address, TcpStream::connect(address).await) });
        }
        tokio::select! {
            () = sleep(STAGGER), if !addresses.is_empty() => {}
            Some(finished) = attempts.join_next() => match finished {
                Ok((address, Ok(stream))) => return Ok((address, stream)),
                Ok((address, Err(error))) => failed = (address, error),
                Err(join) => failed.1 = io::Error::other(join),
            },
            else => return Err(failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_beginning_with_the_first() {
        let addresses = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"];
        let turns =
            interleave(addresses.iter().map(|address| address.parse().expect("an address")).collect());
        let turns: Vec<_> = turns.iter().map(ToString::to_string).collect();
        assert_eq!(turns, ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
    }

    #[tokio::test]
    async fn an_address_that_refuses_does_not_hide_one_that_answers() {
        let refusing = std::net::TcpListener::bind("127.0.0.1:0").and_then(|gone| gone.local_addr());
        let answering = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
        let good = answering.local_addr().expect("bound");
        let addresses = VecDeque::from([refusing.expect("bound"), good]);
        let (address, stream) = connect_any(addresses).await.expect("one answers");
        assert_eq!((address, stream.peer_addr().expect("connected")), (good, good));
    }
}
