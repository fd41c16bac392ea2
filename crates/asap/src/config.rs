//! How the pool element and the pool user are set up: timers and thresholds of RFC 5352 §7, limits, and where to find
//! registrars. Every default is the RFC's; what the RFC leaves open says so.
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use rserpool_machine::Endpoint;
use rserpool_wire::{Dialect, RegistrationLife, Transport};

/// The timers, variables and thresholds of pool elements and pool users (RFC 5352 §7).
///
/// [`rfc`](Self::rfc) is the default. [`fast`](Self::fast) notices and repairs failures in less than a second, at the
/// price of more traffic: for links that are quick and registrars that are near.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AsapTimers {
    /// T1-ENRPrequest (§7.1): how long to wait for the answer to a handle resolution before it is sent again and
    /// another registrar is looked for. 15 s. Higher: a silent registrar is noticed later.
    pub request: Duration,
    /// T2-registration (§7.1): how long to wait for the answer to a registration. Doubles with each further
    /// attempt, up to [`retransmission_max`](Self::retransmission_max). 30 s. Higher: a silent registrar is noticed
    /// later.
    pub registration: Duration,
    /// T3-deregistration (§7.1): how long to wait for the answer to a deregistration, first at the home registrar,
    /// then once more at another one. 30 s. Higher: leaving takes longer when registrars are silent.
    pub deregistration: Duration,
    /// T4-reregistration (§7.1): the longest time between two registrations of an element. 10 min. Higher: a
    /// registrar that lost the registration learns of it later.
    pub reregistration: Duration,
    /// How long before the end of the registration life T4 is due at the latest (§7.1). 20 s; of lives below three
    /// times this value a third is used, so that short lives work too. Higher: more time to find another registrar.
    pub reregistration_margin: Duration,
    /// T5-Serverhunt (§7.1): how long a round of the server hunt lasts; doubles up to
    /// [`retransmission_max`](Self::retransmission_max), and is shortened at random by up to a quarter, so that a
    /// crowd does not hunt in step. 10 s. Higher: a registrar that comes back is found later.
    pub server_hunt: Duration,
    /// T7-ENRPoutdate (§7.1): for how long an announced registrar counts as there. 5 s. Higher: registrars that are
    /// gone are tried for longer.
    pub outdate: Duration,
    /// stale_cache_value (§7.2): the age from which the elements of a pool in the cache are asked for again. 30 s;
    /// the RFC has no default. Higher: fewer requests, older answers.
    pub stale_cache: Duration,
    /// MAX-REG-ATTEMPT (§7.3): unanswered registrations in a row after which the registrar is given up for another
    /// one. 2. Higher: a silent registrar is left later.
    pub max_registration_attempts: NonZeroU32,
    /// MAX-REQUEST-RETRANSMIT (§7.3): how often an unanswered handle resolution is sent again before it fails. 2.
    /// Higher: failures are reported later.
    pub max_request_retransmit: u32,
    /// RETRAN-MAX (§7.3): the ceiling of everything that doubles. 60 s. Higher: less traffic in a long outage, and
    /// a later end of it.
    pub retransmission_max: Duration,
    /// After an outage, registrations go to the new home registrar at random within this time, so that the many
    /// elements of a dead registrar do not all register in one instant. 2 s; ours. Higher: gentler, and slower.
    pub reregistration_spread: Duration,
    /// The least time between two registrations that changes of policy values cause; changes in between are merged.
    /// 1 s; ours. Higher: less traffic, older loads at the registrars.
    pub policy_update_interval: Duration,
    /// The least time between two unreachable reports on the same element (§3.5, and threat 8 of §9). 5 s; ours.
    /// Higher: dead elements stay listed for longer.
    pub unreachable_interval: Duration,
    /// For how long an element reported unreachable is selected only if there is no other. 30 s; ours. Higher: an
    /// element that recovers is used again later.
    pub unreachable_hold: Duration,
    /// How often to ask for a subscribed pool when the registrar does not grant updates. 10 s; ours. Higher: less
    /// traffic, changes are seen later.
    pub subscription_poll: Duration,
    /// How soon to ask again for a subscribed pool that does not exist; doubles up to
    /// [`retransmission_max`](Self::retransmission_max). 5 s; ours. Higher: a new pool is seen later.
    pub unknown_pool_retry: Duration,
}

