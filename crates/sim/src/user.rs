//! The application of a pool user: it wants something of the pool again and again, takes the next element when one does not
//! answer, and shows each new one the last cookie that it got (RFC 5352 §3.5, §3.8).
use std::time::Duration;

use bytes::Bytes;
use rserpool_asap::session::UserSession;
use rserpool_asap::{RequestId, UserMachine};
use rserpool_wire::{PeIdentifier, PoolHandle};

/// Names one attempt to reach one element; never used again.
pub(crate) type CallId = u64;

/// A pool user with its application.
pub(crate) struct User {
    pub(crate) machine: UserMachine,
    pub(crate) pool_handle: PoolHandle<'static>,
    pub(crate) session: UserSession,
    /// The cookie that an element gave last, as the application remembers it.
    pub(crate) cookie: Option<Bytes>,
    /// What it wants now.
    pub(crate) wish: Option<Wish>,
    /// How often it got what it wanted.
    pub(crate) served: u64,
    /// The longest that took.
    pub(crate) slowest: Duration,
}

/// Something that a user wants of the pool.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) since: Duration,
    pub(crate) request: Option<RequestId>,
    pub(crate) call: Option<(CallId, PeIdentifier)>,
    /// Elements that did not answer.
    pub(crate) tried: Vec<PeIdentifier>,
}

impl User {
    pub(crate) const fn new(
        machine: UserMachine,
        pool_handle: PoolHandle<'static>,
        session: UserSession,
    ) -> Self {
        Self { machine, pool_handle, session, cookie: None, wish: None, served: 0, slowest: Duration::ZERO }
    }
}
