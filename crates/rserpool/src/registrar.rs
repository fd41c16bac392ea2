//! A registrar as a part of any program: the registrar machine on sockets (RFC 5353, and the registrar's side of RFC 5352).
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_core::Stream;
use hashbrown::HashSet;
use rserpool_enrp::{
    AccessPolicy, AllowAll, Authorization, Fault, PeerStatus, Refusal, RegistrarConfig, RegistrarEvent,
    RegistrarLimits, RegistrarMachine, RegistrarTimers, RemovalReason, Statistics,
};
use rserpool_handlespace::Handlespace;
use rserpool_machine::{Endpoint, PeerIdentity, Protocol, Scheme};
use rserpool_transport::{LinkConfig, Listener, Security};
use rserpool_wire::{Dialect, ServerId};
use tokio::sync::{broadcast, watch};
use tracing::field::display;
use tracing::{debug, info, warn};

use crate::advertise::{self, Toward};
use crate::driver::{Driver, EventHandler};
use crate::endpoints::Endpoints;
use crate::error::StartError;
use crate::events;
use crate::profile::TimerProfile;
use crate::settings::{Settings, role_settings};

/// A running registrar. Clones share it; it stops, without handing over, when the last one is dropped.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use rserpool::Registrar;
///
/// let registrar = Registrar::builder()
///     .asap("tcp://0.0.0.0:3863")
///     .enrp("tcp://0.0.0.0:9901")
///     .peer("tcp://10.0.0.2:9901")
///     .start()
///     .await?;
/// registrar.ready().await; // has the handlespace of its peers
/// tokio::signal::ctrl_c().await?;
/// registrar.shutdown().await; // hands its elements over to a peer
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Registrar {
    inner: Arc<Inner>,
}

struct Inner {
    driver: Driver<RegistrarMachine>,
    events: broadcast::Sender<RegistrarEvent>,
    progress: watch::Receiver<Progress>,
    asap: Vec<Endpoint>,
    enrp: Option<Endpoint>,
}

/// How far a registrar is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    Initializing,
    Ready,
    Drained,
}

impl Registrar {
    /// Describes a registrar to start.
    #[must_use]
    pub fn builder() -> RegistrarBuilder {
        RegistrarBuilder::default()
    }

    /// Its identifier.
    #[must_use]
    pub fn id(&self) -> ServerId {
        self.inner.driver.inspect(RegistrarMachine::id)
    }

    /// Where it serves elements and users, with real ports.
    #[must_use]
    pub fn asap_endpoints(&self) -> &[Endpoint] {
        &self.inner.asap
    }

    /// Where it serves other registrars, with the real port.
    #[must_use]
    pub fn enrp_endpoint(&self) -> Option<&Endpoint> {
        self.inner.enrp.as_ref()
    }

    /// Waits until it has the handlespace of its peers, or knows that it is alone (RFC 5353 §3.2).
    pub async fn ready(&self) {
        self.reached(Progress::Ready).await;
    }

    /// Whether [`ready`](Self::ready) would return at once.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.inner.progress.borrow() == Progress::Ready
    }

    /// What happens from now on. A subscriber that falls behind by 1,024 events misses the oldest ones.
    pub fn events(&self) -> impl Stream<Item = RegistrarEvent> + Send + Unpin + use<> {
        events::stream(&self.inner.events)
    }

    /// Looks at the handlespace. Everything else waits meanwhile, so look briefly.
    pub fn handlespace<R>(&self, look: impl FnOnce(&Handlespace) -> R) -> R {
        self.inner.driver.inspect(|machine| look(machine.handlespace()))
    }

    /// The other registrars, as this one sees them.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.inner.driver.inspect(|machine| machine.peers().collect())
    }

    /// What it has counted since it was started.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.inner.driver.inspect(|machine| *machine.statistics())
    }

    /// Decides from now on who may do what. Links of registrars that may not be such any more end, and elements that registered here
    /// and may not be so any more are removed.
    pub fn set_authorization(&self, authorization: Arc<dyn Authorization>) {
        self.inner.driver.command(|machine, now| machine.set_authorization(now, authorization));
    }

    /// Hands its elements over to a peer, where there is one, and stops.
    ///
    /// Takes at most [`RegistrarTimers::drain`], and as long as links take to send what is queued. Dropping the future leaves the registrar draining.
    pub async fn shutdown(&self) {
        self.inner.driver.command(RegistrarMachine::shutdown);
        self.reached(Progress::Drained).await;
        self.inner.driver.stop().await;
    }

    async fn reached(&self, wanted: Progress) {
        let mut progress = self.inner.progress.clone();
        // An error means that the driver is gone: there is nothing more to wait for.
        let _ = progress.wait_for(|now| *now >= wanted).await;
    }
}

