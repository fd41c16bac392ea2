//! What can go wrong, one enum per operation. A message says what happened, where, and what to do.
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rserpool_machine::{Endpoint, ParseEndpointError};
use rserpool_transport::TransportError;
use rserpool_wire::{OperationError, PeIdentifier, PoolHandle};

pub use rserpool_asap::ResolveError;

/// A role could not be started. Nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An endpoint is not written as a URL.
    #[error(transparent)]
    Endpoint(#[from] ParseEndpointError),
    /// A setting does not fit the others.
    #[error("{0}")]
    Config(Box<str>),
    /// There is no way to find a registrar.
    #[error(
        "no registrar is known: name some with `registrars`, or an interface to hear announcements on with `discover`"
    )]
    NoRegistrars,
    /// The user transport of a pool element is missing.
    #[error("where can the element be reached? give the address that it serves on with `transport`")]
    NoTransport,
    /// Registrars are to be known by names, which they do not prove by the pre-shared key that the element registers by.
    #[error(
        "the element registers by a pre-shared key, by which registrars that call it back prove no name: use a certificate, or leave out `registrar_names`"
    )]
    NamelessRegistrars,
    /// A listening endpoint or multicast group could not be opened.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// An address to announce could not be found out.
    #[error("which address shall {endpoint} be announced with? say so with `advertise` ({source})")]
    Advertise {
        /// What is listened on.
        endpoint: Endpoint,
        /// Why it is not known.
        source: io::Error,
    },
}

impl StartError {
    pub(crate) fn config(error: &impl std::error::Error) -> Self {
        Self::Config(error.to_string().into())
    }
}

/// A pool element could not be registered. It is not registered anywhere.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The element could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The registrar rejected the registration (RFC 5352 §3.1).
    #[error("the registrar rejected element {identifier} of pool {pool_handle}: {error}")]
    Rejected {
        /// The pool.
        pool_handle: PoolHandle<'static>,
        /// The element.
        identifier: PeIdentifier,
        /// Why.
        error: OperationError<'static>,
    },
    /// No registrar answered in time.
    #[error("no registrar answered within {waited:?}; is one running at the configured endpoints?")]
    NoRegistrar {
        /// How long it was tried.
        waited: Duration,
    },
}

/// A pool user could not get through to an element of a pool.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The pool could not be resolved.
    #[error("pool {pool_handle}: {source}")]
    Resolve {
        /// The pool.
        pool_handle: PoolHandle<'static>,
        /// Why not.
        source: ResolveError,
    },
    /// The pool has elements, but none was reachable in time.
    #[error(
        "no element of pool {pool_handle} was reachable within {waited:?} (the last one tried, {element}: {source})"
    )]
    Unreachable {
        /// The pool.
        pool_handle: PoolHandle<'static>,
        /// How long it was tried.
        waited: Duration,
        /// The last element tried.
        element: PeIdentifier,
        /// How that failed.
        source: io::Error,
    },
    /// Elements can be reached, but less securely than the session was when it began.
    #[error(
        "element {element} of pool {pool_handle} is less secure than the session was when it began; `allow_less_security` lets it go on there"
    )]
    LessSecure {
        /// The pool.
        pool_handle: PoolHandle<'static>,
        /// The last element tried.
        element: PeIdentifier,
    },
}

/// A session between a pool user and a pool element broke, and fail-over did not mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// No other element could be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The other side sent something that is no frame of a session.
    #[error("{peer} sent something that is no session frame: {reason}; does it serve sessions?")]
    Protocol {
        /// The other side.
        peer: SocketAddr,
        /// What is wrong with it.
        reason: Box<str>,
    },
    /// The connection broke. On a pool user's side fail-over comes first, so only an element sees this.
    #[error("the session with {peer} broke: {source}")]
    Broken {
        /// The other side.
        peer: SocketAddr,
        /// How.
        source: io::Error,
    },
    /// No answer came in time, from any element.
    #[error("no answer within {waited:?}")]
    NoAnswer {
        /// How long it was waited for.
        waited: Duration,
    },
}

/// Lets builders take endpoints as they are, next to texts that may be wrong.
impl From<Infallible> for StartError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
