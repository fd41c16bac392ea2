//! What a registrar can be told: who it is, whom it knows, and the two profiles of time.
//! Defaults are the RFCs' values; where the RFCs give none, the field says so.
use std::sync::Arc;
use std::time::Duration;

use rserpool_machine::Endpoint;
use rserpool_wire::{Dialect, ServerId};

use crate::authorization::{AllowAll, Authorization};
use crate::limits::RegistrarLimits;

/// The configuration of a [`RegistrarMachine`](crate::RegistrarMachine).
///
/// ```
/// use rserpool_enrp::{RegistrarConfig, RegistrarTimers};
/// use rserpool_wire::ServerId;
///
/// let mut config = RegistrarConfig::new(ServerId(0x1234_5678));
/// config.asap.push("tcp://192.0.2.1:3863".parse()?);
/// config.enrp = Some("tcp://192.0.2.1:9901".parse()?);
/// config.peers.push("tcp://192.0.2.2:9901".parse()?);
/// config.timers = RegistrarTimers::fast();
/// config.validate()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RegistrarConfig {
    /// The identifier of this registrar: random, not 0, and the same for as long as it runs (RFC 5353 §3.2.1).
    pub server_id: ServerId,
    /// The wire format and conventions of the operational scope. All of its members must use the same. Default: the RFCs'.
    pub dialect: Dialect,
    /// Where elements and users reach this registrar, with the real ports, as it stands in server announcements.
    pub asap: Vec<Endpoint>,
    /// Where other registrars reach this one. Without, others learn of this registrar only by its connecting to them, and
    /// none can connect again when that link is lost.
    pub enrp: Option<Endpoint>,
    /// Other registrars of the scope: the mentor and its back-ups (RFC 5353 §3.2.2.1). Empty: this one is the first.
    pub peers: Vec<Endpoint>,
    /// Whether an ENRP multicast group will be joined: the registrar then waits for presences from there, for
    /// [`RegistrarTimers::mentor_patience`], before it takes itself for alone. Default: `false`.
    pub discovers_peers: bool,
    /// Every timer and time threshold.
    pub timers: RegistrarTimers,
    /// Every limit on memory and traffic.
    pub limits: RegistrarLimits,
    /// Who may do what. Default: [`AllowAll`], for scopes without security.
    pub authorization: Arc<dyn Authorization>,
}

impl RegistrarConfig {
    /// The RFCs' defaults, without endpoints and peers.
    #[must_use]
    pub fn new(server_id: ServerId) -> Self {
        Self {
            server_id,
            dialect: Dialect::default(),
            asap: Vec::new(),
            enrp: None,
            peers: Vec::new(),
            discovers_peers: false,
            timers: RegistrarTimers::default(),
            limits: RegistrarLimits::default(),
            authorization: Arc::new(AllowAll),
        }
    }

    /// Checks what cannot work.
    ///
    /// # Errors
    /// Says which field is wrong, and how.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.server_id.is_none() {
            return Err(ConfigError::NoServerId);
        }
        self.timers.validate()?;
        self.limits.validate()
    }

    /// Whether the links of the scope are secured: transport parameters on the wire cannot say so.
    pub(crate) fn is_secured(&self) -> bool {
        let mut endpoints = self.asap.iter().chain(&self.enrp).chain(&self.peers);
        endpoints.any(|endpoint| endpoint.scheme().is_secured())
    }
}