impl fmt::Debug for Registrar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registrar").field("asap", &self.inner.asap).field("enrp", &self.inner.enrp).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.driver.cancel();
    }
}

/// Describes a registrar; [`start`](Self::start) starts it.
#[derive(Debug, Default)]
pub struct RegistrarBuilder {
    server_id: Option<ServerId>,
    asap: Endpoints,
    enrp: Endpoints,
    peers: Endpoints,
    advertised: Option<IpAddr>,
    limits: RegistrarLimits,
    authorization: Option<Arc<dyn Authorization>>,
    settings: Settings<RegistrarTimers>,
}

impl RegistrarBuilder {
    role_settings!(RegistrarTimers);

    /// Serves elements and users here; may be called several times. Port 0 takes a free one; 3863 is the assigned one.
    #[must_use]
    pub fn asap<E>(mut self, endpoint: E) -> Self
    where
        E: TryInto<Endpoint>,
        StartError: From<E::Error>,
    {
        self.asap.add(endpoint);
        self
    }

    /// Serves other registrars here. Port 0 takes a free one; 9901 is the assigned one. Without it the registrar is alone.
    #[must_use]
    pub fn enrp<E>(mut self, endpoint: E) -> Self
    where
        E: TryInto<Endpoint>,
        StartError: From<E::Error>,
    {
        self.enrp.add(endpoint);
        self
    }

    /// Joins the registrar there; may be called several times. The first is the mentor, the others are its back-ups.
    #[must_use]
    pub fn peer<E>(mut self, endpoint: E) -> Self
    where
        E: TryInto<Endpoint>,
        StartError: From<E::Error>,
    {
        self.peers.add(endpoint);
        self
    }

    /// The identifier; a random one unless said otherwise (RFC 5353 §3.2.1). Must not be 0.
    #[must_use]
    pub fn server_id(mut self, id: ServerId) -> Self {
        self.server_id = Some(id);
        self
    }

    /// The address to announce where the registrar listens on all of them (`0.0.0.0`, `[::]`). Unless said otherwise, the one
    /// that the first peer is reached from.
    #[must_use]
    pub fn advertise(mut self, address: IpAddr) -> Self {
        self.advertised = Some(address);
        self
    }

