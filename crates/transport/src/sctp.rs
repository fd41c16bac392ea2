//! SCTP links: an association each, with its messages on stream 0, in order, marked with the protocol's payload protocol
//! identifier (RFC 5352 §5, §8.3; RFC 5353 §5.3).
//!
//! A listener is a one-to-many socket, so that links are opened from the port that it is reached at: a registrar connects to the
//! port that an element registered from. Every association is peeled off into a socket of its own as soon as it is up.
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use rserpool_machine::{Endpoint, Protocol};
use rserpool_sctp::{
    AssocId, AssocParams, AssocState, Error, Notification, PathParams, Received, RtoInfo, SctpSocket,
    SctpStream, SendInfo, SocketConfig,
};
use rserpool_wire::frame_length;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::debug;

use crate::config::{LinkConfig, SctpTimers};
use crate::connect::look_up;
use crate::error::TransportError;
use crate::link::Link;

/// Either half of a link: SCTP has no half-closed associations.
#[derive(Clone)]
pub(crate) struct SctpHalf {
    stream: Arc<SctpStream>,
    info: SendInfo,
}

impl SctpHalf {
    pub(crate) fn new(stream: SctpStream, protocol: Protocol) -> Self {
        Self { stream: Arc::new(stream), info: SendInfo::new(payload_protocol(protocol)) }
    }

    /// Appends the next message to `buffer`, padded as on a byte stream; 0 bytes are the end.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        loop {
            let received = match ready!(self.stream.poll_recv(cx)) {
                Ok(Some(received)) => received,
                Ok(None) => return Poll::Ready(Ok(0)),
                Err(error) => return Poll::Ready(Err(io::Error::other(error))),
            };
            match received {
                Received::Message(message) if message.info.ppid == self.info.ppid => {
                    let length = message.bytes.len().next_multiple_of(4);
                    let announced = message.bytes.first_chunk().and_then(|header| frame_length(*header));
                    if announced != Some(length) {
                        let error = "a message whose length field does not fit its length";
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
                    }
                    buffer.put_slice(&message.bytes);
                    buffer.put_bytes(0, length - message.bytes.len());
                    return Poll::Ready(Ok(length));
                }
                Received::Message(message) => {
                    debug!(ppid = message.info.ppid, from = %message.from, "a message of another protocol");
                }
                Received::Notification(Notification::AssocChange(change)) if change.state.is_end() => {
                    return Poll::Ready(match change.state {
                        AssocState::ShutdownComplete => Ok(0),
                        _ => Err(io::ErrorKind::ConnectionReset.into()),
                    });
                }
                // What could not be delivered to a peer that restarted, or never will be: the link is of no use any more
                // (RFC 5352 §3.7.1).
                Received::Notification(Notification::SendFailed(_)) => {
                    return Poll::Ready(Err(io::Error::other("a message could not be delivered")));
                }
                Received::Oversized { limit, .. } => {
                    let error = format!("a message of more than {limit} bytes");
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
                }
                other => debug!(?other, "SCTP notification"),
            }
        }
    }

    /// Sends the first message of `bytes`, `WouldBlock` if there is no room for it.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.first_chunk().and_then(|header| frame_length(*header));
        let message = length.and_then(|length| bytes.get(..length)).ok_or(io::ErrorKind::InvalidInput)?;
        match self.stream.association().try_send(&self.info, message) {
            Ok(true) => Ok(message.len()),
            Ok(false) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.stream.writable().await.map_err(io::Error::other)
    }

    pub(crate) fn finish(&self) -> io::Result<()> {
        match self.stream.shutdown() {
            Err(Error::NoAssociation { .. }) => Err(io::ErrorKind::NotConnected.into()),
            other => other.map_err(io::Error::other),
        }
    }

    pub(crate) fn abort(&self) {
        // Should it fail, the association is gone already, which is what is wanted.
        let _ = self.stream.abort();
    }
}

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
        let socket = SctpSocket::bind(&addresses, &socket_config(config)).map_err(failed)?;
        let bound = socket.local_addrs().map_err(failed)?;
        let local =
            Endpoint::multi_homed(endpoint.scheme(), reachable(bound)).unwrap_or_else(|| endpoint.clone());
        let is_ipv4 = addresses.iter().all(SocketAddr::is_ipv4);
        Ok((Self { socket, is_ipv4, opening: Mutex::default() }, local))
    }

    /// Waits for the next association that somebody else opened, and completes those opened here meanwhile: nothing is opened
    /// unless somebody waits here.
    pub(crate) async fn accept(&self, config: &LinkConfig) -> Result<Link, Error> {
        loop {
            let Received::Notification(Notification::AssocChange(change)) = self.socket.recv().await? else {
                continue;
            };
            let asked_for = self.opening().remove(&change.assoc);
            match (change.state, asked_for) {
                (AssocState::CommUp, None) => match self.socket.peel_off(change.assoc) {
                    Ok(stream) => match link(stream, config) {
                        Ok(link) => return Ok(link),
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
    ) -> Result<Link, TransportError> {
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
        link(stream, config).map_err(|error| failed(error.to_string()))
    }

    fn opening(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<AssocId, oneshot::Sender<Result<SctpStream, String>>>> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens an association from any port.
pub(crate) async fn connect(remote: &Endpoint, config: &LinkConfig) -> Result<Link, TransportError> {
    let addresses = destinations(addresses(remote).await?, false);
    let settings = socket_config(config);
    let connecting = SctpStream::connect(&addresses, &settings);
    match timeout(config.connect_timeout, connecting).await {
        Ok(Ok(stream)) => {
            link(stream, config).map_err(|error| connect_failed(remote, &addresses, io::Error::other(error)))
        }
        Ok(Err(error)) if error.is_unsupported() => Err(TransportError::NoSctp { endpoint: remote.clone() }),
        Ok(Err(error)) => Err(connect_failed(remote, &addresses, io::Error::other(error))),
        Err(_) => {
            Err(TransportError::ConnectTimeout { endpoint: remote.clone(), after: config.connect_timeout })
        }
    }
}

fn link(stream: SctpStream, config: &LinkConfig) -> Result<Link, Error> {
    let association = stream.association();
    // A socket that is bound to all addresses has the loopback one first.
    let (remote, local) = (association.peer_addrs()?, reachable(association.local_addrs()?));
    let local = local.first().copied().ok_or(Error::NoAddress)?;
    Ok(Link::sctp(SctpHalf::new(stream, config.protocol), remote, local, config))
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

const fn payload_protocol(protocol: Protocol) -> u32 {
    match protocol {
        Protocol::Asap => 11,
        Protocol::Enrp => 12,
    }
}

fn socket_config(config: &LinkConfig) -> SocketConfig {
    SocketConfig { nodelay: config.nodelay, max_message: config.max_message, ..config.sctp.socket() }
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
