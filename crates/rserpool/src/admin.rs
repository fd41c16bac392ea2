//! What operators ask a registrar, as JSON over HTTP: whether it lives and is ready, its handlespace, its peers, its
//! counters. Read-only and without authentication: bind it to an address that only operators reach.
//!
//! | `GET` | answers |
//! |---|---|
//! | `/livez` | 200 while the process serves |
//! | `/readyz` | 200 once the registrar has the handlespace of its peers or knows that it is alone, else 503 |
//! | `/v1/handlespace` | a [`HandlespaceReport`] |
//! | `/v1/peers` | a [`PeersReport`] |
//! | `/metrics` | the counters of [`Statistics`] and the sizes of things, for Prometheus |
//!
//! Identifiers are text of the form `0x%08x`, checksums four hexadecimal digits, times numbers of the unit in their name.
//!
//! ```no_run
//! # async fn run(registrar: rserpool::Registrar) -> std::io::Result<()> {
//! use rserpool::admin::Admin;
//!
//! let admin = Admin::bind("127.0.0.1:9980".parse().expect("an address")).await?;
//! println!("http://{}/v1/handlespace", admin.local_addr());
//! admin.serve(registrar, std::future::pending()).await
//! # }
//! ```
use std::fmt::{self, Write as _};
use std::io;
use std::net::SocketAddr;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use rserpool_enrp::{PeerState, PeerStatus, Refusal, Statistics};
use rserpool_handlespace::{Cursor, ElementView, Handlespace};
use rserpool_wire::{PoolElement, PoolHandle, ServerId};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::registrar::Registrar;

/// Elements that are copied at once. The registrar waits meanwhile, so this bounds what a look at a large handlespace costs it.
const PART: usize = 1_000;

/// An administrative service that listens but does not serve yet.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    local: SocketAddr,
}

impl Admin {
    /// Listens at `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address is not this host's, or the port is taken.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let local = listener.local_addr()?;
        Ok(Self { listener, local })
    }

    /// Where it listens, with the real port.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Answers requests about `registrar` until `shutdown` is ready, then ends once those that came before are answered.
    ///
    /// # Errors
    /// When the listener breaks.
    pub async fn serve<F>(self, registrar: Registrar, shutdown: F) -> io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let routes = Router::new()
            .route("/livez", get(async || "alive\n"))
            .route("/readyz", get(ready))
            .route("/v1/handlespace", get(handlespace))
            .route("/v1/peers", get(peers))
            .route("/metrics", get(metrics))
            .with_state(registrar);
        axum::serve(self.listener, routes).with_graceful_shutdown(shutdown).await
    }
}

/// A registrar's handlespace. It is gathered in parts: an element that changes meanwhile may appear as it was before.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HandlespaceReport {
    /// The registrar that was asked.
    pub server: String,
    /// Whether it is ready (see `/readyz`).
    pub ready: bool,
    /// How many pools there are in all.
    pub pool_count: usize,
    /// How many elements there are in all.
    pub element_count: usize,
    /// The registrars that own elements, and this one, by identifier.
    pub owners: Vec<OwnerReport>,
    /// The pools, by handle.
    pub pools: Vec<PoolReport>,
}

/// One owner of elements.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OwnerReport {
    /// The registrar.
    pub server: String,
    /// How many elements it owns.
    pub elements: usize,
    /// The checksum over them (RFC 5353 §3.6.2): equal at registrars that agree.
    pub checksum: String,
}

/// One pool.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PoolReport {
    /// The handle as text, with bytes that are not UTF-8 escaped.
    pub handle: String,
    /// The handle as it is, in hexadecimal digits.
    pub handle_hex: String,
    /// The policy, such as `Least Used`.
    pub policy: String,
    /// The elements, by identifier.
    pub elements: Vec<ElementReport>,
}

/// One element.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ElementReport {
    /// The element.
    pub id: String,
    /// The registrar that owns it.
    pub home: String,
    /// For how long a registration holds unless it is renewed; `null` for ever.
    pub life_seconds: Option<f64>,
    /// The policy with the values of this element, such as `lu:0.25`.
    pub policy: String,
    /// Where users reach it, as a URL.
    pub user_transport: String,
    /// Where registrars reach it, as a URL; `null` where it did not say.
    pub asap_transport: Option<String>,
}

/// A registrar's peers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PeersReport {
    /// The registrar that was asked.
    pub server: String,
    /// Its peers, by identifier.
    pub peers: Vec<PeerReport>,
}

/// One peer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PeerReport {
    /// The peer.
    pub server: String,
    /// Where other registrars reach it, as a URL; `null` while it has not said.
    pub endpoint: Option<String>,
    /// `active`; `probed` while it is silent and has been asked; `inactive` once it is taken for dead.
    pub state: String,
    /// Whether there is a link to it.
    pub linked: bool,
    /// How long ago it was last heard or learned of, in milliseconds.
    pub last_heard_ms: u64,
    /// How many elements it owns, as far as this registrar knows.
    pub elements: usize,
    /// The checksum over them: what this registrar thinks that the peer would say.
    pub checksum: String,
}

