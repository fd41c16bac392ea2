//! Reports of unreachable elements (RFC 5352 §3.5): the element is probed with a keep-alive at once, and removed when it
//! does not answer or was reported too often.
//!
//! An element that another registrar owns is probed too, as the RFC wants, but nothing follows from the outcome: its home
//! watches it, and peers follow removals by the home only. Removing it from this copy alone would last until the next audit.
use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;
use rserpool_handlespace::ElementKey;
use rserpool_machine::{LinkId, Protocol};
use rserpool_wire::asap::{EndpointKeepAliveAck, EndpointUnreachable};

use super::Service;
use super::keep_alive::{asap_place, send_keep_alive};
use crate::authorization::Action;
use crate::core::{Core, Timer};
use crate::event::RemovalReason;
use crate::refusal::Refusal;

/// Elements of other registrars that are being probed, or were so lately.
#[derive(Debug, Default)]
pub(super) struct ForeignProbes {
    /// The links opened for it, as long as no answer has come.
    probes: HashMap<ElementKey, Option<LinkId>>,
    by_link: HashMap<LinkId, ElementKey>,
}

impl Service {
    pub(super) fn report_unreachable(
        &mut self,
        core: &mut Core,
        now: Instant,
        link: LinkId,
        report: &EndpointUnreachable<'_>,
    ) {
        let EndpointUnreachable { pool_handle, identifier } = report;
        core.statistics.unreachable_reports += 1;
        let action = Action::ReportUnreachable { pool_handle, identifier: *identifier };
        let per_second = core.config.limits.reports_per_second;
        let Some(known) = core.links.get_mut(link) else { return };
        let in_time = known.reports.admits(now, per_second);
        let party = Arc::clone(&known.party);
        let admitted = if in_time { core.authorize(&party, action) } else { Err(Refusal::ReportRate) };
        if let Err(reason) = admitted {
            // There is no response to a report: what became of it is told once.
            let is_news = !core.links.was_refused(link, reason);
            let cause = core.refuse(link, reason);
            if is_news {
                core.send_error(link, vec![cause]);
            }
            return;
        }
        let Some(key) = core.handlespace.find(pool_handle.as_bytes(), *identifier) else { return };
        // Where users are known apart, none of them has an element removed alone (RFC 5355 §2.13).
        let reporter = core.config.is_secured().then_some(&party);
        match self.supervision.count_report(key, reporter) {
            None => self.probe_foreign(core, now, key),
            Some(reports) if reports > core.config.limits.bad_reports => {
                core.statistics.elements_failed += 1;
                self.tell_removed(core, key);
                self.remove(core, now, key, RemovalReason::Reported);
            }
            Some(_) => self.probe_reported(core, now, key),
        }
    }

    fn probe_foreign(&mut self, core: &mut Core, now: Instant, key: ElementKey) {
        let probes = &mut self.foreign_probes;
        if probes.probes.contains_key(&key) || probes.probes.len() >= core.config.limits.probes {
            return;
        }
        let Some(place) = asap_place(core, key) else { return };
        let link = core.open(Protocol::Asap, place.endpoint, place.owner);
        probes.probes.insert(key, Some(link));
        probes.by_link.insert(link, key);
        send_keep_alive(core, key, link, false, true);
        let timers = &core.config.timers;
        let until = now + timers.keep_alive_timeout.max(timers.probe_interval);
        core.timers.arm(Timer::ForeignProbe(key), until);
    }

    /// Whether the acknowledgement answers the probe of an element that another registrar owns.
    pub(super) fn foreign_probe_answered(
        &mut self,
        core: &mut Core,
        link: LinkId,
        ack: &EndpointKeepAliveAck<'_>,
    ) -> bool {
        let Some(key) = self.foreign_probes.by_link.get(&link) else { return false };
        if core.handlespace.find(ack.pool_handle.as_bytes(), ack.identifier) != Some(*key) {
            return false;
        }
        core.statistics.keep_alive_acks += 1;
        self.foreign_probe_ended(link);
        core.close(link);
        true
    }

    /// The link of a probe is of no more use. The element is remembered for a while, to be probed no sooner again.
    pub(super) fn foreign_probe_ended(&mut self, link: LinkId) {
        let probes = &mut self.foreign_probes;
        if let Some(key) = probes.by_link.remove(&link)
            && let Some(probing) = probes.probes.get_mut(&key)
        {
            *probing = None;
        }
    }

    pub(super) fn foreign_probe_over(&mut self, core: &mut Core, key: ElementKey) {
        if let Some(Some(link)) = self.foreign_probes.probes.remove(&key) {
            self.foreign_probes.by_link.remove(&link);
            core.close(link);
        }
    }
}
