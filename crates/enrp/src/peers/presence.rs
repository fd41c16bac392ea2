//! Presences (RFC 5353 §3.4): discovering peers, heartbeats, and noticing that a peer has died.
use std::net::SocketAddr;
use std::time::Instant;

use rserpool_machine::LinkId;
use rserpool_wire::enrp::{Body, Presence};
use rserpool_wire::{CauseCode, ErrorCause, ServerId, ServerInformation};

use super::Peers;
use super::list::{Peer, PeerState};
use crate::authorization::Action;
use crate::core::{Core, Phase, Timer};
use crate::event::{Fault, PeerDownReason, RegistrarEvent};
use crate::links::Link;
use crate::refusal::Refusal;
use crate::service::Service;

impl Peers {
    /// Notes that a registrar was heard on a link; an unknown one becomes a peer (§3.4.1). `false`: do not listen to it.
    ///
    /// The presence that §3.4.1 wants sent to it has gone out already, when the link came up.
    pub(super) fn hear(
        &mut self,
        core: &mut Core,
        service: &mut Service,
        now: Instant,
        link: LinkId,
        sender: ServerId,
    ) -> bool {
        if sender == core.id() || sender.is_none() {
            self.contacts.mark_own(link);
            core.fault(link, Fault::ServerId(sender));
            core.close(link);
            return false;
        }
        let known = core.links.get(link).and_then(|link| link.server);
        match known {
            Some(expected) if expected != sender => {
                core.fault(link, Fault::ChangedServer { expected, found: sender });
                return false;
            }
            None if !self.admit(core, now, link, sender) => return false,
            _ => {}
        }
        if !self.list.contains(sender) {
            self.list.add(sender, Peer::new(now, None), core.config.limits.peers);
        }
        self.alive(core, now, sender);
        // Only now, or the end of the other one might complete a take-over of the sender.
        if known.is_none()
            && let Some(replaced) = self.contacts.identify(link, sender)
            && core.links.route(replaced).is_none()
        {
            self.peer_failed(core, service, now, replaced, PeerDownReason::Replaced(sender));
        }
        true
    }

    /// Lets a registrar that is heard on a link for the first time be a peer there, if it may.
    fn admit(&mut self, core: &mut Core, now: Instant, link: LinkId, sender: ServerId) -> bool {
        let Some(known) = core.links.get(link) else { return false };
        let identity = known.party.identity().cloned();
        let cause = match self.may_be(core, known, sender) {
            Err(reason) => Some(core.refuse(link, reason)),
            Ok(()) if self.list.contains(sender) => None,
            Ok(()) if self.list.add(sender, Peer::new(now, None), core.config.limits.peers) => None,
            Ok(()) => {
                core.fault(link, Fault::Limit("peers"));
                Some(ErrorCause::new(CauseCode::LACK_OF_RESOURCES))
            }
        };
        if let Some(cause) = cause {
            core.send_error(link, vec![cause]);
            core.close(link);
            return false;
        }
        if let Some(peer) = self.list.get_mut(sender)
            && identity.is_some()
        {
            peer.identity = identity;
        }
        let own = core.id();
        core.links.bind(link, sender, own);
        true
    }

    /// Whether whoever is there may speak as this registrar: it may be one, and nobody else is this one (RFC 5355 §2.17).
    fn may_be(&self, core: &Core, link: &Link, server: ServerId) -> Result<(), Refusal> {
        core.authorize(&link.party, Action::Peer { server })?;
        let known = self.list.get(server).and_then(|peer| peer.identity.as_ref());
        match (known, link.party.identity()) {
            (Some(known), Some(identity)) if known != identity => Err(Refusal::Peer),
            _ => Ok(()),
        }
    }

    /// Ends the links of registrars that may not be such any more.
    pub(crate) fn enforce(&mut self, core: &mut Core) {
        let links: Vec<LinkId> = core.links.enrp_links().collect();
        for link in links {
            if let Some(known) = core.links.get(link)
                && let Some(server) = known.server
                && let Err(reason) = self.may_be(core, known, server)
            {
                let cause = core.refuse(link, reason);
                core.send_error(link, vec![cause]);
                core.close(link);
            }
        }
    }

    /// A peer lives: whatever was under way because it seemed dead is given up.
    pub(super) fn alive(&mut self, core: &mut Core, now: Instant, server: ServerId) {
        let Some(peer) = self.list.get_mut(server) else { return };
        peer.last_heard = now;
        peer.heard = true;
        let before = std::mem::replace(&mut peer.state, PeerState::Active);
        if before == PeerState::Inactive {
            self.target_heard(core, server);
        }
        // The timer is not moved at each message: when it fires, it looks at the time of the last one.
        if before != PeerState::Active || core.timers.due(Timer::Peer(server)).is_none() {
            core.timers.arm(Timer::Peer(server), now + core.config.timers.max_time_last_heard);
        }
    }

