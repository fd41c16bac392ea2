//! One pool as its users see it: a name behind which there is always a live element.
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rserpool_asap::{Freshness, ResolveError};
use rserpool_transport::TlsStream;
use rserpool_wire::{Dialect, PeIdentifier, PoolElement, PoolHandle, Transport};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use crate::error::ConnectError;
use crate::profile::TimerProfile;
use crate::session::{Connection, ServiceSecurity, Session, is_unreachable};
use crate::user::PoolUser;
use crate::watch::PoolWatch;

/// A pool, by its handle. Cheap to clone; holds its [`PoolUser`] alive.
#[derive(Clone)]
pub struct Pool {
    user: PoolUser,
    handle: PoolHandle<'static>,
    /// Whether an element was ever found.
    seen: Arc<AtomicBool>,
}

impl Pool {
    pub(crate) fn new(user: PoolUser, handle: PoolHandle<'static>) -> Self {
        Self { user, handle, seen: Arc::default() }
    }

    /// The pool handle.
    #[must_use]
    pub const fn handle(&self) -> &PoolHandle<'static> {
        &self.handle
    }

    pub(crate) const fn user(&self) -> &PoolUser {
        &self.user
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.user.inner.dialect
    }

    pub(crate) fn target(&self, element: PoolElement) -> Target {
        Target { pool: self.clone(), element }
    }

    pub(crate) fn profile(&self) -> TimerProfile {
        self.user.inner.profile
    }

    /// Asks a registrar for the elements of the pool now, at most `items` of them, in the order in which to use them.
    ///
    /// # Errors
    /// When the pool is unknown, or no registrar answers.
    pub async fn resolve(&self, items: Option<u32>) -> Result<Vec<PoolElement>, ResolveError> {
        self.user.resolve(&self.handle, items, Freshness::Fresh).await?;
        let cached = self
            .user
            .inner
            .driver
            .inspect(|machine| machine.cached(&self.handle).map(|pool| pool.elements().to_vec()));
        Ok(cached.unwrap_or_default())
    }

    /// Picks an element by the pool's policy, from the cache while it is fresh. Nothing is connected to.
    ///
    /// # Errors
    /// When the pool is unknown, or no registrar answers.
    pub async fn pick(&self) -> Result<Target, ResolveError> {
        self.pick_but(&[]).await
    }

    /// The same, with elements that are out of the question; as a last resort they are taken all the same.
    pub(crate) async fn pick_but(&self, excluded: &[PeIdentifier]) -> Result<Target, ResolveError> {
        self.user.resolve(&self.handle, None, Freshness::CacheAllowed).await?;
        if let Some(target) = self.select(excluded) {
            return Ok(target);
        }
        self.user.resolve(&self.handle, None, Freshness::Fresh).await?;
        self.select(excluded).or_else(|| self.select(&[])).ok_or(ResolveError::UnknownPool)
    }

    fn was_seen(&self) -> bool {
        self.seen.load(Ordering::Relaxed)
    }

    fn select(&self, excluded: &[PeIdentifier]) -> Option<Target> {
        let driver = &self.user.inner.driver;
        let element = driver.command(|machine, now| machine.select(now, &self.handle, excluded))?;
        self.seen.store(true, Ordering::Relaxed);
        Some(self.target(element))
    }

    /// Connects to an element over TCP: the pool's policy says to which, and when it is not reachable the next one is tried,
    /// until one is or the patience of the pool user is at its end. Elements that are not reachable are reported.
    ///
    /// # Errors
    /// When the pool is unknown, no registrar answers, or no element is reachable in time.
    pub async fn connect(&self) -> Result<TcpStream, ConnectError> {
        self.connect_target().await.map(|(stream, _)| stream)
    }

    /// The same, and which element it is.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_target(&self) -> Result<(TcpStream, Target), ConnectError> {
        self.reach(&[], |target| async move { target.connect().await }).await
    }

    /// Connects to an element over the transport that it serves, TCP or SCTP, otherwise as [`connect`](Self::connect).
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn open(&self) -> Result<(Connection, Target), ConnectError> {
        self.reach(&[], |target| async move { target.open().await }).await
    }

    /// Connects to an element over TLS, otherwise as [`connect`](Self::connect). An element that does not prove itself as `security` says is
    /// passed over, and not reported.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_secured(
        &self,
        security: &ServiceSecurity,
    ) -> Result<(TlsStream, Target), ConnectError> {
        self.reach(&[], |target| async move { target.connect_secured(security).await }).await
    }

    /// Picks elements until `connect` succeeds with one; those in `avoided` are tried last.
    pub(crate) async fn reach<C, F: Future<Output = io::Result<C>>>(
        &self,
        avoided: &[PeIdentifier],
        connect: impl Fn(Target) -> F,
    ) -> Result<(C, Target), ConnectError> {
        let (started, patience) = (Instant::now(), self.user.inner.patience);
        let mut failed = avoided.to_vec();
        loop {
            let target = match self.pick_but(&failed).await {
                Ok(target) => target,
                // A pool that fails over may be empty, and so unknown, for a moment; one that was never there is a mistake.
                Err(ResolveError::UnknownPool) if self.was_seen() && started.elapsed() < patience => {
                    sleep(self.profile().retry_pause()).await;
                    continue;
                }
                Err(source) => {
                    return Err(ConnectError::Resolve { pool_handle: self.handle.clone(), source });
                }
            };
            match connect(target.clone()).await {
                Ok(connection) => return Ok((connection, target)),
                Err(error) => {
                    debug!(pool = %self.handle, element = %target.identifier(), %error, "element not reachable");
                    if is_unreachable(&error) {
                        target.report_unreachable();
                    }
                    if failed.contains(&target.identifier()) {
                        // Everybody was tried: give them a moment before starting over.
                        failed.clear();
                        sleep(self.profile().retry_pause()).await;
                    }
                    failed.push(target.identifier());
                    if started.elapsed() >= patience {
                        let (pool_handle, waited) = (self.handle.clone(), started.elapsed());
                        let element = target.identifier();
                        return Err(ConnectError::Unreachable {
                            pool_handle,
                            waited,
                            element,
                            source: error,
                        });
                    }
                }
            }
        }
    }

    /// Opens a session: framed messages to an element, with state cookies and fail-over (see [`Session`]).
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn session(&self) -> Result<Session, ConnectError> {
        Session::open(self.clone()).await
    }

    /// Opens a session over TLS, with elements only that prove themselves as `security` says. Over TCP, not SCTP.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn session_secured(&self, security: &ServiceSecurity) -> Result<Session, ConnectError> {
        let security = security.clone();
        let connect = move |target: Target| {
            let security = security.clone();
            async move { target.connect_secured(&security).await.map(Connection::from) }
        };
        self.session_by(connect).await
    }

    /// Opens a session over connections that `connect` makes, and secures by its own means (see [`Connection::secured`]; for TLS there
    /// is [`session_secured`](Self::session_secured)). On fail-over the session goes on with elements only that are as secure as the first one was.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn session_by<F, C>(&self, connect: F) -> Result<Session, ConnectError>
    where
        F: Fn(Target) -> C + Send + Sync + 'static,
        C: Future<Output = io::Result<Connection>> + Send + 'static,
    {
        Session::open_by(self.clone(), connect).await
    }

    /// Watches the pool: the elements now, and again after every change, across changes of registrar.
    #[must_use]
    pub fn watch(&self) -> PoolWatch {
        PoolWatch::new(self.clone())
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool(\"{}\")", self.handle)
    }
}