async fn ready(State(registrar): State<Registrar>) -> impl IntoResponse {
    if registrar.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn handlespace(State(registrar): State<Registrar>) -> Json<HandlespaceReport> {
    let elements = everything(&registrar).await;
    let server = registrar.id();
    let (owners, pool_count, element_count) = registrar.handlespace(|handlespace| {
        let mut owners: Vec<_> = handlespace.owners().collect();
        if let Err(place) = owners.binary_search(&server) {
            owners.insert(place, server);
        }
        let owner = |server: ServerId| OwnerReport {
            server: server.to_string(),
            elements: handlespace.owned_count(server),
            checksum: checksum(handlespace.checksum(server)),
        };
        (owners.into_iter().map(owner).collect(), handlespace.pool_count(), handlespace.len())
    });
    Json(HandlespaceReport {
        server: server.to_string(),
        ready: registrar.is_ready(),
        pool_count,
        element_count,
        owners,
        pools: pools(elements),
    })
}

/// An element as it is copied out of the handlespace; what it says in text is written later, when nobody waits.
type Copied = (PoolHandle<'static>, PoolElement);

fn copy(element: ElementView<'_>) -> Option<Copied> {
    Some((element.pool_handle().into_owned(), element.decode()?))
}

/// All elements, by pool and identifier, gathered in parts so that the registrar is never held up for long.
async fn everything(registrar: &Registrar) -> Vec<Copied> {
    let mut cursor = Cursor::default();
    let mut all = Vec::new();
    loop {
        let more = registrar.handlespace(|handlespace: &Handlespace| {
            let mut room = PART;
            handlespace.next_part(&mut cursor, None, |_, element| {
                let fits = room > 0;
                if fits {
                    room -= 1;
                    all.extend(copy(element));
                }
                fits
            })
        });
        if !more {
            return all;
        }
        tokio::task::yield_now().await;
    }
}

/// Elements that are sorted by pool, as pools.
fn pools(elements: Vec<Copied>) -> Vec<PoolReport> {
    let mut pools: Vec<PoolReport> = Vec::new();
    let mut current: Option<PoolHandle<'static>> = None;
    for (handle, element) in elements {
        if current.as_ref() != Some(&handle) {
            pools.push(PoolReport {
                handle: handle.to_string(),
                handle_hex: handle.as_bytes().iter().fold(String::new(), |mut text, byte| {
                    // Writing to a string does not fail.
                    let _ = write!(text, "{byte:02x}");
                    text
                }),
                policy: element.policy.policy_type().to_string(),
                elements: Vec::new(),
            });
            current = Some(handle);
        }
        if let Some(pool) = pools.last_mut() {
            pool.elements.push(ElementReport::from(&element));
        }
    }
    pools
}

impl From<&PoolElement> for ElementReport {
    fn from(element: &PoolElement) -> Self {
        Self {
            id: element.identifier.to_string(),
            home: element.home.to_string(),
            life_seconds: element.life.duration().map(|life| life.as_secs_f64()),
            policy: element.policy.to_string(),
            user_transport: element.user_transport.to_string(),
            asap_transport: element.asap_transport.as_ref().map(ToString::to_string),
        }
    }
}

fn checksum(value: u16) -> String {
    format!("{value:04x}")
}

async fn peers(State(registrar): State<Registrar>) -> Json<PeersReport> {
    let mut peers = registrar.peers();
    peers.sort_by_key(|peer| peer.server);
    let now = crate::driver::now();
    let report = |peer: &PeerStatus| PeerReport {
        server: peer.server.to_string(),
        endpoint: peer.endpoint.as_ref().map(ToString::to_string),
        state: state(peer.state).to_owned(),
        linked: peer.is_linked,
        last_heard_ms: u64::try_from(now.saturating_duration_since(peer.last_heard).as_millis())
            .unwrap_or(u64::MAX),
        elements: peer.elements,
        checksum: checksum(registrar.handlespace(|handlespace| handlespace.checksum(peer.server))),
    };
    Json(PeersReport { server: registrar.id().to_string(), peers: peers.iter().map(report).collect() })
}

const fn state(state: PeerState) -> &'static str {
    match state {
        PeerState::Active => "active",
        PeerState::Probed => "probed",
        PeerState::Inactive => "inactive",
        _ => "unknown",
    }
}

async fn metrics(State(registrar): State<Registrar>) -> impl IntoResponse {
    let mut text = String::new();
    counters(&registrar.statistics(), &mut text);
    let id = registrar.id();
    let (pools, elements, owned) = registrar.handlespace(|handlespace| {
        (handlespace.pool_count(), handlespace.len(), handlespace.owned_count(id))
    });
    gauge(&mut text, "ready", "1 once the registrar is ready", usize::from(registrar.is_ready()));
    gauge(&mut text, "pools", "Pools in the handlespace", pools);
    gauge(&mut text, "elements", "Elements in the handlespace", elements);
    gauge(&mut text, "owned_elements", "Elements that this registrar owns", owned);
    gauge(&mut text, "peers", "Registrars that this one knows", registrar.peers().len());
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    gauge(&mut text, "tasks", "Tasks of the process that are not over: a few, and some for each link", tasks);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

fn gauge(text: &mut String, name: &str, help: &str, value: usize) {
    sample(text, name, "gauge", help, value);
}

fn sample(text: &mut String, name: &str, kind: &str, help: &str, value: impl fmt::Display) {
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "# HELP rserpool_{name} {help}.\n# TYPE rserpool_{name} {kind}\nrserpool_{name} {value}"
    );
}

/// Every counter, under the name of its field and `_total`.
fn counters(statistics: &Statistics, text: &mut String) {
    macro_rules! counters {
        ($($field:ident: $help:literal;)*) => {
            $(sample(text, concat!(stringify!($field), "_total"), "counter", $help, statistics.$field);)*
        };
    }
    counters! {
        registrations: "Registrations granted to elements that were not owned here before";
        reregistrations: "Registrations granted to elements that were owned here already";
        registrations_rejected: "Registrations rejected";
        deregistrations: "Deregistrations granted";
        deregistrations_rejected: "Deregistrations rejected";
        resolutions: "Resolutions answered with elements";
        resolutions_rejected: "Resolutions answered negatively";
        subscription_updates: "Responses sent to subscribers because a pool changed";
        keep_alives: "Keep-alives sent";
        keep_alive_acks: "Keep-alives acknowledged";
        elements_failed: "Owned elements removed because they were silent, detached or reported too often";
        elements_expired: "Owned elements whose registration life ended";
        unreachable_reports: "Reports of unreachable elements";
        updates_sent: "Handle updates announced to peers";
        updates_accepted: "Handle updates of peers that were followed";
        updates_refused: "Handle updates and table entries of peers that were not followed";
        claims: "Elements claimed although a peer said that it owned them";
        handovers_taken: "Elements that a leaving peer offered and this registrar took";
        checksum_mismatches: "Times that a peer's checksum was not what it should be";
        resynchronizations: "Resynchronisations completed";
        resynchronizations_failed: "Resynchronisations rejected or broken off";
        downloads_served: "Table downloads served to the end";
        downloads_rejected: "Table requests rejected";
        unsolicited: "Responses that nobody asked for";
        takeovers_started: "Take-overs started";
        takeovers_completed: "Take-overs completed by this registrar";
        peers_failed: "Peers found dead";
        faults: "Messages that broke the protocol";
        not_permitted: "Messages refused for lack of permission";
    }
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "# HELP rserpool_refusals_total Whatever was turned down, by reason.\n# TYPE rserpool_refusals_total counter"
    );
    for reason in Refusal::ALL {
        let (name, count) = (reason.name(), statistics.refusals.of(reason));
        let _ = writeln!(text, "rserpool_refusals_total{{reason=\"{name}\"}} {count}");
    }
}

