//! Links over TLS: `tls://` and `sctp+tls://` endpoints, secured by certificates or by pre-shared keys (RFC 5352 §9, RFC 5353 §6, RFC 5355).
//!
//! Two libraries do the work, for none does all of it: rustls has no pre-shared keys, so these are for s2n-tls. Both are
//! driven without I/O (`engine`), by the tasks that read and write anyway (`stream`).
mod alert;
mod carrier;
mod certificate;
mod connection;
mod engine;
mod error;
mod file;
mod gate;
mod handshake;
pub(crate) mod hello;
#[cfg(feature = "psk")]
mod key;
mod settings;
mod stream;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rserpool_machine::{Endpoint, PeerIdentity};
use tokio::time::timeout;

use carrier::Carrier;
pub use certificate::{TlsIdentity, TlsRoots};
pub use connection::{TlsListener, TlsStream};
pub use error::{HandshakeError, SecurityError};
pub(crate) use gate::Gate;
#[cfg(feature = "psk")]
pub use key::{PreSharedKey, PskStore, PskTable};
use settings::{Client, Ready};
pub use settings::{ClientCertificates, ClientSecurity, SecurityConfig, ServerCertificate, ServerSecurity};
pub(crate) use stream::Stream;

use crate::config::LinkConfig;
use crate::connection::{Addresses, Connection};
use crate::error::TransportError;

/// Keys and certificates of `tls://` and `sctp+tls://` links, for [`LinkConfig::security`]. Clones share them.
///
/// ```no_run
/// # use rserpool_transport::{
/// #     ClientCertificates, LinkConfig, Security, SecurityConfig, ServerCertificate, ServerSecurity, TlsIdentity, TlsRoots,
/// # };
/// # #[allow(clippy::needless_update)]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let settings = || -> Result<SecurityConfig, Box<dyn std::error::Error>> {
///     let identity = TlsIdentity::read("cert.pem", "key.pem")?;
///     let clients = ClientCertificates::Optional(TlsRoots::read("ca.pem")?);
///     let certificate = Some(ServerCertificate::Identity { identity, clients });
///     let server = Some(ServerSecurity { certificate, ..ServerSecurity::default() });
///     Ok(SecurityConfig { server, client: None })
/// };
/// let security = Security::new(settings()?)?;
/// let config = LinkConfig { security: Some(security.clone()), ..LinkConfig::default() };
/// // `config` is for `Listener::bind`. Once the files have changed:
/// security.reload(settings()?)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Security(Arc<RwLock<Arc<Ready>>>);

impl Security {
    /// Checks the settings and makes them ready for use.
    ///
    /// # Errors
    /// When a certificate does not fit its key, or a server has neither a certificate nor pre-shared keys.
    pub fn new(config: SecurityConfig) -> Result<Self, SecurityError> {
        Ok(Self(Arc::new(RwLock::new(Arc::new(Ready::new(config)?)))))
    }

    /// Uses these settings from now on. Links that are up, and handshakes in progress, go on with the old ones; sessions that
    /// began under the old ones are not resumed.
    ///
    /// # Errors
    /// As [`new`](Self::new). The old settings stay in use.
    pub fn reload(&self, config: SecurityConfig) -> Result<(), SecurityError> {
        let ready = Arc::new(Ready::new(config)?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = ready;
        Ok(())
    }

    /// Whether links are opened by a pre-shared key, so that those who are connected to call back by it. That proves no name.
    #[must_use]
    pub fn connects_by_key(&self) -> bool {
        self.ready().is_called_back()
    }

    fn ready(&self) -> Arc<Ready> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl PartialEq for Security {
    /// Whether both are clones of one another.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Security {}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ready = self.ready();
        let (client, server) = (ready.client.is_some(), ready.server.is_some());
        write!(f, "Security(as {:?}, client: {client}, server: {server})", ready.own)
    }
}

/// The settings for accepting on `endpoint`.
fn of_server(endpoint: &Endpoint, config: &LinkConfig) -> Result<Security, TransportError> {
    let security = config.security.as_ref().ok_or_else(|| missing(endpoint, "LinkConfig::security"))?;
    let ready = security.ready();
    let server = ready.server.is_some() || (config.called_back && ready.is_called_back());
    server.then(|| security.clone()).ok_or_else(|| missing(endpoint, "SecurityConfig::server"))
}

/// The settings for connecting to `endpoint`.
pub(crate) fn of_client(endpoint: &Endpoint, config: &LinkConfig) -> Result<Arc<Client>, TransportError> {
    let security = config.security.as_ref().ok_or_else(|| missing(endpoint, "LinkConfig::security"))?;
    security.ready().client.clone().ok_or_else(|| missing(endpoint, "SecurityConfig::client"))
}

/// The settings for connecting to a client of ours with this identity, by its key; `None` without one.
#[cfg(feature = "psk")]
pub(crate) fn of_caller(identity: &str, config: &LinkConfig) -> Option<Client> {
    config.security.as_ref()?.ready().caller(identity)
}

/// A connection on which the handshake has succeeded.
pub(crate) struct Shaken {
    pub(crate) stream: Stream,
    pub(crate) addresses: Addresses,
    pub(crate) identity: PeerIdentity,
}

/// Takes the client's part on a connection; `remote` has to prove that it is its host.
pub(crate) async fn connect(
    connection: Connection,
    remote: &Endpoint,
    client: &Client,
    config: &LinkConfig,
) -> Result<Shaken, TransportError> {
    let Connection { medium, addresses } = connection;
    let carrier = Carrier::from(medium);
    let (engine, identity) = in_time(handshake::connect(&carrier, remote, client), config)
        .await
        .map_err(|source| TransportError::Handshake { endpoint: remote.clone(), source })?;
    Ok(Shaken { stream: Stream::new(carrier, engine), addresses, identity })
}

/// Takes the server's part on a connection.
async fn accept(
    connection: Connection,
    security: &Security,
    config: &LinkConfig,
) -> Result<Shaken, HandshakeError> {
    let ready = security.ready();
    let Connection { medium, addresses } = connection;
    let carrier = Carrier::from(medium);
    let (engine, identity) = in_time(handshake::accept(&carrier, &ready, config.called_back), config).await?;
    Ok(Shaken { stream: Stream::new(carrier, engine), addresses, identity })
}

async fn in_time<T>(
    handshake: impl Future<Output = Result<T, HandshakeError>>,
    config: &LinkConfig,
) -> Result<T, HandshakeError> {
    let patience = config.handshake_timeout;
    timeout(patience, handshake).await.unwrap_or(Err(HandshakeError::Timeout { after: patience }))
}

fn missing(endpoint: &Endpoint, option: &'static str) -> TransportError {
    TransportError::SecurityMissing { endpoint: endpoint.clone(), option }
}