    /// How much it takes on.
    #[must_use]
    pub fn limits(mut self, limits: RegistrarLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Who may do what, such as an [`AccessPolicy`]. Unless said otherwise everybody everything; where endpoints are secured, nobody may
    /// register or be a registrar, and whoever comes over a secured link may resolve.
    #[must_use]
    pub fn authorization(mut self, authorization: Arc<dyn Authorization>) -> Self {
        self.authorization = Some(authorization);
        self
    }

    /// Announces itself by multicast on this network interface, and hears other registrars there; may be called several
    /// times. Off unless said otherwise.
    #[must_use]
    pub fn announce(mut self, interface: impl Into<String>) -> Self {
        self.settings.interfaces.push(interface.into());
        self
    }

    /// Starts the registrar: it listens when this returns. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// When a setting is wrong, or an endpoint cannot be listened on.
    pub async fn start(self) -> Result<Registrar, StartError> {
        let (asap, enrp, peers) = (self.asap.get()?, self.enrp.get()?, self.peers.get()?);
        if asap.is_empty() {
            let message = "a registrar needs an endpoint to serve elements and users on: set `asap`";
            return Err(StartError::Config(message.into()));
        }
        let is_secured = |endpoint: &&Endpoint| endpoint.scheme().is_secured();
        let secured = asap.iter().chain(&enrp).chain(&peers).any(|endpoint| is_secured(&endpoint));
        if secured && let Some(plain) = enrp.iter().chain(&peers).find(|endpoint| !is_secured(endpoint)) {
            let message = format!(
                "{plain} is not secured and other endpoints are: registrars of a scope are linked by tls:// or sctp+tls:// all, or none (RFC 5355 §2.15)"
            );
            return Err(StartError::Config(message.into()));
        }
        let links = self.settings.links();
        let mut asap_listeners = Vec::with_capacity(asap.len());
        for endpoint in &asap {
            asap_listeners.push(Listener::bind(endpoint, &links).await?);
        }
        let enrp_listener = match enrp.as_slice() {
            [] => None,
            [endpoint] => {
                let links = LinkConfig { protocol: Protocol::Enrp, ..links.clone() };
                Some(Listener::bind(endpoint, &links).await?)
            }
            _ => return Err(StartError::Config("a registrar has one ENRP endpoint: set `enrp` once".into())),
        };
        let asap_groups =
            self.settings.groups(Protocol::Asap, announced_port(self.settings.dialect, &asap_listeners))?;
        let enrp_groups = self.settings.groups(Protocol::Enrp, None)?;
        let advertise = |listener: &Listener| {
            let toward = Toward::first_of(&peers, &asap_groups);
            advertise::endpoint(listener.local_endpoint(), self.advertised, toward)
        };
        let defaults = RegistrarConfig::new(self.server_id.unwrap_or_else(random_server_id));
        let config = RegistrarConfig {
            dialect: self.settings.dialect,
            asap: asap_listeners.iter().map(advertise).collect::<Result<_, _>>()?,
            enrp: enrp_listener.as_ref().map(advertise).transpose()?,
            peers,
            discovers_peers: !self.settings.interfaces.is_empty(),
            timers: self.settings.timers(|profile| profile.registrar(self.settings.dialect)),
            limits: self.limits,
            authorization: self.authorization.unwrap_or_else(|| {
                if secured { Arc::new(AccessPolicy::default()) } else { Arc::new(AllowAll) }
            }),
            ..defaults
        };

        let machine = RegistrarMachine::new(config, rand::random(), crate::driver::now())
            .map_err(|error| StartError::config(&error))?;
        let (events, _) = broadcast::channel(events::BACKLOG);
        let (progress_sender, progress) = watch::channel(Progress::Initializing);
        let handler = Handler {
            events: events.clone(),
            progress: progress_sender,
            faulty: HashSet::new(),
            refused: HashSet::new(),
        };
        let local = |listener: &Listener| listener.local_endpoint().clone();
        let (asap, enrp) = (asap_listeners.iter().map(local).collect(), enrp_listener.as_ref().map(local));
        let asap_listeners = asap_listeners.into_iter().map(|listener| (Protocol::Asap, listener));
        let enrp_listener = enrp_listener.map(|listener| (Protocol::Enrp, listener));
        let inner = Inner {
            asap,
            enrp,
            driver: Driver::start(machine, links, handler, asap_listeners.chain(enrp_listener)),
            events,
            progress,
        };
        for group in asap_groups {
            inner.driver.join(Protocol::Asap, group);
        }
        for group in enrp_groups {
            inner.driver.join(Protocol::Enrp, group);
        }
        Ok(Registrar { inner: Arc::new(inner) })
    }
}

/// The port to announce from, where those who hear an announcement that lists no transports expect SCTP at its source.
fn announced_port(dialect: Dialect, listeners: &[Listener]) -> Option<u16> {
    let mut endpoints = listeners.iter().map(Listener::local_endpoint);
    let sctp = endpoints.find(|endpoint| matches!(endpoint.scheme(), Scheme::Sctp | Scheme::SctpTls));
    sctp.filter(|_| !dialect.announces_transports()).map(Endpoint::port)
}

/// A good random identifier that is not 0 (RFC 5353 §3.2.1).
fn random_server_id() -> ServerId {
    ServerId(rand::random_range(1..=u32::MAX))
}

/// Keeps the progress, logs, and passes events on.
struct Handler {
    events: broadcast::Sender<RegistrarEvent>,
    progress: watch::Sender<Progress>,
    /// Sources of faults that were warned of already.
    faulty: HashSet<Option<IpAddr>>,
    /// Sources that something was refused to, and why, which was told already.
    refused: HashSet<(Option<IpAddr>, Refusal)>,
}

/// Sources of faults to remember; afterwards they are warned of anew.
const FAULTY_SOURCES: usize = 4096;

impl Handler {
    /// Warns once per source, so that nobody can flood the log; the rest is for those who look closely.
    fn log_fault(&mut self, source: Option<SocketAddr>, fault: &Fault) {
        let address = source.as_ref().map(display);
        if self.faulty.len() >= FAULTY_SOURCES {
            self.faulty.clear();
        }
        if self.faulty.insert(source.map(|source| source.ip())) {
            warn!(source = address, %fault, "protocol fault; further ones of this source are logged at level debug");
        } else {
            debug!(source = address, %fault, "protocol fault");
        }
    }