impl AsapTimers {
    /// No timer may be longer: sums with the time of day must not overflow.
    pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

    /// The values of RFC 5352 §7.
    #[must_use]
    pub const fn rfc() -> Self {
        Self {
            request: Duration::from_secs(15),
            registration: Duration::from_secs(30),
            deregistration: Duration::from_secs(30),
            reregistration: Duration::from_secs(600),
            reregistration_margin: Duration::from_secs(20),
            server_hunt: Duration::from_secs(10),
            outdate: Duration::from_secs(5),
            stale_cache: Duration::from_secs(30),
            max_registration_attempts: const { NonZeroU32::new(2).unwrap() },
            max_request_retransmit: 2,
            retransmission_max: Duration::from_secs(60),
            reregistration_spread: Duration::from_secs(2),
            policy_update_interval: Duration::from_secs(1),
            unreachable_interval: Duration::from_secs(5),
            unreachable_hold: Duration::from_secs(30),
            subscription_poll: Duration::from_secs(10),
            unknown_pool_retry: Duration::from_secs(5),
        }
    }

    /// Values with which a dead registrar is noticed and replaced in less than a second.
    #[must_use]
    pub const fn fast() -> Self {
        Self {
            request: Duration::from_millis(200),
            registration: Duration::from_millis(300),
            deregistration: Duration::from_millis(300),
            reregistration: Duration::from_secs(20),
            server_hunt: Duration::from_millis(200),
            outdate: Duration::from_secs(3),
            stale_cache: Duration::from_secs(2),
            max_registration_attempts: NonZeroU32::MIN,
            max_request_retransmit: 4,
            retransmission_max: Duration::from_secs(2),
            reregistration_spread: Duration::from_millis(50),
            policy_update_interval: Duration::from_millis(20),
            unreachable_interval: Duration::from_millis(500),
            unreachable_hold: Duration::from_secs(3),
            subscription_poll: Duration::from_millis(500),
            unknown_pool_retry: Duration::from_millis(250),
            ..Self::rfc()
        }
    }

    /// T4 for a registration of this life: `min(10 min, life − 20 s)` of the RFC, or two thirds of a life of less
    /// than three times the margin.
    #[must_use]
    pub fn reregistration_after(&self, life: RegistrationLife) -> Duration {
        let Some(life) = life.duration() else { return self.reregistration };
        let margin = self.reregistration_margin.min(life / 3);
        self.reregistration.min(life.saturating_sub(margin)).max(Duration::from_millis(1))
    }

    /// The wait after the attempt number `attempt` (from 0) of something that starts with `first` and doubles.
    pub(crate) fn back_off(&self, first: Duration, attempt: u32) -> Duration {
        let doubled = first.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX));
        doubled.min(self.retransmission_max.max(first))
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let timers = [
            ("request", self.request),
            ("registration", self.registration),
            ("deregistration", self.deregistration),
            ("reregistration", self.reregistration),
            ("server_hunt", self.server_hunt),
            ("outdate", self.outdate),
            ("retransmission_max", self.retransmission_max),
            ("subscription_poll", self.subscription_poll),
            ("unknown_pool_retry", self.unknown_pool_retry),
        ];
        if let Some((name, _)) = timers.iter().find(|(_, value)| value.is_zero()) {
            return Err(ConfigError::Zero(name));
        }
        let may_be_zero = [
            ("reregistration_margin", self.reregistration_margin),
            ("stale_cache", self.stale_cache),
            ("reregistration_spread", self.reregistration_spread),
            ("policy_update_interval", self.policy_update_interval),
            ("unreachable_interval", self.unreachable_interval),
            ("unreachable_hold", self.unreachable_hold),
        ];
        if let Some((name, _)) = timers.iter().chain(&may_be_zero).find(|(_, value)| *value > Self::LONGEST) {
            return Err(ConfigError::TooLong(name));
        }
        if self.retransmission_max < self.server_hunt {
            return Err(ConfigError::CeilingBelowHunt);
        }
        Ok(())
    }
}

impl Default for AsapTimers {
    fn default() -> Self {
        Self::rfc()
    }
}

