//! A pool element as a part of any server: registered from the first success until it is dropped, through crashes of
//! registrars and cuts of the network (RFC 5352 §3.1 to §3.6).
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use rserpool_asap::{
    AsapTimers, ElementConfig, ElementEvent, ElementMachine, ElementRegistration, RegistrationId,
};
use rserpool_machine::{Endpoint, Protocol, Scheme};
use rserpool_transport::{LinkConfig, Listener, Security, TransportError};
use rserpool_wire::{
    Dialect, Load, OperationError, PeIdentifier, Policy, PoolHandle, RegistrationLife, ServerId, Transport,
};
use tokio::sync::{broadcast, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::advertise::{self, Listening, Toward};
use crate::driver::{Driver, EventHandler};
use crate::endpoints::Endpoints;
use crate::error::{RegisterError, StartError};
use crate::events;
use crate::profile::TimerProfile;
use crate::settings::{Settings, client_settings, role_settings};

/// How long a registration lives unless it is renewed: RFC 5352 leaves it to the element.
const DEFAULT_LIFE: Duration = Duration::from_secs(300);

/// A registered pool element. Clones share it; when the last one is dropped, the element is deregistered.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use rserpool::{Load, Policy, PoolElement};
///
/// let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await?;
/// let element = PoolElement::builder("echo")
///     .registrars(["tcp://10.0.0.1:3863", "tcp://10.0.0.2:3863"])
///     .policy(Policy::LeastUsed { load: Load::ZERO })
///     .transport(listener.local_addr()?)
///     .register()
///     .await?;
/// element.set_load(Load::from_fraction(0.4)); // re-registers with the new value
/// // … serve …
/// element.deregister().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PoolElement {
    inner: Arc<Inner>,
}

struct Inner {
    driver: Driver<ElementMachine>,
    registration: RegistrationId,
    pool_handle: PoolHandle<'static>,
    identifier: PeIdentifier,
    transport: Transport,
    policy: std::sync::Mutex<Policy>,
    events: broadcast::Sender<ElementEvent>,
    status: watch::Receiver<Status>,
    profile: TimerProfile,
    dialect: Dialect,
    patience: Duration,
}

/// Whether an element can be found by users now.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Status {
    /// It looks for a registrar, or waits for its answer.
    Registering,
    /// It is registered.
    Registered {
        /// The home, where the element knows its identifier.
        home: Option<ServerId>,
        /// Where the home is.
        endpoint: Option<Endpoint>,
    },
    /// The registrar rejected it. It stays so until the policy is changed.
    Rejected(OperationError<'static>),
    /// It was deregistered.
    Deregistered,
}

impl PoolElement {
    /// Describes an element of the pool `pool_handle`.
    pub fn builder(pool_handle: impl Into<PoolHandle<'static>>) -> PoolElementBuilder {
        PoolElementBuilder::new(pool_handle.into())
    }

    /// The pool.
    #[must_use]
    pub fn pool_handle(&self) -> &PoolHandle<'static> {
        &self.inner.pool_handle
    }

    /// The identifier within the pool.
    #[must_use]
    pub fn identifier(&self) -> PeIdentifier {
        self.inner.identifier
    }

    /// Where users were told to connect to at first. Where that followed from the address of the host, which may change, it may
    /// be another one now.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.inner.transport
    }

    pub(crate) fn profile(&self) -> TimerProfile {
        self.inner.profile
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.inner.dialect
    }

    /// Whether it is registered now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.inner.status.borrow().clone()
    }

    /// Waits until it is registered, or rejected, and returns which.
    pub async fn settled(&self) -> Status {
        self.inner.settled().await
    }

    /// What happens from now on. A subscriber that falls behind by 1,024 events misses the oldest ones.
    pub fn events(&self) -> impl Stream<Item = ElementEvent> + Send + Unpin + use<> {
        events::stream(&self.inner.events)
    }

    /// Tells the registrars a new load; without effect where the policy has none. Cheap: updates in quick succession go
    /// out as one.
    pub fn set_load(&self, load: Load) {
        let policy = self.inner.policy().clone().with_load(load);
        self.set_policy(policy);
    }

    /// Tells the registrars new policy values. The pool's type of policy cannot be changed by one of its elements: another
    /// type is rejected (see [`status`](Self::status)).
    pub fn set_policy(&self, policy: Policy) {
        *self.inner.policy() = policy.clone();
        let id = self.inner.registration;
        // An id that is unknown was deregistered: there is nothing to tell any more.
        let _ = self.inner.driver.command(|machine, now| machine.set_policy(now, id, policy));
    }

    /// Takes the element out of its pool and waits until a registrar confirms it, or cannot be asked.
    ///
    /// Users that resolved the pool before may still connect for a while (RFC 5352 §3.2). Dropping the future goes on with
    /// deregistering in the background.
    pub async fn deregister(self) {
        self.inner.deregister();
        self.inner.gone().await;
        self.inner.driver.stop().await;
    }

    /// Vanishes as in a crash, for tests of what happens then: links break, nothing is deregistered.
    pub fn abort(self) {
        self.inner.driver.cancel();
    }
}

