//! SCTP: associations, one for each link.
//!
//! A listener is a one-to-many socket, so that links are opened from the port that it is reached at: a registrar connects to the
//! port that an element registered from. Every association is peeled off into a socket of its own as soon as it is up.
mod messages;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

pub(crate) use messages::{SctpMessages, SctpReader, SctpWriter, halves};
use rserpool_machine::{Endpoint, Scheme};
use rserpool_sctp::{
    AssocId, AssocParams, AssocState, Error, Notification, PathParams, Received, RtoInfo, SctpSocket,
    SctpStream, SocketConfig,
};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::debug;

use crate::config::{LinkConfig, SctpTimers};
use crate::connect::look_up;
use crate::connection::{Addresses, Connection, Medium};
use crate::error::TransportError;

/// The longest TLS record: SCTP must be able to carry it as one message (RFC 3436).
const LONGEST_RECORD: usize = (1 << 14) + 2048 + 5;

/// Accepts and opens associations at one port.
pub(crate) struct SctpAcceptor {
    socket: SctpSocket,
    is_ipv4: bool,
    /// Links that were asked for and are not up yet.
    opening: Mutex<HashMap<AssocId, oneshot::Sender<Result<SctpStream, String>>>>,
}

impl SctpAcceptor {
    /// Listens on all addresses of `endpoint`; returns the endpoint with the real port and addresses.
    pub(crate) async fn bind(
        endpoint: &Endpoint,
        config: &LinkConfig,
    ) -> Result<(Self, Endpoint), TransportError> {
        let failed = |error: Error| bind_failed(endpoint, error);
        let addresses = addresses(endpoint).await?;
        let socket =
            SctpSocket::bind(&addresses, &socket_config(endpoint.scheme(), config)).map_err(failed)?;
        let bound = socket.local_addrs().map_err(failed)?;
        let local =
            Endpoint::multi_homed(endpoint.scheme(), reachable(bound)).unwrap_or_else(|| endpoint.clone());
        let is_ipv4 = addresses.iter().all(SocketAddr::is_ipv4);
        Ok((Self { socket, is_ipv4, opening: Mutex::default() }, local))
    }

    /// Waits for the next association that somebody else opened, and completes those opened here meanwhile: nothing is opened
    /// unless somebody waits here.
    pub(crate) async fn accept(&self, config: &LinkConfig) -> Result<Connection, Error> {
        loop {
            let Received::Notification(Notification::AssocChange(change)) = self.socket.recv().await? else {
                continue;
            };
            let asked_for = self.opening().remove(&change.assoc);
            match (change.state, asked_for) {
                (AssocState::CommUp, None) => match self.socket.peel_off(change.assoc) {
                    Ok(stream) => match connection(stream, config) {
                        Ok(connection) => return Ok(connection),
                        Err(error) => debug!(%error, "an association ended before it was accepted"),
                    },
                    Err(error) => debug!(%error, "an association ended before it was accepted"),
                },
                (AssocState::CommUp, Some(waiting)) => {
                    let stream = self.socket.peel_off(change.assoc).map_err(|error| error.to_string());
                    // Nobody waits any more: the association ends with the stream.
                    let _ = waiting.send(stream);
                }
                (state, Some(waiting)) if state.is_end() => {
                    let _ = waiting.send(Err("refused, or no answer".to_owned()));
                }
                (_, asked_for) => {
                    if let Some(waiting) = asked_for {
                        self.opening().insert(change.assoc, waiting);
                    }
                }
            }
        }
    }

    /// Opens an association from this port.
    pub(crate) async fn connect(
        &self,
        remote: &Endpoint,
        config: &LinkConfig,
    ) -> Result<Connection, TransportError> {
        let addresses = destinations(addresses(remote).await?, self.is_ipv4);
        let failed = |why: String| connect_failed(remote, &addresses, io::Error::other(why));
        let (up, coming) = oneshot::channel();
        {
            // Held until the association is noted, so that its coming up cannot be missed.
            let mut opening = self.opening();
            let assoc = self.socket.connectx(&addresses).map_err(|error| failed(error.to_string()))?;
            opening.insert(assoc, up);
        }
        let stream = match timeout(config.connect_timeout, coming).await {
            Ok(Ok(stream)) => stream.map_err(failed)?,
            Ok(Err(_)) => return Err(failed("the listener is gone".to_owned())),
            Err(_) => {
                return Err(TransportError::ConnectTimeout {
                    endpoint: remote.clone(),
                    after: config.connect_timeout,
                });
            }
        };
        connection(stream, config).map_err(|error| failed(error.to_string()))
    }

