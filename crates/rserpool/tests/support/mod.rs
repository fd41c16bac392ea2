//! What the end-to-end tests share: registrars, elements and users on loopback with the fast timers, and waiting for conditions.
//!
//! With `RSERPOOL_TEST_SCHEME=sctp` in the environment registrars are reached over SCTP, and sessions run over it; with `sctp+tls`,
//! those that are secured are reached over SCTP. That is for kernels that have it: see `interop/tests/stack.rs`, `secured.rs`.
#![allow(dead_code, reason = "each test file uses a part of this")]
#![allow(clippy::expect_used, reason = "in tests, a panic is the report")]
use std::time::Duration;

use rserpool::{
    Connection, Endpoint, PoolElement, PoolElementBuilder, PoolUser, Registrar, ServerId, TimerProfile,
    Transport,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How long anything may take before a test fails. Generous: only a defect makes a test wait for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Whether links and sessions are to run over SCTP.
pub(crate) fn over_sctp() -> bool {
    std::env::var_os("RSERPOOL_TEST_SCHEME").is_some_and(|scheme| scheme == "sctp")
}

/// A free port for a registrar.
fn anywhere() -> &'static str {
    if over_sctp() { "sctp://127.0.0.1:0" } else { "tcp://127.0.0.1:0" }
}

/// A free port for a registrar that is secured.
pub(crate) fn secured_anywhere() -> &'static str {
    match std::env::var("RSERPOOL_TEST_SCHEME") {
        Ok(scheme) if scheme == "sctp+tls" => "sctp+tls://127.0.0.1:0",
        _ => "tls://127.0.0.1:0",
    }
}

/// A registrar that joins `peers`, ready.
pub(crate) async fn registrar(id: u32, peers: &[&Registrar]) -> Registrar {
    let mut builder = Registrar::builder()
        .server_id(ServerId(id))
        .asap(anywhere())
        .enrp(anywhere())
        .timers(TimerProfile::Fast);
    for peer in peers {
        builder = builder.peer(peer.enrp_endpoint().expect("an ENRP endpoint").clone());
    }
    let registrar = builder.start().await.expect("the registrar starts");
    registrar.ready().await;
    registrar
}

/// Where elements and users find these registrars.
pub(crate) fn asap(registrars: &[&Registrar]) -> Vec<Endpoint> {
    registrars.iter().flat_map(|registrar| registrar.asap_endpoints().to_vec()).collect()
}

pub(crate) async fn user(registrars: &[&Registrar]) -> PoolUser {
    PoolUser::builder()
        .registrars(asap(registrars))
        .timers(TimerProfile::Fast)
        .build()
        .await
        .expect("the pool user starts")
}

pub(crate) fn element(
    pool: &'static str,
    registrars: &[&Registrar],
    listener: &TcpListener,
) -> PoolElementBuilder {
    element_at(pool, registrars, listener.local_addr().expect("a bound listener"))
}

pub(crate) fn element_at(
    pool: &'static str,
    registrars: &[&Registrar],
    transport: impl Into<Transport>,
) -> PoolElementBuilder {
    PoolElement::builder(pool).registrars(asap(registrars)).timers(TimerProfile::Fast).transport(transport)
}

/// Where an element accepts connections for sessions.
pub(crate) enum SessionListener {
    Tcp(TcpListener),
    #[cfg(target_os = "linux")]
    Sctp(Box<rserpool::sctp::SctpListener>),
}

impl SessionListener {
    /// Listens at a free port.
    pub(crate) async fn bind() -> Self {
        #[cfg(target_os = "linux")]
        if over_sctp() {
            let free = "127.0.0.1:0".parse().expect("an address");
            let settings = TimerProfile::Fast.sctp_socket();
            let listener = rserpool::sctp::SctpListener::bind(&[free], &settings);
            return Self::Sctp(Box::new(listener.expect("SCTP in this kernel")));
        }
        Self::Tcp(TcpListener::bind("127.0.0.1:0").await.expect("a free port"))
    }

    pub(crate) fn transport(&self) -> Transport {
        match self {
            Self::Tcp(listener) => listener.local_addr().expect("a bound listener").into(),
            #[cfg(target_os = "linux")]
            Self::Sctp(listener) => {
                let address = listener.local_addrs().expect("a bound listener")[0];
                let (port, addresses) = (address.port(), vec![address.ip()]);
                let transport_use = rserpool::wire::TransportUse::DataAndControl;
                Transport::Sctp { port, transport_use, addresses }
            }
        }
    }

    pub(crate) async fn accept(&self) -> std::io::Result<Connection> {
        match self {
            Self::Tcp(listener) => Ok(listener.accept().await?.0.into()),
            #[cfg(target_os = "linux")]
            Self::Sctp(listener) => Ok(listener.accept().await.map_err(std::io::Error::other)?.0.into()),
        }
    }
}

/// Whether nobody listens there any more.
pub(crate) fn is_free(endpoint: &Endpoint) -> bool {
    let address = endpoint.socket_addresses().next().flatten().expect("an address");
    #[cfg(target_os = "linux")]
    if over_sctp() {
        return rserpool::sctp::SctpListener::bind(&[address], &TimerProfile::Fast.sctp_socket()).is_ok();
    }
    std::net::TcpListener::bind(address).is_ok()
}

/// An element that echoes bytes, until killed.
pub(crate) struct Echo {
    pub(crate) element: Option<PoolElement>,
    serving: JoinHandle<()>,
}

impl Echo {
    pub(crate) async fn start(pool: &'static str, registrars: &[&Registrar]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let element = element(pool, registrars, &listener).register().await.expect("registered");
        Self { element: Some(element), serving: tokio::spawn(echo(listener)) }
    }

    pub(crate) fn element(&self) -> &PoolElement {
        self.element.as_ref().expect("not killed")
    }

    /// Stops serving, without a word to the registrar: connections break, the registration stays.
    pub(crate) fn stop_serving(&self) {
        self.serving.abort();
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn echo(listener: TcpListener) {
    // Connections end with this task.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        connections.spawn(async move {
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        });
    }
}

/// Sends `text` and expects it back.
pub(crate) async fn echoed(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<()> {
    stream.write_all(text).await?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await?;
    assert_eq!(answer, text);
    Ok(())
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Whether all these registrars hold the same elements with the same owners.
pub(crate) fn agree(registrars: &[&Registrar]) -> bool {
    let mut views = registrars.iter().map(|registrar| {
        registrar.handlespace(|handlespace| {
            let owners: Vec<_> =
                handlespace.owners().map(|owner| (owner, handlespace.checksum(owner))).collect();
            (handlespace.len(), owners)
        })
    });
    let first = views.next();
    views.all(|view| Some(view) == first)
}

/// How many elements this registrar knows.
pub(crate) fn elements(registrar: &Registrar) -> usize {
    registrar.handlespace(|handlespace| handlespace.len())
}

/// How many elements this registrar thinks that `owner` owns.
pub(crate) fn owned(registrar: &Registrar, owner: &Registrar) -> usize {
    let owner = owner.id();
    registrar.handlespace(|handlespace| handlespace.owned_count(owner))
}
