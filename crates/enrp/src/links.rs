//! The links of a registrar: what is known of each, and which one leads to which peer.
//!
//! Two registrars that connect to each other at the same time end up with two links. Both stay; both registrars send on the
//! one that the registrar with the smaller identifier opened, so that updates arrive in order.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hashbrown::HashMap;
use rserpool_machine::{LinkId, LinkKind, PeerIdentity, Protocol, Scheme};
use rserpool_wire::ServerId;

use crate::authorization::Requester;

/// Whoever is at the other end of a link; outlives the link where an element is remembered by it.
#[derive(PartialEq, Eq, Debug, Default)]
pub(crate) struct Party {
    identity: PeerIdentity,
    addresses: Box<[SocketAddr]>,
}

impl Party {
    pub(crate) fn requester(&self) -> Requester<'_> {
        Requester::new(&self.identity, &self.addresses)
    }

    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Whether both are the same, as far as can be told: the same proven identity, or, where nothing was proved, an
    /// address in common.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let shares_address = || self.addresses.iter().any(|a| other.addresses.iter().any(|b| ip(a) == ip(b)));
        match (&self.identity, &other.identity) {
            (PeerIdentity::Authenticated(a), PeerIdentity::Authenticated(b)) => a == b,
            (PeerIdentity::Authenticated(_), _) | (_, PeerIdentity::Authenticated(_)) => false,
            _ => shares_address(),
        }
    }
}

/// The address, the same whether it came over an IPv4 or a dual-stack socket.
fn ip(address: &SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum LinkState {
    Opening,
    Up,
    /// Its end was asked for.
    Closing,
}

/// One link.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) protocol: Protocol,
    pub(crate) kind: LinkKind,
    pub(crate) party: Arc<Party>,
    state: LinkState,
    /// Whether this registrar asked for it.
    opened_here: bool,
    /// The peer at the other end of an ENRP link, once it was heard.
    pub(crate) server: Option<ServerId>,
    /// Bad messages so far.
    faults: u32,
}

/// All links.
#[derive(Debug, Default)]
pub(crate) struct Links {
    links: HashMap<LinkId, Link>,
    /// The links to each peer that were heard on, the one to send on first.
    routes: BTreeMap<ServerId, Vec<LinkId>>,
    /// ENRP links to single registrars that are up.
    enrp: BTreeSet<LinkId>,
    groups: Vec<(Protocol, LinkId)>,
    opened: u64,
}

impl Links {
    /// Names a link that is to be opened.
    pub(crate) fn open(&mut self, protocol: Protocol, scheme: Scheme) -> LinkId {
        let id = LinkId::opened(self.opened);
        self.opened += 1;
        let link = Link {
            protocol,
            kind: LinkKind::PointToPoint(scheme),
            party: Arc::default(),
            state: LinkState::Opening,
            opened_here: true,
            server: None,
            faults: 0,
        };
        self.links.insert(id, link);
        id
    }

    pub(crate) fn up(
        &mut self,
        id: LinkId,
        protocol: Protocol,
        kind: LinkKind,
        remote: &[SocketAddr],
        identity: PeerIdentity,
    ) {
        let party = Arc::new(Party { identity, addresses: remote.into() });
        let opened_here = self.links.contains_key(&id);
        let state = LinkState::Up;
        let link = Link { protocol, kind, party, state, opened_here, server: None, faults: 0 };
        self.links.insert(id, link);
        if kind == LinkKind::Multicast {
            self.groups.retain(|(_, group)| *group != id);
            self.groups.push((protocol, id));
        } else if protocol == Protocol::Enrp {
            self.enrp.insert(id);
        }
    }

    pub(crate) fn down(&mut self, id: LinkId) -> Option<Link> {
        let link = self.links.remove(&id)?;
        self.groups.retain(|(_, group)| *group != id);
        self.enrp.remove(&id);
        if let Some(server) = link.server {
            self.leave_route(id, server);
        }
        Some(link)
    }

    fn leave_route(&mut self, id: LinkId, server: ServerId) {
        let Some(route) = self.routes.get_mut(&server) else { return };
        route.retain(|other| *other != id);
        if route.is_empty() {
            self.routes.remove(&server);
        }
    }

    pub(crate) fn get(&self, id: LinkId) -> Option<&Link> {
        self.links.get(&id)
    }

    /// Takes no more messages from a link whose end is asked for, and has none for it. `false` if that was so already.
    pub(crate) fn shut(&mut self, id: LinkId) -> bool {
        self.enrp.remove(&id);
        let Some(link) = self.links.get_mut(&id) else { return false };
        let before = std::mem::replace(&mut link.state, LinkState::Closing);
        if let Some(server) = link.server {
            self.leave_route(id, server);
        }
        before != LinkState::Closing
    }