/// How a pool element is set up.
#[derive(Clone, Debug)]
pub struct ElementConfig {
    /// Registrars to look for, beside those that announce themselves; never forgotten. Empty: announcements alone
    /// (§3.6).
    pub registrars: Vec<Endpoint>,
    /// Where registrars reach this element when they take it over; goes out with every registration. `None` over
    /// SCTP, where the registrar knows (§3.1, rule 4); a TCP transport over TCP, which is an extension.
    pub asap_transport: Option<Transport>,
    /// Whether the operational scope is secured: then registrars are reached over TLS only, announced ones too, and
    /// only authenticated ones may become home by a keep-alive.
    pub secured: bool,
    /// Who may become home by a keep-alive in a secured scope: the identities that registrars prove when they connect. Empty:
    /// whoever proves one, so that other elements with a certificate could (RFC 5355 §2.6), or knows the pre-shared key that the element
    /// connects by, which names nobody.
    pub registrar_names: Vec<Arc<str>>,
    /// Timers and thresholds.
    pub timers: AsapTimers,
    /// The dialect to speak.
    pub dialect: Dialect,
    /// Keep-alives per second that are acknowledged for each registration; further ones are not listened to (RFC 5355
    /// §2.14). 100. Higher: more work where a registrar goes wild.
    pub keep_alives_per_second: u32,
    /// Registrations at most. 65,536. Higher: more memory, and longer bursts when the home registrar changes.
    pub max_registrations: usize,
    /// Announced registrars remembered at most; announcements can be forged (§9.2). 32. Higher: longer hunts among
    /// forged ones.
    pub max_announced: usize,
}

impl Default for ElementConfig {
    fn default() -> Self {
        Self {
            registrars: Vec::new(),
            asap_transport: None,
            secured: false,
            registrar_names: Vec::new(),
            timers: AsapTimers::rfc(),
            dialect: Dialect::Rfc,
            keep_alives_per_second: 100,
            max_registrations: 65_536,
            max_announced: 32,
        }
    }
}

impl ElementConfig {
    /// Checks every field, and the fields against each other.
    ///
    /// # Errors
    /// When the configuration cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.timers.validate()?;
        check_registrars(&self.registrars, self.secured)?;
        check_limits(&[
            ("max_registrations", self.max_registrations),
            ("keep_alives_per_second", self.keep_alives_per_second as usize),
        ])?;
        if !self.secured && !self.registrar_names.is_empty() {
            return Err(ConfigError::NamesWithoutSecurity);
        }
        match &self.asap_transport {
            Some(transport) if Endpoint::from_transport(transport, self.secured).is_none() => {
                Err(ConfigError::UnusableAsapTransport)
            }
            _ => Ok(()),
        }
    }
}

/// How a pool user is set up.
#[derive(Clone, Debug)]
pub struct UserConfig {
    /// Registrars to look for, beside those that announce themselves; never forgotten. Empty: announcements alone
    /// (§3.6).
    pub registrars: Vec<Endpoint>,
    /// Whether the operational scope is secured: then registrars are reached over TLS only, announced ones too.
    pub secured: bool,
    /// Timers and thresholds.
    pub timers: AsapTimers,
    /// The dialect to speak.
    pub dialect: Dialect,
    /// How many elements to ask for where the application does not say, and for subscriptions. `None` leaves it to
    /// the registrar: all of them (§3.3), or three with the reference implementation, where
    /// [`ALL_ITEMS`](rserpool_wire::asap::HandleResolution::ALL_ITEMS) is the better choice.
    pub items: Option<u32>,
    /// Unanswered resolutions at most; further ones fail at once. 4,096. Higher: more memory and longer bursts when
    /// a registrar is found after an outage.
    pub max_requests: usize,
    /// Pools in the cache at most; the one used least recently makes room. 1,024. Higher: more memory.
    pub max_cached_pools: usize,
    /// Subscriptions at most. 256. Higher: longer bursts when the home registrar changes.
    pub max_subscriptions: usize,
    /// Announced registrars remembered at most; announcements can be forged (§9.2). 32. Higher: longer hunts among
    /// forged ones.
    pub max_announced: usize,
}

impl Default for UserConfig {
    fn default() -> Self {
        Self {
            registrars: Vec::new(),
            secured: false,
            timers: AsapTimers::rfc(),
            dialect: Dialect::Rfc,
            items: None,
            max_requests: 4_096,
            max_cached_pools: 1_024,
            max_subscriptions: 256,
            max_announced: 32,
        }
    }
}

