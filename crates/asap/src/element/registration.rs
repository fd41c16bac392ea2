//! Registration and re-registration (RFC 5352 §3.1), as a small state machine per registration.
//!
//! ```text
//!              home found               granted
//!   Waiting ───────────────► Sent ───────────────► Registered
//!      ▲                      │ ▲ T2, not too often     │ T4, or new values
//!      │ home lost, T2 too    │ └───────────────────────┘
//!      │ often, expired       ▼ rejected
//!      └─────────────────── Rejected                 Deregistering (from anywhere)
//! ```
use std::time::{Duration, Instant};

use rand::RngExt;
use rserpool_machine::{LinkId, Rate};
use rserpool_wire::asap::{self, Message, RegistrationResponse};
use rserpool_wire::{CauseCode, OperationError, PoolElement, ServerId, Transport};

use super::{ElementMachine, ElementRegistration, RegistrationId};
use crate::events::{ElementEvent, HomeLoss};

/// One element in one pool.
pub(super) struct Registration {
    /// What the application wants registered.
    pub(super) values: ElementRegistration,
    pub(super) phase: Phase,
    /// Counts changes of the values.
    version: u32,
    /// Of which version the last registration sent was.
    sent: Option<u32>,
    /// Which version was granted.
    granted: Option<u32>,
    /// Registrations sent to this home without an answer, against MAX-REG-ATTEMPT.
    attempts: u32,
    /// Registrations sent to any home without an answer, for T2 to double.
    unanswered: u32,
    last_sent: Option<Instant>,
    /// When T4 expires.
    renew_at: Option<Instant>,
    /// The home that the application was told of.
    announced_home: Option<LinkId>,
    /// Keep-alives for it.
    pub(super) keep_alives: Rate,
}

/// Where a registration stands, and what its deadline is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// For a home, or, with a deadline, for its turn to be sent.
    Waiting,
    /// For the answer: T2.
    Sent,
    /// For renewal: T4, or sooner with new values.
    Registered,
    /// For a correction; or, where registrars lack resources, for better times.
    Rejected { retry: bool },
    /// For the answer: T3, and once more T3.
    Deregistering { last_try: bool },
}

impl Registration {
    pub(super) fn new(values: ElementRegistration) -> Self {
        Self {
            values,
            phase: Phase::Waiting,
            version: 0,
            sent: None,
            granted: None,
            attempts: 0,
            unanswered: 0,
            last_sent: None,
            renew_at: None,
            announced_home: None,
            keep_alives: Rate::default(),
        }
    }

    pub(super) fn message(&self, asap_transport: Option<&Transport>) -> Message<'_> {
        let ElementRegistration { pool_handle, identifier, user_transport, policy, life } = &self.values;
        Message::Registration(asap::Registration {
            pool_handle: pool_handle.borrowed(),
            element: PoolElement {
                identifier: *identifier,
                home: ServerId::NONE,
                life: *life,
                user_transport: user_transport.clone(),
                policy: policy.clone(),
                asap_transport: asap_transport.cloned(),
            },
        })
    }

    pub(super) fn is_registered(&self) -> bool {
        self.granted.is_some() && self.phase != (Phase::Rejected { retry: false })
    }

    pub(super) const fn is_rejected(&self) -> bool {
        matches!(self.phase, Phase::Rejected { .. })
    }

    pub(super) const fn is_deregistering(&self) -> bool {
        matches!(self.phase, Phase::Deregistering { .. })
    }

    /// Whether some registrar may have it listed: then keep-alives are for it, and leaving takes a deregistration.
    pub(super) const fn may_be_listed(&self) -> bool {
        self.sent.is_some() || self.granted.is_some()
    }

    /// Whether the registrars have it listed just as the application wants it.
    fn is_current(&self) -> bool {
        self.granted == Some(self.version)
    }
}

impl ElementMachine {
    /// Changes the values of a registration, and sees to it that they are registered.
    pub(super) fn correct(
        &mut self,
        now: Instant,
        id: RegistrationId,
        change: impl FnOnce(&mut Registration),
    ) {
        let interval = self.timers.policy_update_interval;
        let Some(registration) = self.roster.registration_mut(id) else { return };
        change(registration);
        registration.version = registration.version.wrapping_add(1);
        let at = registration.last_sent.map_or(now, |last| (last + interval).max(now));
        match registration.phase {
            // Not before the answer, or its turn.
            Phase::Sent | Phase::Waiting => {}
            Phase::Registered => self.send_by(now, id, at),
            Phase::Rejected { .. } | Phase::Deregistering { .. } => {
                registration.phase = Phase::Waiting;
                self.deadlines.cancel(id);
                self.send_by(now, id, at);
            }
        }
    }

