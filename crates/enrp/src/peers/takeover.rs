//! Taking over the elements of a dead registrar (RFC 5353 §3.5): whoever notices asks all others, and goes ahead when all
//! have agreed, or have not answered in time. Of two that want to, the one that goes first by identifier does.
//!
//! Beyond the RFC: whoever agreed waits for the completion, and starts a take-over of its own if it does not come.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use rserpool_handlespace::ElementKey;
use rserpool_machine::LinkId;
use rserpool_wire::ServerId;
use rserpool_wire::enrp::{Body, InitTakeover, InitTakeoverAck, TakeoverServer};

use super::Peers;
use super::list::PeerState;
use super::update::goes_first;
use crate::core::{Core, Phase, Timer};
use crate::event::{PeerDownReason, RegistrarEvent, TakeoverAbortReason};
use crate::service::Service;

#[derive(Debug)]
enum Takeover {
    /// Ours: these peers have not agreed yet.
    Initiated { awaited: BTreeSet<ServerId> },
    /// Another registrar's, which we agreed to when the target owned so many elements here.
    Agreed { owned: usize },
}

/// The take-overs that are under way, by target.
#[derive(Debug, Default)]
pub(super) struct Takeovers {
    running: BTreeMap<ServerId, Takeover>,
}

impl Peers {
    /// A peer was found dead (§3.5.1).
    pub(super) fn start_takeover(
        &mut self,
        core: &mut Core,
        service: &mut Service,
        now: Instant,
        target: ServerId,
    ) {
        core.statistics.takeovers_started += 1;
        core.event(RegistrarEvent::TakeoverStarted { target });
        core.announce(Body::InitTakeover(InitTakeover { target }));
        let awaited: BTreeSet<ServerId> =
            self.list.reachable(core).into_iter().filter(|peer| *peer != target).collect();
        let nobody_left = awaited.is_empty();
        self.takeovers.running.insert(target, Takeover::Initiated { awaited });
        core.timers.arm(Timer::Takeover(target), now + core.config.timers.max_time_no_response);
        if nobody_left {
            self.complete_takeover(core, service, now, target);
        }
    }

    /// ENRP_INIT_TAKEOVER.
    pub(super) fn takeover_proposed(
        &mut self,
        core: &mut Core,
        now: Instant,
        link: LinkId,
        initiator: ServerId,
        target: ServerId,
    ) {
        if target == core.id() {
            // We live: all shall know (rule 1).
            let presence = self.presence(core, false);
            core.announce_to_groups(Body::Presence(presence.clone()));
            core.announce(Body::Presence(presence));
            return;
        }
        if let Some(Takeover::Initiated { .. }) = self.takeovers.running.get(&target) {
            if goes_first(core, initiator) {
                return;
            }
            let reason = TakeoverAbortReason::Yielded(initiator);
            core.event(RegistrarEvent::TakeoverAborted { target, reason });
            self.takeovers.running.remove(&target);
        }
        if let Some(peer) = self.list.get_mut(target) {
            peer.state = PeerState::Inactive;
            core.timers.cancel(Timer::Peer(target));
        }
        if self.list.contains(target) || core.handlespace.owned_count(target) > 0 {
            let owned = core.handlespace.owned_count(target);
            self.takeovers.running.insert(target, Takeover::Agreed { owned });
            core.timers.arm(Timer::Takeover(target), now + core.config.timers.takeover_watch);
        }
        core.send_enrp(link, initiator, Body::InitTakeoverAck(InitTakeoverAck { target }));
    }

    /// ENRP_INIT_TAKEOVER_ACK.
    pub(super) fn takeover_acknowledged(
        &mut self,
        core: &mut Core,
        service: &mut Service,
        now: Instant,
        peer: ServerId,
        target: ServerId,
    ) {
        match self.takeovers.running.get_mut(&target) {
            Some(Takeover::Initiated { awaited }) => {
                awaited.remove(&peer);
                if awaited.is_empty() {
                    self.complete_takeover(core, service, now, target);
                }
            }
            _ => core.statistics.unsolicited += 1,
        }
    }

