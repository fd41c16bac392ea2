//! Every difference between the RFCs and the deployed reference implementation, as data or small functions.
//! No other code asks which of the two it is talking to.
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use crate::identifier::ServerId;
use crate::policy::PolicyType;

/// Which wire format and conventions to follow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Dialect {
    /// RFC 5352, 5353, 5354 and 5356 to the letter.
    #[default]
    Rfc,
    /// The reference implementation, rsplib, where it deviates.
    Rsplib,
}

impl Dialect {
    /// The unit of a registration life: seconds (RFC 5354 §3.10), or milliseconds.
    #[must_use]
    pub const fn registration_life_unit(self) -> Duration {
        match self {
            Self::Rfc => Duration::from_secs(1),
            Self::Rsplib => Duration::from_millis(1),
        }
    }

    /// Whether the length of a message counts the padding of its last parameter. The RFCs do not count padding at the end
    /// (RFC 5354 §4); both forms are always accepted. No length of a parameter counts it in either dialect.
    #[must_use]
    pub const fn counts_final_padding(self) -> bool {
        matches!(self, Self::Rsplib)
    }

    /// Whether a resolution response names the policy of a Round Robin pool too (optional in RFC 5352 §3.3).
    #[must_use]
    pub const fn always_names_policy(self) -> bool {
        matches!(self, Self::Rsplib)
    }

    /// Whether a keep-alive names the element it is for; without, the reference implementation's host answers for all
    /// elements that it has. RFC 5352 §2.2.7 has the pool handle alone.
    #[must_use]
    pub const fn keep_alive_names_element(self) -> bool {
        matches!(self, Self::Rsplib)
    }

    /// Whether registrars tell each other which identity registered an element. The reference implementation knows no
    /// identities.
    #[must_use]
    pub const fn tells_owners(self) -> bool {
        matches!(self, Self::Rfc)
    }

    /// Whether, of two registrars that both try to take over a dead one, `own` must yield to `other`: to the larger
    /// identifier by RFC 5353 §3.5.1, to the smaller one in the reference implementation.
    #[must_use]
    pub const fn yields_takeover(self, own: ServerId, other: ServerId) -> bool {
        match self {
            Self::Rfc => own.0 < other.0,
            Self::Rsplib => own.0 > other.0,
        }
    }

    /// PEER-HEARTBEAT-CYCLE, MAX-TIME-LAST-HEARD and MAX-TIME-NO-RESPONSE (RFC 5353 §4.2). A registrar with the RFC's
    /// heartbeat would be silent for too long for the reference implementation, which then asks, and after another 5 s takes
    /// it over.
    #[must_use]
    pub const fn peer_times(self) -> [Duration; 3] {
        match self {
            Self::Rfc => [Duration::from_secs(30), Duration::from_secs(61), Duration::from_secs(5)],
            Self::Rsplib => [Duration::from_millis(2_444), Duration::from_secs(5), Duration::from_secs(5)],
        }
    }

    /// The mean time between keep-alives to an element; RFC 5352 gives none. The reference implementation's elements may
    /// sleep through the time of their re-registration until some message wakes them: keep-alives must come more often than
    /// registrations end.
    #[must_use]
    pub const fn keep_alive_interval(self) -> Duration {
        match self {
            Self::Rfc => Duration::from_secs(60),
            Self::Rsplib => Duration::from_secs(5),
        }
    }

    /// The multicast groups of server announcements, assigned by IANA (RFC 5352 §8.4) or local. The IPv6 group is
    /// link-local scope.
    #[must_use]
    pub const fn asap_groups(self) -> (Ipv4Addr, Ipv6Addr) {
        let v6 = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x133);
        match self {
            Self::Rfc => (Ipv4Addr::new(224, 0, 1, 185), v6),
            Self::Rsplib => (Ipv4Addr::new(239, 0, 0, 50), v6),
        }
    }

    /// The multicast groups of the ENRP server channel.
    #[must_use]
    pub const fn enrp_groups(self) -> (Ipv4Addr, Ipv6Addr) {
        let v6 = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x133);
        match self {
            Self::Rfc => (Ipv4Addr::new(224, 0, 1, 185), v6),
            Self::Rsplib => (Ipv4Addr::new(239, 0, 0, 51), v6),
        }
    }

    /// Whether server announcements list transports, or leave the receiver to take the datagram's source
    /// (RFC 5352 §3.6).
    #[must_use]
    pub const fn announces_transports(self) -> bool {
        matches!(self, Self::Rfc)
    }

    /// The longest pool handle that the other side survives, in bytes.
    #[must_use]
    pub const fn max_handle_length(self) -> usize {
        match self {
            Self::Rfc => crate::PoolHandle::MAX_LENGTH,
            Self::Rsplib => 32,
        }
    }

    /// How large a handle table response may grow, in bytes, and how many elements it may carry.
    #[must_use]
    pub const fn table_response_limit(self) -> (usize, usize) {
        match self {
            Self::Rfc => (60_000, usize::MAX),
            Self::Rsplib => (1_400, 128),
        }
    }
}

/// The policies of the reference implementation that RFC 5356 lacks, and what each of them extends: their values begin with
/// those of the standard policy. What follows, how much further away an element counts as more loaded, is left out.
pub(crate) const fn extended_policy(policy_type: PolicyType) -> Option<PolicyType> {
    match policy_type.0 {
        // Priority and randomised variants: load, and what one more user adds to it.
        0xb000_1001..=0xb000_1004 => Some(PolicyType::LEAST_USED_DEGRADATION),
        // Each with a factor and a distance behind its values.
        0xb000_2001 => Some(PolicyType::WEIGHTED_RANDOM),
        0xb000_2002 => Some(PolicyType::LEAST_USED),
        0xb000_2003 => Some(PolicyType::LEAST_USED_DEGRADATION),
        _ => None,
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rfc => "rfc",
            Self::Rsplib => "rsplib",
        })
    }
}

/// Reads `rfc` or `rsplib`.
impl FromStr for Dialect {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "rfc" => Ok(Self::Rfc),
            "rsplib" => Ok(Self::Rsplib),
            _ => Err("a dialect is `rfc` or `rsplib`"),
        }
    }
}