    /// The same for what is turned down.
    fn log_refusal(&mut self, source: Option<SocketAddr>, identity: &PeerIdentity, reason: Refusal) {
        let address = source.as_ref().map(display);
        let identity = match identity {
            PeerIdentity::Authenticated(name) | PeerIdentity::Keyed(name) => Some(display(name)),
            _ => None,
        };
        if self.refused.len() >= FAULTY_SOURCES {
            self.refused.clear();
        }
        if self.refused.insert((source.map(|source| source.ip()), reason)) {
            warn!(source = address, identity, %reason, "refused; the same of this source is logged at level debug from now on");
        } else {
            debug!(source = address, identity, %reason, "refused");
        }
    }
}

impl EventHandler<RegistrarMachine> for Handler {
    fn handle(&mut self, _: &RegistrarMachine, event: RegistrarEvent) {
        match &event {
            RegistrarEvent::Ready => drop(self.progress.send(Progress::Ready)),
            RegistrarEvent::Drained { .. } => drop(self.progress.send(Progress::Drained)),
            _ => {}
        }
        match &event {
            RegistrarEvent::ProtocolFault { source, fault, .. } => self.log_fault(*source, fault),
            RegistrarEvent::Refused { source, identity, reason, .. } => {
                self.log_refusal(*source, identity, *reason);
            }
            other => log(other),
        }
        // Nobody listening is fine.
        let _ = self.events.send(event);
    }
}

/// What an operator wants to read, at the level of how much it matters.
fn log(event: &RegistrarEvent) {
    match event {
        RegistrarEvent::Ready => info!("ready: serving elements and users"),
        RegistrarEvent::ElementRegistered { pool_handle, identifier } => {
            debug!(pool = %pool_handle, element = %identifier, "element registered");
        }
        RegistrarEvent::ElementRemoved {
            pool_handle,
            identifier,
            reason: reason @ (RemovalReason::Deregistered | RemovalReason::Expired),
        } => debug!(pool = %pool_handle, element = %identifier, ?reason, "element removed"),
        RegistrarEvent::ElementRemoved { pool_handle, identifier, reason } => {
            info!(pool = %pool_handle, element = %identifier, ?reason, "element removed");
        }
        RegistrarEvent::PeerUp { server, endpoint } => {
            info!(peer = %server, endpoint = endpoint.as_ref().map(display), "peer up");
        }
        RegistrarEvent::PeerDown { server, reason } => warn!(peer = %server, ?reason, "peer down"),
        RegistrarEvent::TakeoverStarted { target } => info!(%target, "taking over"),
        RegistrarEvent::TakeoverCompleted { target, home, elements } => {
            info!(%target, %home, elements, "taken over");
        }
        RegistrarEvent::TakeoverAborted { target, reason } => info!(%target, ?reason, "not taking over"),
        RegistrarEvent::Resynchronized { server, received, removed } => {
            info!(peer = %server, received, removed, "resynchronized");
        }
        RegistrarEvent::Drained { left } => info!(left, "drained"),
        other => debug!(event = ?other, "registrar"),
    }
}
