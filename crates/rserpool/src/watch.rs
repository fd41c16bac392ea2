//! Watching a pool: its elements now, and every change from then on (the S bit of RFC 5352 §2.2.5).
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use hashbrown::HashMap;
use rserpool_asap::UserEvent;
use rserpool_wire::{PeIdentifier, PoolElement, PoolHandle};
use tokio_stream::wrappers::BroadcastStream;
use tracing::warn;

use crate::pool::Pool;

/// One change of a pool.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PoolChange {
    /// An element joined, or was there when the watch began.
    Added(PoolElement),
    /// An element has other values: another home, policy values, transport or life.
    Updated(PoolElement),
    /// An element is gone.
    Removed(PeIdentifier),
}

/// A stream of [`PoolChange`]s; never ends while the pool user lives. Several watches of a pool cost as much as one.
pub struct PoolWatch {
    pool: Pool,
    events: BroadcastStream<UserEvent>,
    known: BTreeMap<PeIdentifier, PoolElement>,
    changes: VecDeque<PoolChange>,
}

/// How many watches there are of each pool: the first subscribes, the last unsubscribes.
#[derive(Default)]
pub(crate) struct Watches(Mutex<HashMap<PoolHandle<'static>, usize>>);

impl Watches {
    /// Whether this is the first watch of the pool.
    fn add(&self, handle: &PoolHandle<'static>) -> bool {
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = watches.entry(handle.clone()).or_insert(0);
        *count += 1;
        *count == 1
    }

    /// Whether this was the last watch of the pool.
    fn remove(&self, handle: &PoolHandle<'static>) -> bool {
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match watches.get_mut(handle) {
            Some(count) if *count > 1 => {
                *count -= 1;
                false
            }
            _ => watches.remove(handle).is_some(),
        }
    }
}

impl PoolWatch {
    pub(crate) fn new(pool: Pool) -> Self {
        let inner = &pool.user().inner;
        // Listening comes before subscribing, so that no change falls between the two.
        let events = BroadcastStream::new(inner.events.subscribe());
        if inner.watches.add(pool.handle()) {
            let subscribed = inner.driver.command(|machine, now| machine.subscribe(now, pool.handle()));
            if let Err(error) = subscribed {
                warn!(pool = %pool.handle(), %error, "the pool cannot be watched");
            }
        }
        let mut watch = Self { pool, events, known: BTreeMap::new(), changes: VecDeque::new() };
        watch.compare();
        watch
    }

    /// Notes what differs between the elements known so far and those in the pool user's cache.
    fn compare(&mut self) {
        let elements = self.pool.user().inner.driver.inspect(|machine| {
            machine.cached(self.pool.handle()).map(|pool| pool.elements().to_vec()).unwrap_or_default()
        });
        let now: BTreeMap<_, _> = elements.into_iter().map(|element| (element.identifier, element)).collect();
        for identifier in self.known.keys().filter(|identifier| !now.contains_key(*identifier)) {
            self.changes.push_back(PoolChange::Removed(*identifier));
        }
        for (identifier, element) in &now {
            match self.known.get(identifier) {
                None => self.changes.push_back(PoolChange::Added(element.clone())),
                Some(before) if before != element => {
                    self.changes.push_back(PoolChange::Updated(element.clone()))
                }
                Some(_) => {}
            }
        }
        self.known = now;
    }
}

impl Stream for PoolWatch {
    type Item = PoolChange;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<PoolChange>> {
        loop {
            if let Some(change) = self.changes.pop_front() {
                return Poll::Ready(Some(change));
            }
            match ready!(Pin::new(&mut self.events).poll_next(context)) {
                Some(Ok(UserEvent::PoolChanged { pool_handle, .. }))
                    if pool_handle == *self.pool.handle() =>
                {
                    self.compare();
                }
                Some(Ok(_)) => {}
                // Events were missed: whatever they said, the cache has the outcome.
                Some(Err(_)) => self.compare(),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Drop for PoolWatch {
    fn drop(&mut self) {
        let inner = &self.pool.user().inner;
        if inner.watches.remove(self.pool.handle()) {
            inner.driver.command(|machine, _| machine.unsubscribe(self.pool.handle()));
        }
    }
}

impl fmt::Debug for PoolWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolWatch").field("pool", &self.pool).field("known", &self.known.len()).finish()
    }
}
