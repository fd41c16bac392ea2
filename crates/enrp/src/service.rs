//! The ASAP service that a registrar gives to elements and users: the registrar's side of RFC 5352 §3.
mod announce;
mod keep_alive;
mod ownership;
mod registration;
mod resolution;
mod subscription;
mod unreachable;

use std::time::Instant;

use rserpool_handlespace::ElementKey;
use rserpool_machine::LinkId;
use rserpool_wire::asap::{self, Message};
use rserpool_wire::enrp::UpdateAction;

use crate::core::{Core, Timer};
use crate::event::{Fault, RegistrarEvent, RemovalReason};
use announce::Announcer;
use keep_alive::Supervision;
use ownership::Registrations;
use subscription::Subscriptions;
use unreachable::ForeignProbes;

pub(crate) use registration::has_room;

/// The message type of ASAP_ERROR, which is never answered, however malformed it is (RFC 5352 §2.2.14).
const ASAP_ERROR: u8 = 0x0e;

/// The elements and users that are served.
#[derive(Debug, Default)]
pub(crate) struct Service {
    supervision: Supervision,
    registrations: Registrations,
    foreign_probes: ForeignProbes,
    subscriptions: Subscriptions,
    announcer: Announcer,
}

impl Service {
    /// Initialisation is over.
    pub(crate) fn start(&mut self, core: &mut Core, now: Instant) {
        self.schedule_announcement(core, now);
    }

    /// An ASAP link to a single element or user is up. Until initialisation is over it would get wrong answers: it is
    /// closed, and the other end finds another registrar, or comes back.
    pub(crate) fn link_up(&mut self, core: &mut Core, link: LinkId) {
        if !core.is_serving() {
            core.close(link);
        }
    }

    /// An ASAP multicast group has been joined.
    pub(crate) fn group_joined(&mut self, core: &mut Core, now: Instant) {
        if core.is_serving() {
            self.schedule_announcement(core, now);
        }
    }

    pub(crate) fn link_down(&mut self, core: &mut Core, now: Instant, link: LinkId) {
        self.subscriptions.forget(link);
        self.foreign_probe_ended(link);
        self.link_lost(core, now, link);
        self.start_probes(core, now);
    }

    /// One message from an element or user.
    pub(crate) fn message(&mut self, core: &mut Core, now: Instant, link: LinkId, bytes: &[u8]) {
        let decoded = match asap::decode(bytes, core.dialect()) {
            Ok(decoded) => decoded,
            Err(error) => {
                let cause = error.cause(bytes).filter(|_| bytes.first() != Some(&ASAP_ERROR));
                core.fault(link, Fault::Malformed(error));
                if let Some(cause) = cause {
                    core.send_error(link, vec![cause]);
                }
                return;
            }
        };
        if !decoded.unrecognized.is_empty() && !matches!(decoded.message, Message::Error(_)) {
            core.send_error(link, decoded.unrecognized);
        }
        match decoded.message {
            Message::HandleResolution(request) => self.resolve(core, now, link, &request),
            Message::Registration(request) => self.register(core, now, link, request),
            Message::Deregistration(request) => self.deregister(core, now, link, &request),
            Message::EndpointKeepAliveAck(ack) => self.acknowledge(core, now, link, &ack),
            Message::EndpointUnreachable(report) => self.report_unreachable(core, now, link, &report),
            Message::Error(report) => {
                if let Some(cause) = report.error.causes.first() {
                    core.fault(link, Fault::Reported(cause.code));
                }
            }
            other => core.fault(link, Fault::Unexpected(other.name())),
        }
        self.start_probes(core, now);
    }

    /// One message from a multicast group: of interest are the announcements of other registrars, and nothing is answered.
    pub(crate) fn announcement(&mut self, core: &mut Core, now: Instant, link: LinkId, bytes: &[u8]) {
        match asap::decode(bytes, core.dialect()).map(|decoded| decoded.message) {
            Ok(Message::ServerAnnounce(announce)) => self.announcer.heard(core, now, announce.server),
            Ok(other) => core.fault(link, Fault::Unexpected(other.name())),
            Err(error) => core.fault(link, Fault::Malformed(error)),
        }
    }

    pub(crate) fn timeout(&mut self, core: &mut Core, now: Instant, timer: Timer) {
        match timer {
            Timer::KeepAlive(key) => self.keep_alive_due(core, now, key),
            Timer::ForeignProbe(key) => self.foreign_probe_over(core, key),
            Timer::Subscribers => self.tell_subscribers(core),
            Timer::Announce => self.announce(core, now),
            _ => {}
        }
        self.start_probes(core, now);
    }

    /// Removes the elements whose registration life is over, and tells them (RFC 5352 §3.2).
    pub(crate) fn expire(&mut self, core: &mut Core, now: Instant) {
        while let Some(key) = core.handlespace.pop_expired(now) {
            self.tell_removed(core, key);
            core.statistics.elements_expired += 1;
            self.remove(core, now, key, RemovalReason::Expired);
        }
    }

    /// Removes an owned element from the handlespace, and tells peers and subscribers (RFC 5353 §3.3.2).
    pub(crate) fn remove(&mut self, core: &mut Core, now: Instant, key: ElementKey, reason: RemovalReason) {
        self.unwatch(core, key);
        let Some(view) = core.handlespace.element(key) else { return };
        let (pool_handle, identifier) = (view.pool_handle().into_owned(), view.identifier());
        core.announce_update(UpdateAction::Delete, key);
        core.handlespace.remove(key);
        core.owners.forget(key);
        self.pool_changed(core, now, &pool_handle);
        core.event(RegistrarEvent::ElementRemoved { pool_handle, identifier, reason });
    }
}
