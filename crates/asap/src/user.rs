//! The pool user (RFC 5352 §3.3, §3.5): resolves pool handles, keeps the answers, selects from them by the policy
//! of the pool, and reports elements that cannot be reached. Performs no I/O.
mod asked;
mod resolution;
mod subscription;
mod unreachable;

use std::collections::BTreeMap;
use std::time::Instant;

use rserpool_handlespace::UserPool;
use rserpool_machine::{Endpoint, Input, LinkId, LinkKind, Machine, Output, Timers};
use rserpool_wire::asap::{HandleResolution, Message};
use rserpool_wire::{EncodeError, OperationError, PeIdentifier, PoolElement, PoolHandle};

use crate::cache::{Cache, Cached};
use crate::channel::{Channel, ChannelConfig};
use crate::config::{AsapTimers, ConfigError, UserConfig};
use crate::events::UserEvent;
use crate::fault::Statistics;
use asked::{AskedPools, PoolId};
use unreachable::Unreachable;

/// Names a resolution of a [`UserMachine`]; never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(u64);

/// Which answer to a resolution will do (RFC 5352 §3.3, C1 to C4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Freshness {
    /// The cache's, unless it is stale: then one waits for the registrar's.
    #[default]
    CacheAllowed,
    /// The cache's, even if it is stale: then the registrar is asked in parallel.
    StaleAllowed,
    /// The registrar's.
    Fresh,
}

/// A pool user.
///
/// The machine looks for a home registrar as soon as it exists. Resolutions wait until there is one, and are sent
/// again to the next when it falls silent. What is resolved is kept in the cache, from which elements are selected.
///
/// ```
/// use std::time::Instant;
/// use rserpool_asap::{Freshness, UserConfig, UserMachine};
/// use rserpool_machine::{Machine, Output};
/// use rserpool_wire::PoolHandle;
///
/// let config = UserConfig { registrars: vec!["tcp://10.0.0.1:3863".parse()?], ..UserConfig::default() };
/// let (now, echo) = (Instant::now(), PoolHandle::from("echo"));
/// let mut machine = UserMachine::new(config, 42, now)?;
/// let _request = machine.resolve(now, &echo, None, Freshness::CacheAllowed);
/// assert!(matches!(machine.poll_output(), Some(Output::Connect { .. })));
/// // Once UserEvent::Resolved has come:
/// let element = machine.select(now, &echo, &[]);
/// # assert_eq!(element, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct UserMachine {
    channel: Channel<UserEvent>,
    timers: AsapTimers,
    items: Option<u32>,
    max_requests: usize,
    max_subscriptions: usize,
    cache: Cache,
    unreachable: Unreachable,
    asked: AskedPools,
    deadlines: Timers<Deadline>,
    /// Requests without an answer.
    requests: BTreeMap<RequestId, PoolId>,
    request_count: u64,
}

/// What is due some time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Deadline {
    /// T1 of the request for a pool.
    Request(PoolId),
    /// To ask again for a subscribed pool.
    Subscription(PoolId),
}

impl UserMachine {
    /// A machine that hunts for a home registrar from `now` on. The same seed and inputs give the same outputs.
    ///
    /// # Errors
    /// When `config` cannot work.
    pub fn new(config: UserConfig, seed: u64, now: Instant) -> Result<Self, ConfigError> {
        config.validate()?;
        let UserConfig {
            registrars,
            secured,
            timers,
            dialect,
            items,
            max_requests,
            max_cached_pools,
            max_subscriptions,
            max_announced,
        } = config;
        let channel = ChannelConfig { registrars, max_announced, secured, dialect, timers: &timers };
        Ok(Self {
            channel: Channel::new(channel, seed, now),
            items,
            max_requests,
            max_subscriptions,
            cache: Cache::new(max_cached_pools, timers.stale_cache),
            unreachable: Unreachable::new(timers.unreachable_interval, timers.unreachable_hold),
            asked: AskedPools::default(),
            deadlines: Timers::new(),
            requests: BTreeMap::new(),
            request_count: 0,
            timers,
        })
    }

