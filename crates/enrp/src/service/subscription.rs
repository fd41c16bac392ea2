//! Dynamic updates (RFC 5352 §2.2.5, the S and A bits): whoever subscribed to a pool is told of its changes for as long as
//! its link and the pool last. Changes within a short time are told at once.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use hashbrown::HashMap;
use rserpool_machine::LinkId;
use rserpool_wire::{CauseCode, PoolHandle};

use super::Service;
use super::resolution::{reject, response};
use crate::core::{Core, Timer};

#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    pools: BTreeMap<PoolHandle<'static>, BTreeSet<LinkId>>,
    by_link: HashMap<LinkId, BTreeSet<PoolHandle<'static>>>,
    /// Pools with subscribers that have changed since these were told.
    changed: BTreeSet<PoolHandle<'static>>,
}

impl Subscriptions {
    /// Subscribes a link to a pool; `false` if it has too many subscriptions.
    pub(super) fn add(&mut self, link: LinkId, pool_handle: &PoolHandle<'_>, limit: usize) -> bool {
        let of_link = self.by_link.entry(link).or_default();
        if of_link.contains(pool_handle.as_bytes()) {
            return true;
        }
        if of_link.len() >= limit {
            return false;
        }
        let pool_handle = pool_handle.clone().into_owned();
        of_link.insert(pool_handle.clone());
        self.pools.entry(pool_handle).or_default().insert(link);
        true
    }

    /// Ends all subscriptions of a link.
    pub(super) fn forget(&mut self, link: LinkId) {
        for pool_handle in self.by_link.remove(&link).unwrap_or_default() {
            if let Some(links) = self.pools.get_mut(pool_handle.as_bytes()) {
                links.remove(&link);
                if links.is_empty() {
                    self.pools.remove(pool_handle.as_bytes());
                }
            }
        }
    }

    /// Ends all subscriptions to a pool, and says whose they were.
    fn end(&mut self, pool_handle: &PoolHandle<'_>) -> BTreeSet<LinkId> {
        let links = self.pools.remove(pool_handle.as_bytes()).unwrap_or_default();
        for link in &links {
            if let Some(of_link) = self.by_link.get_mut(link) {
                of_link.remove(pool_handle.as_bytes());
                if of_link.is_empty() {
                    self.by_link.remove(link);
                }
            }
        }
        links
    }
}

impl Service {
    /// Something about a pool has changed: its subscribers will be told.
    pub(crate) fn pool_changed(&mut self, core: &mut Core, now: Instant, pool_handle: &PoolHandle<'_>) {
        let subscriptions = &mut self.subscriptions;
        if subscriptions.pools.contains_key(pool_handle.as_bytes())
            && !subscriptions.changed.contains(pool_handle.as_bytes())
        {
            subscriptions.changed.insert(pool_handle.clone().into_owned());
            core.timers.arm_by(Timer::Subscribers, now + core.config.timers.update_delay);
        }
    }

    pub(super) fn tell_subscribers(&mut self, core: &mut Core) {
        let items = core.config.limits.max_items as usize;
        for pool_handle in std::mem::take(&mut self.subscriptions.changed) {
            if core.handlespace.pool(pool_handle.as_bytes()).is_none() {
                for link in self.subscriptions.end(&pool_handle) {
                    // One that is being closed has not ended yet.
                    if core.links.is_open(link) {
                        reject(core, link, &pool_handle, CauseCode::UNKNOWN_POOL_HANDLE);
                    }
                }
            } else if let Some(links) = self.subscriptions.pools.get(pool_handle.as_bytes())
                && let Some(bytes) = response(core, &pool_handle, items, true)
            {
                for link in links {
                    if core.links.is_open(*link) {
                        core.statistics.subscription_updates += 1;
                        core.transmit(*link, bytes.clone());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_ended_subscriptions() {
        let (a, b) = (LinkId::accepted(1), LinkId::accepted(2));
        let mut subscriptions = Subscriptions::default();
        assert!(subscriptions.add(a, &"echo".into(), 2));
        assert!(subscriptions.add(b, &"echo".into(), 2));
        assert!(subscriptions.add(b, &"time".into(), 2));
        assert!(subscriptions.add(b, &"time".into(), 2), "the same again is no further one");
        assert!(!subscriptions.add(b, &"chat".into(), 2));
        assert_eq!(subscriptions.end(&"echo".into()), BTreeSet::from([a, b]));
        subscriptions.forget(a);
        subscriptions.forget(b);
        assert!(subscriptions.pools.is_empty() && subscriptions.by_link.is_empty());
    }
}