    /// A peer died: no take-over waits for it any longer.
    pub(super) fn no_longer_awaited(
        &mut self,
        core: &mut Core,
        service: &mut Service,
        now: Instant,
        peer: ServerId,
    ) {
        let targets: Vec<ServerId> = self.takeovers.running.keys().copied().collect();
        for target in targets {
            if let Some(Takeover::Initiated { awaited }) = self.takeovers.running.get_mut(&target)
                && awaited.remove(&peer)
                && awaited.is_empty()
            {
                self.complete_takeover(core, service, now, target);
            }
        }
    }

    /// Somebody has not agreed, or not completed, in time.
    pub(super) fn takeover_due(
        &mut self,
        core: &mut Core,
        service: &mut Service,
        now: Instant,
        target: ServerId,
    ) {
        match self.takeovers.running.get(&target) {
            Some(Takeover::Initiated { .. }) => self.complete_takeover(core, service, now, target),
            // It is over, although nobody said so: the reference implementation lets updates alone speak.
            Some(Takeover::Agreed { owned }) if *owned > 0 && core.handlespace.owned_count(target) == 0 => {
                self.end_takeover(core, now, target);
            }
            Some(Takeover::Agreed { .. }) => {
                self.takeovers.running.remove(&target);
                if core.phase == Phase::Ready {
                    self.start_takeover(core, service, now, target);
                }
            }
            None => {}
        }
    }

    /// The target of a take-over lives (§3.5.1): nothing is taken from it.
    pub(super) fn target_heard(&mut self, core: &mut Core, target: ServerId) {
        core.timers.cancel(Timer::Takeover(target));
        if let Some(Takeover::Initiated { .. }) = self.takeovers.running.remove(&target) {
            let reason = TakeoverAbortReason::TargetHeard;
            core.event(RegistrarEvent::TakeoverAborted { target, reason });
        }
    }

    /// All have agreed, or none is left to ask: the elements of the target are ours (§3.5.2).
    fn complete_takeover(&mut self, core: &mut Core, service: &mut Service, now: Instant, target: ServerId) {
        self.end_takeover(core, now, target);
        core.announce(Body::TakeoverServer(TakeoverServer { target }));
        let keys: Vec<ElementKey> = core.handlespace.owned(target).collect();
        let home = core.id();
        let elements = core.handlespace.transfer(target, home);
        keys.into_iter().for_each(|key| service.adopt(core, now, key));
        service.start_probes(core, now);
        core.statistics.takeovers_completed += 1;
        core.event(RegistrarEvent::TakeoverCompleted { target, home, elements });
    }

    /// ENRP_TAKEOVER_SERVER: another registrar has taken the target over.
    pub(super) fn taken_over(
        &mut self,
        core: &mut Core,
        service: &mut Service,
        now: Instant,
        home: ServerId,
        target: ServerId,
    ) {
        if target == core.id() {
            // In error. Our elements go one by one, as they adopt the other home and it announces that; what it cannot
            // reach stays.
            let presence = self.presence(core, false);
            return core.announce(Body::Presence(presence));
        }
        if let Some(Takeover::Initiated { .. }) = self.takeovers.running.get(&target) {
            let reason = TakeoverAbortReason::TakenOver(home);
            core.event(RegistrarEvent::TakeoverAborted { target, reason });
        }
        if self.list.get(target).is_some_and(|peer| peer.heard) {
            let reason = PeerDownReason::TakenOver(home);
            core.event(RegistrarEvent::PeerDown { server: target, reason });
        }
        self.end_takeover(core, now, target);
        let elements = core.handlespace.transfer(target, home);
        self.no_longer_awaited(core, service, now, target);
        core.event(RegistrarEvent::TakeoverCompleted { target, home, elements });
    }

    /// The target has no elements any more, and is no peer. Its links end: should it live after all, behind a cut, it must not
    /// be told later, out of a send buffer, what became of its elements. It comes to terms when it connects again.
    fn end_takeover(&mut self, core: &mut Core, now: Instant, target: ServerId) {
        self.takeovers.running.remove(&target);
        core.timers.cancel(Timer::Takeover(target));
        core.timers.cancel(Timer::Peer(target));
        self.abandon_resync(core, target);
        self.audits.forget(target);
        self.list.remove(target);
        core.links.of_server(target).into_iter().for_each(|link| core.close(link));
        self.forget_contacts(core, now, target);
    }
}
