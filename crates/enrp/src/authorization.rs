//! Who may do what: the hook by which a secured scope ties proven identities to pools and server identifiers.
use std::fmt;
use std::net::SocketAddr;

use rserpool_machine::PeerIdentity;
use rserpool_wire::{PeIdentifier, PoolElement, PoolHandle, ServerId};

/// Decides whether somebody may do something. What is refused is answered with "Rejected Due to Security Considerations"
/// (RFC 5354 §3.12.10).
///
/// ```
/// use rserpool_enrp::{Action, Authorization, Requester};
/// use rserpool_machine::PeerIdentity;
///
/// /// Whoever proved to be `NAME` may register in the pool of that name; nobody may be a registrar.
/// #[derive(Debug)]
/// struct OwnPoolOnly;
///
/// impl Authorization for OwnPoolOnly {
///     fn permits(&self, requester: Requester<'_>, action: Action<'_>) -> bool {
///         let PeerIdentity::Authenticated(name) = requester.identity else { return false };
///         match action {
///             Action::Register { pool_handle, .. } | Action::Deregister { pool_handle, .. } => {
///                 pool_handle.as_bytes() == name.as_bytes()
///             }
///             Action::Peer { .. } => false,
///             _ => true,
///         }
///     }
/// }
/// ```
pub trait Authorization: fmt::Debug + Send + Sync {
    /// Whether `requester` may do `action`. Called once per message of elements and users, and for peers once per link.
    fn permits(&self, requester: Requester<'_>, action: Action<'_>) -> bool;
}

/// Whoever is at the other end of a link.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Requester<'a> {
    /// What it proved to be.
    pub identity: &'a PeerIdentity,
    /// Its addresses.
    pub addresses: &'a [SocketAddr],
}

impl<'a> Requester<'a> {
    pub(crate) const fn new(identity: &'a PeerIdentity, addresses: &'a [SocketAddr]) -> Self {
        Self { identity, addresses }
    }
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Action<'a> {
    /// Register an element, or renew or change its registration.
    Register {
        /// The pool.
        pool_handle: &'a PoolHandle<'a>,
        /// The element as it shall be, with the transports that it claims.
        element: &'a PoolElement,
    },
    /// Deregister an element.
    Deregister {
        /// The pool.
        pool_handle: &'a PoolHandle<'a>,
        /// The element.
        identifier: PeIdentifier,
    },
    /// Learn the elements of a pool.
    Resolve {
        /// The pool.
        pool_handle: &'a PoolHandle<'a>,
    },
    /// Report an element as unreachable.
    ReportUnreachable {
        /// The pool.
        pool_handle: &'a PoolHandle<'a>,
        /// The element.
        identifier: PeIdentifier,
    },
    /// Speak as this registrar.
    Peer {
        /// The identifier that it goes by.
        server: ServerId,
    },
}

/// Elements and registrars must have proved an identity, whichever; anybody may resolve and report: the least that a secured scope
/// demands (RFC 5355 §2.15).
#[derive(Clone, Copy, Debug, Default)]
pub struct AuthenticatedOnly;

impl Authorization for AuthenticatedOnly {
    fn permits(&self, requester: Requester<'_>, action: Action<'_>) -> bool {
        match action {
            Action::Resolve { .. } | Action::ReportUnreachable { .. } => true,
            Action::Register { .. } | Action::Deregister { .. } | Action::Peer { .. } => {
                matches!(requester.identity, PeerIdentity::Authenticated(_))
            }
        }
    }
}

/// Anybody may do anything: for scopes without security.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

impl Authorization for AllowAll {
    fn permits(&self, _requester: Requester<'_>, _action: Action<'_>) -> bool {
        true
    }
}
