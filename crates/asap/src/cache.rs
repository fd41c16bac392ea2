//! The handle resolution cache of a pool user (RFC 5352 §3.3, C1 to C4): what registrars said last about each pool,
//! for how long that counts as fresh, and within a bound: the pool that was used least recently makes room.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rserpool_handlespace::UserPool;
use rserpool_wire::asap::HandleResolution;
use rserpool_wire::{PeIdentifier, Policy, PoolElement, PoolHandle};

pub(crate) struct Cache {
    entries: BTreeMap<PoolHandle<'static>, Entry>,
    /// Handles by when they were last used.
    by_use: BTreeMap<u64, PoolHandle<'static>>,
    uses: u64,
    capacity: usize,
    stale_after: Duration,
}

struct Entry {
    pool: UserPool,
    /// How many elements were asked for.
    items: Option<u32>,
    fetched: Instant,
    /// Whether a registrar keeps it up to date, so that it does not become stale.
    pushed: bool,
    used: u64,
}

/// What the cache has of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cached {
    Fresh,
    Stale,
    /// Nothing, or too few elements.
    Missing,
}

impl Cache {
    pub(crate) const fn new(capacity: usize, stale_after: Duration) -> Self {
        Self { entries: BTreeMap::new(), by_use: BTreeMap::new(), uses: 0, capacity, stale_after }
    }

    /// Stores what a registrar said when asked for `items` elements; whether that is news.
    pub(crate) fn store(
        &mut self,
        now: Instant,
        pool_handle: &PoolHandle<'_>,
        policy: Policy,
        elements: Vec<PoolElement>,
        items: Option<u32>,
    ) -> bool {
        if let Some(entry) = self.touch(pool_handle) {
            let changed = *entry.pool.policy() != policy || !same_elements(entry.pool.elements(), &elements);
            entry.pool.replace(policy, elements);
            (entry.items, entry.fetched) = (items, now);
            return changed;
        }
        while self.entries.len() >= self.capacity
            && let Some((_, least_used)) = self.by_use.pop_first()
        {
            self.entries.remove(&least_used);
        }
        let pool_handle = pool_handle.borrowed().into_owned();
        self.uses += 1;
        self.by_use.insert(self.uses, pool_handle.clone());
        let pool = UserPool::new(policy, elements);
        self.entries.insert(pool_handle, Entry { pool, items, fetched: now, pushed: false, used: self.uses });
        true
    }

    /// Says whether a registrar pushes changes of the pool from now on.
    pub(crate) fn set_pushed(&mut self, pool_handle: &PoolHandle<'_>, pushed: bool) {
        if let Some(entry) = self.entries.get_mut(pool_handle.as_bytes()) {
            entry.pushed = pushed;
        }
    }

    pub(crate) fn remove(&mut self, pool_handle: &PoolHandle<'_>) {
        if let Some(entry) = self.entries.remove(pool_handle.as_bytes()) {
            self.by_use.remove(&entry.used);
        }
    }

    pub(crate) fn remove_element(&mut self, pool_handle: &PoolHandle<'_>, identifier: PeIdentifier) {
        if let Some(entry) = self.entries.get_mut(pool_handle.as_bytes()) {
            entry.pool.remove(identifier);
        }
    }

    pub(crate) fn pool(&self, pool_handle: &PoolHandle<'_>) -> Option<&UserPool> {
        self.entries.get(pool_handle.as_bytes()).map(|entry| &entry.pool)
    }

    /// The pool, to select from it; counts as a use.
    pub(crate) fn pool_mut(&mut self, pool_handle: &PoolHandle<'_>) -> Option<&mut UserPool> {
        self.touch(pool_handle).map(|entry| &mut entry.pool)
    }

    /// What is there of a pool of which `items` elements are wanted, or anything at all.
    pub(crate) fn look_up(
        &self,
        now: Instant,
        pool_handle: &PoolHandle<'_>,
        items: Option<Option<u32>>,
    ) -> Cached {
        let Some(entry) = self.entries.get(pool_handle.as_bytes()) else { return Cached::Missing };
        let listed = entry.pool.elements().len();
        if listed == 0 || items.is_some_and(|wanted| !covers(entry.items, wanted) && !has(listed, wanted)) {
            Cached::Missing
        } else if entry.pushed || now.saturating_duration_since(entry.fetched) <= self.stale_after {
            Cached::Fresh
        } else {
            Cached::Stale
        }
    }

    fn touch(&mut self, pool_handle: &PoolHandle<'_>) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(pool_handle.as_bytes())?;
        self.uses += 1;
        if let Some(pool_handle) = self.by_use.remove(&entry.used) {
            self.by_use.insert(self.uses, pool_handle);
        }
        entry.used = self.uses;
        Some(entry)
    }
}

