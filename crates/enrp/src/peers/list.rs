//! The peer list (RFC 5353 §3.4): every other registrar that is known, and whether it lives.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use rserpool_machine::Endpoint;
use rserpool_wire::ServerId;

use crate::core::Core;

/// Whether a peer lives, as far as is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PeerState {
    /// Heard within MAX-TIME-LAST-HEARD, or only just learned of.
    Active,
    /// Silent or cut off: it has been asked, or is being connected to, and must answer within MAX-TIME-NO-RESPONSE.
    Probed,
    /// Taken for dead, by this registrar or by one that takes it over; no longer monitored (RFC 5353 §3.5.1).
    Inactive,
}

/// What is known of a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PeerStatus {
    /// The peer.
    pub server: ServerId,
    /// Whether it lives.
    pub state: PeerState,
    /// Where it can be reached.
    pub endpoint: Option<Endpoint>,
    /// When it was last heard, or learned of (peer_last_heard, RFC 5353 §4.1).
    pub last_heard: Instant,
    /// Whether there is a link to it.
    pub is_linked: bool,
    /// How many elements it owns in the local copy of the handlespace.
    pub elements: usize,
}

/// One peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) state: PeerState,
    pub(super) endpoint: Option<Endpoint>,
    pub(super) last_heard: Instant,
    /// Whether it was heard at all since it was learned of, or last taken for dead.
    pub(super) heard: bool,
    /// Whether the application was told so.
    pub(super) introduced: bool,
    /// What it proved to be: nobody else speaks as this registrar.
    pub(super) identity: Option<Arc<str>>,
}

impl Peer {
    pub(super) const fn new(now: Instant, endpoint: Option<Endpoint>) -> Self {
        Self {
            state: PeerState::Active,
            endpoint,
            last_heard: now,
            heard: false,
            introduced: false,
            identity: None,
        }
    }

    pub(super) fn status(&self, server: ServerId, core: &Core) -> PeerStatus {
        PeerStatus {
            server,
            state: self.state,
            endpoint: self.endpoint.clone(),
            last_heard: self.last_heard,
            is_linked: core.links.route(server).is_some(),
            elements: core.handlespace.owned_count(server),
        }
    }
}

/// All peers.
#[derive(Debug, Default)]
pub(super) struct PeerList {
    peers: BTreeMap<ServerId, Peer>,
}

impl PeerList {
    pub(super) fn get(&self, server: ServerId) -> Option<&Peer> {
        self.peers.get(&server)
    }

    pub(super) fn get_mut(&mut self, server: ServerId) -> Option<&mut Peer> {
        self.peers.get_mut(&server)
    }

    pub(super) fn contains(&self, server: ServerId) -> bool {
        self.peers.contains_key(&server)
    }

    /// Adds a peer; `false` if there are too many.
    pub(super) fn add(&mut self, server: ServerId, peer: Peer, limit: usize) -> bool {
        let has_room = self.peers.len() < limit;
        if has_room {
            self.peers.insert(server, peer);
        }
        has_room
    }

    pub(super) fn remove(&mut self, server: ServerId) {
        self.peers.remove(&server);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ServerId, &Peer)> + '_ {
        self.peers.iter().map(|(server, peer)| (*server, peer))
    }

    /// The peers that are taken to live and that there is a link to.
    pub(super) fn reachable(&self, core: &Core) -> Vec<ServerId> {
        self.iter()
            .filter(|(server, peer)| peer.state != PeerState::Inactive && core.links.route(*server).is_some())
            .map(|(server, _)| server)
            .collect()
    }
}
