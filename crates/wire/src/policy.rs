//! Pool member selection policies as they stand on the wire (RFC 5356) and as people write them (`lud:0.2:0.05`).
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::dialect::extended_policy;
use crate::error::{DecodeError, EncodeError};
use crate::parameter::ParameterType;
use crate::reader::Reader;
use crate::writer::Writer;

/// How much of an element is in use: 0 is idle, `u32::MAX` fully used (RFC 5356 §3.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Load(pub u32);

impl Load {
    /// Idle.
    pub const ZERO: Self = Self(0);
    /// Fully used.
    pub const FULL: Self = Self(u32::MAX);

    /// The load for a fraction of full use; below 0 and not-a-number count as 0, above 1 as 1.
    ///
    /// ```
    /// use rserpool_wire::Load;
    /// assert_eq!(Load::from_fraction(0.5), Load(0x8000_0000));
    /// assert_eq!(Load::from_fraction(7.0), Load::FULL);
    /// ```
    #[must_use]
    pub fn from_fraction(fraction: f64) -> Self {
        // A float-to-integer cast saturates, and takes not-a-number to 0.
        Self((fraction * f64::from(u32::MAX)).round() as u32)
    }

    /// The fraction of full use, from 0.0 to 1.0.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(u32::MAX)
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Load({self})")
    }
}

/// Prints the fraction, such as `0.25`.
impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Four digits read well; where they would not give the same load back, print all.
        let short = format!("{:.4}", self.fraction());
        if short.parse().is_ok_and(|fraction| Self::from_fraction(fraction) == *self) {
            let trimmed = short.trim_end_matches('0');
            return f.write_str(if trimmed.ends_with('.') { &short[..3] } else { trimmed });
        }
        write!(f, "{}", self.fraction())
    }
}

/// The code of a policy; unknown and user-defined codes are kept (RFC 5356 §7.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyType(pub u32);

impl PolicyType {
    /// §4.1
    pub const ROUND_ROBIN: Self = Self(0x0000_0001);
    /// §4.2
    pub const WEIGHTED_ROUND_ROBIN: Self = Self(0x0000_0002);
    /// §4.3
    pub const RANDOM: Self = Self(0x0000_0003);
    /// §4.4
    pub const WEIGHTED_RANDOM: Self = Self(0x0000_0004);
    /// §4.5
    pub const PRIORITY: Self = Self(0x0000_0005);
    /// §5.1
    pub const LEAST_USED: Self = Self(0x4000_0001);
    /// §5.2
    pub const LEAST_USED_DEGRADATION: Self = Self(0x4000_0002);
    /// §5.3
    pub const PRIORITY_LEAST_USED: Self = Self(0x4000_0003);
    /// §5.4
    pub const RANDOMIZED_LEAST_USED: Self = Self(0x4000_0004);

    /// Whether the policy is user-defined (bit X): from 0x80000000 on.
    #[must_use]
    pub const fn is_user_defined(self) -> bool {
        self.0 >> 31 == 1
    }

    /// The policy by which elements are selected: this one, or the one that it extends, as policies of the reference
    /// implementation do (0xb000…).
    #[must_use]
    pub const fn standard(self) -> Self {
        match extended_policy(self) {
            Some(standard) => standard,
            None => self,
        }
    }

    /// Whether elements update their policy information as their load changes (bit A).
    #[must_use]
    pub const fn is_adaptive(self) -> bool {
        (self.0 >> 30) & 1 == 1
    }
}

impl fmt::Display for PolicyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::ROUND_ROBIN => "Round Robin",
            Self::WEIGHTED_ROUND_ROBIN => "Weighted Round Robin",
            Self::RANDOM => "Random",
            Self::WEIGHTED_RANDOM => "Weighted Random",
            Self::PRIORITY => "Priority",
            Self::LEAST_USED => "Least Used",
            Self::LEAST_USED_DEGRADATION => "Least Used with Degradation",
            Self::PRIORITY_LEAST_USED => "Priority Least Used",
            Self::RANDOMIZED_LEAST_USED => "Randomized Least Used",
            Self(other) => return write!(f, "policy 0x{other:08x}"),
        })
    }
}