/// Whether the answer to a request for `asked` elements answers one for `wanted` elements too; `None` stands for as
/// many as the registrar likes.
pub(crate) fn covers(asked: Option<u32>, wanted: Option<u32>) -> bool {
    match (asked, wanted) {
        (Some(HandleResolution::ALL_ITEMS), _) => true,
        (Some(asked), Some(wanted)) => asked >= wanted,
        (asked, wanted) => asked == wanted,
    }
}

/// Whether so many elements that nobody counted before are as many as wanted.
fn has(listed: usize, wanted: Option<u32>) -> bool {
    wanted.and_then(|wanted| usize::try_from(wanted).ok()).is_some_and(|wanted| listed >= wanted)
}

/// Registrars list elements in the order in which to use them, which changes from answer to answer.
fn same_elements(one: &[PoolElement], other: &[PoolElement]) -> bool {
    fn sorted(elements: &[PoolElement]) -> Vec<&PoolElement> {
        let mut sorted: Vec<_> = elements.iter().collect();
        sorted.sort_by_key(|element| element.identifier);
        sorted
    }
    one.len() == other.len() && sorted(one) == sorted(other)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a starting point for the tests' own time")]
mod tests {
    use rserpool_wire::{RegistrationLife, ServerId, Transport};

    use super::*;

    fn element(identifier: u32) -> PoolElement {
        PoolElement {
            identifier: PeIdentifier(identifier),
            home: ServerId(1),
            life: RegistrationLife::Infinite,
            user_transport: Transport::Tcp(([10, 0, 0, 1], 7).into()),
            policy: Policy::RoundRobin,
            asap_transport: None,
        }
    }

    fn store(
        cache: &mut Cache,
        now: Instant,
        name: &'static str,
        elements: &[u32],
        items: Option<u32>,
    ) -> bool {
        let elements = elements.iter().map(|identifier| element(*identifier)).collect();
        cache.store(now, &PoolHandle::from(name), Policy::RoundRobin, elements, items)
    }

    #[test]
    fn entries_become_stale_unless_they_are_pushed_5352_3_3_10() {
        let (mut cache, start) = (Cache::new(8, Duration::from_secs(30)), Instant::now());
        let echo = PoolHandle::from("echo");
        assert_eq!(cache.look_up(start, &echo, None), Cached::Missing);
        store(&mut cache, start, "echo", &[1], None);
        assert_eq!(cache.look_up(start + Duration::from_secs(30), &echo, None), Cached::Fresh);
        assert_eq!(cache.look_up(start + Duration::from_secs(31), &echo, None), Cached::Stale);
        cache.set_pushed(&echo, true);
        assert_eq!(cache.look_up(start + Duration::from_secs(31), &echo, None), Cached::Fresh);
    }

    #[test]
    fn the_pool_used_least_recently_makes_room() {
        let (mut cache, now) = (Cache::new(2, Duration::from_secs(30)), Instant::now());
        store(&mut cache, now, "a", &[1], None);
        store(&mut cache, now, "b", &[1], None);
        assert!(cache.pool_mut(&PoolHandle::from("a")).is_some());
        store(&mut cache, now, "c", &[1], None);
        let kept = ["a", "b", "c"].map(|name| cache.pool(&PoolHandle::from(name)).is_some());
        assert_eq!(kept, [true, false, true]);
        assert_eq!(cache.by_use.len(), 2);
    }

    #[test]
    fn an_answer_with_fewer_elements_than_wanted_is_no_hit() {
        let (mut cache, now) = (Cache::new(2, Duration::from_secs(30)), Instant::now());
        let echo = PoolHandle::from("echo");
        store(&mut cache, now, "echo", &[1], Some(1));
        assert_eq!(cache.look_up(now, &echo, Some(Some(1))), Cached::Fresh);
        assert_eq!(cache.look_up(now, &echo, Some(Some(2))), Cached::Missing);
        assert_eq!(cache.look_up(now, &echo, Some(None)), Cached::Missing);
        store(&mut cache, now, "echo", &[1, 2], Some(HandleResolution::ALL_ITEMS));
        assert_eq!(cache.look_up(now, &echo, Some(Some(9))), Cached::Fresh);
        assert_eq!(cache.look_up(now, &echo, Some(None)), Cached::Fresh);
        store(&mut cache, now, "echo", &[1, 2], None);
        assert_eq!(cache.look_up(now, &echo, Some(Some(2))), Cached::Fresh);
        assert_eq!(cache.look_up(now, &echo, Some(Some(3))), Cached::Missing);
    }

    #[test]
    fn another_order_is_no_news() {
        let (mut cache, now) = (Cache::new(2, Duration::from_secs(30)), Instant::now());
        assert!(store(&mut cache, now, "echo", &[1, 2], None));
        assert!(!store(&mut cache, now, "echo", &[2, 1], None));
        assert!(store(&mut cache, now, "echo", &[2], None));
        assert!(store(&mut cache, now, "echo", &[3], None));
    }
}
