//! Connections that are secured, by TLS or by the application's own means, and how secure one is (RFC 5355 §2.9).
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use rserpool_machine::{Endpoint, Host, PeerIdentity, Scheme};
use rserpool_transport::{HandshakeError, LinkConfig, Security, TlsStream, TransportError};
use tokio::io::{AsyncRead, AsyncWrite};

use super::stream::Connection;
use crate::pool::Target;

/// Anything that bytes go over in both directions.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How a pool user secures what it says to the elements of a pool: by TLS, with keys and certificates as those of links.
///
/// A certificate of an element has to be for the pool handle, or for the [`name`](Self::name) that is given here: a name that all
/// elements of the pool have, and nobody else. So it does not matter what a registrar says about who is in the pool and where. With a
/// pre-shared key, an element proves that it knows the key.
///
/// ```no_run
/// # async fn run(user: rserpool::PoolUser) -> Result<(), Box<dyn std::error::Error>> {
/// use rserpool::transport::{ClientSecurity, Security, SecurityConfig, TlsRoots};
/// use rserpool::ServiceSecurity;
///
/// let roots = TlsRoots::read("ca.pem")?;
/// let client = Some(ClientSecurity::Certificate { roots, identity: None });
/// let security = ServiceSecurity::new(Security::new(SecurityConfig { client, server: None })?);
///
/// let pool = user.pool("echo");
/// let mut session = pool.session_secured(&security).await?; // fails over to elements only that prove themselves too
/// println!("with {:?}", session.security());
/// session.send(b"for nobody else to read").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceSecurity {
    security: Security,
    name: Option<Box<str>>,
}

impl ServiceSecurity {
    /// These keys and certificates, those of the client's side.
    #[must_use]
    pub const fn new(security: Security) -> Self {
        Self { security, name: None }
    }

    /// What certificates of elements have to be for: a DNS name or an IP address. The pool handle unless said otherwise.
    #[must_use]
    pub fn name(mut self, name: impl Into<Box<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Connects to an element, which has to prove itself.
    pub(crate) async fn connect(&self, target: &Target) -> io::Result<TlsStream> {
        let socket = target.connect().await?;
        let name = self.name.clone().unwrap_or_else(|| target.pool_handle().to_string().into());
        let host = name.parse().map_or(Host::Name(name), Host::Address);
        let server = Endpoint::of_host(Scheme::Tls, host, socket.peer_addr()?.port());
        let profile = target.profile();
        let links = LinkConfig {
            security: Some(self.security.clone()),
            handshake_timeout: profile.handshake_timeout(),
            ..profile.links()
        };
        TlsStream::connect(socket, &server, &links).await.map_err(|error| {
            let kind = match &error {
                TransportError::Handshake { source, .. } if is_down(source) => io::ErrorKind::NotConnected,
                _ => io::ErrorKind::PermissionDenied,
            };
            io::Error::new(kind, error)
        })
    }
}

/// Whether a handshake failed as it does with an element that is down, and not for what it proved or did not.
const fn is_down(error: &HandshakeError) -> bool {
    matches!(error, HandshakeError::Timeout { .. } | HandshakeError::Closed | HandshakeError::Broken(_))
}

/// Whether an element that failed in this way is to be reported as unreachable. One that is there, but does not prove what we want, or
/// does not want us, is none of the registrar's business: the mistake may be ours, and others are served.
pub(crate) fn is_unreachable(error: &io::Error) -> bool {
    let refused = || error.get_ref().is_some_and(|source| source.is::<HandshakeError>());
    error.kind() != io::ErrorKind::PermissionDenied && !refused()
}

/// A connection that its maker has secured, by other means than ours.
pub struct Secured {
    pub(super) stream: Box<dyn Stream>,
    pub(super) peer: SocketAddr,
    pub(super) identity: PeerIdentity,
}

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secured")
            .field("peer", &self.peer)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl From<TlsStream> for Secured {
    fn from(stream: TlsStream) -> Self {
        let (peer, identity) = (stream.peer(), stream.identity().clone());
        Self { stream: Box::new(stream), peer, identity }
    }
}

impl Connection {
    /// A connection that the application has secured: `identity` is what it verified of the other end, which is at `peer`. Data and
    /// control channel share it (RFC 5355 §2.16).
    pub fn secured(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        peer: SocketAddr,
        identity: PeerIdentity,
    ) -> Self {
        Self::Secured(Secured { stream: Box::new(stream), peer, identity })
    }

    /// What is known for sure of the other end.
    #[must_use]
    pub const fn security(&self) -> &PeerIdentity {
        match self {
            Self::Tls(stream) => stream.identity(),
            Self::Secured(secured) => &secured.identity,
            _ => &PeerIdentity::Anonymous,
        }
    }
}

/// Whether a session on `before` may go on with `after`: encryption and the proof of an identity are not given up, whoever it is that
/// is proved to be there.
pub(super) const fn is_as_secure(after: &PeerIdentity, before: &PeerIdentity) -> bool {
    rank(after) >= rank(before)
}

const fn rank(identity: &PeerIdentity) -> u8 {
    match identity {
        PeerIdentity::Authenticated(_) | PeerIdentity::Keyed(_) => 2,
        PeerIdentity::Encrypted => 1,
        _ => 0,
    }
}

type Connecting = Pin<Box<dyn Future<Output = io::Result<Connection>> + Send>>;

/// How a session connects to an element.
#[derive(Clone)]
pub(super) struct Connector(Arc<dyn Fn(Target) -> Connecting + Send + Sync>);

impl Connector {
    pub(super) fn new<F, C>(connect: F) -> Self
    where
        F: Fn(Target) -> C + Send + Sync + 'static,
        C: Future<Output = io::Result<Connection>> + Send + 'static,
    {
        Self(Arc::new(move |target| Box::pin(connect(target))))
    }

    pub(super) fn connect(&self, target: Target) -> Connecting {
        (self.0)(target)
    }
}

impl Default for Connector {
    /// Over the transport that the element serves, without security.
    fn default() -> Self {
        Self::new(|target: Target| async move { target.open().await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_may_grow_but_not_shrink() {
        let ranked =
            [PeerIdentity::Anonymous, PeerIdentity::Encrypted, PeerIdentity::Authenticated("a".into())];
        for (i, before) in ranked.iter().enumerate() {
            for (j, after) in ranked.iter().enumerate() {
                assert_eq!(is_as_secure(after, before), j >= i, "{before:?} to {after:?}");
            }
        }
        assert!(is_as_secure(&PeerIdentity::Authenticated("b".into()), &ranked[2]), "another element");
    }
}