impl fmt::Debug for PolicyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolicyType(0x{:x}, {self})", self.0)
    }
}

/// A Pool Member Selection Policy parameter: the policy of a pool and one element's values for it.
///
/// Reads from and prints as text: `rr`, `wrr:W`, `rand`, `wrand:W`, `prio:P`, `lu:L`, `lud:L:D`, `plu:L:D`, `rlu:L` with
/// loads as fractions.
///
/// ```
/// use rserpool_wire::{Load, Policy};
/// let policy: Policy = "lud:0.5:0.01".parse()?;
/// assert_eq!(policy.to_string(), "lud:0.5:0.01");
/// assert_eq!("rr".parse::<Policy>()?, Policy::RoundRobin);
/// # Ok::<(), rserpool_wire::ParsePolicyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Policy {
    /// One after the other (§4.1). The default policy.
    #[default]
    RoundRobin,
    /// One after the other, in proportion to weight (§4.2).
    WeightedRoundRobin {
        /// Capacity relative to the others; 0 provides no service.
        weight: u32,
    },
    /// Any, with equal chance (§4.3).
    Random,
    /// Any, with a chance in proportion to weight (§4.4).
    WeightedRandom {
        /// Capacity relative to the others; 0 provides no service.
        weight: u32,
    },
    /// The highest priority first (§4.5).
    Priority {
        /// Larger is more important.
        priority: u32,
    },
    /// The lowest load first (§5.1).
    LeastUsed {
        /// Load now.
        load: Load,
    },
    /// The lowest load first, counting what each selection since the last update adds (§5.2).
    LeastUsedDegradation {
        /// Load now.
        load: Load,
        /// Load that one more user adds.
        degradation: Load,
    },
    /// The lowest load after one more user first (§5.3).
    PriorityLeastUsed {
        /// Load now.
        load: Load,
        /// Load that one more user adds.
        degradation: Load,
    },
    /// Any, with a chance in proportion to what is not used (§5.4).
    RandomizedLeastUsed {
        /// Load now.
        load: Load,
    },
    /// A policy that this crate does not know, kept as it is.
    Other {
        /// Its code.
        policy_type: PolicyType,
        /// Its policy-specific data.
        data: Box<[u8]>,
    },
}

impl Policy {
    /// The code of the policy.
    #[must_use]
    pub const fn policy_type(&self) -> PolicyType {
        match self {
            Self::RoundRobin => PolicyType::ROUND_ROBIN,
            Self::WeightedRoundRobin { .. } => PolicyType::WEIGHTED_ROUND_ROBIN,
            Self::Random => PolicyType::RANDOM,
            Self::WeightedRandom { .. } => PolicyType::WEIGHTED_RANDOM,
            Self::Priority { .. } => PolicyType::PRIORITY,
            Self::LeastUsed { .. } => PolicyType::LEAST_USED,
            Self::LeastUsedDegradation { .. } => PolicyType::LEAST_USED_DEGRADATION,
            Self::PriorityLeastUsed { .. } => PolicyType::PRIORITY_LEAST_USED,
            Self::RandomizedLeastUsed { .. } => PolicyType::RANDOMIZED_LEAST_USED,
            Self::Other { policy_type, .. } => *policy_type,
        }
    }