/// An element that was picked.
#[derive(Clone, Debug)]
pub struct Target {
    pool: Pool,
    element: PoolElement,
}

impl Target {
    /// What the registrar knows of the element.
    #[must_use]
    pub const fn element(&self) -> &PoolElement {
        &self.element
    }

    /// The identifier of the element.
    #[must_use]
    pub const fn identifier(&self) -> PeIdentifier {
        self.element.identifier
    }

    /// How to reach the element.
    #[must_use]
    pub const fn transport(&self) -> &Transport {
        &self.element.user_transport
    }

    pub(crate) const fn pool_handle(&self) -> &PoolHandle<'static> {
        self.pool.handle()
    }

    pub(crate) fn profile(&self) -> TimerProfile {
        self.pool.profile()
    }

    /// The first address of the element; `None` for an opaque transport.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.element.user_transport.socket_address()
    }

    /// Tells the registrar that the element is not reachable, so that it checks (RFC 5352 §3.5), and does not pick it again
    /// for a while.
    pub fn report_unreachable(&self) {
        let driver = &self.pool.user().inner.driver;
        driver.command(|machine, now| {
            machine.report_unreachable(now, &self.pool.handle, self.element.identifier)
        });
    }

    /// Connects to the element over the transport that it serves: TCP or SCTP.
    ///
    /// # Errors
    /// When it serves neither, or cannot be reached within the time that the timer profile allows.
    pub async fn open(&self) -> io::Result<Connection> {
        match &self.element.user_transport {
            #[cfg(target_os = "linux")]
            transport @ Transport::Sctp { .. } => {
                let addresses: Vec<_> = transport.socket_addresses().collect();
                let settings = self.pool.profile().sctp_socket();
                let connecting = rserpool_sctp::SctpStream::connect(&addresses, &settings);
                let limit = self.pool.profile().connect_timeout();
                let connected = timeout(limit, connecting).await.map_err(|_| io::ErrorKind::TimedOut)?;
                connected.map(Connection::from).map_err(io::Error::other)
            }
            _ => self.connect().await.map(Connection::Tcp),
        }
    }

    /// Connects to the element over TLS; it has to prove itself as `security` says.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and when it does not prove itself: then of the kind [`io::ErrorKind::PermissionDenied`].
    pub async fn connect_secured(&self, security: &ServiceSecurity) -> io::Result<TlsStream> {
        security.connect(self).await
    }

    /// Connects to the element over TCP. The connection breaks, with an error for whoever reads or writes, when the host is gone;
    /// how soon that is noticed depends on the timer profile.
    ///
    /// # Errors
    /// When it does not serve TCP, or cannot be reached within the time that the timer profile allows.
    pub async fn connect(&self) -> io::Result<TcpStream> {
        let Transport::Tcp(address) = self.element.user_transport else {
            let message = format!("the element serves {}, not TCP", self.element.user_transport);
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        };
        let limit: Duration = self.pool.profile().connect_timeout();
        let stream = timeout(limit, TcpStream::connect(address)).await.map_err(|_| {
            io::Error::new(io::ErrorKind::TimedOut, format!("{address} did not answer within {limit:?}"))
        })??;
        self.pool.profile().tune(&stream)?;
        Ok(stream)
    }
}
