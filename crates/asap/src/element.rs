//! The pool element (RFC 5352 §3.1, §3.2, §3.4): keeps its registrations alive at a home registrar, whatever
//! happens to registrars and networks, until they are ended. Performs no I/O.
mod deregistration;
mod keep_alive;
mod registration;
mod roster;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use rserpool_machine::{Endpoint, Input, LinkId, LinkKind, Machine, Output, PeerIdentity, Protocol, Timers};
use rserpool_wire::asap::Message;
use rserpool_wire::{EncodeError, PeIdentifier, Policy, PoolHandle, RegistrationLife, ServerId, Transport};

use crate::channel::{Channel, ChannelConfig};
use crate::config::{AsapTimers, ConfigError, ElementConfig};
use crate::events::ElementEvent;
use crate::fault::{Fault, Statistics};
use registration::Registration;
use roster::Roster;

/// How many registrars may be connected to the element at once.
const MAX_INBOUND: usize = 64;

/// Names a registration of an [`ElementMachine`]; never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RegistrationId(u64);

/// What to register: one element in one pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ElementRegistration {
    /// The pool to join, or to create.
    pub pool_handle: PoolHandle<'static>,
    /// The element: a good random number, the same in every registration (R2.2).
    pub identifier: PeIdentifier,
    /// Where users reach the element; of the same kind in the whole pool (R2.4).
    pub user_transport: Transport,
    /// The policy of the pool, with this element's values (R2.5).
    pub policy: Policy,
    /// For how long the registration is valid without renewal; it is renewed in time (R2.3).
    pub life: RegistrationLife,
}

/// A pool element, or several of them on one host that share the link to their home registrar.
///
/// The machine looks for a home registrar as soon as it exists. What is registered stays registered: it is renewed,
/// registered again after its registrar died, expired or handed over, and nothing but a rejection or a
/// deregistration ends that.
///
/// ```
/// use std::time::Instant;
/// use rserpool_asap::{ElementConfig, ElementMachine, ElementRegistration};
/// use rserpool_machine::{Machine, Output};
/// use rserpool_wire::{PeIdentifier, Policy, PoolHandle, RegistrationLife, Transport};
///
/// let config = ElementConfig { registrars: vec!["tcp://10.0.0.1:3863".parse()?], ..ElementConfig::default() };
/// let now = Instant::now();
/// let mut machine = ElementMachine::new(config, 42, now)?;
/// let id = machine.register(now, ElementRegistration {
///     pool_handle: PoolHandle::from("echo"),
///     identifier: PeIdentifier(0x1234_5678),
///     user_transport: Transport::Tcp("10.0.0.7:7".parse()?),
///     policy: Policy::RoundRobin,
///     life: RegistrationLife::Infinite,
/// })?;
/// // The driver connects, then reports Input::LinkUp, upon which the registration goes out.
/// assert!(matches!(machine.poll_output(), Some(Output::Connect { .. })));
/// assert!(!machine.is_registered(id));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ElementMachine {
    channel: Channel<ElementEvent>,
    timers: AsapTimers,
    asap_transport: Option<Transport>,
    max_registrations: usize,
    registrar_names: Vec<Arc<str>>,
    keep_alives_per_second: u32,
    roster: Roster,
    /// One deadline per registration; its phase says what for.
    deadlines: Timers<RegistrationId>,
    /// Links that registrars opened.
    inbound: BTreeSet<LinkId>,
}

impl ElementMachine {
    /// A machine that hunts for a home registrar from `now` on. The same seed and inputs give the same outputs.
    ///
    /// # Errors
    /// When `config` cannot work.
    pub fn new(config: ElementConfig, seed: u64, now: Instant) -> Result<Self, ConfigError> {
        config.validate()?;
        let ElementConfig {
            registrars,
            asap_transport,
            secured,
            registrar_names,
            timers,
            dialect,
            keep_alives_per_second,
            max_registrations,
            max_announced,
        } = config;
        let channel = ChannelConfig { registrars, max_announced, secured, dialect, timers: &timers };
        Ok(Self {
            channel: Channel::new(channel, seed, now),
            timers,
            asap_transport,
            max_registrations,
            registrar_names,
            keep_alives_per_second,
            roster: Roster::default(),
            deadlines: Timers::new(),
            inbound: BTreeSet::new(),
        })
    }

