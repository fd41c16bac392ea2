//! Keep-alives of registrars, and the adoption of a new home (RFC 5352 §3.4).
use std::time::Instant;

use rserpool_machine::LinkId;
use rserpool_wire::ServerId;
use rserpool_wire::asap::{EndpointKeepAlive, EndpointKeepAliveAck};

use super::registration::Registration;
use super::{ElementMachine, RegistrationId};
use crate::events::ElementEvent;

impl ElementMachine {
    pub(super) fn keep_alive(&mut self, now: Instant, link: LinkId, keep_alive: &EndpointKeepAlive<'_>) {
        // KA1: what is for no element here is discarded silently.
        let mut named = self.roster.in_pool(keep_alive.pool_handle.as_bytes(), keep_alive.identifier);
        named.retain(|id| self.roster.registration(*id).is_some_and(Registration::may_be_listed));
        named.retain(|id| self.admits(now, *id));
        if named.is_empty() {
            return;
        }
        for id in &named {
            self.acknowledge(link, *id);
        }
        if self.channel.home() == Some(link) {
            self.channel.prove_home(Some(keep_alive.server));
        } else if keep_alive.home && self.channel.home_details().0 != Some(keep_alive.server) {
            return self.adopt(now, link, keep_alive.server, &named);
        }
        if keep_alive.home && self.channel.home() == Some(link) {
            self.confirm(now, link, &named);
        }
    }

    /// Whether there were not too many keep-alives for the element lately: whoever floods it with them is not answered.
    fn admits(&mut self, now: Instant, id: RegistrationId) -> bool {
        let limit = self.keep_alives_per_second;
        let admitted = self
            .roster
            .registration_mut(id)
            .is_some_and(|registration| registration.keep_alives.admits(now, limit));
        self.channel.out.statistics.keep_alives_shed += u64::from(!admitted);
        admitted
    }

    /// KA2: on the link that the keep-alive came on.
    fn acknowledge(&mut self, link: LinkId, id: RegistrationId) {
        let Some(registration) = self.roster.registration(id) else { return };
        let ack = EndpointKeepAliveAck {
            pool_handle: registration.values.pool_handle.borrowed(),
            identifier: registration.values.identifier,
        };
        // It is shorter than the registration, which fitted.
        let _ = self.channel.out.transmit(link, &ack.into());
    }

    /// KA2.4: the sender wants to be home, and is not.
    fn adopt(&mut self, now: Instant, link: LinkId, server: ServerId, named: &[RegistrationId]) {
        let previous = self.channel.home_details().0;
        self.channel.adopt(link, server, now);
        self.channel.out.event(ElementEvent::HomeAdopted { server, previous });
        self.home_changed(now, link, named);
    }
}