impl fmt::Debug for PoolElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolElement")
            .field("pool_handle", &self.inner.pool_handle)
            .field("identifier", &self.inner.identifier)
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn policy(&self) -> std::sync::MutexGuard<'_, Policy> {
        self.policy.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn settled(&self) -> Status {
        let mut status = self.status.clone();
        match status.wait_for(|now| *now != Status::Registering).await {
            Ok(settled) => settled.clone(),
            Err(_) => Status::Deregistered,
        }
    }

    fn deregister(&self) {
        let id = self.registration;
        self.driver.command(|machine, now| machine.deregister(now, id));
    }

    /// Waits for the answer to a deregistration, within reason.
    async fn gone(&self) {
        let mut status = self.status.clone();
        let gone = status.wait_for(|now| *now == Status::Deregistered);
        if timeout(self.patience, gone).await.is_err() {
            warn!(pool = %self.pool_handle, element = %self.identifier, "no registrar confirmed the deregistration");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let driver = self.driver.clone();
        if *self.status.borrow() == Status::Deregistered || driver.cancellation().is_cancelled() {
            return driver.cancel();
        }
        self.deregister();
        let (mut status, patience) = (self.status.clone(), self.patience);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                let gone = status.wait_for(|now| *now == Status::Deregistered);
                // Whether it was confirmed or not: there is nobody left to tell.
                let _ = timeout(patience, gone).await;
                driver.cancel();
            })),
            // The runtime is gone, and the driver's tasks with it.
            Err(_) => driver.cancel(),
        }
    }
}

/// Describes a pool element; [`register`](Self::register) starts it.
#[derive(Debug)]
pub struct PoolElementBuilder {
    pool_handle: PoolHandle<'static>,
    registrars: Endpoints,
    identifier: Option<PeIdentifier>,
    policy: Policy,
    transport: Option<Transport>,
    life: RegistrationLife,
    listen: Option<Endpoints>,
    advertised: Option<IpAddr>,
    registrar_names: Vec<Arc<str>>,
    settings: Settings<AsapTimers>,
}

impl PoolElementBuilder {
    fn new(pool_handle: PoolHandle<'static>) -> Self {
        Self {
            pool_handle,
            registrars: Endpoints::default(),
            identifier: None,
            policy: Policy::RoundRobin,
            transport: None,
            life: RegistrationLife::Finite(DEFAULT_LIFE),
            listen: None,
            advertised: None,
            registrar_names: Vec::new(),
            settings: Settings::default(),
        }
    }

    client_settings!();

    role_settings!(AsapTimers);

