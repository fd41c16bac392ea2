//! Counters, from the start of the registrar on.
use crate::refusal::Refusals;

/// What a registrar has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Registrations granted to elements that were not owned here before.
    pub registrations: u64,
    /// Registrations granted to elements that were owned here already.
    pub reregistrations: u64,
    /// Registrations rejected.
    pub registrations_rejected: u64,
    /// Deregistrations granted.
    pub deregistrations: u64,
    /// Deregistrations rejected.
    pub deregistrations_rejected: u64,
    /// Resolutions answered with elements.
    pub resolutions: u64,
    /// Resolutions answered negatively.
    pub resolutions_rejected: u64,
    /// Responses sent to subscribers because a pool changed.
    pub subscription_updates: u64,
    /// Keep-alives sent.
    pub keep_alives: u64,
    /// Keep-alives acknowledged.
    pub keep_alive_acks: u64,
    /// Owned elements removed because they were silent, detached or reported too often.
    pub elements_failed: u64,
    /// Owned elements whose registration life ended.
    pub elements_expired: u64,
    /// Reports of unreachable elements.
    pub unreachable_reports: u64,
    /// Handle updates announced to peers.
    pub updates_sent: u64,
    /// Handle updates of peers that were followed.
    pub updates_accepted: u64,
    /// Handle updates and table entries of peers that were not: not from the home, inconsistent with the pool, or too much.
    pub updates_refused: u64,
    /// Elements that this registrar claimed although a peer said that it owned them.
    pub claims: u64,
    /// Elements that a leaving peer offered and this registrar took.
    pub handovers_taken: u64,
    /// Times that a peer's checksum was not what it should be.
    pub checksum_mismatches: u64,
    /// Resynchronisations completed.
    pub resynchronizations: u64,
    /// Resynchronisations rejected or broken off.
    pub resynchronizations_failed: u64,
    /// Table downloads served to the end.
    pub downloads_served: u64,
    /// Table requests rejected.
    pub downloads_rejected: u64,
    /// Responses that nobody asked for.
    pub unsolicited: u64,
    /// Take-overs started.
    pub takeovers_started: u64,
    /// Take-overs completed by this registrar.
    pub takeovers_completed: u64,
    /// Peers found dead.
    pub peers_failed: u64,
    /// Messages that broke the protocol.
    pub faults: u64,
    /// Messages refused for lack of permission.
    pub not_permitted: u64,
    /// Whatever was turned down, by reason.
    pub refusals: Refusals,
}
