//! Downloads of the handlespace, part by part (RFC 5353 §3.2.3, §3.6.3): serving them, and telling whose answer came.
use std::collections::BTreeMap;
use std::time::Instant;

use rserpool_handlespace::Cursor;
use rserpool_machine::LinkId;
use rserpool_wire::ServerId;
use rserpool_wire::enrp::{Body, HandleTableResponse, TableResponseWriter};

use super::Peers;
use crate::core::{Core, Timer};
use crate::refusal::Refusal;
use crate::service::Service;

/// The downloads that are being served: one per link for all elements, and one for those that this registrar owns.
#[derive(Debug, Default)]
pub(super) struct Downloads {
    sessions: BTreeMap<(LinkId, bool), Cursor>,
}

impl Downloads {
    pub(super) fn forget(&mut self, core: &mut Core, link: LinkId) {
        for own_children_only in [false, true] {
            self.expire(link, own_children_only);
            core.timers.cancel(Timer::Download(link, own_children_only));
        }
    }

    /// The requester has not asked for the next part in time.
    pub(super) fn expire(&mut self, link: LinkId, own_children_only: bool) {
        self.sessions.remove(&(link, own_children_only));
    }
}

impl Peers {
    /// Answers ENRP_HANDLE_TABLE_REQUEST with the first or next part.
    pub(super) fn serve_table(
        &mut self,
        core: &mut Core,
        now: Instant,
        link: LinkId,
        requester: ServerId,
        own_children_only: bool,
    ) {
        let session = (link, own_children_only);
        let has_room = self.downloads.sessions.len() < core.config.limits.download_sessions;
        let started = self.downloads.sessions.remove(&session);
        if !core.is_serving() || started.is_none() && !has_room {
            core.statistics.downloads_rejected += 1;
            if core.is_serving() {
                core.refuse(link, Refusal::Downloads);
            }
            let rejection = HandleTableResponse { rejected: true, more: false, entries: Vec::new() };
            core.send_enrp(link, requester, Body::HandleTableResponse(rejection));
            return;
        }
        let mut cursor = started.unwrap_or_default();
        let (dialect, own) = (core.dialect(), core.id());
        let tells_owners = core.links.is_proven(link);
        let mut more = false;
        let part = core.encode(|handlespace, owners, buffer| {
            let mut response = TableResponseWriter::start(dialect, buffer, own, requester);
            let owner = own_children_only.then_some(own);
            more = handlespace.next_part(&mut cursor, owner, |first_of_pool, element| {
                let owner = owners.told(element.key()).filter(|_| tells_owners);
                if first_of_pool {
                    response.pool(&element.pool_handle(), element.encoded(), owner.as_ref())
                } else {
                    response.element(element.encoded(), owner.as_ref())
                }
            });
            response.finish(more)
        });
        part.into_iter().for_each(|bytes| core.transmit(link, bytes));
        let timer = Timer::Download(link, own_children_only);
        if more {
            self.downloads.sessions.insert(session, cursor);
            core.timers.arm(timer, now + core.config.timers.download_session);
        } else {
            core.statistics.downloads_served += 1;
            core.timers.cancel(timer);
        }
    }

    /// A part of somebody's handlespace: of the mentor's, or of a peer that is out of step; else nobody asked for it.
    pub(super) fn table_received(
        &mut self,
        core: &mut Core,
        service: &mut Service,
        now: Instant,
        link: LinkId,
        sender: ServerId,
        response: HandleTableResponse<'_>,
    ) {
        if self.mentor.is_downloading(link) {
            self.mentor_table_received(core, service, now, link, sender, response);
        } else if self.audits.is_running(sender, link) {
            self.resync_received(core, service, now, link, sender, response);
        } else {
            core.statistics.unsolicited += 1;
        }
    }
}
