//! What the end-to-end tests share: registrars, elements and users on loopback with the fast timers, and waiting for conditions.
#![allow(dead_code, reason = "each test file uses a part of this")]
#![allow(clippy::expect_used, reason = "in tests, a panic is the report")]
use std::time::Duration;

use rserpool::{Endpoint, PoolElement, PoolElementBuilder, PoolUser, Registrar, ServerId, TimerProfile};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How long anything may take before a test fails. Generous: only a defect makes a test wait for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A registrar that joins `peers`, ready.
pub(crate) async fn registrar(id: u32, peers: &[&Registrar]) -> Registrar {
    let mut builder = Registrar::builder()
        .server_id(ServerId(id))
        .asap("tcp://127.0.0.1:0")
        .enrp("tcp://127.0.0.1:0")
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
    PoolElement::builder(pool)
        .registrars(asap(registrars))
        .timers(TimerProfile::Fast)
        .transport(listener.local_addr().expect("a bound listener"))
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