/// The timers and time thresholds of a registrar: RFC 5353 §4.2, RFC 5352 §7, and those that the RFCs leave open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegistrarTimers {
    /// PEER-HEARTBEAT-CYCLE (RFC 5353 §4.2): how often peers are told that this registrar lives. Default 30 s, fast
    /// 200 ms. Raising it saves one message per peer and cycle, and delays the detection of lost updates.
    pub heartbeat_cycle: Duration,
    /// MAX-TIME-LAST-HEARD (RFC 5353 §4.2): silence after which a peer is probed. Default 61 s, fast 500 ms. Raising it
    /// delays take-over; it must be longer than the heartbeat cycle, better twice as long.
    pub max_time_last_heard: Duration,
    /// MAX-TIME-NO-RESPONSE (RFC 5353 §4.2): how long any answer of a peer may take. Default 5 s, fast 250 ms. Raising it
    /// delays take-over and the change to a back-up mentor.
    pub max_time_no_response: Duration,
    /// How long to look for a mentor before taking oneself for alone. Not in the RFCs. Default 10 s, fast 1 s. Raising it
    /// delays the start of a scope whose registrars all start at once.
    pub mentor_patience: Duration,
    /// Pause after all mentors rejected a request: "a few seconds" (RFC 5353 §3.2.2.2). Default 3 s, fast 200 ms.
    pub mentor_retry: Duration,
    /// First pause before connecting again to a peer that could not be reached; it doubles each time. Not in the RFCs.
    /// Default 1 s, fast 50 ms.
    pub reconnect_min: Duration,
    /// Longest pause before connecting again. Default 60 s, fast 1 s. Raising it delays the meeting of registrars that
    /// could not reach each other at first.
    pub reconnect_max: Duration,
    /// How long a started download waits for the next request (RFC 5353 §3.2.3). Default 5 s, fast 500 ms.
    pub download_session: Duration,
    /// Least time between two resynchronisations with one peer. Not in the RFCs. Default 5 s, fast 500 ms; not shorter
    /// than the download session, so that none goes on with a session that was given up.
    pub resync_interval: Duration,
    /// How long a peer that agreed to a take-over waits for its completion before it starts its own. Not in the RFCs.
    /// Default 15 s, fast 1 s. Raising it delays recovery from the death of a registrar during a take-over.
    pub takeover_watch: Duration,
    /// Mean time between keep-alives to an element, varied by 50 % either way (RFC 5352 §3.4, §3.5). Not in the RFCs.
    /// Default 60 s, fast 500 ms. Raising it saves two messages per element and cycle, and delays the detection of elements
    /// that fall silent; those whose link breaks are noticed at once.
    pub keep_alive_interval: Duration,
    /// How long an element may take to connect and acknowledge a keep-alive. Not in the RFCs. Default 5 s, fast 500 ms: TCP sends
    /// again after 200 ms at the earliest, so a shorter time removes elements because both messages got lost.
    pub keep_alive_timeout: Duration,
    /// How long an element whose link broke, and that named no ASAP transport, may take to register again. Not in the
    /// RFCs. Default 5 s, fast 300 ms.
    pub detached_grace: Duration,
    /// Least time between two probes of an element that users report as unreachable; reports in between are counted only.
    /// Not in the RFCs. Default 1 s, fast 100 ms.
    pub probe_interval: Duration,
    /// How long changes of a pool are gathered before its subscribers are told. Not in the RFCs. Default 10 ms, fast 0.
    pub update_delay: Duration,
    /// T6-Serverannounce (RFC 5352 §7.1): time between announcements of all registrars together. Default and fast 1 s.
    pub server_announce: Duration,
    /// How long a shutdown may take to hand the elements over. Not in the RFCs. Default 10 s, fast 2 s.
    pub drain: Duration,
    /// Time-outs that are served later than this count as a pause of the process or a jump of the clock: what was due
    /// meanwhile gets this much more time, so that answers that lie waiting are read first; three times in a row at most, for
    /// a machine that is always late is slow. Not in the RFCs. Default 1 s, fast 250 ms.
    pub stall: Duration,
}

impl RegistrarTimers {
    /// Every default of RFC 5353 §4.2 and RFC 5352 §7, and careful values where the RFCs have none.
    #[must_use]
    pub const fn rfc() -> Self {
        Self::of_dialect(Dialect::Rfc)
    }

    /// As [`rfc`](Self::rfc), but peers and elements are watched at the pace of the dialect ([`Dialect::peer_times`],
    /// [`Dialect::keep_alive_interval`]): all registrars of a scope must agree on when one is dead.
    #[must_use]
    pub const fn of_dialect(dialect: Dialect) -> Self {
        let [heartbeat_cycle, max_time_last_heard, max_time_no_response] = dialect.peer_times();
        Self {
            heartbeat_cycle,
            max_time_last_heard,
            max_time_no_response,
            mentor_patience: Duration::from_secs(10),
            mentor_retry: Duration::from_secs(3),
            reconnect_min: Duration::from_secs(1),
            reconnect_max: Duration::from_secs(60),
            download_session: Duration::from_secs(5),
            resync_interval: Duration::from_secs(5),
            takeover_watch: Duration::from_secs(15),
            keep_alive_interval: dialect.keep_alive_interval(),
            keep_alive_timeout: Duration::from_secs(5),
            detached_grace: Duration::from_secs(5),
            probe_interval: Duration::from_secs(1),
            update_delay: Duration::from_millis(10),
            server_announce: Duration::from_secs(1),
            drain: Duration::from_secs(10),
            stall: Duration::from_secs(1),
        }
    }

