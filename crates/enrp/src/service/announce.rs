//! Server announcements by multicast (RFC 5352 §3.6): each registrar sends one every (N+1) times T6, N being the number of
//! others, so that the group sees about one per T6.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rserpool_machine::{Endpoint, LinkId, Protocol};
use rserpool_wire::ServerId;
use rserpool_wire::asap::ServerAnnounce;

use super::Service;
use crate::core::{Core, Timer};

/// A registrar that missed this many of its turns is counted no longer.
const TURNS_REMEMBERED: u32 = 3;

#[derive(Debug, Default)]
pub(super) struct Announcer {
    /// When the other registrars were last heard.
    others: BTreeMap<ServerId, Instant>,
}

impl Announcer {
    pub(super) fn heard(&mut self, core: &Core, now: Instant, server: ServerId) {
        let has_room = self.others.len() < core.config.limits.peers;
        if server != core.id() && (has_room || self.others.contains_key(&server)) {
            self.others.insert(server, now);
        }
    }

    /// The time to the next announcement.
    fn interval(&mut self, now: Instant, t6: Duration) -> Duration {
        let turn = |others: usize| t6.saturating_mul(u32::try_from(others + 1).unwrap_or(u32::MAX));
        let patience = turn(self.others.len()).saturating_mul(TURNS_REMEMBERED);
        self.others.retain(|_, heard| now.saturating_duration_since(*heard) <= patience);
        turn(self.others.len())
    }
}

impl Service {
    /// Announces at once, unless the next announcement is scheduled already.
    pub(super) fn schedule_announcement(&mut self, core: &mut Core, now: Instant) {
        if core.links.groups(Protocol::Asap).next().is_some() {
            core.timers.arm_by(Timer::Announce, now);
        }
    }

    pub(super) fn announce(&mut self, core: &mut Core, now: Instant) {
        let groups: Vec<LinkId> = core.links.groups(Protocol::Asap).collect();
        if groups.is_empty() || !core.is_serving() {
            return;
        }
        let transports = if core.dialect().announces_transports() {
            // A transport cannot say whether it is secured: all are of one kind.
            let secured = core.config.is_secured();
            let announced =
                core.config.asap.iter().filter(|endpoint| endpoint.scheme().is_secured() == secured);
            announced.filter_map(Endpoint::to_transport).collect()
        } else {
            Vec::new()
        };
        let message = ServerAnnounce { server: core.id(), transports };
        for group in groups {
            core.send_asap(group, message.clone());
        }
        let interval = self.announcer.interval(now, core.config.timers.server_announce);
        core.timers.arm(Timer::Announce, now + interval);
    }
}