    /// Who may take a secured element over: the names that registrars prove by certificate when they connect to it. Unless said otherwise
    /// whoever proves one, or knows the pre-shared key that the element registers by. That key is the same for all registrars and proves none
    /// of their names: an element that has one cannot have these.
    #[must_use]
    pub fn registrar_names<N: Into<Arc<str>>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.registrar_names.extend(names.into_iter().map(Into::into));
        self
    }

    /// The identifier; a random one unless said otherwise (RFC 5352 §3.1).
    #[must_use]
    pub fn identifier(mut self, identifier: PeIdentifier) -> Self {
        self.identifier = Some(identifier);
        self
    }

    /// The policy of the pool and this element's values; Round Robin unless said otherwise.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Where users reach the element: a socket address stands for TCP. Where the address is `0.0.0.0` or `[::]`, the one that
    /// the registrars are reached from is announced in its place.
    #[must_use]
    pub fn transport(mut self, transport: impl Into<Transport>) -> Self {
        self.transport = Some(transport.into());
        self
    }

    /// For how long a registration is valid unless it is renewed, which happens by itself; 5 minutes unless said otherwise.
    /// It bounds how long an element outlives the loss of every registrar that knows it.
    #[must_use]
    pub fn life(mut self, life: RegistrationLife) -> Self {
        self.life = life;
        self
    }

    /// Where registrars can reach the element after they took it over from a dead one; a free port on all addresses unless
    /// said otherwise.
    #[must_use]
    pub fn listen<E>(mut self, endpoint: E) -> Self
    where
        E: TryInto<Endpoint>,
        StartError: From<E::Error>,
    {
        self.listen.get_or_insert_default().add(endpoint);
        self
    }

    /// The address to announce in the place of `0.0.0.0` and `[::]`.
    #[must_use]
    pub fn advertise(mut self, address: IpAddr) -> Self {
        self.advertised = Some(address);
        self
    }

    /// Registers, and returns once a registrar has accepted. From then on the element stays registered by itself.
    ///
    /// # Errors
    /// When a setting is wrong, the registrar rejects the element, or none answers in time. Nothing is left running.
    pub async fn register(self) -> Result<PoolElement, RegisterError> {
        let element = self.start().await?;
        let waited = element.inner.patience;
        match timeout(waited, element.settled()).await {
            Ok(Status::Registered { .. }) => Ok(element),
            Ok(Status::Rejected(error)) => Err(RegisterError::Rejected {
                pool_handle: element.inner.pool_handle.clone(),
                identifier: element.inner.identifier,
                error,
            }),
            Ok(Status::Registering | Status::Deregistered) | Err(_) => {
                Err(RegisterError::NoRegistrar { waited })
            }
        }
    }

    /// Starts to register and returns at once: for servers that must come up whether registrars do or not.
    ///
    /// # Errors
    /// When a setting is wrong.
    pub async fn start(self) -> Result<PoolElement, StartError> {
        let registrars = self.registrars.get()?;
        if registrars.is_empty() && self.settings.interfaces.is_empty() {
            return Err(StartError::NoRegistrars);
        }
        let links = self.settings.links();
        if !self.registrar_names.is_empty() && links.security.as_ref().is_some_and(Security::connects_by_key)
        {
            return Err(StartError::NamelessRegistrars);
        }
        let groups = self.settings.groups(Protocol::Asap, None)?;
        let toward = Toward::first_of(&registrars, &groups);
        let transport = self.transport.ok_or(StartError::NoTransport)?;
        let scheme = registrars.first().map_or(announced_scheme(self.settings.dialect), Endpoint::scheme);
        let listener = listen(self.listen, scheme, toward, &links).await?;
        let asap = listener.as_ref().map(|listener| listener.local_endpoint().clone());
        let listening = Listening { transport, asap, chosen: self.advertised };
        let first = registrars.first().cloned();
        let (transport, asap) = listening.announced(toward)?;

        let config = ElementConfig {
            secured: registrars.iter().any(|registrar| registrar.scheme().is_secured()),
            registrars,
            asap_transport: asap,
            registrar_names: self.registrar_names,
            timers: self.settings.timers(TimerProfile::asap),
            dialect: self.settings.dialect,
            ..ElementConfig::default()
        };
        let now = crate::driver::now();
        let mut machine =
            ElementMachine::new(config, rand::random(), now).map_err(|error| StartError::config(&error))?;
        let identifier = self.identifier.unwrap_or_else(|| PeIdentifier(rand::random_range(1..=u32::MAX)));
        let registration = machine
            .register(
                now,
                ElementRegistration {
                    pool_handle: self.pool_handle.clone(),
                    identifier,
                    user_transport: transport.clone(),
                    policy: self.policy.clone(),
                    life: self.life,
                },
            )
            .map_err(|error| StartError::config(&error))?;

        let (events, _) = broadcast::channel(events::BACKLOG);
        let (status_sender, status) = watch::channel(Status::Registering);
        let handler = Handler {
            pool_handle: self.pool_handle.clone(),
            identifier,
            events: events.clone(),
            status: status_sender,
        };
        let listener = listener.map(|listener| (Protocol::Asap, listener));
        let driver = Driver::start(machine, links, handler, listener);
        for group in groups {
            driver.join(Protocol::Asap, group);
        }
        tokio::spawn(follow_addresses(driver.clone(), registration, listening, first, events.subscribe()));
        Ok(PoolElement {
            inner: Arc::new(Inner {
                driver,
                registration,
                pool_handle: self.pool_handle,
                identifier,
                transport,
                policy: std::sync::Mutex::new(self.policy),
                events,
                status,
                profile: self.settings.profile,
                dialect: self.settings.dialect,
                patience: self.settings.patience(),
            }),
        })
    }
}

