//! Handshakes of clients, each in a task of its own, so that none waits for another. How many there are is bounded, in all and per
//! source (RFC 5355 §2.1): where one too many begins, the oldest ends. Half-open handshakes of an attacker are always
//! older than those of clients that want to be served.
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rserpool_machine::Endpoint;
use tokio::sync::Mutex;
use tokio::task::{AbortHandle, Id, JoinSet, yield_now};
use tokio::time::Instant;

use super::error::HandshakeError;
use super::{Security, Shaken, accept, of_server};
use crate::config::LinkConfig;
use crate::connection::Connection;
use crate::error::TransportError;

/// The time between two lines in the log about handshakes that failed: whoever floods us shall not flood the log.
const QUIET: Duration = Duration::from_secs(1);

/// What lets the clients of one listener in, or turns them away.
pub(crate) struct Gate {
    security: Security,
    config: LinkConfig,
    handshakes: Mutex<Handshakes>,
    refused: AtomicU64,
}

impl Gate {
    /// For those who connect to `endpoint`.
    ///
    /// # Errors
    /// Without security for servers.
    pub(crate) fn new(endpoint: &Endpoint, config: &LinkConfig) -> Result<Self, TransportError> {
        let (security, handshakes) = (of_server(endpoint, config)?, Mutex::default());
        Ok(Self { security, config: config.clone(), handshakes, refused: AtomicU64::new(0) })
    }

    /// The next client whose handshake succeeds; `arrive` waits for the next one that connects.
    ///
    /// Nothing is lost when the future is dropped before it is ready, if that is so for those of `arrive`.
    pub(crate) async fn admit<F>(&self, arrive: impl Fn() -> F) -> Result<Shaken, TransportError>
    where
        F: Future<Output = Result<Connection, TransportError>>,
    {
        let mut handshakes = self.handshakes.lock().await;
        loop {
            tokio::select! {
                biased;
                shaken = handshakes.next(&self.refused) => return Ok(shaken),
                arrived = arrive() => {
                    handshakes.enter(arrived?, &self.security, &self.config);
                    // Handshakes that have begun are to get on before more of them begin.
                    yield_now().await;
                }
            }
        }
    }

    /// How many clients were turned away: their handshakes failed, or were one too many.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// The handshakes in progress.
#[derive(Default)]
struct Handshakes {
    tasks: JoinSet<(SocketAddr, Result<Shaken, HandshakeError>)>,
    /// What is in `tasks`, the oldest first.
    entered: VecDeque<Entry>,
    log: Log,
}

struct Entry {
    task: Id,
    source: IpAddr,
    abort: AbortHandle,
}

impl Handshakes {
    /// Begins the handshake on a connection. Another one ends if there are too many.
    fn enter(&mut self, connection: Connection, security: &Security, config: &LinkConfig) {
        let Some(from) = connection.addresses.remote.first().copied() else { return };
        let source = source(from.ip());
        let of_source = || self.entered.iter().enumerate().filter(|(_, entry)| entry.source == source);
        let surplus = if of_source().count() >= config.handshakes_per_source {
            of_source().next().map(|(position, _)| position)
        } else {
            (self.entered.len() >= config.handshakes).then_some(0)
        };
        if let Some(entry) = surplus.and_then(|position| self.entered.remove(position)) {
            entry.abort.abort();
        }
        let (security, config) = (security.clone(), config.clone());
        let abort = self.tasks.spawn(async move { (from, accept(connection, &security, &config).await) });
        self.entered.push_back(Entry { task: abort.id(), source, abort });
    }

    /// Waits for a handshake that succeeds; never ready without any in progress. Nothing is lost when the future is dropped before it is ready.
    async fn next(&mut self, refused: &AtomicU64) -> Shaken {
        loop {
            let Some(finished) = self.tasks.join_next_with_id().await else {
                return std::future::pending().await;
            };
            let task = finished.as_ref().map_or_else(|error| error.id(), |(task, _)| *task);
            self.entered.retain(|entry| entry.task != task);
            match finished {
                Ok((_, (_, Ok(shaken)))) => return shaken,
                Ok((_, (from, Err(error)))) => self.log.refused(from, &error),
                Err(ended) => tracing::debug!(%ended, "a handshake was ended to make room for others"),
            }
            refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Whose handshakes are counted together: one address, or in IPv6 the 64-bit prefix that one host can have for itself.
fn source(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[derive(Default)]
struct Log {
    quiet_until: Option<Instant>,
    suppressed: u64,
}

impl Log {
    fn refused(&mut self, from: SocketAddr, error: &HandshakeError) {
        let now = Instant::now();
        if self.quiet_until.is_some_and(|until| now < until) {
            self.suppressed += 1;
            return;
        }
        let suppressed = std::mem::take(&mut self.suppressed);
        self.quiet_until = Some(now + QUIET);
        tracing::warn!(%from, %error, suppressed, "a client is refused");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_ipv6_network_are_one_source() {
        let ip = |text: &str| source(text.parse().expect("an address"));
        assert_eq!(ip("2001:db8::1"), ip("2001:db8::ffff:1:2:3"));
        assert_ne!(ip("2001:db8::1"), ip("2001:db8:0:1::1"));
        assert_eq!(ip("::ffff:10.0.0.1"), ip("10.0.0.1"));
        assert_ne!(ip("10.0.0.1"), ip("10.0.0.2"));
    }
}
