//! Initialisation (RFC 5353 §3.2): getting the peer list and the handlespace from a mentor.
//!
//! Every registrar that there is a link to may be the mentor; one that rejects, is silent or goes away is followed by the
//! next. When patience ends and nobody is answering, this registrar takes itself for alone and starts; two registrars that
//! start at the same time and each wait for the other come together so, and the audit of §3.6 evens out what they have.
use std::collections::BTreeSet;
use std::time::Instant;

use rserpool_machine::LinkId;
use rserpool_wire::ServerId;
use rserpool_wire::enrp::{Body, HandleTableRequest, HandleTableResponse, ListResponse};

use super::Peers;
use super::list::{Peer, PeerState};
use super::update::Source;
use crate::core::{Core, Phase, Timer};
use crate::event::RegistrarEvent;
use crate::service::Service;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Stage {
    /// No mentor yet.
    #[default]
    Seeking,
    /// ENRP_LIST_REQUEST is not answered yet.
    Listing(LinkId),
    /// ENRP_HANDLE_TABLE_REQUEST is not answered yet.
    Downloading(LinkId),
    /// All mentors have failed: to be asked again after a while.
    Pausing,
    /// Initialisation is over.
    Done,
}

#[derive(Debug, Default)]
pub(super) struct Mentor {
    stage: Stage,
    /// Mentors that failed since the last pause.
    failed: BTreeSet<LinkId>,
    impatient: bool,
}

impl Mentor {
    /// Whether a table response on this link is the mentor's.
    pub(super) fn is_downloading(&self, link: LinkId) -> bool {
        self.stage == Stage::Downloading(link)
    }
}

impl Peers {
    pub(super) fn start_initialization(&mut self, core: &mut Core, service: &mut Service, now: Instant) {
        if self.contacts.is_empty() && !core.config.discovers_peers {
            return self.finish_initialization(core, service, now);
        }
        core.timers.arm(Timer::Patience, now + core.config.timers.mentor_patience);
    }

    /// A new link: the registrar there may become the mentor.
    pub(super) fn seek_mentor_on(&mut self, core: &mut Core, now: Instant, link: LinkId) {
        if matches!(self.mentor.stage, Stage::Seeking | Stage::Pausing) {
            self.ask_for_list(core, now, link);
        }
    }

    fn ask_for_list(&mut self, core: &mut Core, now: Instant, link: LinkId) {
        self.mentor.stage = Stage::Listing(link);
        let receiver = core.links.get(link).and_then(|link| link.server).unwrap_or_default();
        core.send_enrp(link, receiver, Body::ListRequest);
        core.timers.arm(Timer::Mentor, now + core.config.timers.max_time_no_response);
    }

    /// Asks the next mentor, or pauses, or starts alone.
    fn next_mentor(&mut self, core: &mut Core, service: &mut Service, now: Instant) {
        core.timers.cancel(Timer::Mentor);
        self.mentor.stage = Stage::Seeking;
        let next = core.links.enrp_links().find(|link| !self.mentor.failed.contains(link));
        match next {
            Some(link) => self.ask_for_list(core, now, link),
            None if self.mentor.impatient => self.finish_initialization(core, service, now),
            None if core.links.enrp_links().next().is_none() => {}
            None => {
                self.mentor.stage = Stage::Pausing;
                core.timers.arm(Timer::Mentor, now + core.config.timers.mentor_retry);
            }
        }
    }

    fn mentor_failed(&mut self, core: &mut Core, service: &mut Service, now: Instant, link: LinkId) {
        self.mentor.failed.insert(link);
        self.next_mentor(core, service, now);
    }

    pub(super) fn mentor_link_lost(
        &mut self,
        core: &mut Core,
        service: &mut Service,
        now: Instant,
        link: LinkId,
    ) {
        self.mentor.failed.remove(&link);
        if [Stage::Listing(link), Stage::Downloading(link)].contains(&self.mentor.stage) {
            self.next_mentor(core, service, now);
        }
    }

    /// The mentor has not answered in time, or the pause is over.
    pub(super) fn mentor_due(&mut self, core: &mut Core, service: &mut Service, now: Instant) {
        match self.mentor.stage {
            Stage::Listing(link) | Stage::Downloading(link) => self.mentor_failed(core, service, now, link),
            Stage::Pausing => {
                self.mentor.failed.clear();
                self.next_mentor(core, service, now);
            }
            Stage::Seeking | Stage::Done => {}
        }
    }

