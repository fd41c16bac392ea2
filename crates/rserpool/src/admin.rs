//! What operators ask a registrar, as JSON over HTTP: whether it lives and is ready, its handlespace, its peers, its
//! counters. Read-only and without authentication: bind it to an address that only operators reach.
//!
//! | `GET` | answers |
//! |---|---|
//! | `/livez` | 200 while the process serves |
//! | `/readyz` | 200 once the registrar has the handlespace of its peers or knows that it is alone, else 503 |
//! | `/v1/handlespace` | a [`HandlespaceReport`]; of one pool with `?pool=HANDLE` |
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

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use rserpool_enrp::{PeerState, PeerStatus, Statistics};
use rserpool_handlespace::{Cursor, ElementView, Handlespace};
use rserpool_wire::{PoolElement, PoolHandle};
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
    /// The pools, by handle: all, or the one that was asked for.
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
    /// What is thought of it.
    pub state: String,
    /// How long ago it was last heard, in milliseconds.
    pub last_heard_ms: Option<u64>,
    /// The checksum over what it owns, as far as this registrar knows.
    pub checksum_here: String,
    /// The checksum that it has told; `null` before it has.
    pub checksum_there: Option<String>,
    /// How many elements it owns, as far as this registrar knows.
    pub elements: usize,
}