    /// Registers an element, and keeps it registered. With the pool handle and identifier of a registration that is
    /// there already, changes that one, under the id that it has: its policy values, its life, or what a rejection
    /// found wrong.
    ///
    /// # Errors
    /// When the registration cannot be put into a message, its life is zero, or there are too many.
    /// Nothing is changed then.
    pub fn register(
        &mut self,
        now: Instant,
        registration: ElementRegistration,
    ) -> Result<RegistrationId, RegisterError> {
        if registration.life.duration().is_some_and(|life| life.is_zero()) {
            return Err(RegisterError::LifeIsZero);
        }
        let existing = self.roster.find(registration.pool_handle.as_bytes(), registration.identifier);
        if existing.is_none() && self.roster.len() >= self.max_registrations {
            return Err(RegisterError::TooMany { limit: self.max_registrations });
        }
        let registration = Registration::new(registration);
        self.channel.out.check(&registration.message(self.asap_transport.as_ref()))?;
        Ok(match existing {
            Some(id) => {
                self.correct(now, id, |existing| existing.values = registration.values);
                id
            }
            None => {
                let id = self.roster.insert(registration);
                self.send_registration(now, id);
                id
            }
        })
    }

    /// Changes the policy values of a registration, such as the load. Changes in quick succession are merged; a
    /// rejected registration is attempted again.
    ///
    /// # Errors
    /// When there is no such registration any more, or the policy does not fit into a message. Nothing is
    /// changed then.
    pub fn set_policy(
        &mut self,
        now: Instant,
        id: RegistrationId,
        policy: Policy,
    ) -> Result<(), SetPolicyError> {
        let existing = self.roster.active(id).ok_or(SetPolicyError::Unknown(id))?;
        if existing.values.policy == policy && !existing.is_rejected() {
            return Ok(());
        }
        let mut changed = Registration::new(existing.values.clone());
        changed.values.policy = policy;
        self.channel.out.check(&changed.message(self.asap_transport.as_ref()))?;
        self.correct(now, id, |existing| existing.values = changed.values);
        Ok(())
    }

    /// Says where users, and registrars, reach an element from now on: its host may have another address than before. Goes out
    /// with a registration at once if anything changed.
    ///
    /// # Errors
    /// When there is no such registration any more, or the transports do not fit into a message. Nothing is changed then.
    pub fn set_transports(
        &mut self,
        now: Instant,
        id: RegistrationId,
        user: Transport,
        asap: Option<Transport>,
    ) -> Result<(), SetPolicyError> {
        let existing = self.roster.active(id).ok_or(SetPolicyError::Unknown(id))?;
        if existing.values.user_transport == user && self.asap_transport == asap {
            return Ok(());
        }
        let mut changed = Registration::new(existing.values.clone());
        changed.values.user_transport = user;
        self.channel.out.check(&changed.message(asap.as_ref()))?;
        self.asap_transport = asap;
        self.correct(now, id, |existing| existing.values = changed.values);
        Ok(())
    }

    /// Ends a registration; [`ElementEvent::Deregistered`] follows, after two T3 at the latest. Without effect on
    /// one that has ended, or is about to.
    pub fn deregister(&mut self, now: Instant, id: RegistrationId) {
        self.start_deregistration(now, id);
    }

    /// Whether a registrar granted the registration and nothing is known to have ended that.
    #[must_use]
    pub fn is_registered(&self, id: RegistrationId) -> bool {
        self.roster.active(id).is_some_and(Registration::is_registered)
    }

    /// Whether there is a home registrar.
    #[must_use]
    pub fn has_home(&self) -> bool {
        self.channel.home().is_some()
    }

    /// The home registrar's identifier, once it has sent a keep-alive.
    #[must_use]
    pub fn home(&self) -> Option<ServerId> {
        self.channel.home_details().0
    }

