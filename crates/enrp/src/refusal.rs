//! Why a registrar turns something down although it is well-formed: for lack of permission, or because a limit is reached.
//! Every refusal is counted by its reason, and reported once per link.
use std::fmt;

use rserpool_wire::CauseCode;

/// Why something was turned down.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// The link is not secured, and this scope is (RFC 5355 §2.15).
    Unsecured,
    /// Nobody, or nobody who is known here, was proven to be at the other end.
    Unidentified,
    /// The identity may not do this in this pool.
    Pool,
    /// The element names an address that is neither of its link nor permitted (RFC 5352 §2.2.1).
    Address,
    /// The identity may not be a registrar, or not this one.
    Peer,
    /// The element belongs to another identity.
    Owner,
    /// The identity registers and deregisters faster than it may.
    RegistrationRate,
    /// The identity has as many elements as it may.
    ElementsOfIdentity,
    /// The link has as many elements as it may.
    ElementsOfLink,
    /// There are as many elements or pools as there may be.
    Elements,
    /// The pool handle is too long.
    HandleLength,
    /// The link resolves faster than it may.
    ResolutionRate,
    /// The link has as many subscriptions as it may.
    Subscriptions,
    /// The link reports unreachable elements faster than it may.
    ReportRate,
    /// There are as many links from this source as there may be.
    LinksOfSource,
    /// More announcements come by multicast than are listened to.
    AnnouncementRate,
    /// As many table downloads are under way as there may be.
    Downloads,
}

impl Refusal {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 17] = [
        Self::Unsecured,
        Self::Unidentified,
        Self::Pool,
        Self::Address,
        Self::Peer,
        Self::Owner,
        Self::RegistrationRate,
        Self::ElementsOfIdentity,
        Self::ElementsOfLink,
        Self::Elements,
        Self::HandleLength,
        Self::ResolutionRate,
        Self::Subscriptions,
        Self::ReportRate,
        Self::LinksOfSource,
        Self::AnnouncementRate,
        Self::Downloads,
    ];

    /// Whether it is for lack of permission; else a limit is reached.
    #[must_use]
    pub const fn is_for_security(self) -> bool {
        matches!(
            self,
            Self::Unsecured | Self::Unidentified | Self::Pool | Self::Address | Self::Peer | Self::Owner
        )
    }

    /// A short name, as the label of a metric.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unsecured => "unsecured",
            Self::Unidentified => "unidentified",
            Self::Pool => "pool",
            Self::Address => "address",
            Self::Peer => "peer",
            Self::Owner => "owner",
            Self::RegistrationRate => "registration_rate",
            Self::ElementsOfIdentity => "elements_of_identity",
            Self::ElementsOfLink => "elements_of_link",
            Self::Elements => "elements",
            Self::HandleLength => "handle_length",
            Self::ResolutionRate => "resolution_rate",
            Self::Subscriptions => "subscriptions",
            Self::ReportRate => "report_rate",
            Self::LinksOfSource => "links_of_source",
            Self::AnnouncementRate => "announcement_rate",
            Self::Downloads => "downloads",
        }
    }

    /// The cause to answer with (RFC 5354 §3.12).
    #[must_use]
    pub const fn cause(self) -> CauseCode {
        if self.is_for_security() { CauseCode::REJECTED_FOR_SECURITY } else { CauseCode::LACK_OF_RESOURCES }
    }

    pub(crate) const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsecured => "the link is not secured",
            Self::Unidentified => "nobody who is known to the policy was proven to be there",
            Self::Pool => "the policy does not let this identity into the pool",
            Self::Address => "the element names an address that is neither of its link nor permitted",
            Self::Peer => "the policy does not let this identity be that registrar",
            Self::Owner => "the element belongs to another identity",
            Self::RegistrationRate => "too many registrations per second",
            Self::ElementsOfIdentity => "too many elements of one identity",
            Self::ElementsOfLink => "too many elements on one link",
            Self::Elements => "too many elements or pools in all",
            Self::HandleLength => "a pool handle that is too long",
            Self::ResolutionRate => "too many resolutions per second",
            Self::Subscriptions => "too many subscriptions on one link",
            Self::ReportRate => "too many reports of unreachable elements per second",
            Self::LinksOfSource => "too many links from one source",
            Self::AnnouncementRate => "too many announcements per second",
            Self::Downloads => "too many table downloads at the same time",
        })
    }
}

/// How often each happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Refusals([u64; Refusal::ALL.len()]);

impl Refusals {
    /// How often this happened.
    #[must_use]
    pub fn of(&self, reason: Refusal) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or_default()
    }

    /// How often something was turned down, for whatever reason.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn count(&mut self, reason: Refusal) {
        if let Some(count) = self.0.get_mut(reason as usize) {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_and_a_name_of_its_own() {
        let mut refusals = Refusals::default();
        for (place, reason) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
            refusals.count(reason);
            assert_eq!((refusals.of(reason), refusals.total()), (1, place as u64 + 1));
            assert_eq!(Refusal::ALL.iter().filter(|other| other.name() == reason.name()).count(), 1);
        }
    }
}