    /// Tells the application of a peer that was heard for the first time, once its message was looked at.
    pub(super) fn introduce(&mut self, core: &mut Core, server: ServerId) {
        if let Some(peer) = self.list.get_mut(server)
            && peer.heard
            && !std::mem::replace(&mut peer.introduced, true)
        {
            core.event(RegistrarEvent::PeerUp { server, endpoint: peer.endpoint.clone() });
        }
    }

    pub(super) fn presence_received(
        &mut self,
        core: &mut Core,
        now: Instant,
        link: LinkId,
        sender: ServerId,
        presence: Presence,
    ) {
        if let Some(information) = presence.information.filter(|known| known.identifier == sender) {
            let seen_at = core.links.get(link).and_then(|link| link.party.addresses().first().copied());
            self.learn_contact(core, now, &information, seen_at);
        }
        if presence.reply_required {
            self.send_presence(core, link, false);
        }
        if let Some(checksum) = presence.checksum {
            self.audit(core, now, sender, checksum);
        }
    }

    /// A presence came by multicast. Anybody could have sent it: in secured scopes it says where to look for a registrar,
    /// but not that it lives. Its checksum is left alone, for updates may still be on their way.
    pub(super) fn presence_announced(
        &mut self,
        core: &mut Core,
        now: Instant,
        source: SocketAddr,
        sender: ServerId,
        presence: Presence,
    ) {
        if self.list.contains(sender) && !core.config.is_secured() {
            self.alive(core, now, sender);
        }
        if let Some(information) = presence.information.filter(|known| known.identifier == sender) {
            self.learn_contact(core, now, &information, Some(source));
        }
        self.introduce(core, sender);
    }

    pub(super) fn presence(&self, core: &Core, reply_required: bool) -> Presence {
        let transport = core.config.enrp.as_ref().and_then(|endpoint| endpoint.to_transport());
        Presence {
            reply_required,
            checksum: Some(core.handlespace.checksum(core.id())),
            information: transport.map(|transport| ServerInformation { identifier: core.id(), transport }),
        }
    }

    pub(super) fn send_presence(&self, core: &mut Core, link: LinkId, reply_required: bool) {
        let presence = self.presence(core, reply_required);
        let receiver = core.links.get(link).and_then(|link| link.server).unwrap_or_default();
        core.send_enrp(link, receiver, Body::Presence(presence));
    }

    /// PEER-HEARTBEAT-CYCLE is over (§3.4.2). On links where nobody was heard yet, we ask who is there.
    pub(super) fn heartbeat(&mut self, core: &mut Core, now: Instant) {
        let presence = self.presence(core, false);
        core.announce_to_groups(Body::Presence(presence.clone()));
        core.announce(Body::Presence(presence));
        for link in core.links.unidentified() {
            self.send_presence(core, link, true);
        }
        core.timers.arm(Timer::Heartbeat, now + core.config.timers.heartbeat_cycle);
    }

    /// A peer may have been silent for MAX-TIME-LAST-HEARD, or has not answered within MAX-TIME-NO-RESPONSE (§3.4.3).
    pub(super) fn peer_silent(
        &mut self,
        core: &mut Core,
        service: &mut Service,
        now: Instant,
        server: ServerId,
    ) {
        let Some(peer) = self.list.get_mut(server) else { return };
        let timers = &core.config.timers;
        match peer.state {
            PeerState::Inactive => {}
            PeerState::Probed => self.peer_failed(core, service, now, server, PeerDownReason::Silent),
            PeerState::Active => {
                let due = peer.last_heard + timers.max_time_last_heard;
                if now < due {
                    core.timers.arm(Timer::Peer(server), due);
                    return;
                }
                peer.state = PeerState::Probed;
                core.timers.arm(Timer::Peer(server), now + timers.max_time_no_response);
                match core.links.route(server) {
                    Some(link) => self.send_presence(core, link, true),
                    None => self.dial_peer(core, now, server),
                }
            }
        }
    }

    /// A peer is dead: its elements need a new home. Until initialisation is over others see to that; what is left then is
    /// taken over afterwards.
    pub(super) fn peer_failed(
        &mut self,
        core: &mut Core,
        service: &mut Service,
        now: Instant,
        server: ServerId,
        reason: PeerDownReason,
    ) {
        let Some(peer) = self.list.get_mut(server).filter(|peer| peer.state != PeerState::Inactive) else {
            return;
        };
        peer.state = PeerState::Inactive;
        (peer.heard, peer.introduced) = (false, false);
        core.timers.cancel(Timer::Peer(server));
        core.statistics.peers_failed += 1;
        core.event(RegistrarEvent::PeerDown { server, reason });
        self.abandon_resync(core, server);
        self.no_longer_awaited(core, service, now, server);
        if core.phase == Phase::Ready {
            self.start_takeover(core, service, now, server);
        }
    }
}
