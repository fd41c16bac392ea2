//! Leaving in good order: before it goes, a registrar offers each of its elements to a peer that lives, by a handle update
//! with the "takeover suggested" flag, an extension of the reference implementation. Whoever takes one announces itself as
//! its home; what nobody takes in time is taken over once this registrar is gone (RFC 5353 §3.5).
use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use rserpool_handlespace::ElementKey;
use rserpool_machine::Timers;
use rserpool_wire::enrp::{Body, HandleUpdate, UpdateAction};
use rserpool_wire::{ElementOwner, ServerId};

use super::Peers;
use crate::core::{Core, Phase, Timer};
use crate::event::RegistrarEvent;

#[derive(Debug, Default)]
pub(super) struct Handover {
    /// To be offered.
    waiting: VecDeque<ElementKey>,
    /// Offered, and not yet taken.
    offered: BTreeSet<ElementKey>,
    /// Counts offers, so that the peers take turns.
    offers: usize,
}

impl Handover {
    /// An element of ours has another home now.
    pub(super) fn taken(&mut self, key: ElementKey) {
        self.offered.remove(&key);
    }
}

impl Peers {
    /// Starts to leave.
    pub(crate) fn begin_handover(&mut self, core: &mut Core, now: Instant) {
        let was_serving = core.is_serving();
        core.phase = Phase::Draining;
        if !was_serving || self.list.reachable(core).is_empty() {
            return self.drained(core);
        }
        self.handover.waiting = core.handlespace.owned(core.id()).collect();
        core.timers.arm(Timer::Drain, now + core.config.timers.drain);
        self.continue_handover(core);
    }

    /// Offers as many elements as may be on offer at once. The end is when none is owned any more.
    pub(super) fn continue_handover(&mut self, core: &mut Core) {
        if core.phase != Phase::Draining {
            return;
        }
        let own = core.id();
        let peers = self.list.reachable(core);
        if self.handover.offered.len() >= core.config.limits.handovers {
            let handlespace = &core.handlespace;
            let is_ours = |key: &ElementKey| handlespace.element(*key).is_some_and(|view| view.home() == own);
            self.handover.offered.retain(is_ours);
        }
        while self.handover.offered.len() < core.config.limits.handovers
            && let Some(key) = self.handover.waiting.pop_front()
        {
            let Some(view) = core.handlespace.element(key).filter(|view| view.home() == own) else {
                continue;
            };
            let (pool_handle, element) = (view.pool_handle().into_owned(), view.decode());
            let peer = peers.get(self.handover.offers.checked_rem(peers.len()).unwrap_or(0)).copied();
            if let (Some(peer), Some(element)) = (peer, element) {
                self.handover.offers += 1;
                self.handover.offered.insert(key);
                let action = UpdateAction::Add;
                let owner = core.owners.told(key).map(ElementOwner::into_owned);
                let offer = HandleUpdate { action, takeover_suggested: true, pool_handle, element, owner };
                send_offer(core, peer, offer);
            }
        }
        if core.handlespace.owned_count(own) == 0 {
            self.drained(core);
        }
    }

    /// Nothing is owned any more, or time is up: this registrar is gone.
    pub(super) fn drained(&mut self, core: &mut Core) {
        core.phase = Phase::Drained;
        core.timers = Timers::new();
        self.handover = Handover::default();
        let left = core.handlespace.owned_count(core.id());
        core.event(RegistrarEvent::Drained { left });
        core.links.all().into_iter().for_each(|link| core.close(link));
    }
}

fn send_offer(core: &mut Core, peer: ServerId, mut offer: HandleUpdate<'_>) {
    if let Some(link) = core.links.route(peer) {
        if !core.links.is_proven(link) {
            offer.owner = None;
        }
        core.send_enrp(link, peer, Body::HandleUpdate(offer));
    }
}