    /// The policy and the values by which elements are selected: these, or those of the policy that
    /// [it extends](PolicyType::standard).
    #[must_use]
    pub fn standard(&self) -> Cow<'_, Self> {
        let Self::Other { policy_type, data } = self else { return Cow::Borrowed(self) };
        let values = extended_policy(*policy_type)
            .and_then(|standard| Self::read_values(standard, &mut Reader::new(data, 0)).ok());
        values.map_or(Cow::Borrowed(self), Cow::Owned)
    }

    /// The load, where the policy has one.
    #[must_use]
    pub const fn load(&self) -> Option<Load> {
        match self {
            Self::LeastUsed { load }
            | Self::LeastUsedDegradation { load, .. }
            | Self::PriorityLeastUsed { load, .. }
            | Self::RandomizedLeastUsed { load } => Some(*load),
            _ => None,
        }
    }

    /// The same policy with another load; unchanged where the policy has none.
    #[must_use]
    pub fn with_load(mut self, new: Load) -> Self {
        match &mut self {
            Self::LeastUsed { load }
            | Self::LeastUsedDegradation { load, .. }
            | Self::PriorityLeastUsed { load, .. }
            | Self::RandomizedLeastUsed { load } => *load = new,
            _ => {}
        }
        self
    }

    pub(crate) fn read(value: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let policy_type = PolicyType(value.u32()?);
        Self::read_values(policy_type, value)
    }

    fn read_values(policy_type: PolicyType, value: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match policy_type {
            PolicyType::ROUND_ROBIN => Self::RoundRobin,
            PolicyType::WEIGHTED_ROUND_ROBIN => Self::WeightedRoundRobin { weight: value.u32()? },
            PolicyType::RANDOM => Self::Random,
            PolicyType::WEIGHTED_RANDOM => Self::WeightedRandom { weight: value.u32()? },
            PolicyType::PRIORITY => Self::Priority { priority: value.u32()? },
            PolicyType::LEAST_USED => Self::LeastUsed { load: Load(value.u32()?) },
            PolicyType::LEAST_USED_DEGRADATION => {
                Self::LeastUsedDegradation { load: Load(value.u32()?), degradation: Load(value.u32()?) }
            }
            PolicyType::PRIORITY_LEAST_USED => {
                Self::PriorityLeastUsed { load: Load(value.u32()?), degradation: Load(value.u32()?) }
            }
            PolicyType::RANDOMIZED_LEAST_USED => Self::RandomizedLeastUsed { load: Load(value.u32()?) },
            _ => Self::Other { policy_type, data: value.take_rest().into() },
        })
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.parameter(ParameterType::POLICY, |writer| {
            writer.u32(self.policy_type().0);
            match self {
                Self::RoundRobin | Self::Random => {}
                Self::WeightedRoundRobin { weight: value }
                | Self::WeightedRandom { weight: value }
                | Self::Priority { priority: value }
                | Self::LeastUsed { load: Load(value) }
                | Self::RandomizedLeastUsed { load: Load(value) } => writer.u32(*value),
                Self::LeastUsedDegradation { load, degradation }
                | Self::PriorityLeastUsed { load, degradation } => {
                    writer.u32(load.0);
                    writer.u32(degradation.0);
                }
                Self::Other { data, .. } => writer.bytes(data),
            }
            Ok(())
        })
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoundRobin => f.write_str("rr"),
            Self::WeightedRoundRobin { weight } => write!(f, "wrr:{weight}"),
            Self::Random => f.write_str("rand"),
            Self::WeightedRandom { weight } => write!(f, "wrand:{weight}"),
            Self::Priority { priority } => write!(f, "prio:{priority}"),
            Self::LeastUsed { load } => write!(f, "lu:{load}"),
            Self::LeastUsedDegradation { load, degradation } => write!(f, "lud:{load}:{degradation}"),
            Self::PriorityLeastUsed { load, degradation } => write!(f, "plu:{load}:{degradation}"),
            Self::RandomizedLeastUsed { load } => write!(f, "rlu:{load}"),
            Self::Other { policy_type, data } => {
                write!(f, "0x{:08x}", policy_type.0)?;
                if !data.is_empty() {
                    f.write_str(":")?;
                }
                data.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// A text that names no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no policy: write rr, wrr:W, rand, wrand:W, prio:P, lu:L, lud:L:D, plu:L:D or rlu:L (W, P whole numbers; L, D loads from 0.0 to 1.0)"
)]
pub struct ParsePolicyError(String);

