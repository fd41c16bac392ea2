//! Subscriptions: the S bit of handle resolutions and the A bit of responses (RFC 5352 §2.2.5, §2.2.6). A
//! subscription lasts as long as the link, and exists only while the pool does; this makes it last.
use std::time::{Duration, Instant};

use rserpool_wire::PoolHandle;

use super::asked::PoolId;
use super::{Deadline, ResolveError, SubscribeError, UserMachine};
use crate::events::{PoolChange, UserEvent};

#[derive(Default)]
pub(super) struct Subscription {
    /// Whether the present home tells of changes.
    pub(super) granted: bool,
    /// What the application was told last.
    told: Option<PoolChange>,
    /// Requests in a row that did not find the pool.
    failures: u32,
}

impl UserMachine {
    pub(super) fn start_subscription(
        &mut self,
        now: Instant,
        pool_handle: &PoolHandle<'_>,
    ) -> Result<(), SubscribeError> {
        self.check(pool_handle)?;
        let subscribed = self.asked.find(pool_handle);
        if subscribed.and_then(|id| self.asked.pool(id)).is_some_and(|pool| pool.subscription.is_some()) {
            return Ok(());
        }
        if self.asked.subscriptions() >= self.max_subscriptions {
            return Err(SubscribeError::TooMany { limit: self.max_subscriptions });
        }
        let id = self.asked.find_or_insert(pool_handle);
        if let Some(pool) = self.asked.pool(id) {
            pool.subscription = Some(Subscription::default());
        }
        self.ask_for_subscription(now, id);
        Ok(())
    }

    pub(super) fn end_subscription(&mut self, pool_handle: &PoolHandle<'_>) {
        let Some(id) = self.asked.find(pool_handle) else { return };
        let Some(pool) = self.asked.pool(id) else { return };
        pool.subscription = None;
        pool.drop_unwanted();
        self.cache.set_pushed(pool_handle, false);
        self.deadlines.cancel(Deadline::Subscription(id));
        self.forget_if_idle(id);
    }

    /// Sees to it that a request with the S bit goes out: the active one if it has not yet, or one more.
    pub(super) fn ask_for_subscription(&mut self, now: Instant, id: PoolId) {
        let deadline = self.request_deadline(now);
        let items = self.items;
        let Some(pool) = self.asked.pool(id) else { return };
        if pool.subscription.is_none() || pool.active.as_ref().is_some_and(|q| !q.sent || q.subscribing) {
            return;
        }
        if pool.active.is_none() {
            if pool.join(items, None, deadline) {
                self.send_query(now, id);
            }
        } else if pool.next.is_none() {
            // The active one would do for the elements, but not for the S bit.
            let active = pool.active.take();
            pool.join(items, None, deadline);
            pool.next = std::mem::replace(&mut pool.active, active);
        }
    }

    /// The home is gone, and its promises with it.
    pub(super) fn suspend_subscriptions(&mut self) {
        for id in self.asked.ids() {
            let Some(pool) = self.asked.pool(id) else { continue };
            if let Some(subscription) = &mut pool.subscription {
                subscription.granted = false;
                self.cache.set_pushed(&pool.pool_handle, false);
            }
        }
    }

    /// There is a new home, which knows of no subscription: each needs a request, which the caller sends.
    pub(super) fn restart_subscriptions(&mut self, now: Instant) {
        self.suspend_subscriptions();
        let (deadline, items) = (self.request_deadline(now), self.items);
        for id in self.asked.ids() {
            let Some(pool) = self.asked.pool(id) else { continue };
            if pool.subscription.is_none() {
                continue;
            }
            self.deadlines.cancel(Deadline::Subscription(id));
            match &mut pool.active {
                Some(active) if active.waiting.is_empty() => active.deadline = deadline,
                Some(_) => {}
                None => {
                    pool.join(items, None, deadline);
                }
            }
        }
    }

    /// The registrar listed the pool, and says by the A bit whether it tells of changes.
    pub(super) fn subscription_listed(&mut self, now: Instant, id: PoolId, accepted: bool, changed: bool) {
        let poll = self.timers.subscription_poll;
        let Some(pool) = self.asked.pool(id) else { return };
        let Some(subscription) = &mut pool.subscription else { return };
        subscription.failures = 0;
        if accepted {
            subscription.granted = true;
            self.deadlines.cancel(Deadline::Subscription(id));
        } else if pool.active.as_ref().is_some_and(|query| query.subscribing) {
            self.deadlines.arm(Deadline::Subscription(id), now + poll);
        }
        self.cache.set_pushed(&pool.pool_handle, subscription.granted);
        if changed || subscription.told != Some(PoolChange::Listed) {
            self.tell(id, PoolChange::Listed);
        }
    }

    /// The registrar knows no such pool, or does not tell. Either way it will not say when that changes (§2.2.5).
    pub(super) fn subscription_refused(&mut self, now: Instant, id: PoolId, error: &ResolveError) {
        let change = match error {
            ResolveError::Rejected(error) => PoolChange::Refused(error.clone()),
            _ => PoolChange::Unknown,
        };
        let Some(pool) = self.asked.pool(id) else { return };
        self.cache.set_pushed(&pool.pool_handle, false);
        let Some(subscription) = &pool.subscription else { return };
        if subscription.told.as_ref() != Some(&change) {
            self.tell(id, change);
        }
        self.subscription_unanswered(now, id);
    }

    /// The pool is asked for again later, and later each time.
    pub(super) fn subscription_unanswered(&mut self, now: Instant, id: PoolId) {
        let Some(subscription) = self.asked.pool(id).and_then(|pool| pool.subscription.as_mut()) else {
            return;
        };
        let wait: Duration = self.timers.back_off(self.timers.unknown_pool_retry, subscription.failures);
        subscription.failures = subscription.failures.saturating_add(1);
        subscription.granted = false;
        self.deadlines.arm(Deadline::Subscription(id), now + wait);
    }

    fn tell(&mut self, id: PoolId, change: PoolChange) {
        let Some(pool) = self.asked.pool(id) else { return };
        let Some(subscription) = &mut pool.subscription else { return };
        subscription.told = Some(change.clone());
        let pool_handle = pool.pool_handle.clone();
        self.channel.out.event(UserEvent::PoolChanged { pool_handle, change });
    }
}
