//! The two timer profiles as the library runs them, and how long everything may take that follows from them.
//!
//! A bound is the sum of the waits on the worst path that the procedures allow, not a measurement: what takes longer is a
//! defect of the machines, or of the bound, and the sum says which.
use std::time::Duration;

use rserpool_asap::AsapTimers;
use rserpool_enrp::RegistrarTimers;
use rserpool_wire::Dialect;

/// The timers of everybody in a world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// Of registrars.
    pub registrar: RegistrarTimers,
    /// Of elements and users.
    pub asap: AsapTimers,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long data may stay unacknowledged before a link breaks.
    pub user_timeout: Duration,
    /// How long a link is silent before its host's kernel looks whether anybody is at the other end; how often it does then,
    /// three times at most.
    pub kernel_probe: (Duration, Duration),
    /// The registration life of elements.
    pub life: Duration,
    /// How often users want something of an element.
    pub call_interval: Duration,
    /// How long a user waits for an element before it takes the next one.
    pub call_timeout: Duration,
}

impl Pace {
    /// The values of the RFCs.
    #[must_use]
    pub const fn rfc(dialect: Dialect) -> Self {
        Self {
            registrar: RegistrarTimers::of_dialect(dialect),
            asap: AsapTimers::rfc(),
            connect_timeout: Duration::from_secs(5),
            user_timeout: Duration::from_secs(10),
            kernel_probe: (Duration::from_secs(15), Duration::from_secs(5)),
            life: Duration::from_secs(300),
            call_interval: Duration::from_secs(5),
            call_timeout: Duration::from_secs(2),
        }
    }

    /// Detection and take-over within a second.
    #[must_use]
    pub const fn fast() -> Self {
        Self {
            registrar: RegistrarTimers::fast(),
            asap: AsapTimers::fast(),
            connect_timeout: Duration::from_millis(200),
            user_timeout: Duration::from_millis(250),
            kernel_probe: (Duration::from_secs(1), Duration::from_secs(1)),
            life: Duration::from_secs(30),
            call_interval: Duration::from_millis(400),
            call_timeout: Duration::from_millis(200),
        }
    }

    /// Until all registrars that run have met again after cuts: the longest pause before connecting, and connecting.
    #[must_use]
    pub fn reunion(&self) -> Duration {
        self.registrar.reconnect_max + self.connect_timeout * 2 + self.registrar.max_time_no_response
    }

    /// Until a registrar that died without a word is taken for dead (RFC 5353 §3.4.3).
    #[must_use]
    pub fn detection(&self) -> Duration {
        self.registrar.max_time_last_heard + self.registrar.max_time_no_response + self.connect_timeout
    }

    /// Until its elements have a new home (RFC 5353 §3.5): the first to take over may die too, or its word be lost.
    #[must_use]
    pub fn takeover(&self) -> Duration {
        (self.registrar.max_time_no_response + self.registrar.takeover_watch) * 2
    }

    /// Until elements that are to be probed have been: `waves` times as many as are probed at once.
    #[must_use]
    pub fn probing(&self, waves: u32) -> Duration {
        (self.registrar.keep_alive_timeout + self.connect_timeout) * waves.max(1)
    }

    /// Until a wrong copy of a table is put right by the audit (RFC 5353 §3.6): it is noticed by a heartbeat, perhaps too
    /// early after the last one, and may have to be done twice, as ownership settles.
    #[must_use]
    pub fn audit(&self) -> Duration {
        let once = self.registrar.heartbeat_cycle
            + self.registrar.resync_interval
            + self.registrar.max_time_no_response;
        once * 3
    }

    /// Until an element or user that has lost its home has found another registrar: two rounds of a hunt that had become
    /// as slow as it gets (RFC 5352 §3.6).
    #[must_use]
    pub fn hunt(&self) -> Duration {
        self.asap.retransmission_max * 2 + self.connect_timeout
    }

    /// Until a registration is granted once there is a home: the spread, and unanswered attempts at another home first.
    #[must_use]
    pub fn registration(&self) -> Duration {
        let attempts = self.asap.max_registration_attempts.get();
        self.asap.reregistration_spread + self.asap.retransmission_max * (attempts + 1)
    }

    /// Until a host notices that nobody is at the other end of a silent link: the probes of its kernel.
    #[must_use]
    pub fn dead_link(&self) -> Duration {
        let (after, every) = self.kernel_probe;
        after + every * 3
    }

    /// Until a registrar that starts serves: it waits for a mentor, who may reject, or be lost half-way.
    #[must_use]
    pub fn start(&self) -> Duration {
        self.registrar.mentor_patience + self.registrar.mentor_retry + self.registrar.max_time_no_response * 4
    }

    /// Until everything that can be right is right after the last fault has ended: the worst path of all, on which a
    /// registrar starts, the others meet it, one of them is found dead only then and taken over, an element notices that
    /// its link is dead, hunts and registers, and the audit carries that everywhere.
    #[must_use]
    pub fn settling(&self) -> Duration {
        self.start()
            + self.reunion()
            + self.detection()
            + self.takeover()
            + self.probing(2)
            + self.dead_link()
            + self.hunt()
            + self.registration()
            + self.audit()
            + self.user_timeout
    }

    /// Until a dead element is gone everywhere, all registrars being well: the next keep-alive finds it silent, it is
    /// connected to once more, and peers are told.
    #[must_use]
    pub fn burial(&self) -> Duration {
        self.registrar.keep_alive_interval.mul_f64(1.5)
            + self.registrar.keep_alive_timeout * 2
            + self.probing(1)
            + self.user_timeout
    }

    /// Until what one registrar knows is known to all others, all links being well.
    #[must_use]
    pub fn propagation(&self) -> Duration {
        self.connect_timeout + self.registrar.update_delay
    }

    /// Until a user is served by an element that lives, there being a registrar that lives: a request goes unanswered by a
    /// registrar that does not, the hunt finds another, and elements that do not answer are tried first, `dead` of them.
    #[must_use]
    pub fn service(&self, dead: u32) -> Duration {
        self.asap.request * (self.asap.max_request_retransmit + 1)
            + self.hunt()
            + self.call_timeout * dead
            + self.call_interval * 2
    }
}
