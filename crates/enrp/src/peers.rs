//! The other registrars of the operational scope: the procedures of RFC 5353 §3.
mod audit;
mod contact;
mod handover;
mod list;
mod mentor;
mod presence;
mod table;
mod takeover;
mod update;

use std::net::SocketAddr;
use std::time::Instant;

use rserpool_machine::{DownReason, LinkId};
use rserpool_wire::enrp::{self, Body};

use crate::config::RegistrarConfig;
use crate::core::{Core, Phase, Timer};
use crate::event::Fault;
use crate::links::Link;
use crate::service::Service;
use audit::Audits;
use contact::Contacts;
use handover::Handover;
use list::PeerList;
use mentor::Mentor;
use table::Downloads;
use takeover::Takeovers;

pub use list::{PeerState, PeerStatus};

/// The message type of ENRP_ERROR, which is never answered, however malformed it is (RFC 5353 §2.10).
const ENRP_ERROR: u8 = 0x0a;

/// What is known of other registrars, and what is going on with them.
#[derive(Debug)]
pub(crate) struct Peers {
    list: PeerList,
    contacts: Contacts,
    mentor: Mentor,
    downloads: Downloads,
    audits: Audits,
    takeovers: Takeovers,
    handover: Handover,
}

impl Peers {
    pub(crate) fn new(config: &RegistrarConfig) -> Self {
        Self {
            list: PeerList::default(),
            contacts: Contacts::configured(config),
            mentor: Mentor::default(),
            downloads: Downloads::default(),
            audits: Audits::default(),
            takeovers: Takeovers::default(),
            handover: Handover::default(),
        }
    }

    /// Connects to the configured registrars, and looks for a mentor among them.
    pub(crate) fn start(&mut self, core: &mut Core, service: &mut Service, now: Instant) {
        core.timers.arm(Timer::Heartbeat, now + core.config.timers.heartbeat_cycle);
        self.dial_all(core, now);
        self.start_initialization(core, service, now);
    }

    /// An ENRP link to a single registrar is up: a presence goes first, so that both know whom they talk to.
    pub(crate) fn link_up(&mut self, core: &mut Core, now: Instant, link: LinkId) {
        self.send_presence(core, link, true);
        self.seek_mentor_on(core, now, link);
    }

    /// An ENRP multicast group has been joined.
    pub(crate) fn group_joined(&mut self, core: &mut Core) {
        let presence = self.presence(core, false);
        core.announce_to_groups(Body::Presence(presence));
    }

    pub(crate) fn link_down(
        &mut self,
        core: &mut Core,
        service: &mut Service,
        now: Instant,
        link: LinkId,
        ended: &Link,
        reason: &DownReason,
    ) {
        self.downloads.forget(core, link);
        self.abandon_resync_on(core, link);
        self.peer_link_lost(core, service, now, link, ended, reason);
        self.mentor_link_lost(core, service, now, link);
    }

    /// One message from a registrar.
    pub(crate) fn message(
        &mut self,
        core: &mut Core,
        service: &mut Service,
        now: Instant,
        link: LinkId,
        bytes: &[u8],
    ) {
        let decoded = match enrp::decode(bytes, core.dialect()) {
            Ok(decoded) => decoded,
            Err(error) => {
                let cause = error.cause(bytes).filter(|_| bytes.first() != Some(&ENRP_ERROR));
                // Whatever a peer says, it lives (RFC 5353 §3.4.3).
                if let Some(server) = core.links.get(link).and_then(|link| link.server) {
                    self.alive(core, now, server);
                }
                core.fault(link, Fault::Malformed(error));
                if let Some(cause) = cause {
                    core.send_error(link, vec![cause]);
                }
                return;
            }
        };
        let enrp::Message { sender, mut body, .. } = decoded.message;
        if !core.links.is_proven(link) {
            forget_owners(&mut body);
        }
        if !self.hear(core, service, now, link, sender) {
            return;
        }
        if !decoded.unrecognized.is_empty() && !matches!(body, Body::Error(_)) {
            core.send_error(link, decoded.unrecognized);
        }
        match body {
            Body::Presence(presence) => self.presence_received(core, now, link, sender, presence),
            Body::HandleUpdate(update) => self.follow_update(core, service, now, sender, update),
            Body::HandleTableRequest(request) => {
                self.serve_table(core, now, link, sender, request.own_children_only);
            }
            Body::HandleTableResponse(response) => {
                self.table_received(core, service, now, link, sender, response);
            }
            Body::ListRequest => self.serve_list(core, link, sender),
            Body::ListResponse(response) => self.list_received(core, service, now, link, response),
            Body::InitTakeover(init) => self.takeover_proposed(core, now, link, sender, init.target),
            Body::InitTakeoverAck(ack) => {
                self.takeover_acknowledged(core, service, now, sender, ack.target);
            }
            Body::TakeoverServer(done) => self.taken_over(core, service, now, sender, done.target),
            Body::Error(report) => {
                if let Some(cause) = report.error.causes.first() {
                    core.fault(link, Fault::Reported(cause.code));
                }
            }
            other => core.fault(link, Fault::Unexpected(other.name())),
        }
        self.introduce(core, sender);
        self.continue_handover(core);
    }

    /// One message from a multicast group. Presences tell where other registrars are; everything else comes over links,
    /// where order and, in secured scopes, the sender are certain.
    pub(crate) fn announcement(
        &mut self,
        core: &mut Core,
        now: Instant,
        link: LinkId,
        source: SocketAddr,
        bytes: &[u8],
    ) {
        match enrp::decode(bytes, core.dialect()).map(|decoded| decoded.message) {
            // Our own announcements come back to us.
            Ok(message) if message.sender == core.id() || message.sender.is_none() => {}
            Ok(enrp::Message { sender, body: Body::Presence(presence), .. }) => {
                self.presence_announced(core, now, source, sender, presence);
            }
            Ok(message) => core.fault(link, Fault::Unexpected(message.body.name())),
            Err(error) => core.fault(link, Fault::Malformed(error)),
        }
    }

    pub(crate) fn timeout(&mut self, core: &mut Core, service: &mut Service, now: Instant, timer: Timer) {
        match timer {
            Timer::Heartbeat => self.heartbeat(core, now),
            Timer::Peer(server) => self.peer_silent(core, service, now, server),
            Timer::Takeover(target) => self.takeover_due(core, service, now, target),
            Timer::Mentor => self.mentor_due(core, service, now),
            Timer::Patience => self.patience_over(core, service, now),
            Timer::Dial(contact) => self.dial(core, now, contact),
            Timer::Download(link, own) => self.downloads.expire(link, own),
            Timer::Resync(server) => self.abandon_resync(core, server),
            Timer::Drain => self.drained(core),
            _ => {}
        }
        if core.phase == Phase::Draining {
            self.continue_handover(core);
        }
    }

    pub(crate) fn statuses<'a>(&'a self, core: &'a Core) -> impl Iterator<Item = PeerStatus> + 'a {
        self.list.iter().map(|(server, peer)| peer.status(server, core))
    }
}

/// Whose the elements are is believed only from those who have proved who they are themselves.
fn forget_owners(body: &mut Body<'_>) {
    match body {
        Body::HandleUpdate(update) => update.owner = None,
        Body::HandleTableResponse(response) => {
            let listed = response.entries.iter_mut().flat_map(|entry| &mut entry.elements);
            listed.for_each(|listed| listed.owner = None);
        }
        _ => {}
    }
}