    /// Resolves a pool handle: [`UserEvent::Resolved`] or [`UserEvent::ResolveFailed`] follows, at once where the
    /// cache will do, and after `(1 + max_request_retransmit) × request` at the latest.
    ///
    /// `items` is how many elements are wanted, where the registrar knows that option; `None` for the default of
    /// [`UserConfig::items`].
    pub fn resolve(
        &mut self,
        now: Instant,
        pool_handle: &PoolHandle<'_>,
        items: Option<u32>,
        freshness: Freshness,
    ) -> RequestId {
        let request = RequestId(self.request_count);
        self.request_count += 1;
        let items = items.or(self.items);
        let cached = self.cache.look_up(now, pool_handle, Some(items));
        let (answered, asking) = match (freshness, cached) {
            (Freshness::CacheAllowed | Freshness::StaleAllowed, Cached::Fresh) => (true, false),
            (Freshness::StaleAllowed, Cached::Stale) => (true, true),
            _ => (false, true),
        };
        if answered {
            let pool_handle = pool_handle.borrowed().into_owned();
            self.channel.out.event(UserEvent::Resolved { request, pool_handle });
        }
        if !asking {
            return request;
        }
        if answered {
            self.refresh(now, pool_handle, items);
        } else if let Err(error) = self.request(now, pool_handle, items, request) {
            let pool_handle = pool_handle.borrowed().into_owned();
            self.channel.out.event(UserEvent::ResolveFailed { request, pool_handle, error });
        }
        request
    }

    /// Wants no answer to a resolution any more.
    pub fn cancel(&mut self, request: RequestId) {
        if let Some(pool) = self.requests.remove(&request) {
            self.forget_request(pool, request);
        }
    }

    /// Selects the element to use next from the cache, by the policy of the pool (§6.5.2). `None` if the pool is
    /// not in the cache, or all its elements are `excluded`. Elements that were reported unreachable a short while
    /// ago are selected only if there is no other. A stale pool is asked for in parallel.
    pub fn select(
        &mut self,
        now: Instant,
        pool_handle: &PoolHandle<'_>,
        excluded: &[PeIdentifier],
    ) -> Option<PoolElement> {
        if self.cache.look_up(now, pool_handle, None) == Cached::Stale {
            self.refresh(now, pool_handle, self.items);
        }
        let pool = self.cache.pool_mut(pool_handle)?;
        let mut avoided = self.unreachable.held(now, pool_handle);
        if !avoided.is_empty() {
            avoided.extend_from_slice(excluded);
            if let Some(element) = pool.select(&mut self.channel.rng, &avoided) {
                return Some(element.clone());
            }
        }
        pool.select(&mut self.channel.rng, excluded).cloned()
    }

    /// All that the cache has of a pool, stale or not.
    #[must_use]
    pub fn cached(&self, pool_handle: &PoolHandle<'_>) -> Option<&UserPool> {
        self.cache.pool(pool_handle)
    }

    /// Drops a pool from the cache (§6.4).
    pub fn purge(&mut self, pool_handle: &PoolHandle<'_>) {
        self.cache.remove(pool_handle);
    }

    /// Reports an element that could not be reached, and drops it from the cache. To be called once for each event,
    /// and only if the application tried to send something to the element (§3.5). Reports on the same element are
    /// not sent more often than `unreachable_interval`; without a home registrar, they wait for one.
    pub fn report_unreachable(
        &mut self,
        now: Instant,
        pool_handle: &PoolHandle<'_>,
        identifier: PeIdentifier,
    ) {
        self.cache.remove_element(pool_handle, identifier);
        self.unreachable.report(now, pool_handle, identifier);
        self.send_reports();
    }

