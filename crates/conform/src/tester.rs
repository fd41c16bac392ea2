//! What a case works with: the target, names that nobody else uses, links, and a list of what is to be taken back.
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rand::RngExt;
use rserpool_machine::{Endpoint, Protocol, Scheme};
use rserpool_transport::{Link, LinkConfig, Listener, TransportError, connect};
use rserpool_wire::{
    Dialect, PeIdentifier, Policy, PoolElement, PoolHandle, RegistrationLife, ServerId, Transport,
};

use crate::outcome::{Problem, Verdict};
use crate::peer::Peer;
use crate::probe::Probe;
use crate::target::{Patience, Target};

/// Ports that are tried for one that is new.
const PORTS_TRIED: usize = 64;

/// Shared by all cases of a run.
pub(crate) struct Session {
    pub(crate) target: Target,
    /// Tells this run's pools from those of others.
    run: u32,
    pools: AtomicU32,
}

impl Session {
    pub(crate) fn new(target: Target) -> Self {
        Self { target, run: rand::rng().random(), pools: AtomicU32::new(0) }
    }

    /// Link settings: small and large messages, all in time.
    pub(crate) fn links(&self, protocol: Protocol) -> LinkConfig {
        LinkConfig {
            connect_timeout: self.target.patience.answer,
            handshake_timeout: self.target.patience.answer,
            protocol,
            security: self.target.security.clone(),
            ..LinkConfig::default()
        }
    }

    /// Opens an ASAP link.
    pub(crate) async fn connect(&self) -> Result<Link, TransportError> {
        connect(&self.target.asap, &self.links(Protocol::Asap)).await
    }

    /// Listens where no tester of this process has listened before: a registrar may still look there for whoever is gone.
    pub(crate) async fn listen(
        &self,
        scheme: Scheme,
        host: IpAddr,
        protocol: Protocol,
    ) -> Result<Listener, TransportError> {
        static USED: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
        let (anywhere, config) = (Endpoint::new(scheme, SocketAddr::new(host, 0)), self.links(protocol));
        let mut passed_over = Vec::new();
        loop {
            let listener = Listener::bind(&anywhere, &config).await?;
            let port = listener.local_endpoint().port();
            let is_new = USED.lock().unwrap_or_else(PoisonError::into_inner).insert(port);
            if is_new || passed_over.len() == PORTS_TRIED {
                return Ok(listener);
            }
            // Kept meanwhile, or it might be given again.
            passed_over.push(listener);
        }
    }
}

/// Everything for one case.
#[derive(Clone)]
pub(crate) struct Tester {
    pub(crate) session: Arc<Session>,
    /// What may be registered when the case ends.
    left: Arc<Mutex<Vec<(PoolHandle<'static>, PeIdentifier)>>>,
}

impl Tester {
    pub(crate) fn new(session: &Arc<Session>) -> Self {
        Self { session: Arc::clone(session), left: Arc::default() }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.session.target.dialect
    }

    pub(crate) fn patience(&self) -> Patience {
        self.session.target.patience
    }

    /// A pool handle that was never used before, 16 bytes long.
    pub(crate) fn pool(&self) -> PoolHandle<'static> {
        let number = self.session.pools.fetch_add(1, Ordering::Relaxed);
        format!("cf-{:08x}-{:04x}", self.session.run, number & 0xffff).into()
    }

    /// An element with a random identifier, reached by TCP, in a Round Robin pool.
    pub(crate) fn element(&self) -> PoolElement {
        self.element_with(Policy::RoundRobin)
    }

    /// The same with another policy.
    pub(crate) fn element_with(&self, policy: Policy) -> PoolElement {
        PoolElement {
            identifier: PeIdentifier(rand::rng().random()),
            home: ServerId::NONE,
            life: RegistrationLife::Finite(std::time::Duration::from_secs(600)),
            user_transport: Transport::Tcp(([192, 0, 2, 1], 7).into()),
            policy,
            asap_transport: None,
        }
    }

    /// So many elements with policies as `policy` says.
    pub(crate) fn elements(&self, count: u32, policy: impl Fn(u32) -> Policy) -> Vec<PoolElement> {
        (0..count).map(|i| self.element_with(policy(i))).collect()
    }

    /// An identifier for a registrar that the tester plays.
    pub(crate) fn server_id(&self) -> ServerId {
        ServerId(rand::rng().random_range(1..u32::MAX))
    }

    /// An ASAP link to the registrar.
    pub(crate) async fn probe(&self) -> Verdict<Probe> {
        let link =
            self.session.connect().await.map_err(|error| no_link(&self.session.target.asap, &error))?;
        Ok(Probe::new(self.clone(), link))
    }

    /// Another registrar, known to the one that is tested.
    pub(crate) async fn peer(&self) -> Verdict<Peer> {
        self.peer_as(self.server_id()).await
    }

    /// The same, with this identifier.
    pub(crate) async fn peer_as(&self, id: ServerId) -> Verdict<Peer> {
        let mut peer = self.stranger_as(id).await?;
        peer.introduce().await?;
        Ok(peer)
    }

    /// Another registrar that has not said anything yet.
    pub(crate) async fn stranger(&self) -> Verdict<Peer> {
        self.stranger_as(self.server_id()).await
    }

    async fn stranger_as(&self, id: ServerId) -> Verdict<Peer> {
        let Some(enrp) = &self.session.target.enrp else {
            return Err(Problem::skipped("needs --enrp URL: it plays another registrar"));
        };
        let config = self.session.links(Protocol::Enrp);
        let link = connect(enrp, &config).await.map_err(|error| no_link(enrp, &error))?;
        Ok(Peer::new(self.clone(), id, link).await)
    }

    /// Notes that an element may be registered, to be taken back at the end.
    pub(crate) fn note(&self, pool_handle: &PoolHandle<'_>, identifier: PeIdentifier) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = (pool_handle.clone().into_owned(), identifier);
        if !left.contains(&entry) {
            left.push(entry);
        }
    }

    /// Takes back everything that may still be registered.
    pub(crate) async fn clean_up(&self) {
        let left = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        if left.is_empty() {
            return;
        }
        // Whatever goes wrong here is the matter of cases about it.
        if let Ok(mut probe) = self.probe().await {
            for (pool_handle, identifier) in left {
                if probe.deregister(&pool_handle, identifier).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn no_link(endpoint: &Endpoint, error: &TransportError) -> Problem {
    Problem::failed(format!("a link to {endpoint}"), error.to_string())
}