    /// Detection and take-over within a second, for networks with short and steady delays.
    #[must_use]
    pub const fn fast() -> Self {
        Self {
            heartbeat_cycle: Duration::from_millis(200),
            max_time_last_heard: Duration::from_millis(500),
            max_time_no_response: Duration::from_millis(250),
            mentor_patience: Duration::from_secs(1),
            mentor_retry: Duration::from_millis(200),
            reconnect_min: Duration::from_millis(50),
            reconnect_max: Duration::from_secs(1),
            download_session: Duration::from_millis(500),
            resync_interval: Duration::from_millis(500),
            takeover_watch: Duration::from_secs(1),
            keep_alive_interval: Duration::from_millis(500),
            keep_alive_timeout: Duration::from_millis(500),
            detached_grace: Duration::from_millis(300),
            probe_interval: Duration::from_millis(100),
            update_delay: Duration::ZERO,
            server_announce: Duration::from_secs(1),
            drain: Duration::from_secs(2),
            stall: Duration::from_millis(250),
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let positive = [
            ("heartbeat_cycle", self.heartbeat_cycle),
            ("max_time_no_response", self.max_time_no_response),
            ("mentor_retry", self.mentor_retry),
            ("reconnect_min", self.reconnect_min),
            ("download_session", self.download_session),
            ("takeover_watch", self.takeover_watch),
            ("keep_alive_interval", self.keep_alive_interval),
            ("keep_alive_timeout", self.keep_alive_timeout),
            ("server_announce", self.server_announce),
            ("stall", self.stall),
        ];
        if let Some((field, _)) = positive.iter().find(|(_, duration)| duration.is_zero()) {
            return Err(ConfigError::Zero(field));
        }
        let ordered = [
            ("heartbeat_cycle", self.heartbeat_cycle, "max_time_last_heard", self.max_time_last_heard),
            ("max_time_no_response", self.max_time_no_response, "takeover_watch", self.takeover_watch),
            ("download_session", self.download_session, "resync_interval", self.resync_interval),
            ("reconnect_min", self.reconnect_min, "reconnect_max", self.reconnect_max),
        ];
        match ordered.into_iter().find(|(_, shorter, _, longer)| shorter > longer) {
            Some((shorter, _, longer, _)) => Err(ConfigError::Order { shorter, longer }),
            None => Ok(()),
        }
    }
}

impl Default for RegistrarTimers {
    fn default() -> Self {
        Self::rfc()
    }
}

/// A configuration that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The server identifier is 0.
    #[error("the server identifier must not be 0: pick a random one (RFC 5353 §3.2.1)")]
    NoServerId,
    /// A field is 0 that must not be.
    #[error("{0} must be more than 0")]
    Zero(&'static str),
    /// Two times are in the wrong order.
    #[error("{shorter} must not be longer than {longer}")]
    Order {
        /// The field that must be the shorter one.
        shorter: &'static str,
        /// The field that must be the longer one.
        longer: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_profiles_are_valid_and_the_default_is_the_rfcs() {
        assert_eq!(RegistrarTimers::default(), RegistrarTimers::rfc());
        assert_eq!(RegistrarTimers::rfc().validate(), Ok(()));
        assert_eq!(RegistrarTimers::fast().validate(), Ok(()));
        assert_eq!(RegistrarTimers::of_dialect(Dialect::Rsplib).validate(), Ok(()));
    }

    #[test]
    fn in_the_rsplib_dialect_heartbeats_come_before_the_reference_implementation_misses_them() {
        let reference_asks_after = Duration::from_secs(5);
        assert!(RegistrarTimers::of_dialect(Dialect::Rsplib).heartbeat_cycle * 2 < reference_asks_after);
        assert!(RegistrarTimers::rfc().heartbeat_cycle > reference_asks_after, "hence the difference");
    }

    #[test]
    fn in_the_rsplib_dialect_keep_alives_wake_elements_before_their_registrations_end() {
        // The default of its elements: they register again every 30 s, unless they sleep.
        let registration_life = Duration::from_secs(90);
        let dialect = RegistrarTimers::of_dialect(Dialect::Rsplib).keep_alive_interval;
        assert!(dialect * 3 / 2 < registration_life / 6, "also where they register more often than that");
        assert_eq!(RegistrarTimers::rfc().keep_alive_interval, Duration::from_secs(60));
    }

    #[test]
    fn a_configuration_that_cannot_work_says_why() {
        let mut config = RegistrarConfig::new(ServerId::NONE);
        assert_eq!(config.validate(), Err(ConfigError::NoServerId));
        config.server_id = ServerId(1);
        config.timers.max_time_last_heard = Duration::from_secs(1);
        let error = config.validate().expect_err("a peer would be probed before its heartbeat is due");
        assert_eq!(error.to_string(), "heartbeat_cycle must not be longer than max_time_last_heard");
        config.timers = RegistrarTimers::rfc();
        config.limits.peers = 0;
        assert_eq!(config.validate(), Err(ConfigError::Zero("limits.peers")));
    }
}