    fn opening(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<AssocId, oneshot::Sender<Result<SctpStream, String>>>> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens an association from any port.
pub(crate) async fn connect(remote: &Endpoint, config: &LinkConfig) -> Result<Connection, TransportError> {
    let addresses = destinations(addresses(remote).await?, false);
    let settings = socket_config(remote.scheme(), config);
    let connecting = SctpStream::connect(&addresses, &settings);
    match timeout(config.connect_timeout, connecting).await {
        Ok(Ok(stream)) => connection(stream, config)
            .map_err(|error| connect_failed(remote, &addresses, io::Error::other(error))),
        Ok(Err(error)) if error.is_unsupported() => Err(TransportError::NoSctp { endpoint: remote.clone() }),
        Ok(Err(error)) => Err(connect_failed(remote, &addresses, io::Error::other(error))),
        Err(_) => {
            Err(TransportError::ConnectTimeout { endpoint: remote.clone(), after: config.connect_timeout })
        }
    }
}

fn connection(stream: SctpStream, config: &LinkConfig) -> Result<Connection, Error> {
    let association = stream.association();
    // A socket that is bound to all addresses has the loopback one first.
    let (remote, local) = (association.peer_addrs()?, reachable(association.local_addrs()?));
    let local = local.first().copied().ok_or(Error::NoAddress)?;
    let medium = Medium::Sctp(Box::new(SctpMessages::new(stream, config.protocol)));
    Ok(Connection { medium, addresses: Addresses { local, remote } })
}

/// Of the addresses that a socket is bound to, those that others can reach; all if there are no such.
fn reachable(bound: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let reachable = |address: &SocketAddr| match address.ip().to_canonical() {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    };
    if bound.iter().any(reachable) { bound.into_iter().filter(reachable).collect() } else { bound }
}

/// Of the addresses that somebody named, those to connect to. The reference implementation may name all that a host has; the
/// kernel takes all of them or none.
fn destinations(named: Vec<SocketAddr>, from_ipv4: bool) -> Vec<SocketAddr> {
    let has_v4 = named.iter().any(SocketAddr::is_ipv4);
    reachable(named.into_iter().filter(|address| !(from_ipv4 && has_v4) || address.is_ipv4()).collect())
}

fn socket_config(scheme: Scheme, config: &LinkConfig) -> SocketConfig {
    let max_message = if scheme.is_secured() { LONGEST_RECORD } else { config.max_message };
    SocketConfig { nodelay: config.nodelay, max_message, ..config.sctp.socket() }
}

impl SctpTimers {
    /// A socket with these timers, for applications whose own associations are to fail as soon as links do.
    #[must_use]
    pub fn socket(&self) -> SocketConfig {
        SocketConfig {
            max_init_timeout: Some(self.rto_max),
            rto: RtoInfo { initial: self.rto_initial, min: self.rto_min, max: self.rto_max },
            association: AssocParams {
                max_retransmissions: self.association_retransmissions,
                ..AssocParams::default()
            },
            paths: PathParams {
                heartbeat: Some(self.heartbeat),
                max_retransmissions: self.path_retransmissions,
                ..PathParams::default()
            },
            ..SocketConfig::default()
        }
    }
}

/// All addresses of an endpoint: of one host, for SCTP uses them together.
async fn addresses(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, TransportError> {
    look_up(endpoint).await.map(Vec::from)
}

fn bind_failed(endpoint: &Endpoint, error: Error) -> TransportError {
    if error.is_unsupported() {
        return TransportError::NoSctp { endpoint: endpoint.clone() };
    }
    TransportError::Bind { endpoint: endpoint.clone(), source: io::Error::other(error) }
}

fn connect_failed(remote: &Endpoint, addresses: &[SocketAddr], source: io::Error) -> TransportError {
    let address = addresses.first().copied().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
    TransportError::Connect { endpoint: remote.clone(), address, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_connected_to_is_left_out_unless_there_is_nothing_else() {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().expect("an address")).collect()
        };
        let named = addresses(&["127.0.0.1:1", "[::1]:1", "192.0.2.1:1", "[2001:db8::1]:1", "[fe80::1]:1"]);
        assert_eq!(destinations(named.clone(), false), addresses(&["192.0.2.1:1", "[2001:db8::1]:1"]));
        assert_eq!(destinations(named, true), addresses(&["192.0.2.1:1"]));
        let nothing_else = addresses(&["127.0.0.1:1"]);
        assert_eq!(destinations(nothing_else.clone(), true), nothing_else);
    }
}