    /// A mentor that is answering may finish; without one, this registrar starts alone.
    pub(super) fn patience_over(&mut self, core: &mut Core, service: &mut Service, now: Instant) {
        self.mentor.impatient = true;
        if matches!(self.mentor.stage, Stage::Seeking | Stage::Pausing) {
            self.finish_initialization(core, service, now);
        }
    }

    pub(super) fn list_received(
        &mut self,
        core: &mut Core,
        service: &mut Service,
        now: Instant,
        link: LinkId,
        response: ListResponse,
    ) {
        if self.mentor.stage != Stage::Listing(link) {
            core.statistics.unsolicited += 1;
            return;
        }
        if response.rejected {
            return self.mentor_failed(core, service, now, link);
        }
        let own = core.id();
        for information in response.servers.iter().filter(|server| server.identifier != own) {
            self.monitor(core, now, information.identifier);
            self.learn_contact(core, now, information, None);
        }
        self.mentor.stage = Stage::Downloading(link);
        self.ask_mentor_for_table(core, now, link);
    }

    fn ask_mentor_for_table(&mut self, core: &mut Core, now: Instant, link: LinkId) {
        let receiver = core.links.get(link).and_then(|link| link.server).unwrap_or_default();
        let request = HandleTableRequest { own_children_only: false };
        core.send_enrp(link, receiver, Body::HandleTableRequest(request));
        core.timers.arm(Timer::Mentor, now + core.config.timers.max_time_no_response);
    }

    /// A part of the mentor's handlespace.
    pub(super) fn mentor_table_received(
        &mut self,
        core: &mut Core,
        service: &mut Service,
        now: Instant,
        link: LinkId,
        sender: ServerId,
        response: HandleTableResponse<'_>,
    ) {
        if response.rejected {
            return self.mentor_failed(core, service, now, link);
        }
        for entry in response.entries {
            for listed in entry.elements {
                let source = Source::Mentor(sender);
                self.enter(core, service, now, source, &entry.pool_handle, listed);
            }
        }
        if response.more {
            self.ask_mentor_for_table(core, now, link);
        } else {
            self.finish_initialization(core, service, now);
        }
    }

    /// Answers ENRP_LIST_REQUEST with all registrars that live, this one included (§3.2.2.2).
    pub(super) fn serve_list(&mut self, core: &mut Core, link: LinkId, requester: ServerId) {
        let rejected = !core.is_serving();
        let mut servers = Vec::new();
        if !rejected {
            servers.extend(self.presence(core, false).information);
            servers.extend(self.list.iter().filter_map(|(server, peer)| {
                let transport = peer.endpoint.as_ref()?.to_transport()?;
                let listed = server != requester && peer.state != PeerState::Inactive;
                listed.then_some(rserpool_wire::ServerInformation { identifier: server, transport })
            }));
        }
        core.send_enrp(link, requester, Body::ListResponse(ListResponse { rejected, servers }));
    }

    /// Adds a registrar that was never heard to the peer list, to be monitored like any other.
    fn monitor(&mut self, core: &mut Core, now: Instant, server: ServerId) {
        if !self.list.contains(server)
            && self.list.add(server, Peer::new(now, None), core.config.limits.peers)
        {
            core.timers.arm(Timer::Peer(server), now + core.config.timers.max_time_last_heard);
        }
    }

    fn finish_initialization(&mut self, core: &mut Core, service: &mut Service, now: Instant) {
        self.mentor.stage = Stage::Done;
        self.mentor.failed.clear();
        core.timers.cancel(Timer::Mentor);
        core.timers.cancel(Timer::Patience);
        core.phase = Phase::Ready;
        core.event(RegistrarEvent::Ready);
        service.start(core, now);
        // Registrars that own elements but that nobody listed: monitored, so that their elements are not left alone.
        let own = core.id();
        let owners: Vec<ServerId> = core.handlespace.owners().filter(|owner| *owner != own).collect();
        owners.into_iter().for_each(|owner| self.monitor(core, now, owner));
        // What was missed meanwhile comes out by comparing checksums.
        let presence = self.presence(core, true);
        core.announce(Body::Presence(presence));
        let dead: Vec<ServerId> = self
            .list
            .iter()
            .filter(|(_, peer)| peer.state == PeerState::Inactive)
            .map(|(server, _)| server)
            .collect();
        dead.into_iter().for_each(|server| self.start_takeover(core, service, now, server));
    }
}
