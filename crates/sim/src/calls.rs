//! What users want of elements: resolve, select, call, and take the next element when one does not answer.
use std::time::Duration;

use bytes::Bytes;
use rand::RngExt;
use rserpool_asap::session::{ElementControl, UserControl};
use rserpool_asap::{Freshness, RequestId, UserEvent};
use rserpool_wire::PeIdentifier;

use crate::fault::NodeId;
use crate::invariants::{self, Violation};
use crate::node::{Delivery, Node, Process, node_at};
use crate::user::{CallId, Wish};
use crate::world::{Event, World};

impl World {
    /// A user wants something, now or still.
    pub(crate) fn want(&mut self, id: NodeId) {
        let (now, time) = (self.now, self.local_time(id));
        let freshness = match self.rng.random_range(0..4) {
            0 => Freshness::Fresh,
            1 => Freshness::StaleAllowed,
            _ => Freshness::CacheAllowed,
        };
        let Some(node) = self.node_mut(id) else { return };
        if node.pauses > 0 {
            return self.want_later(id);
        }
        let Some(user) = node.user_mut() else { return };
        let wish = user.wish.get_or_insert(Wish { since: now, request: None, call: None, tried: Vec::new() });
        if wish.request.is_some() || wish.call.is_some() {
            return;
        }
        let request = user.machine.resolve(time, &user.pool_handle, None, freshness);
        wish.request = Some(request);
        self.perform(id);
    }

    fn want_later(&mut self, id: NodeId) {
        let pause = self.around(self.settings.pace.call_interval / 4);
        self.happens_in(pause, Event::Want(id));
    }

    pub(crate) fn user_told(&mut self, id: NodeId, event: &UserEvent) {
        let is_awaited = |world: &mut Self, request: RequestId| {
            let user = world.node_mut(id).and_then(Node::user_mut);
            let wish = user.and_then(|user| user.wish.as_mut());
            wish.and_then(|wish| wish.request.take_if(|awaited| *awaited == request)).is_some()
        };
        match event {
            UserEvent::Resolved { request, .. } if is_awaited(self, *request) => self.call_next(id),
            UserEvent::ResolveFailed { request, .. } if is_awaited(self, *request) => self.want_later(id),
            _ => {}
        }
    }

    /// Calls the next element by the policy of the pool.
    fn call_next(&mut self, id: NodeId) {
        let time = self.local_time(id);
        let call = self.next_call;
        self.next_call += 1;
        let Some(user) = self.node_mut(id).and_then(Node::user_mut) else { return };
        let Some(wish) = &mut user.wish else { return };
        let Some(element) = user.machine.select(time, &user.pool_handle, &wish.tried) else {
            // All were tried: from the start, with what the registrar says then.
            wish.tried.clear();
            return self.want_later(id);
        };
        wish.call = Some((call, element.identifier));
        let (opening, expected) = (user.session.opening(), user.cookie.clone());
        self.happens_in(self.settings.pace.call_timeout, Event::CallTimeout(id, call));
        let Some(to) = element.user_transport.socket_addresses().next().and_then(node_at) else { return };
        let identifier = element.identifier;
        if !self.network.is_cut(id, to)
            && let Some(delay) = self.call_delay(id, to)
        {
            let delivery = Delivery::Call { from: id, call, identifier, opening, expected };
            self.happens_in(delay, Event::Deliver(to, delivery));
        }
    }

    fn call_delay(&mut self, from: NodeId, to: NodeId) -> Option<Duration> {
        let retransmission = self.settings.pace.call_timeout / 8;
        let lost = self.network.retransmissions(&mut self.rng, retransmission)?;
        Some(self.network.delay(&mut self.rng, from, to) + lost)
    }

    /// A user has called an element: it must show the last cookie that it got, and gets another one.
    pub(crate) fn called(
        &mut self,
        id: NodeId,
        from: NodeId,
        call: CallId,
        identifier: PeIdentifier,
        opening: &[Bytes],
        expected: Option<&Bytes>,
    ) {
        let now = self.now;
        let Some(Process::Element(element)) = self.node_mut(id).and_then(|node| node.process.as_mut()) else {
            return;
        };
        if !element.registrations.iter().any(|(_, values)| values.identifier == identifier) {
            return;
        }
        let shown = opening.iter().find_map(|message| match element.session.handle_control(message) {
            ElementControl::CookieEchoed(cookie) => Some(cookie),
            _ => None,
        });
        let cookie = element.session.cookie(format!("{from} {call} {identifier}").as_bytes()).ok();
        if shown.as_ref() != expected {
            let what = format!("{from} shows {shown:?} to {id}, but its last cookie is {expected:?}");
            return self.violated(Violation::new(now, "Users: cookie echo (5352-3.8-01)", what));
        }
        if !self.network.is_cut(id, from)
            && let Some(delay) = self.call_delay(id, from)
        {
            self.happens_in(delay, Event::Deliver(from, Delivery::Answer { call, cookie }));
        }
    }

    /// An element has answered a user, or its host has: nobody is there.
    pub(crate) fn answered(&mut self, id: NodeId, call: CallId, cookie: Option<Bytes>) {
        let now = self.now;
        let Some(user) = self.node_mut(id).and_then(Node::user_mut) else { return };
        let Some(wish) = &user.wish else { return };
        if wish.call.is_none_or(|(awaited, _)| awaited != call) {
            return;
        }
        let Some(cookie) = cookie else { return self.call_failed(id) };
        user.served += 1;
        user.slowest = user.slowest.max(now - wish.since);
        user.wish = None;
        if user.session.handle_control(&cookie) == UserControl::CookieStored {
            user.cookie = user.session.cookie().map(Bytes::copy_from_slice);
        }
        let pause = self.around(self.settings.pace.call_interval);
        self.happens_in(pause, Event::Want(id));
    }

    pub(crate) fn call_timeout(&mut self, id: NodeId, call: CallId) {
        let user = self.node(id).and_then(Node::user);
        let awaited = user.and_then(|user| user.wish.as_ref()).and_then(|wish| wish.call);
        if awaited.is_some_and(|(awaited, _)| awaited == call) {
            if self.node(id).is_some_and(|node| node.pauses > 0) {
                return self.happens_in(self.settings.pace.call_timeout, Event::CallTimeout(id, call));
            }
            self.call_failed(id);
        }
    }

    /// An element did not answer: it is reported, and the next one is called.
    fn call_failed(&mut self, id: NodeId) {
        let time = self.local_time(id);
        let Some(user) = self.node_mut(id).and_then(Node::user_mut) else { return };
        let Some(wish) = &mut user.wish else { return };
        let Some((_, identifier)) = wish.call.take() else { return };
        wish.tried.push(identifier);
        user.machine.report_unreachable(time, &user.pool_handle, identifier);
        self.perform(id);
        invariants::wish_unfulfilled(self, id);
        self.call_next(id);
    }
}