/// How registrars are reached that are not known yet: by SCTP where announcements list no transports (RFC 5352 §3.6).
const fn announced_scheme(dialect: Dialect) -> Scheme {
    if dialect.announces_transports() { Scheme::Tcp } else { Scheme::Sctp }
}

/// Listens for registrars: where the user says, otherwise on a free port of the transport that the registrars are reached by.
/// An element of a secured scope shows its certificate there, or lets in those who know the pre-shared key that it registers by.
/// `None` for one that has neither: when its registrar dies, it registers elsewhere by itself.
async fn listen(
    chosen: Option<Endpoints>,
    scheme: Scheme,
    toward: Toward<'_>,
    links: &LinkConfig,
) -> Result<Option<Listener>, StartError> {
    let links = &LinkConfig { called_back: true, ..links.clone() };
    if let Some(endpoint) =
        chosen.map(Endpoints::get).transpose()?.and_then(|chosen| chosen.into_iter().next())
    {
        return Ok(Some(Listener::bind(&endpoint, links).await?));
    }
    let everywhere = Endpoint::new(scheme, (advertise::everywhere(toward), 0).into());
    match Listener::bind(&everywhere, links).await {
        Ok(listener) => Ok(Some(listener)),
        Err(TransportError::SecurityMissing { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Announces the address that the host has now, whenever a registrar is found: it may be another one than before.
async fn follow_addresses(
    driver: Driver<ElementMachine>,
    registration: RegistrationId,
    listening: Listening,
    first: Option<Endpoint>,
    mut events: broadcast::Receiver<ElementEvent>,
) {
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = driver.cancellation().cancelled() => return,
        };
        let endpoint = match event {
            Ok(ElementEvent::HomeFound { endpoint }) => endpoint,
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => continue,
            Err(broadcast::error::RecvError::Closed) => return,
        };
        // Toward the same registrar as at first, as long as there is a way to it: a host may have several addresses.
        let toward = |endpoint| listening.announced(Toward::Endpoint(endpoint));
        match first
            .as_ref()
            .map_or_else(|| toward(&endpoint), |first| toward(first).or_else(|_| toward(&endpoint)))
        {
            // A registration that has ended needs no address.
            Ok((user, asap)) => {
                let _ = driver.command(|machine, now| machine.set_transports(now, registration, user, asap));
            }
            Err(error) => warn!(%error, "still announcing the address from before"),
        }
    }
}

/// Keeps the status, logs, and passes events on.
struct Handler {
    pool_handle: PoolHandle<'static>,
    identifier: PeIdentifier,
    events: broadcast::Sender<ElementEvent>,
    status: watch::Sender<Status>,
}

impl EventHandler<ElementMachine> for Handler {
    fn handle(&mut self, _: &ElementMachine, event: ElementEvent) {
        let (pool, element) = (&self.pool_handle, self.identifier);
        let status = match &event {
            ElementEvent::Registered { home, endpoint, .. } => {
                info!(%pool, %element, home = home.map(tracing::field::display), "registered");
                Some(Status::Registered { home: *home, endpoint: endpoint.clone() })
            }
            ElementEvent::Rejected { error, will_retry: false, .. } => {
                warn!(%pool, %element, %error, "registration rejected");
                Some(Status::Rejected(error.clone()))
            }
            ElementEvent::Deregistered { .. } => Some(Status::Deregistered),
            // Without a registration there is nothing to be lost.
            ElementEvent::HomeLost { .. } if *self.status.borrow() == Status::Deregistered => None,
            ElementEvent::HomeLost { reason, .. } => {
                info!(%pool, %element, %reason, "home registrar lost; looking for another");
                Some(Status::Registering)
            }
            ElementEvent::HomeAdopted { server, .. } => {
                info!(%pool, %element, home = %server, "taken over by another registrar");
                Some(Status::Registered { home: Some(*server), endpoint: None })
            }
            other => {
                tracing::debug!(%pool, %element, event = ?other, "pool element");
                None
            }
        };
        if let Some(status) = status {
            self.status.send_replace(status);
        }
        // Nobody listening is fine.
        let _ = self.events.send(event);
    }
}
