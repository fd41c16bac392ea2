//! Auditing and resynchronisation (RFC 5353 §3.6): a presence carries a checksum over what its sender owns; where the local
//! copy has another one, it is fetched anew, and what the peer no longer has is removed.
use std::collections::BTreeMap;
use std::time::Instant;

use rserpool_machine::LinkId;
use rserpool_wire::ServerId;
use rserpool_wire::enrp::{Body, HandleTableRequest, HandleTableResponse};

use super::Peers;
use super::update::Source;
use crate::core::{Core, Timer};
use crate::event::RegistrarEvent;
use crate::service::Service;

/// The last resynchronisation with one peer.
#[derive(Debug)]
struct Audit {
    started: Instant,
    /// The link that it runs on.
    running: Option<LinkId>,
    /// The peer's checksum that led to it.
    checksum: u16,
    received: usize,
    /// Whether every element was entered as it came.
    clean: bool,
    /// The peer's checksum, and ours, that still differed after all was entered as it came: to fetch the same once more
    /// would be no use.
    futile: Option<(u16, u16)>,
}

#[derive(Debug, Default)]
pub(super) struct Audits {
    peers: BTreeMap<ServerId, Audit>,
}

impl Audits {
    /// Whether a table response of this peer on this link is awaited.
    pub(super) fn is_running(&self, server: ServerId, link: LinkId) -> bool {
        self.peers.get(&server).is_some_and(|audit| audit.running == Some(link))
    }

    pub(super) fn forget(&mut self, server: ServerId) {
        self.peers.remove(&server);
    }
}

impl Peers {
    /// Compares the checksum of a presence with our own (§3.6.1).
    pub(super) fn audit(&mut self, core: &mut Core, now: Instant, server: ServerId, checksum: u16) {
        if !core.is_serving() || core.handlespace.checksum_agrees(server, checksum) {
            return;
        }
        core.statistics.checksum_mismatches += 1;
        let ours = core.handlespace.checksum(server);
        let interval = core.config.timers.resync_interval;
        let too_early = self.audits.peers.get(&server).is_some_and(|audit| {
            audit.running.is_some()
                || audit.futile == Some((checksum, ours))
                || now.saturating_duration_since(audit.started) < interval
        });
        let Some(link) = core.links.route(server).filter(|_| !too_early) else { return };
        let running = Some(link);
        let audit = Audit { started: now, running, checksum, received: 0, clean: true, futile: None };
        self.audits.peers.insert(server, audit);
        core.handlespace.mark(server);
        self.request_children(core, now, server, link);
    }

    fn request_children(&mut self, core: &mut Core, now: Instant, server: ServerId, link: LinkId) {
        let request = HandleTableRequest { own_children_only: true };
        core.send_enrp(link, server, Body::HandleTableRequest(request));
        core.timers.arm(Timer::Resync(server), now + core.config.timers.max_time_no_response);
    }

    /// A part of what a peer owns (§3.6.3).
    pub(super) fn resync_received(
        &mut self,
        core: &mut Core,
        service: &mut Service,
        now: Instant,
        link: LinkId,
        server: ServerId,
        response: HandleTableResponse<'_>,
    ) {
        if response.rejected {
            return self.abandon_resync(core, server);
        }
        let (mut received, mut clean) = (0, true);
        for entry in response.entries {
            for listed in entry.elements {
                received += 1;
                clean &= self.enter(core, service, now, Source::Owner(server), &entry.pool_handle, listed);
            }
        }
        if let Some(audit) = self.audits.peers.get_mut(&server) {
            audit.received += received;
            audit.clean &= clean;
        }
        if response.more {
            self.request_children(core, now, server, link);
        } else {
            self.finish_resync(core, service, now, server);
        }
    }

    fn finish_resync(&mut self, core: &mut Core, service: &mut Service, now: Instant, server: ServerId) {
        core.timers.cancel(Timer::Resync(server));
        let gone = core.handlespace.marked(server);
        let removed = gone.len();
        for key in gone {
            if let Some(view) = core.handlespace.element(key) {
                let pool_handle = view.pool_handle().into_owned();
                core.handlespace.remove(key);
                core.owners.forget(key);
                service.pool_changed(core, now, &pool_handle);
            }
        }
        let Some(audit) = self.audits.peers.get_mut(&server) else { return };
        audit.running = None;
        let agrees = core.handlespace.checksum_agrees(server, audit.checksum);
        let ours = core.handlespace.checksum(server);
        audit.futile = (audit.clean && !agrees).then_some((audit.checksum, ours));
        let received = audit.received;
        core.statistics.resynchronizations += 1;
        core.event(RegistrarEvent::Resynchronized { server, received, removed });
    }

    /// The peer rejected, was silent, or died: everything stays as it is until the next presence.
    pub(super) fn abandon_resync(&mut self, core: &mut Core, server: ServerId) {
        if let Some(audit) = self.audits.peers.get_mut(&server)
            && audit.running.take().is_some()
        {
            core.timers.cancel(Timer::Resync(server));
            core.handlespace.unmark(server);
            core.statistics.resynchronizations_failed += 1;
        }
    }

    pub(super) fn abandon_resync_on(&mut self, core: &mut Core, link: LinkId) {
        let on_link = self.audits.peers.iter().find(|(_, audit)| audit.running == Some(link));
        if let Some(server) = on_link.map(|(server, _)| *server) {
            self.abandon_resync(core, server);
        }
    }
}
