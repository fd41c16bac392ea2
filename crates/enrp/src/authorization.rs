//! Who may do what: the hook by which a secured scope ties proven identities to pools and server identifiers, and the simple
//! answers to it. The one to use is in `policy`, and can be read from a file (`file`).
#[cfg(feature = "policy-file")]
mod file;
mod policy;

use std::fmt;
use std::net::SocketAddr;

use rserpool_machine::PeerIdentity;
use rserpool_wire::{PeIdentifier, PoolElement, PoolHandle, ServerId};

use crate::refusal::Refusal;

#[cfg(feature = "policy-file")]
pub use file::PolicyError;
pub use policy::{AccessPolicy, AddressRange, Grant, ParseAddressRangeError, PoolPattern, Resolvers};

/// Decides whether somebody may do something. What is refused for lack of permission is answered with "Rejected Due to Security
/// Considerations" (RFC 5354 §3.12.10).
///
/// [`AccessPolicy`] is the implementation for most. Whatever it is, a secured scope takes registrations, reports and peers over
/// secured links only (RFC 5355 §2.15), and an element is changed by the identity alone that registered it.
///
/// ```
/// use rserpool_enrp::{Action, Authorization, Refusal, Requester};
/// use rserpool_machine::PeerIdentity;
///
/// /// Whoever proved to be `NAME` may register in the pool of that name; nobody may be a registrar.
/// #[derive(Debug)]
/// struct OwnPoolOnly;
///
/// impl Authorization for OwnPoolOnly {
///     fn authorize(&self, requester: Requester<'_>, action: Action<'_>) -> Result<(), Refusal> {
///         let PeerIdentity::Authenticated(name) = requester.identity else { return Err(Refusal::Unidentified) };
///         match action {
///             Action::Register { pool_handle, .. } | Action::Deregister { pool_handle, .. } => {
///                 if pool_handle.as_bytes() == name.as_bytes() { Ok(()) } else { Err(Refusal::Pool) }
///             }
///             Action::Peer { .. } => Err(Refusal::Peer),
///             _ => Ok(()),
///         }
///     }
/// }
/// ```
pub trait Authorization: fmt::Debug + Send + Sync {
    /// Whether `requester` may do `action`. Called once per message of elements and users, and for peers once per link.
    ///
    /// # Errors
    /// Why not.
    fn authorize(&self, requester: Requester<'_>, action: Action<'_>) -> Result<(), Refusal>;

    /// How much this identity may do of what it may do. Unless said otherwise, as the limits of the registrar say for all.
    fn quota(&self, identity: &str) -> Quota {
        let _ = identity;
        Quota::default()
    }
}

/// How much one identity may do; `None`: what [`RegistrarLimits`](crate::RegistrarLimits) has for every identity.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Quota {
    /// Elements that it may have.
    pub elements: Option<usize>,
    /// Registrations and deregistrations per second.
    pub registrations_per_second: Option<u32>,
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
    /// Whoever proved to be this, at these addresses.
    #[must_use]
    pub const fn new(identity: &'a PeerIdentity, addresses: &'a [SocketAddr]) -> Self {
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

/// Elements and registrars must have proved an identity, whichever; anybody may resolve and report: for scopes in which whoever has
/// a key or a certificate is trusted with everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuthenticatedOnly;

impl Authorization for AuthenticatedOnly {
    fn authorize(&self, requester: Requester<'_>, action: Action<'_>) -> Result<(), Refusal> {
        match (action, requester.identity) {
            (Action::Resolve { .. } | Action::ReportUnreachable { .. }, _) => Ok(()),
            (_, PeerIdentity::Authenticated(_)) | (Action::Peer { .. }, PeerIdentity::Keyed(_)) => Ok(()),
            _ => Err(Refusal::Unidentified),
        }
    }
}

/// Anybody may do anything: for scopes without security.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

impl Authorization for AllowAll {
    fn authorize(&self, _requester: Requester<'_>, _action: Action<'_>) -> Result<(), Refusal> {
        Ok(())
    }
}