#[cfg(test)]
mod tests {
    use rserpool_wire::{PeIdentifier, Policy, RegistrationLife, Transport};

    use super::*;

    #[test]
    fn metrics_have_the_form_that_prometheus_reads() {
        let mut text = String::new();
        let mut statistics = Statistics::default();
        statistics.registrations = 7;
        counters(&statistics, &mut text);
        let expected = "# TYPE rserpool_registrations_total counter\nrserpool_registrations_total 7\n";
        assert!(text.contains(expected), "{text}");
        assert!(text.contains("\nrserpool_refusals_total{reason=\"registration_rate\"} 0\n"), "{text}");
    }

    #[test]
    fn pools_are_told_apart_by_their_handles() {
        let element = |id| PoolElement {
            identifier: PeIdentifier(id),
            home: ServerId(1),
            life: RegistrationLife::Infinite,
            user_transport: Transport::Tcp(SocketAddr::from(([127, 0, 0, 1], 7))),
            policy: Policy::RoundRobin,
            asap_transport: None,
        };
        let handle = |bytes: &[u8]| PoolHandle::from(bytes.to_vec());
        let pools = pools(vec![
            (handle(b"a"), element(1)),
            (handle(b"a"), element(2)),
            (handle(b"\xff"), element(1)),
        ]);
        let seen: Vec<_> = pools.iter().map(|pool| (pool.handle_hex.as_str(), pool.elements.len())).collect();
        assert_eq!(seen, [("61", 2), ("ff", 1)]);
        assert_eq!(pools.last().map(|pool| pool.handle.as_str()), Some("\\xff"));
    }
}
