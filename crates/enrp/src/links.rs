//! The links of a registrar: what is known of each, and which one leads to which peer.
//!
//! Two registrars that connect to each other at the same time end up with two links. Both stay; both registrars send on the
//! one that the registrar with the smaller identifier opened, so that updates arrive in order.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use hashbrown::HashMap;
use rserpool_machine::{LinkId, LinkKind, PeerIdentity, Protocol, Rate, Scheme};
use rserpool_wire::ServerId;

use crate::authorization::Requester;
use crate::refusal::Refusal;

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

    pub(crate) const fn is_secured(&self) -> bool {
        !matches!(self.identity, PeerIdentity::Anonymous)
    }

    /// Whether it proved who it is, or that it knows a key of ours.
    pub(crate) const fn is_proven(&self) -> bool {
        matches!(self.identity, PeerIdentity::Authenticated(_) | PeerIdentity::Keyed(_))
    }

    /// What it proved to be.
    pub(crate) const fn identity(&self) -> Option<&Arc<str>> {
        match &self.identity {
            PeerIdentity::Authenticated(name) => Some(name),
            _ => None,
        }
    }

    /// Where it comes from, as far as limits are concerned: an IPv4 address, or an IPv6 network that one host can have for itself.
    pub(crate) fn source(&self) -> Option<IpAddr> {
        Some(match ip(self.addresses.first()?) {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
            v4 => v4,
        })
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
    /// The reasons for which something was turned down so far, as bits.
    refused: u32,
    pub(crate) resolutions: Rate,
    pub(crate) reports: Rate,
}

impl Link {
    fn new(
        protocol: Protocol,
        kind: LinkKind,
        party: Arc<Party>,
        state: LinkState,
        opened_here: bool,
    ) -> Self {
        Self {
            protocol,
            kind,
            party,
            state,
            opened_here,
            server: None,
            faults: 0,
            refused: 0,
            resolutions: Rate::default(),
            reports: Rate::default(),
        }
    }

    /// What it counts as one of for its source; `None` for one that we opened, and for groups.
    fn counted_as(&self) -> Option<(Protocol, IpAddr)> {
        let is_counted = !self.opened_here && self.kind != LinkKind::Multicast;
        is_counted.then(|| self.party.source()).flatten().map(|source| (self.protocol, source))
    }
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
    /// How many links each source has opened to us.
    sources: HashMap<(Protocol, IpAddr), usize>,
    opened: u64,
}

impl Links {
    /// Names a link that is to be opened.
    pub(crate) fn open(&mut self, protocol: Protocol, scheme: Scheme) -> LinkId {
        let id = LinkId::opened(self.opened);
        self.opened += 1;
        let kind = LinkKind::PointToPoint(scheme);
        self.links.insert(id, Link::new(protocol, kind, Arc::default(), LinkState::Opening, true));
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
        let link = Link::new(protocol, kind, party, LinkState::Up, opened_here);
        if let Some(source) = link.counted_as() {
            *self.sources.entry(source).or_default() += 1;
        }
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
        if let Some(source) = link.counted_as()
            && let Some(count) = self.sources.get_mut(&source)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.sources.remove(&source);
            }
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

    pub(crate) fn get_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.get_mut(&id)
    }

    /// How many links of the same protocol the source of this one has opened to us; 0 for one that we opened.
    pub(crate) fn of_source(&self, id: LinkId) -> usize {
        let source = self.get(id).and_then(Link::counted_as);
        source.and_then(|source| self.sources.get(&source)).copied().unwrap_or(0)
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

    /// Whether the other end has proved who it is: then it is told whose elements are, and believed about it.
    pub(crate) fn is_proven(&self, id: LinkId) -> bool {
        self.links.get(&id).is_some_and(|link| link.party.is_proven())
    }

    /// Counts a bad message, and says how many there were.
    pub(crate) fn count_fault(&mut self, id: LinkId) -> u32 {
        self.links.get_mut(&id).map_or(0, |link| {
            link.faults = link.faults.saturating_add(1);
            link.faults
        })
    }

    /// Whether something was turned down on this link for this reason before.
    pub(crate) fn was_refused(&self, id: LinkId, reason: Refusal) -> bool {
        self.get(id).is_some_and(|link| link.refused & reason.bit() != 0)
    }

    /// Notes a reason for which something was turned down; whether it is the first time on this link.
    pub(crate) fn note_refusal(&mut self, id: LinkId, reason: Refusal) -> bool {
        self.links.get_mut(&id).is_some_and(|link| {
            let is_first = link.refused & reason.bit() == 0;
            link.refused |= reason.bit();
            is_first
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
