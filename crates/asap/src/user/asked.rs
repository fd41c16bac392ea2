//! The pools that registrars are being asked for, or that are subscribed to. One request per pool is on its way at
//! a time: a response names the pool, but not the request that it answers.
use std::collections::BTreeMap;
use std::time::Instant;

use rserpool_wire::PoolHandle;
use rserpool_wire::asap::HandleResolution;

use super::RequestId;
use super::subscription::Subscription;
use crate::cache::covers;

/// Names a pool while it is being asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PoolId(u64);

#[derive(Default)]
pub(super) struct AskedPools {
    pools: BTreeMap<PoolId, AskedPool>,
    by_handle: BTreeMap<PoolHandle<'static>, PoolId>,
    count: u64,
}

pub(super) struct AskedPool {
    pub(super) pool_handle: PoolHandle<'static>,
    /// On its way, or waiting for a home.
    pub(super) active: Option<Query>,
    /// Of requests that the active one does not answer.
    pub(super) next: Option<Query>,
    pub(super) subscription: Option<Subscription>,
}

/// One request to the registrar, on behalf of any number of the application's.
pub(super) struct Query {
    pub(super) items: Option<u32>,
    pub(super) waiting: Vec<RequestId>,
    /// When it fails.
    pub(super) deadline: Instant,
    /// Whether it was ever sent.
    pub(super) sent: bool,
    /// Whether it was sent with the S bit to the present home.
    pub(super) subscribing: bool,
}

impl AskedPools {
    pub(super) fn len(&self) -> usize {
        self.pools.len()
    }

    pub(super) fn find(&self, pool_handle: &PoolHandle<'_>) -> Option<PoolId> {
        self.by_handle.get(pool_handle.as_bytes()).copied()
    }

    pub(super) fn find_or_insert(&mut self, pool_handle: &PoolHandle<'_>) -> PoolId {
        if let Some(id) = self.find(pool_handle) {
            return id;
        }
        let id = PoolId(self.count);
        self.count += 1;
        let pool_handle = pool_handle.borrowed().into_owned();
        self.by_handle.insert(pool_handle.clone(), id);
        self.pools.insert(id, AskedPool { pool_handle, active: None, next: None, subscription: None });
        id
    }

    pub(super) fn pool(&mut self, id: PoolId) -> Option<&mut AskedPool> {
        self.pools.get_mut(&id)
    }

    pub(super) fn ids(&self) -> Vec<PoolId> {
        self.pools.keys().copied().collect()
    }

    pub(super) fn subscriptions(&self) -> usize {
        self.pools.values().filter(|pool| pool.subscription.is_some()).count()
    }

    /// Forgets the pool if nothing is wanted of it any more.
    pub(super) fn remove_if_idle(&mut self, id: PoolId) {
        let Some(pool) = self.pools.get(&id) else { return };
        if pool.active.is_none() && pool.next.is_none() && pool.subscription.is_none() {
            self.by_handle.remove(pool.pool_handle.as_bytes());
            self.pools.remove(&id);
        }
    }
}

impl AskedPool {
    /// Adds a request to one that answers it too, now or next. Returns whether a new active one is to be sent.
    pub(super) fn join(&mut self, items: Option<u32>, waiting: Option<RequestId>, deadline: Instant) -> bool {
        let new = Query {
            items,
            waiting: waiting.into_iter().collect(),
            deadline,
            sent: false,
            subscribing: false,
        };
        match (&mut self.active, &mut self.next) {
            (None, _) => {
                self.active = Some(new);
                return true;
            }
            (Some(active), _) if covers(active.items, items) => active.waiting.extend(waiting),
            (_, Some(next)) => {
                next.items = merged(next.items, items);
                next.waiting.extend(waiting);
            }
            (_, next) => *next = Some(new),
        }
        false
    }

    /// Drops a request, and the queries that nobody waits for any more.
    pub(super) fn forget(&mut self, request: RequestId) {
        for query in [&mut self.active, &mut self.next].into_iter().flatten() {
            query.waiting.retain(|waiting| *waiting != request);
        }
        if self.subscription.is_none() {
            self.drop_unwanted();
        }
    }

    /// Drops the queries that nobody waits for. The active one stays while there is a next one, which follows its
    /// answer.
    pub(super) fn drop_unwanted(&mut self) {
        self.next.take_if(|query| query.waiting.is_empty());
        if self.next.is_none() {
            self.active.take_if(|query| query.waiting.is_empty());
        }
    }
}

/// A number of elements that is enough for both.
pub(super) fn merged(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    match (one, other) {
        (None, None) => None,
        (Some(one), Some(other)) => Some(one.max(other)),
        _ => Some(HandleResolution::ALL_ITEMS),
    }
}