    /// Whether the link is up.
    pub(crate) fn is_open(&self, id: LinkId) -> bool {
        self.links.get(&id).is_some_and(|link| link.state == LinkState::Up)
    }

    /// Counts a bad message, and says how many there were.
    pub(crate) fn count_fault(&mut self, id: LinkId) -> u32 {
        self.links.get_mut(&id).map_or(0, |link| {
            link.faults = link.faults.saturating_add(1);
            link.faults
        })
    }

    /// Remembers that `server` speaks on the link. `own` decides which of two links to it is sent on.
    pub(crate) fn bind(&mut self, id: LinkId, server: ServerId, own: ServerId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.server = Some(server);
        let preferred = link.opened_here == (own < server);
        let route = self.routes.entry(server).or_default();
        if !route.contains(&id) {
            let at = if preferred { 0 } else { route.len() };
            route.insert(at, id);
        }
    }

    /// The link to send on to a peer.
    pub(crate) fn route(&self, server: ServerId) -> Option<LinkId> {
        self.routes.get(&server)?.first().copied()
    }

    /// All links to a peer.
    pub(crate) fn of_server(&self, server: ServerId) -> Vec<LinkId> {
        self.routes.get(&server).cloned().unwrap_or_default()
    }

    /// One link to each peer that can be reached.
    pub(crate) fn routes(&self) -> impl Iterator<Item = (ServerId, LinkId)> + '_ {
        self.routes.iter().filter_map(|(server, route)| Some((*server, *route.first()?)))
    }

    /// The multicast groups joined.
    pub(crate) fn groups(&self, protocol: Protocol) -> impl Iterator<Item = LinkId> + '_ {
        self.groups.iter().filter(move |(of, _)| *of == protocol).map(|(_, link)| *link)
    }

    /// All ENRP links to single registrars that are up, in the order of their names.
    pub(crate) fn enrp_links(&self) -> impl Iterator<Item = LinkId> + '_ {
        self.enrp.iter().copied()
    }

    /// Those of them on which nobody was heard yet.
    pub(crate) fn unidentified(&self) -> Vec<LinkId> {
        let is_unidentified = |id: &LinkId| self.get(*id).is_some_and(|link| link.server.is_none());
        self.enrp_links().filter(is_unidentified).collect()
    }

    /// All links, in the order of their names.
    pub(crate) fn all(&self) -> Vec<LinkId> {
        let mut ids: Vec<_> = self.links.keys().copied().collect();
        ids.sort_unstable();
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(identity: PeerIdentity, address: &str) -> Party {
        Party { identity, addresses: [address.parse().expect("an address")].into() }
    }

    #[test]
    fn a_party_is_the_same_by_identity_or_else_by_address() {
        let anonymous = |address| party(PeerIdentity::Anonymous, address);
        let proven = |name: &str, address| party(PeerIdentity::Authenticated(name.into()), address);
        assert!(anonymous("192.0.2.1:1").is_same(&anonymous("192.0.2.1:2")));
        assert!(anonymous("192.0.2.1:1").is_same(&anonymous("[::ffff:192.0.2.1]:2")));
        assert!(!anonymous("192.0.2.1:1").is_same(&anonymous("192.0.2.2:1")));
        assert!(proven("a", "192.0.2.1:1").is_same(&proven("a", "192.0.2.2:1")));
        assert!(!proven("a", "192.0.2.1:1").is_same(&proven("b", "192.0.2.1:1")));
        assert!(!proven("a", "192.0.2.1:1").is_same(&anonymous("192.0.2.1:1")));
    }

    #[test]
    fn both_ends_send_on_the_link_that_the_smaller_identifier_opened() {
        let (small, large) = (ServerId(1), ServerId(2));
        for accepted_first in [true, false] {
            let mut links = Links::default();
            let opened = links.open(Protocol::Enrp, Scheme::Tcp);
            let accepted = LinkId::accepted(7);
            let up = |links: &mut Links, id| {
                links.up(
                    id,
                    Protocol::Enrp,
                    LinkKind::PointToPoint(Scheme::Tcp),
                    &[],
                    PeerIdentity::Anonymous,
                );
            };
            up(&mut links, opened);
            up(&mut links, accepted);
            let order = if accepted_first { [accepted, opened] } else { [opened, accepted] };
            order.into_iter().for_each(|id| links.bind(id, large, small));
            assert_eq!(links.route(large), Some(opened), "we are the smaller one");
            order.into_iter().for_each(|id| drop(links.down(id)));
            assert_eq!(links.route(large), None);
        }
    }
}
