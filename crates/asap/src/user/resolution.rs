//! Handle resolution (RFC 5352 §3.3): requests, their retransmission in parallel to a server hunt (§3.7.2), and
//! responses.
use std::time::Instant;

use rserpool_wire::asap::{HandleResolution, HandleResolutionResponse};
use rserpool_wire::{CauseCode, Policy, PoolHandle};

use super::asked::{PoolId, merged};
use super::{Deadline, RequestId, ResolveError, UserMachine};
use crate::events::UserEvent;

impl UserMachine {
    /// Asks for a pool on behalf of `request`.
    pub(super) fn request(
        &mut self,
        now: Instant,
        pool_handle: &PoolHandle<'_>,
        items: Option<u32>,
        request: RequestId,
    ) -> Result<(), ResolveError> {
        if self.requests.len() >= self.max_requests {
            return Err(ResolveError::TooManyRequests { limit: self.max_requests });
        }
        self.check(pool_handle)?;
        let id = self.asked.find_or_insert(pool_handle);
        self.requests.insert(request, id);
        self.ask(now, id, items, Some(request));
        Ok(())
    }

    /// Asks for a pool on behalf of nobody, so that the cache is fresh next time (C2, C3).
    pub(super) fn refresh(&mut self, now: Instant, pool_handle: &PoolHandle<'_>, items: Option<u32>) {
        let room = self.asked.len() < self.max_requests.saturating_add(self.max_subscriptions);
        if room && self.check(pool_handle).is_ok() {
            let id = self.asked.find_or_insert(pool_handle);
            self.ask(now, id, items, None);
        }
    }

    /// NR1 to NR4; without a home, the request waits for one.
    fn ask(&mut self, now: Instant, id: PoolId, items: Option<u32>, request: Option<RequestId>) {
        let deadline = self.request_deadline(now);
        if self.asked.pool(id).is_some_and(|pool| pool.join(items, request, deadline)) {
            self.send_query(now, id);
        }
    }

    /// When a request that is made now fails: after T1 has expired once and MAX-REQUEST-RETRANSMIT times more.
    pub(super) fn request_deadline(&self, now: Instant) -> Instant {
        let periods = self.timers.max_request_retransmit.saturating_add(1);
        now + self.timers.request.saturating_mul(periods).min(crate::AsapTimers::LONGEST)
    }

    /// Sends the active request for a pool, again or for the first time, and (re)starts its T1.
    pub(super) fn send_query(&mut self, now: Instant, id: PoolId) {
        let Some(pool) = self.asked.pool(id) else { return };
        let Some(query) = &mut pool.active else { return };
        self.deadlines.arm(Deadline::Request(id), (now + self.timers.request).min(query.deadline));
        let Some(home) = self.channel.home() else { return };
        self.channel.out.statistics.retransmitted += u64::from(query.sent);
        query.sent = true;
        query.subscribing = pool.subscription.as_ref().is_some_and(|subscription| !subscription.granted);
        // Who subscribes wants to know of all elements that the application ever asks for.
        let items = if query.subscribing { merged(query.items, self.items) } else { query.items };
        let message = HandleResolution {
            pool_handle: pool.pool_handle.borrowed(),
            subscribe: query.subscribing,
            items,
        };
        // It was checked to fit when it was asked for.
        let _ = self.channel.out.transmit(home, &message.into());
    }

    /// T1 expired (§3.7.2): the request is sent again, and another registrar looked for in parallel.
    pub(super) fn request_unanswered(&mut self, now: Instant, id: PoolId) {
        let Some(query) = self.asked.pool(id).and_then(|pool| pool.active.as_ref()) else { return };
        if query.deadline > now {
            self.send_query(now, id);
            return self.channel.hunt(now);
        }
        let error = if query.sent { ResolveError::TimedOut } else { ResolveError::NoRegistrar };
        self.subscription_unanswered(now, id);
        self.finish(now, id, &Err(error));
    }

    /// The home has changed: whatever was asked of the old one is asked of the new one (§3.7.1).
    pub(super) fn home_found(&mut self, now: Instant) {
        self.restart_subscriptions(now);
        for id in self.asked.ids() {
            self.send_query(now, id);
        }
        self.send_reports();
    }

    pub(super) fn home_lost(&mut self) {
        self.suspend_subscriptions();
    }

    pub(super) fn resolution_response(&mut self, now: Instant, response: HandleResolutionResponse<'_>) {
        let HandleResolutionResponse { accept_updates, pool_handle, policy, elements, error } = response;
        // Of what nobody asked for, or nobody wants any more, nothing is kept.
        let Some(id) = self.asked.find(&pool_handle) else { return };
        let result = match error {
            None if !elements.is_empty() => {
                let items =
                    self.asked.pool(id).and_then(|pool| pool.active.as_ref()).map(|query| query.items);
                // §2.2.6: without a policy parameter, it is Round Robin.
                let policy = policy.unwrap_or(Policy::RoundRobin);
                let items = items.unwrap_or(self.items);
                let changed = self.cache.store(now, &pool_handle, policy, elements, items);
                self.subscription_listed(now, id, accept_updates, changed);
                Ok(())
            }
            Some(error) if !error.causes.is_empty() && !error.has(CauseCode::UNKNOWN_POOL_HANDLE) => {
                Err(ResolveError::Rejected(error.into_owned()))
            }
            // A pool without elements does not exist.
            _ => {
                self.cache.remove(&pool_handle);
                Err(ResolveError::UnknownPool)
            }
        };
        if let Err(error) = &result {
            self.subscription_refused(now, id, error);
        }
        self.finish(now, id, &result);
    }

    /// Ends the active request for a pool, and starts the next one.
    fn finish(&mut self, now: Instant, id: PoolId, result: &Result<(), ResolveError>) {
        let Some(pool) = self.asked.pool(id) else { return };
        let finished = std::mem::replace(&mut pool.active, pool.next.take());
        self.deadlines.cancel(Deadline::Request(id));
        for request in finished.into_iter().flat_map(|query| query.waiting) {
            self.requests.remove(&request);
            let pool_handle = pool.pool_handle.clone();
            self.channel.out.event(match result {
                Ok(()) => UserEvent::Resolved { request, pool_handle },
                Err(error) => UserEvent::ResolveFailed { request, pool_handle, error: error.clone() },
            });
        }
        let deadline = self.request_deadline(now);
        if let Some(next) = self.asked.pool(id).and_then(|pool| pool.active.as_mut()) {
            next.deadline = deadline;
            self.send_query(now, id);
        }
        self.asked.remove_if_idle(id);
    }

    pub(super) fn forget_request(&mut self, id: PoolId, request: RequestId) {
        if let Some(pool) = self.asked.pool(id) {
            pool.forget(request);
        }
        self.forget_if_idle(id);
    }

    pub(super) fn forget_if_idle(&mut self, id: PoolId) {
        if self.asked.pool(id).is_some_and(|pool| pool.active.is_none()) {
            self.deadlines.cancel(Deadline::Request(id));
        }
        self.asked.remove_if_idle(id);
    }
}
