//! Pools, found by handle in one step and listed in the order of handles, and what the first element of a pool fixes
//! for all (RFC 5352 §3.1, rule 1).
use std::collections::BTreeMap;
use std::fmt;
use std::hash::BuildHasher;
use std::ops::Bound;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use rserpool_wire::{Dialect, PeIdentifier, Policy, PoolElement, PoolHandle, TransportKind, TransportUse};
use slab::Slab;

use crate::checksum::handle_sum;
use crate::element::{Element, ElementView};
use crate::policy::Selection;

/// One pool: never empty.
pub(crate) struct Pool {
    pub(crate) handle: Arc<[u8]>,
    /// The part of the handle in the checksum of each element.
    pub(crate) handle_sum: u64,
    /// The policy of the first element, its values included.
    pub(crate) policy: Policy,
    pub(crate) transport_kind: TransportKind,
    pub(crate) transport_use: TransportUse,
    /// The indices of the elements.
    pub(crate) members: BTreeMap<PeIdentifier, u32>,
    pub(crate) selection: Box<dyn Selection>,
}

impl Pool {
    /// The pool that `first` creates.
    pub(crate) fn new(
        pool_handle: &PoolHandle<'_>,
        first: &PoolElement,
        selection: Box<dyn Selection>,
    ) -> Self {
        Self {
            handle: pool_handle.as_bytes().into(),
            handle_sum: handle_sum(pool_handle.as_bytes()),
            policy: first.policy.clone(),
            transport_kind: first.user_transport.kind(),
            transport_use: first.user_transport.transport_use(),
            members: BTreeMap::new(),
            selection,
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({}, {}, {} elements)", PoolHandle::new(&self.handle), self.policy, self.members.len())
    }
}

/// All pools.
pub(crate) struct Pools {
    pools: Slab<Pool>,
    /// Indices by handle, for finding.
    found: HashTable<u32>,
    /// Indices by handle, for listing.
    listed: BTreeMap<Arc<[u8]>, u32>,
    hasher: FixedState,
}

impl Pools {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            pools: Slab::new(),
            found: HashTable::new(),
            listed: BTreeMap::new(),
            hasher: FixedState::with_seed(seed),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.pools.len()
    }

    pub(crate) fn find(&self, pool_handle: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(pool_handle);
        self.found.find(hash, |index| self.has_handle(*index, pool_handle)).copied()
    }

    pub(crate) fn pool(&self, index: u32) -> Option<&Pool> {
        self.pools.get(index as usize)
    }

    pub(crate) fn pool_mut(&mut self, index: u32) -> Option<&mut Pool> {
        self.pools.get_mut(index as usize)
    }

    /// Adds a pool that is not there yet.
    pub(crate) fn insert(&mut self, pool: Pool) -> u32 {
        let (pools, hasher) = (&mut self.pools, &self.hasher);
        let hash = hasher.hash_one(&*pool.handle);
        let handle = pool.handle.clone();
        let index = pools.insert(pool) as u32;
        self.found.insert_unique(hash, index, |index| {
            hasher.hash_one(pools.get(*index as usize).map_or(&[][..], |pool| &pool.handle))
        });
        self.listed.insert(handle, index);
        index
    }

    pub(crate) fn remove(&mut self, index: u32) {
        let Some(pool) = self.pools.try_remove(index as usize) else { return };
        let hash = self.hasher.hash_one(&*pool.handle);
        if let Ok(entry) = self.found.find_entry(hash, |candidate| *candidate == index) {
            entry.remove();
        }
        self.listed.remove(&pool.handle);
    }

    /// The pools in the order of handles, from this one on.
    pub(crate) fn from(&self, first: Bound<&[u8]>) -> impl Iterator<Item = &Pool> {
        self.listed.range::<[u8], _>((first, Bound::Unbounded)).filter_map(|(_, index)| self.pool(*index))
    }

    fn has_handle(&self, index: u32, pool_handle: &[u8]) -> bool {
        self.pool(index).is_some_and(|pool| *pool.handle == *pool_handle)
    }
}

/// A pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolView<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) elements: &'a Slab<Element>,
    pub(crate) dialect: Dialect,
}

impl<'a> PoolView<'a> {
    /// The name of the pool.
    #[must_use]
    pub fn pool_handle(&self) -> PoolHandle<'a> {
        PoolHandle::new(&self.pool.handle)
    }

    /// The policy of the pool, with the values that its first element came with.
    #[must_use]
    pub const fn policy(&self) -> &'a Policy {
        &self.pool.policy
    }

    /// The transport protocol that all elements have in common.
    #[must_use]
    pub const fn transport_kind(&self) -> TransportKind {
        self.pool.transport_kind
    }

    /// The data/control configuration that all elements have in common.
    #[must_use]
    pub const fn transport_use(&self) -> TransportUse {
        self.pool.transport_use
    }

    /// How many elements there are: at least one.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a pool ends with its last element, so it is never empty")]
    pub fn len(&self) -> usize {
        self.pool.members.len()
    }

    /// The elements, in the order of their identifiers.
    pub fn elements(&self) -> impl Iterator<Item = ElementView<'a>> + use<'a> {
        let Self { pool, elements, dialect } = *self;
        pool.members.values().filter_map(move |index| {
            let element = elements.get(*index as usize)?;
            Some(ElementView { index: *index, element, pool, dialect })
        })
    }
}