impl FromStr for Policy {
    type Err = ParsePolicyError;

    fn from_str(text: &str) -> Result<Self, ParsePolicyError> {
        fn number(text: &str) -> Option<u32> {
            text.parse().ok()
        }
        fn load(text: &str) -> Option<Load> {
            let fraction: f64 = text.parse().ok()?;
            (0.0..=1.0).contains(&fraction).then(|| Load::from_fraction(fraction))
        }
        let mut parts = text.split(':');
        let (name, first, second, more) = (parts.next(), parts.next(), parts.next(), parts.next());
        let policy = match (name, first, second, more) {
            (Some("rr"), None, None, None) => Some(Self::RoundRobin),
            (Some("rand"), None, None, None) => Some(Self::Random),
            (Some("wrr"), Some(w), None, None) => number(w).map(|weight| Self::WeightedRoundRobin { weight }),
            (Some("wrand"), Some(w), None, None) => number(w).map(|weight| Self::WeightedRandom { weight }),
            (Some("prio"), Some(p), None, None) => number(p).map(|priority| Self::Priority { priority }),
            (Some("lu"), Some(l), None, None) => load(l).map(|load| Self::LeastUsed { load }),
            (Some("rlu"), Some(l), None, None) => load(l).map(|load| Self::RandomizedLeastUsed { load }),
            (Some("lud"), Some(l), Some(d), None) => load(l)
                .zip(load(d))
                .map(|(load, degradation)| Self::LeastUsedDegradation { load, degradation }),
            (Some("plu"), Some(l), Some(d), None) => {
                load(l).zip(load(d)).map(|(load, degradation)| Self::PriorityLeastUsed { load, degradation })
            }
            _ => None,
        };
        policy.ok_or_else(|| ParsePolicyError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_standard_policy_reads_back_from_its_text() {
        for text in [
            "rr",
            "wrr:3",
            "rand",
            "wrand:7",
            "prio:9",
            "lu:0.0",
            "lud:0.5:0.01",
            "plu:1.0:0.25",
            "rlu:0.1234",
        ] {
            assert_eq!(text.parse::<Policy>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn any_load_reads_back_from_its_text() {
        for load in [Load(0), Load(1), Load(0x1234_5678), Load(u32::MAX - 1), Load::FULL] {
            assert_eq!(format!("lu:{load}").parse(), Ok(Policy::LeastUsed { load }));
        }
    }

    #[test]
    fn a_wrong_policy_says_what_is_right() {
        for text in ["", "rr:1", "wrr", "lu:1.5", "lu:x", "lud:0.5", "prio:-1"] {
            let error = text.parse::<Policy>().expect_err(text);
            assert!(error.to_string().contains("wrr:W"), "{error}");
        }
    }

    #[test]
    fn policies_of_the_reference_implementation_count_as_what_they_extend() {
        let other = |policy_type, data: &[u8]| Policy::Other {
            policy_type: PolicyType(policy_type),
            data: data.into(),
        };
        let load = [0x80, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0, 1];
        let (half, seven) = (Load(0x8000_0000), Load(7));
        for (policy, standard) in [
            (other(0xb000_1003, &load[..8]), Policy::LeastUsedDegradation { load: half, degradation: seven }),
            (other(0xb000_2001, &load[..12]), Policy::WeightedRandom { weight: 0x8000_0000 }),
            (other(0xb000_2002, &load[..12]), Policy::LeastUsed { load: half }),
            (other(0xb000_2003, &load), Policy::LeastUsedDegradation { load: half, degradation: seven }),
        ] {
            assert_eq!(*policy.standard(), standard);
            assert_eq!(policy.policy_type().standard(), standard.policy_type());
        }
        for kept in [other(0xb000_2002, &load[..3]), other(0x8000_0001, &load), Policy::Random] {
            assert_eq!(*kept.standard(), kept);
        }
    }
}