impl UserConfig {
    /// Checks every field, and the fields against each other.
    ///
    /// # Errors
    /// When the configuration cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.timers.validate()?;
        check_registrars(&self.registrars, self.secured)?;
        check_limits(&[("max_requests", self.max_requests), ("max_cached_pools", self.max_cached_pools)])
    }
}

fn check_registrars(registrars: &[Endpoint], secured: bool) -> Result<(), ConfigError> {
    match registrars.iter().find(|registrar| secured && !registrar.scheme().is_secured()) {
        Some(registrar) => Err(ConfigError::UnsecuredRegistrar(registrar.clone())),
        None => Ok(()),
    }
}

fn check_limits(limits: &[(&'static str, usize)]) -> Result<(), ConfigError> {
    match limits.iter().find(|(_, limit)| *limit == 0) {
        Some((name, _)) => Err(ConfigError::Zero(name)),
        None => Ok(()),
    }
}

/// A configuration that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A timer or limit that must be above zero is zero.
    #[error("`{0}` must be above zero")]
    Zero(&'static str),
    /// A timer is out of all reason.
    #[error("`{0}` must be a year at most")]
    TooLong(&'static str),
    /// The ceiling of T5 is below T5.
    #[error("`retransmission_max` must not be below `server_hunt`, which doubles up to it")]
    CeilingBelowHunt,
    /// A registrar of a secured scope would be reached without TLS.
    #[error("{0} is not secured, but the scope is: write tls:// or sctp+tls://, or turn `secured` off")]
    UnsecuredRegistrar(Endpoint),
    /// No registrar could connect to the ASAP transport.
    #[error("`asap_transport` must be a TCP or SCTP transport with an address and a port")]
    UnusableAsapTransport,
    /// Registrars are to be known by names that none of them could prove.
    #[error("`registrar_names` is for a secured scope: without TLS, registrars do not prove their names")]
    NamesWithoutSecurity,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_profiles_are_valid() {
        for timers in [AsapTimers::rfc(), AsapTimers::fast()] {
            assert_eq!(UserConfig { timers, ..UserConfig::default() }.validate(), Ok(()));
            assert_eq!(ElementConfig { timers, ..ElementConfig::default() }.validate(), Ok(()));
        }
    }

    #[test]
    fn t4_leaves_time_to_register_again() {
        let after = |life| AsapTimers::rfc().reregistration_after(life).as_secs_f64();
        let seconds = |s| RegistrationLife::Finite(Duration::from_secs(s));
        assert_eq!(after(seconds(3600)), 600.0);
        assert_eq!(after(seconds(300)), 280.0);
        assert_eq!(after(seconds(60)), 40.0);
        assert_eq!(after(seconds(30)), 20.0);
        assert_eq!(after(seconds(3)), 2.0);
        assert_eq!(after(RegistrationLife::Infinite), 600.0);
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let with = |change: fn(&mut ElementConfig)| {
            let mut config = ElementConfig::default();
            change(&mut config);
            config.validate()
        };
        assert_eq!(with(|c| c.timers.request = Duration::ZERO), Err(ConfigError::Zero("request")));
        assert_eq!(with(|c| c.timers.stale_cache = Duration::MAX), Err(ConfigError::TooLong("stale_cache")));
        assert_eq!(
            with(|c| c.timers.retransmission_max = Duration::from_secs(1)),
            Err(ConfigError::CeilingBelowHunt)
        );
        assert_eq!(with(|c| c.max_registrations = 0), Err(ConfigError::Zero("max_registrations")));
        assert!(matches!(
            with(|c| {
                c.secured = true;
                c.registrars = vec!["tcp://10.0.0.1:3863".parse().expect("an endpoint")];
            }),
            Err(ConfigError::UnsecuredRegistrar(_))
        ));
        assert_eq!(
            with(|c| c.asap_transport = Some(Transport::Opaque([].into()))),
            Err(ConfigError::UnusableAsapTransport)
        );
        assert_eq!(
            with(|c| c.registrar_names = vec!["registrar-1".into()]),
            Err(ConfigError::NamesWithoutSecurity)
        );
    }

    #[test]
    fn doubling_ends_at_the_ceiling() {
        let timers = AsapTimers::rfc();
        let waits = [0, 1, 2, 40].map(|attempt| timers.back_off(Duration::from_secs(30), attempt).as_secs());
        assert_eq!(waits, [30, 60, 60, 60]);
    }
}