    /// Sends a registration at `at`, or earlier where that is planned already.
    fn send_by(&mut self, now: Instant, id: RegistrationId, at: Instant) {
        if at <= now {
            self.send_registration(now, id);
        } else if self.channel.home().is_some() {
            self.deadlines.arm_by(id, at);
        }
    }

    /// R2 to R4. Without a home, the registration waits for one.
    pub(super) fn send_registration(&mut self, now: Instant, id: RegistrationId) {
        let (Some(home), Some(registration)) = (self.channel.home(), self.roster.registration_mut(id)) else {
            return;
        };
        // It was checked to fit when its values were set.
        let _ = self.channel.out.transmit(home, &registration.message(self.asap_transport.as_ref()));
        self.channel.out.statistics.retransmitted += u64::from(registration.attempts > 0);
        let wait = self.timers.back_off(self.timers.registration, registration.unanswered);
        registration.phase = Phase::Sent;
        registration.sent = Some(registration.version);
        registration.last_sent = Some(now);
        registration.attempts = registration.attempts.saturating_add(1);
        registration.unanswered = registration.unanswered.saturating_add(1);
        self.deadlines.arm(id, now + wait);
    }

    /// There is a new home: everything is registered there.
    pub(super) fn home_found(&mut self, now: Instant) {
        for id in self.roster.ids() {
            let Some(registration) = self.roster.registration(id) else { continue };
            match registration.phase {
                // What was registered before is listed somewhere, and can wait for its turn.
                Phase::Waiting if registration.may_be_listed() => {
                    let turn = now + self.spread();
                    self.send_by(now, id, turn);
                }
                Phase::Waiting => self.send_registration(now, id),
                Phase::Deregistering { .. } => self.send_deregistration(id),
                Phase::Sent | Phase::Registered | Phase::Rejected { .. } => {}
            }
        }
    }

    /// The home is gone, and nothing that was asked of it will be answered.
    pub(super) fn home_lost(&mut self) {
        for id in self.roster.ids() {
            let Some(registration) = self.roster.registration_mut(id) else { continue };
            registration.attempts = 0;
            match registration.phase {
                Phase::Waiting | Phase::Sent | Phase::Registered | Phase::Rejected { retry: true } => {
                    registration.phase = Phase::Waiting;
                    self.deadlines.cancel(id);
                }
                // Another registrar would find the same wrong with it.
                Phase::Rejected { retry: false } | Phase::Deregistering { .. } => {}
            }
        }
    }

    pub(super) fn leave_home(&mut self, now: Instant, reason: HomeLoss) {
        self.channel.leave_home(now, reason);
        self.home_lost();
    }

    /// Another registrar is home now. It has the `listed` registrations already; the others are registered there.
    pub(super) fn home_changed(&mut self, now: Instant, home: LinkId, listed: &[RegistrationId]) {
        self.home_lost();
        self.confirm(now, home, listed);
        self.home_found(now);
    }

    /// The home says that it has these registrations.
    pub(super) fn confirm(&mut self, now: Instant, home: LinkId, listed: &[RegistrationId]) {
        for id in listed {
            let Some(registration) = self.roster.registration_mut(*id) else { continue };
            if registration.phase == Phase::Waiting && registration.is_current() {
                registration.phase = Phase::Registered;
                registration.announced_home = Some(home);
                let renew_at = registration.renew_at.map_or(now, |at| at.max(now));
                self.deadlines.arm(*id, renew_at);
            }
        }
    }