    /// The registrars that are known: configured, added, and announced.
    pub fn registrars(&self) -> impl Iterator<Item = &Endpoint> + '_ {
        self.channel.registrars()
    }

    /// Adds a registrar to look for, for good.
    ///
    /// # Errors
    /// When the scope is secured and the registrar is not.
    pub fn add_registrar(&mut self, registrar: Endpoint) -> Result<(), ConfigError> {
        self.channel.add_registrar(registrar)
    }

    /// Says where registrars reach the element from now on; goes out with the next registrations.
    pub fn set_asap_transport(&mut self, transport: Option<Transport>) {
        self.asap_transport = transport;
    }

    /// What went over the links.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.channel.out.statistics
    }

    fn handle_message(&mut self, now: Instant, link: LinkId, bytes: &[u8]) {
        let home = self.channel.home() == Some(link);
        if !home && (self.channel.is_closing(link) || !self.inbound.contains(&link)) {
            return;
        }
        let Some(message) = self.channel.decode(now, link, bytes) else { return };
        match message {
            Message::EndpointKeepAlive(keep_alive) => self.keep_alive(now, link, &keep_alive),
            Message::RegistrationResponse(response) if home => {
                self.channel.prove_home(None);
                self.registration_response(now, response);
            }
            Message::DeregistrationResponse(response) if home => {
                self.channel.prove_home(None);
                self.deregistration_response(now, response);
            }
            other => self.channel.unexpected(now, link, &other),
        }
    }

    fn link_up(
        &mut self,
        now: Instant,
        link: LinkId,
        protocol: Protocol,
        kind: LinkKind,
        identity: PeerIdentity,
    ) {
        if kind == LinkKind::Multicast || self.channel.is_closing(link) {
            return;
        }
        if self.channel.link_up(link, now) {
            return self.home_found(now);
        }
        let authenticated = match &identity {
            PeerIdentity::Authenticated(name) => {
                self.registrar_names.is_empty() || self.registrar_names.contains(name)
            }
            // It has the key by which we prove who we are, as our registrars have. Which of them it is, is not known.
            PeerIdentity::Keyed(_) => self.registrar_names.is_empty(),
            _ => false,
        };
        if self.channel.is_secured() && !authenticated {
            self.channel.fault(now, link, Fault::Unauthenticated);
            self.channel.refuse(link);
        } else if protocol != Protocol::Asap || self.inbound.len() >= MAX_INBOUND {
            self.channel.refuse(link);
        } else {
            self.inbound.insert(link);
        }
    }
}

impl Machine for ElementMachine {
    type Event = ElementEvent;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::LinkUp { link, protocol, kind, identity, .. } => {
                self.link_up(now, link, protocol, kind, identity);
            }
            Input::LinkDown { link, reason } => {
                self.inbound.remove(&link);
                if self.channel.link_down(link, reason, now) {
                    self.home_lost();
                }
            }
            Input::Message { link, bytes } => self.handle_message(now, link, bytes),
            Input::Announcement { link, source, bytes } => {
                self.channel.announcement(now, link, source, bytes);
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.channel.handle_timeout(now);
        while let Some(id) = self.deadlines.pop(now) {
            self.handle_deadline(now, id);
        }
    }

    fn poll_output(&mut self) -> Option<Output<ElementEvent>> {
        self.channel.out.pop()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.channel.poll_timeout().into_iter().chain(self.deadlines.next()).min()
    }
}

/// Why a registration was not taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// It does not fit a message.
    #[error("the registration does not fit a message: {0}")]
    TooLong(#[from] EncodeError),
    /// It would be over before it began.
    #[error("a registration life must be above zero")]
    LifeIsZero,
    /// The limit of the configuration is reached.
    #[error("there are {limit} registrations already: raise `max_registrations`, or deregister some")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

/// Why a policy was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetPolicyError {
    /// There is no such registration, or it is being ended.
    #[error("{0:?} has ended")]
    Unknown(RegistrationId),
    /// The policy does not fit a message.
    #[error("the policy does not fit a message: {0}")]
    TooLong(#[from] EncodeError),
}
