//! How much a registrar lets others make it remember or do. Nothing that a peer, element or user sends grows memory
//! beyond these.
use crate::config::ConfigError;

/// The limits of a registrar. None of them is in the RFCs but MAX-BAD-PE-REPORT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegistrarLimits {
    /// Registrars in the peer list. Default 256.
    pub peers: usize,
    /// Pools in the handlespace, those of peers included. Default 1,000,000.
    pub pools: usize,
    /// Elements in the handlespace, those of peers included. Default 1,000,000. Each costs some hundred bytes.
    pub elements: usize,
    /// Bytes of a pool handle; the dialect may allow fewer. Default 1,024.
    pub handle_length: usize,
    /// Elements that may register over one link. Default 10,000.
    pub elements_per_link: usize,
    /// Elements that one proven identity may have, at whichever registrar, unless its [`Quota`](crate::Quota) says otherwise. Default
    /// 10,000.
    pub elements_per_identity: usize,
    /// Registrations and deregistrations per second of one proven identity, unless its [`Quota`](crate::Quota) says otherwise; as
    /// many at once. Default 1,000. Raising it lets many elements of one identity come back faster after an outage.
    pub registrations_per_second: u32,
    /// Resolutions per second on one link; as many at once. Default 1,000,000, which hardly anybody reaches: links are served in
    /// turn, so that a greedy one slows the others down, but does not keep them out. Lower it where users are not trusted.
    pub resolutions_per_second: u32,
    /// Reports of unreachable elements per second on one link; as many at once, further ones are not listened to (RFC 5355
    /// §2.13). Default 100.
    pub reports_per_second: u32,
    /// Links of one protocol from one source, an IPv4 address or an IPv6 network of 64 bits. Default 20,000. Raising it bears
    /// with more clients behind one address.
    pub links_per_source: usize,
    /// Announcements per second by multicast, of all senders together, that are listened to. Default 1,000. They can be forged,
    /// and say only where to look.
    pub announcements_per_second: u32,
    /// Pools that one link may subscribe to. Default 1,000.
    pub subscriptions_per_link: usize,
    /// Elements in a resolution response where the user names no number. Default: all (RFC 5352 §3.3).
    pub default_items: u32,
    /// Elements in a resolution response at most, whatever the user asks for. Default: all that fit a message.
    pub max_items: u32,
    /// Table downloads to peers at the same time; further ones are rejected (RFC 5353 §3.2.3). Default 16.
    pub download_sessions: usize,
    /// Elements connected to and waited for at the same time after a take-over or a broken link. Default 256. Raising it
    /// makes take-over faster and its burst of connections larger.
    pub probes: usize,
    /// Elements offered to peers and not yet taken at the same time during a shutdown. Default 512.
    pub handovers: usize,
    /// MAX-BAD-PE-REPORT (RFC 5352 §3.5): an element that was reported unreachable more often than this since it was last
    /// registered is removed. Default 3.
    pub bad_reports: u32,
    /// Bad messages on a link before it is cut off. Default 100.
    pub faults_per_link: u32,
}

impl RegistrarLimits {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let positive = [
            ("limits.peers", self.peers),
            ("limits.pools", self.pools),
            ("limits.elements", self.elements),
            ("limits.handle_length", self.handle_length),
            ("limits.elements_per_link", self.elements_per_link),
            ("limits.elements_per_identity", self.elements_per_identity),
            ("limits.registrations_per_second", self.registrations_per_second as usize),
            ("limits.resolutions_per_second", self.resolutions_per_second as usize),
            ("limits.reports_per_second", self.reports_per_second as usize),
            ("limits.links_per_source", self.links_per_source),
            ("limits.announcements_per_second", self.announcements_per_second as usize),
            ("limits.default_items", self.default_items as usize),
            ("limits.max_items", self.max_items as usize),
            ("limits.download_sessions", self.download_sessions),
            ("limits.probes", self.probes),
            ("limits.handovers", self.handovers),
            ("limits.faults_per_link", self.faults_per_link as usize),
        ];
        match positive.iter().find(|(_, limit)| *limit == 0) {
            Some((field, _)) => Err(ConfigError::Zero(field)),
            None => Ok(()),
        }
    }
}

impl Default for RegistrarLimits {
    fn default() -> Self {
        Self {
            peers: 256,
            pools: 1_000_000,
            elements: 1_000_000,
            handle_length: 1_024,
            elements_per_link: 10_000,
            elements_per_identity: 10_000,
            registrations_per_second: 1_000,
            resolutions_per_second: 1_000_000,
            reports_per_second: 100,
            links_per_source: 20_000,
            announcements_per_second: 1_000,
            subscriptions_per_link: 1_000,
            default_items: u32::MAX,
            max_items: u32::MAX,
            download_sessions: 16,
            probes: 256,
            handovers: 512,
            bad_reports: 3,
            faults_per_link: 100,
        }
    }
}
