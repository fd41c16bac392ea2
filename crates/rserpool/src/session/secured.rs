//! Connections of sessions that are secured by the application, and how secure one is (RFC 5355 §2.9).
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use rserpool_machine::PeerIdentity;
use tokio::io::{AsyncRead, AsyncWrite};

use super::stream::Connection;
use crate::pool::Target;

/// Anything that bytes go over in both directions.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that its maker has secured, with TLS say.
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

    pub(super) async fn connect(&self, target: &Target) -> io::Result<Connection> {
        (self.0)(target.clone()).await
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
