//! What the benchmarks have in common: pools of elements with policy values drawn from a seeded generator.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
use std::net::{IpAddr, Ipv4Addr};

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng};
use rserpool_wire::{
    Load, PeIdentifier, Policy, PoolElement, PoolHandle, RegistrationLife, ServerId, Transport, TransportUse,
};

/// A number of elements, spread over a number of pools.
pub struct Workload {
    /// The elements: the pool of each, and its identifier.
    pub names: Vec<(usize, PeIdentifier)>,
    /// The handles of the pools.
    pub pool_handles: Vec<PoolHandle<'static>>,
    /// The source of all values.
    pub rng: SmallRng,
    policy: Policy,
}

impl Workload {
    /// `elements` elements in `pools` pools, with values around those of `policy`.
    #[must_use]
    pub fn new(elements: usize, pools: usize, policy: Policy) -> Self {
        let mut rng = SmallRng::seed_from_u64(0x5e1ec7);
        let names = (0..elements).map(|i| (i % pools, PeIdentifier(rng.random()))).collect();
        let pool_handles = (0..pools).map(|i| PoolHandle::from(format!("Pool-{i:06}"))).collect();
        Self { names, pool_handles, rng, policy }
    }

    /// An element with one IPv4 address, to be given a name and values.
    #[must_use]
    pub fn element(&self) -> PoolElement {
        PoolElement {
            identifier: PeIdentifier(0),
            home: ServerId(0x1234_5678),
            life: RegistrationLife::Infinite,
            user_transport: Transport::Sctp {
                port: 7,
                transport_use: TransportUse::DataOnly,
                addresses: vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))],
            },
            policy: self.policy.clone(),
            asap_transport: None,
        }
    }

    /// Any of the elements.
    pub fn any_name(&mut self) -> (usize, PeIdentifier) {
        let any = self.rng.random_range(0..self.names.len());
        self.names.get(any).copied().unwrap_or_default()
    }

    /// Any of the pools.
    pub fn any_pool(&mut self) -> usize {
        self.rng.random_range(0..self.pool_handles.len())
    }

    /// The policy with other values: each between nothing and twice what was given.
    pub fn any_values(&mut self) -> Policy {
        let rng = &mut self.rng;
        let mut number = |around: u32| rng.random_range(0..=around.saturating_mul(2));
        let mut load = |Load(around): Load| Load(number(around));
        match self.policy.clone() {
            Policy::LeastUsed { load: l } => Policy::LeastUsed { load: load(l) },
            Policy::RandomizedLeastUsed { load: l } => Policy::RandomizedLeastUsed { load: load(l) },
            Policy::LeastUsedDegradation { load: l, degradation: d } => {
                Policy::LeastUsedDegradation { load: load(l), degradation: load(d) }
            }
            Policy::PriorityLeastUsed { load: l, degradation: d } => {
                Policy::PriorityLeastUsed { load: load(l), degradation: load(d) }
            }
            Policy::Priority { priority } => Policy::Priority { priority: number(priority) },
            // At least 1: elements of weight 0 are not selected.
            Policy::WeightedRandom { weight } => {
                Policy::WeightedRandom { weight: number(weight.saturating_sub(1)) + 1 }
            }
            Policy::WeightedRoundRobin { weight } => {
                Policy::WeightedRoundRobin { weight: number(weight.saturating_sub(1)) + 1 }
            }
            other => other,
        }
    }
}