    /// Asks to be told of every change of a pool: [`UserEvent::PoolChanged`] follows for the state that it is in,
    /// and for each change. A registrar that does not tell is asked from time to time, and so is a pool that does
    /// not exist.
    ///
    /// # Errors
    /// When the handle is too long, or there are too many subscriptions.
    pub fn subscribe(&mut self, now: Instant, pool_handle: &PoolHandle<'_>) -> Result<(), SubscribeError> {
        self.start_subscription(now, pool_handle)
    }

    /// Wants to know no more of a pool. The registrar may go on to tell of it while the link lasts, as the RFC has
    /// no message for this; that is ignored.
    pub fn unsubscribe(&mut self, pool_handle: &PoolHandle<'_>) {
        self.end_subscription(pool_handle);
    }

    /// Whether there is a home registrar.
    #[must_use]
    pub fn has_home(&self) -> bool {
        self.channel.home().is_some()
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

    /// What went over the links.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.channel.out.statistics
    }

    fn handle_message(&mut self, now: Instant, link: LinkId, bytes: &[u8]) {
        if self.channel.home() != Some(link) {
            return;
        }
        let Some(message) = self.channel.decode(now, link, bytes) else { return };
        match message {
            Message::HandleResolutionResponse(response) => {
                self.channel.prove_home(None);
                self.resolution_response(now, response);
            }
            // KA1: a user has no pool that it could match.
            Message::EndpointKeepAlive(_) => {}
            other => self.channel.unexpected(now, link, &other),
        }
    }

    /// Whether the handle can be asked for at all.
    fn check(&mut self, pool_handle: &PoolHandle<'_>) -> Result<(), EncodeError> {
        let items = Some(HandleResolution::ALL_ITEMS);
        let message = HandleResolution { pool_handle: pool_handle.borrowed(), subscribe: false, items };
        self.channel.out.check(&message.into())
    }
}

impl Machine for UserMachine {
    type Event = UserEvent;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::LinkUp { link, kind: LinkKind::PointToPoint(_), .. } => {
                if self.channel.link_up(link, now) {
                    self.home_found(now);
                } else if !self.channel.is_closing(link) {
                    // Nobody has reason to connect to a user.
                    self.channel.refuse(link);
                }
            }
            Input::LinkUp { .. } => {}
            Input::LinkDown { link, reason } => {
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
        while let Some(deadline) = self.deadlines.pop(now) {
            match deadline {
                Deadline::Request(pool) => self.request_unanswered(now, pool),
                Deadline::Subscription(pool) => self.ask_for_subscription(now, pool),
            }
        }
    }

    fn poll_output(&mut self) -> Option<Output<UserEvent>> {
        self.channel.out.pop()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.channel.poll_timeout().into_iter().chain(self.deadlines.next()).min()
    }
}

/// Why a pool handle could not be resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The registrar knows no such pool: no element is registered in it.
    #[error("there is no such pool: no element is registered in it")]
    UnknownPool,
    /// No registrar could be reached in time.
    #[error("no registrar could be reached: check the configured registrars, and that one of them runs")]
    NoRegistrar,
    /// The registrars that were reached did not answer in time.
    #[error("no registrar answered in time")]
    TimedOut,
    /// The registrar refused.
    #[error("the registrar refused: {0}")]
    Rejected(OperationError<'static>),
    /// The handle does not fit a message.
    #[error("the pool handle does not fit a message: {0}")]
    TooLong(#[from] EncodeError),
    /// The limit of the configuration is reached.
    #[error("{limit} resolutions wait for an answer already: raise `max_requests`, or wait for some")]
    TooManyRequests {
        /// The limit.
        limit: usize,
    },
}

/// Why a pool was not subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The handle does not fit a message.
    #[error("the pool handle does not fit a message: {0}")]
    TooLong(#[from] EncodeError),
    /// The limit of the configuration is reached.
    #[error("there are {limit} subscriptions already: raise `max_subscriptions`, or end some")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}
