//! A pool user as a part of any client: resolves pool handles, picks elements by the pool's policy, and goes on to the next
//! one when an element fails (RFC 5352 §3.3, §3.5, §3.6).
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use rserpool_asap::{AsapTimers, Freshness, RequestId, ResolveError, UserConfig, UserEvent, UserMachine};
use rserpool_machine::{Endpoint, Protocol};
use rserpool_transport::{LinkConfig, Security};
use rserpool_wire::{Dialect, PoolHandle};
use tokio::sync::{broadcast, oneshot};
use tokio::time::timeout;
use tracing::debug;

use crate::driver::{Driver, EventHandler};
use crate::endpoints::Endpoints;
use crate::error::StartError;
use crate::events;
use crate::pool::Pool;
use crate::profile::TimerProfile;
use crate::settings::{Settings, client_settings, role_settings};

/// A pool user: one per program is enough, for any number of pools. Clones share it; it ends when the last one, and the last
/// [`Pool`] of it, is dropped.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use rserpool::PoolUser;
///
/// let user = PoolUser::builder().registrars(["tcp://10.0.0.1:3863"]).build().await?;
/// let stream = user.pool("echo").connect().await?; // a TcpStream to a live element
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PoolUser {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) driver: Driver<UserMachine>,
    requests: Requests,
    pub(crate) events: broadcast::Sender<UserEvent>,
    pub(crate) watches: crate::watch::Watches,
    pub(crate) profile: TimerProfile,
    pub(crate) dialect: Dialect,
    pub(crate) patience: Duration,
}

/// Callers that wait for the answer to a resolution.
type Requests = Arc<std::sync::Mutex<HashMap<RequestId, oneshot::Sender<Result<(), ResolveError>>>>>;

impl PoolUser {
    /// Describes a pool user.
    #[must_use]
    pub fn builder() -> PoolUserBuilder {
        PoolUserBuilder::default()
    }

    /// The pool of that handle. Nothing is asked yet.
    pub fn pool(&self, pool_handle: impl Into<PoolHandle<'static>>) -> Pool {
        Pool::new(self.clone(), pool_handle.into())
    }

    /// Asks for the pool, unless the cache may answer; afterwards the cache has it. The registrars' timers may outlast our patience.
    pub(crate) async fn resolve(
        &self,
        pool_handle: &PoolHandle<'_>,
        items: Option<u32>,
        freshness: Freshness,
    ) -> Result<(), ResolveError> {
        let (answer, answered) = oneshot::channel();
        // The request is known here before the machine's outputs are performed, so no answer can be missed.
        let request = self.inner.driver.command(|machine, now| {
            let request = machine.resolve(now, pool_handle, items, freshness);
            lock(&self.inner.requests).insert(request, answer);
            request
        });
        let mut waiting = Waiting { user: self, request: Some(request) };
        let Ok(answer) = timeout(self.inner.patience, answered).await else {
            let reached = self.inner.driver.inspect(UserMachine::has_home);
            return Err(if reached { ResolveError::TimedOut } else { ResolveError::NoRegistrar });
        };
        waiting.request = None;
        answer.unwrap_or(Err(ResolveError::NoRegistrar))
    }
}

/// Cancels the request of a caller that went away.
struct Waiting<'a> {
    user: &'a PoolUser,
    request: Option<RequestId>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(request) = self.request {
            lock(&self.user.inner.requests).remove(&request);
            self.user.inner.driver.command(|machine, _| machine.cancel(request));
        }
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl fmt::Debug for PoolUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolUser").field("profile", &self.inner.profile).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.driver.cancel();
    }
}

/// Describes a pool user; [`build`](Self::build) starts it.
#[derive(Debug, Default)]
pub struct PoolUserBuilder {
    registrars: Endpoints,
    settings: Settings<AsapTimers>,
}

impl PoolUserBuilder {
    client_settings!();

    role_settings!(AsapTimers);

    /// Starts the pool user; it looks for a registrar in the background. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// When a setting is wrong.
    pub async fn build(self) -> Result<PoolUser, StartError> {
        let registrars = self.registrars.get()?;
        if registrars.is_empty() && self.settings.interfaces.is_empty() {
            return Err(StartError::NoRegistrars);
        }
        let groups = self.settings.groups(Protocol::Asap, None)?;
        let config = UserConfig {
            secured: registrars.iter().any(|registrar| registrar.scheme().is_secured()),
            registrars,
            timers: self.settings.timers(TimerProfile::asap),
            dialect: self.settings.dialect,
            ..UserConfig::default()
        };
        let machine = UserMachine::new(config, rand::random(), crate::driver::now())
            .map_err(|error| StartError::config(&error))?;

        let requests = Requests::default();
        let (events, _) = broadcast::channel(events::BACKLOG);
        let handler = Handler { requests: Arc::clone(&requests), events: events.clone() };
        let driver = Driver::start(machine, self.settings.links(), handler, None);
        for group in groups {
            driver.join(Protocol::Asap, group);
        }
        let watches = crate::watch::Watches::default();
        let inner = Inner {
            driver,
            requests,
            events,
            watches,
            profile: self.settings.profile,
            dialect: self.settings.dialect,
            patience: self.settings.patience(),
        };
        Ok(PoolUser { inner: Arc::new(inner) })
    }
}

/// Wakes the callers that wait, and passes events on.
struct Handler {
    requests: Requests,
    events: broadcast::Sender<UserEvent>,
}

impl EventHandler<UserMachine> for Handler {
    fn handle(&mut self, _: &UserMachine, event: UserEvent) {
        let answer = match &event {
            UserEvent::Resolved { request, .. } => Some((*request, Ok(()))),
            UserEvent::ResolveFailed { request, error, .. } => Some((*request, Err(error.clone()))),
            other => {
                debug!(event = ?other, "pool user");
                None
            }
        };
        let waiting =
            answer.and_then(|(request, result)| Some((lock(&self.requests).remove(&request)?, result)));
        if let Some((waiting, result)) = waiting {
            // The caller may have gone away meanwhile.
            let _ = waiting.send(result);
        }
        let _ = self.events.send(event);
    }
}
