//! Elements for the tests.
#![allow(dead_code, reason = "no test file uses all of it")]
use std::time::Instant;

use rserpool_handlespace::{ElementKey, Handlespace};
use rserpool_wire::{
    Dialect, Load, PeIdentifier, Policy, PoolElement, PoolHandle, RegistrationLife, ServerId, Transport,
};

pub(crate) const HOME: ServerId = ServerId(0xabcd);

/// An element of `HOME`.
pub(crate) fn element(identifier: u32, policy: Policy) -> PoolElement {
    PoolElement {
        identifier: PeIdentifier(identifier),
        home: HOME,
        life: RegistrationLife::Infinite,
        user_transport: Transport::Tcp(([192, 0, 2, 1], 7).into()),
        policy,
        asap_transport: None,
    }
}

/// A handlespace with one pool, `pool`: elements 1, 2, … with these policies.
pub(crate) fn pool_of(policies: impl IntoIterator<Item = Policy>) -> Handlespace {
    let mut handlespace = Handlespace::new(Dialect::Rfc, 7);
    for (identifier, policy) in (1..).zip(policies) {
        register(&mut handlespace, "pool", &element(identifier, policy));
    }
    handlespace
}

pub(crate) fn register(handlespace: &mut Handlespace, pool: &str, element: &PoolElement) -> ElementKey {
    handlespace.register(&PoolHandle::from(pool), element).expect("consistent with the pool").key
}

/// The identifiers that a resolution of `pool` selects.
pub(crate) fn resolve(handlespace: &mut Handlespace, pool: &str, items: usize) -> Vec<u32> {
    let mut selected = Vec::new();
    let count = handlespace.resolve(pool.as_bytes(), items, |element| {
        selected.push(element.decode(Dialect::Rfc).expect("an element").identifier.0);
        true
    });
    assert_eq!(count.unwrap_or(0), selected.len());
    selected
}

pub(crate) fn lu(load: u32) -> Policy {
    Policy::LeastUsed { load: Load(load) }
}

pub(crate) fn lud(load: u32, degradation: u32) -> Policy {
    Policy::LeastUsedDegradation { load: Load(load), degradation: Load(degradation) }
}

pub(crate) fn plu(load: u32, degradation: u32) -> Policy {
    Policy::PriorityLeastUsed { load: Load(load), degradation: Load(degradation) }
}

/// A time to count from.
#[allow(
    clippy::disallowed_methods,
    reason = "what time it is makes no difference: only differences are used"
)]
pub(crate) fn any_instant() -> Instant {
    Instant::now()
}