    pub(super) fn registration_response(&mut self, now: Instant, response: RegistrationResponse<'_>) {
        let Some(id) = self.roster.find(response.pool_handle.as_bytes(), response.identifier) else { return };
        let Some(registration) = self.roster.registration_mut(id) else { return };
        // A registration that was sent twice is answered twice.
        if registration.phase != Phase::Sent {
            return;
        }
        (registration.attempts, registration.unanswered) = (0, 0);
        if response.rejected {
            let error = response.error.unwrap_or_default().into_owned();
            return self.rejected(now, id, error);
        }
        registration.phase = Phase::Registered;
        registration.granted = registration.sent;
        let renew_at = now + self.timers.reregistration_after(registration.values.life);
        registration.renew_at = Some(renew_at);
        self.deadlines.arm(id, renew_at);
        if !registration.is_current() {
            let due = registration.last_sent.map_or(now, |last| last + self.timers.policy_update_interval);
            self.deadlines.arm_by(id, due.max(now));
        }
        let home = self.channel.home();
        if registration.announced_home != home {
            registration.announced_home = home;
            let (home, endpoint) = self.channel.home_details();
            self.channel.out.event(ElementEvent::Registered { id, home, endpoint });
        }
        if let Some(error) = response.error {
            self.channel.out.event(ElementEvent::Warning { id, error: error.into_owned() });
        }
    }

    /// A rejected registration must not be attempted again without correction (5352-3.1-12). Lack of resources is
    /// not the element's error: another registrar, or a later time, corrects it. Nor is an identifier that is taken, once it
    /// was this element's: by itself, over a link from an address that it had before, until the registrar misses that.
    fn rejected(&mut self, now: Instant, id: RegistrationId, error: OperationError<'static>) {
        let Some(registration) = self.roster.registration_mut(id) else { return };
        let corrected = registration.sent != Some(registration.version);
        let is_taken_by_itself =
            error.has(CauseCode::NON_UNIQUE_PE_IDENTIFIER) && registration.granted.is_some();
        let retry = error.has(CauseCode::LACK_OF_RESOURCES) || is_taken_by_itself;
        registration.announced_home = None;
        registration.sent = None;
        registration.phase = if corrected { Phase::Waiting } else { Phase::Rejected { retry } };
        self.deadlines.cancel(id);
        self.channel.out.event(ElementEvent::Rejected { id, error, will_retry: retry || corrected });
        if corrected {
            self.send_by(now, id, now + self.timers.policy_update_interval);
        } else if retry {
            let wait = self.timers.back_off(self.timers.registration, 1);
            self.deadlines.arm(id, now + wait.mul_f64(self.channel.rng.random_range(0.5..=1.0)));
        }
    }

    /// The home removed the element at the end of its life, unasked (§3.2).
    pub(super) fn expired(&mut self, now: Instant, id: RegistrationId) {
        let Some(registration) = self.roster.registration_mut(id) else { return };
        // While a registration is on its way, its answer decides.
        if registration.phase != Phase::Registered {
            return;
        }
        registration.phase = Phase::Waiting;
        registration.granted = None;
        registration.announced_home = None;
        self.deadlines.cancel(id);
        self.channel.out.event(ElementEvent::Expired { id });
        // At a bounded rate, should the registrar do nothing but expire it.
        let interval = self.timers.policy_update_interval;
        let at = registration.last_sent.map_or(now, |last| last + interval);
        self.send_by(now, id, at);
    }

    pub(super) fn handle_deadline(&mut self, now: Instant, id: RegistrationId) {
        let Some(registration) = self.roster.registration(id) else { return };
        match registration.phase {
            Phase::Waiting | Phase::Registered => self.send_registration(now, id),
            Phase::Sent if registration.attempts >= self.timers.max_registration_attempts.get() => {
                self.leave_home(now, HomeLoss::Silent);
            }
            Phase::Sent => self.send_registration(now, id),
            Phase::Rejected { .. } if self.is_of_no_use_here() => self.leave_home(now, HomeLoss::Refused),
            Phase::Rejected { .. } => self.send_registration(now, id),
            Phase::Deregistering { last_try } => self.deregistration_unanswered(now, id, last_try),
        }
    }

    /// Whether the home registers nothing of ours, while other registrars might.
    fn is_of_no_use_here(&self) -> bool {
        let home = self.channel.home();
        let registered = |id| self.roster.registration(id).is_some_and(|r| r.announced_home == home);
        self.channel.registrars().count() > 1 && !self.roster.ids().into_iter().any(registered)
    }

    /// A random share of the time over which registrations are spread after an outage.
    fn spread(&mut self) -> Duration {
        self.timers.reregistration_spread.mul_f64(self.channel.rng.random_range(0.0..=1.0))
    }
}
