//! What a registrar tells its application: what an operator cares about, not every message.
use std::net::SocketAddr;

use rserpool_machine::{DownReason, Endpoint, LinkId, PeerIdentity};
use rserpool_wire::{CauseCode, DecodeError, PeIdentifier, PoolHandle, ServerId};

use crate::refusal::Refusal;

/// Something that happened to a registrar.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RegistrarEvent {
    /// Initialisation is over (RFC 5353 §3.2): elements and users are served from now on.
    Ready,
    /// An element registered here that was not owned by this registrar before.
    ElementRegistered {
        /// The pool.
        pool_handle: PoolHandle<'static>,
        /// The element.
        identifier: PeIdentifier,
    },
    /// An element that this registrar owned is gone from the handlespace.
    ElementRemoved {
        /// The pool.
        pool_handle: PoolHandle<'static>,
        /// The element.
        identifier: PeIdentifier,
        /// Why.
        reason: RemovalReason,
    },
    /// An element that this registrar owned has another home now.
    ElementMoved {
        /// The pool.
        pool_handle: PoolHandle<'static>,
        /// The element.
        identifier: PeIdentifier,
        /// Its new home.
        home: ServerId,
    },
    /// A registrar was heard for the first time, or again after it was taken for dead.
    PeerUp {
        /// The registrar.
        server: ServerId,
        /// Where it can be reached, if it said so already.
        endpoint: Option<Endpoint>,
    },
    /// A registrar is taken for dead (RFC 5353 §3.4.3).
    PeerDown {
        /// The registrar.
        server: ServerId,
        /// How that was found out.
        reason: PeerDownReason,
    },
    /// This registrar wants to take over the elements of a dead one (RFC 5353 §3.5.1).
    TakeoverStarted {
        /// The dead registrar.
        target: ServerId,
    },
    /// The elements of a dead registrar have a new home (RFC 5353 §3.5.2).
    TakeoverCompleted {
        /// The dead registrar.
        target: ServerId,
        /// Their new home: this registrar or another one.
        home: ServerId,
        /// How many they are.
        elements: usize,
    },
    /// This registrar gave up a take-over that it had started.
    TakeoverAborted {
        /// The registrar that seemed dead.
        target: ServerId,
        /// Why.
        reason: TakeoverAbortReason,
    },
    /// The local copy of what a peer owns was wrong and has been put right (RFC 5353 §3.6.3).
    Resynchronized {
        /// The peer.
        server: ServerId,
        /// Elements that were received.
        received: usize,
        /// Elements that were removed because the peer no longer has them.
        removed: usize,
    },
    /// Somebody broke the protocol.
    ProtocolFault {
        /// On which link.
        link: LinkId,
        /// From where.
        source: Option<SocketAddr>,
        /// What was wrong.
        fault: Fault,
    },
    /// Something was turned down on a link for this reason, for the first time; [`Statistics::refusals`](crate::Statistics::refusals)
    /// counts all times.
    Refused {
        /// On which link.
        link: LinkId,
        /// From where.
        source: Option<SocketAddr>,
        /// What was proven to be there.
        identity: PeerIdentity,
        /// Why.
        reason: Refusal,
    },
    /// Shutdown is complete: nothing is owned any more, or time was up. All links are being closed.
    Drained {
        /// Elements that no peer took over.
        left: usize,
    },
}

/// Why an element was removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RemovalReason {
    /// It deregistered.
    Deregistered,
    /// Its registration life was over.
    Expired,
    /// It did not acknowledge a keep-alive in time, or could not be connected to.
    Silent,
    /// Its link broke, it named no ASAP transport, and it did not register again in time.
    Detached,
    /// Users reported it as unreachable too often (RFC 5352 §3.5).
    Reported,
    /// Whoever registered it may not do so any more.
    NotPermitted,
}

/// How a peer was found dead.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PeerDownReason {
    /// It was silent, and did not answer when asked.
    Silent,
    /// It could not be connected to.
    Unreachable(DownReason),
    /// Another registrar answers at its address.
    Replaced(ServerId),
    /// Another registrar has taken it over.
    TakenOver(ServerId),
}

/// Why a take-over was given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TakeoverAbortReason {
    /// The target lives.
    TargetHeard,
    /// Another registrar wants to take over too, and goes first.
    Yielded(ServerId),
    /// Another registrar already has.
    TakenOver(ServerId),
}

/// How somebody broke the protocol.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A message could not be decoded.
    #[error("malformed message: {0}")]
    Malformed(#[from] DecodeError),
    /// A message that a registrar does not take, or not on such a link.
    #[error("{0} is not for a registrar, or not here")]
    Unexpected(&'static str),
    /// The sender goes by this registrar's own identifier, or by 0.
    #[error("another registrar goes by the identifier {0}, which is ours or nobody's")]
    ServerId(ServerId),
    /// The sender changed on a link.
    #[error("a link of registrar {expected} carries messages of {found}")]
    ChangedServer {
        /// Who was there first.
        expected: ServerId,
        /// Who is there now.
        found: ServerId,
    },
    /// A limit was reached.
    #[error("limit reached: {0}")]
    Limit(&'static str),
    /// The other end reported an error in what this registrar sent.
    #[error("the other end reports: {0}")]
    Reported(CauseCode),
}
