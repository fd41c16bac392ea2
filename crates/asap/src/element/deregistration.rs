//! Deregistration (RFC 5352 §3.2): at the home registrar, once more at another one, and then never mind.
use std::time::Instant;

use rserpool_wire::asap::{Deregistration, DeregistrationResponse, Message};

use super::registration::Phase;
use super::{ElementMachine, RegistrationId};
use crate::events::{DeregistrationOutcome, ElementEvent, HomeLoss};

impl ElementMachine {
    /// D1 to D4. Without a home, T3 runs while one is looked for.
    pub(super) fn start_deregistration(&mut self, now: Instant, id: RegistrationId) {
        if self.roster.active(id).is_none() {
            return;
        }
        let Some(registration) = self.roster.registration_mut(id) else { return };
        if !registration.may_be_listed() {
            return self.deregistered(id, DeregistrationOutcome::Confirmed);
        }
        registration.phase = Phase::Deregistering { last_try: false };
        self.deadlines.arm(id, now + self.timers.deregistration);
        self.send_deregistration(id);
    }

    /// D3, where there is a home.
    pub(super) fn send_deregistration(&mut self, id: RegistrationId) {
        let (Some(home), Some(registration)) = (self.channel.home(), self.roster.registration(id)) else {
            return;
        };
        let message = Message::from(Deregistration {
            pool_handle: registration.values.pool_handle.borrowed(),
            identifier: registration.values.identifier,
        });
        // It is shorter than the registration, which fitted.
        let _ = self.channel.out.transmit(home, &message);
    }

    /// T3 expired: the first time, another registrar is asked.
    pub(super) fn deregistration_unanswered(&mut self, now: Instant, id: RegistrationId, last_try: bool) {
        if last_try {
            return self.deregistered(id, DeregistrationOutcome::TimedOut);
        }
        if let Some(registration) = self.roster.registration_mut(id) {
            registration.phase = Phase::Deregistering { last_try: true };
            self.deadlines.arm(id, now + self.timers.deregistration);
        }
        if self.channel.home().is_some() {
            self.leave_home(now, HomeLoss::Silent);
        }
    }

    /// The answer to a deregistration; unasked, the news that a registration expired.
    pub(super) fn deregistration_response(&mut self, now: Instant, response: DeregistrationResponse<'_>) {
        let Some(id) = self.roster.find(response.pool_handle.as_bytes(), response.identifier) else { return };
        if self.roster.active(id).is_some() {
            return self.expired(now, id);
        }
        let outcome = match response.error {
            Some(error) => DeregistrationOutcome::Refused(error.into_owned()),
            None => DeregistrationOutcome::Confirmed,
        };
        self.deregistered(id, outcome);
    }

    fn deregistered(&mut self, id: RegistrationId, outcome: DeregistrationOutcome) {
        self.deadlines.cancel(id);
        self.roster.remove(id);
        self.channel.out.event(ElementEvent::Deregistered { id, outcome });
    }
}
