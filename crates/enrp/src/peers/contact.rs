//! Where other registrars are, and connecting to them: configured ones for ever, learned ones for as long as they are in
//! the peer list. Each failure doubles the pause before the next attempt, up to a limit.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rserpool_machine::{DownReason, Endpoint, LinkId, Protocol};
use rserpool_wire::{ServerId, ServerInformation, Transport};

use super::Peers;
use super::list::PeerState;
use crate::config::RegistrarConfig;
use crate::core::{Core, Timer};
use crate::event::PeerDownReason;
use crate::links::Link;
use crate::service::Service;

/// A place where a registrar is, or may be.
#[derive(Debug)]
struct Contact {
    endpoint: Endpoint,
    configured: bool,
    /// Who was found there.
    server: Option<ServerId>,
    /// The link that is being opened, or is open, to it.
    link: Option<LinkId>,
    dialled: Option<Instant>,
    /// The pause after the next failure.
    pause: Duration,
    /// It is this very registrar: never connected to again.
    is_own: bool,
}

/// All contacts.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    contacts: BTreeMap<u32, Contact>,
    next: u32,
}

impl Contacts {
    pub(super) fn configured(config: &RegistrarConfig) -> Self {
        let mut contacts = Self::default();
        for endpoint in config.peers.iter().filter(|endpoint| config.enrp.as_ref() != Some(endpoint)) {
            if !contacts.contacts.values().any(|known| known.endpoint == *endpoint) {
                contacts.add(endpoint.clone(), true, config.timers.reconnect_min);
            }
        }
        contacts
    }

    pub(super) fn is_empty(&self) -> bool {
        self.contacts.is_empty()
    }

    fn add(&mut self, endpoint: Endpoint, configured: bool, pause: Duration) -> u32 {
        let contact =
            Contact { endpoint, configured, server: None, link: None, dialled: None, pause, is_own: false };
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.contacts.insert(number, contact);
        number
    }

    fn of_link(&mut self, link: LinkId) -> Option<(u32, &mut Contact)> {
        let mut contacts = self.contacts.iter_mut();
        contacts.find(|(_, contact)| contact.link == Some(link)).map(|(number, contact)| (*number, contact))
    }

    /// The numbers of the contacts of a peer, configured ones first.
    fn of_server(&self, server: ServerId) -> Vec<u32> {
        let of_server = |configured| {
            self.contacts
                .iter()
                .filter(move |(_, contact)| {
                    contact.server == Some(server) && contact.configured == configured
                })
                .map(|(number, _)| *number)
        };
        of_server(true).chain(of_server(false)).collect()
    }

    /// Notes who answers on a link that we opened. Returns who was there before, if that was somebody else.
    pub(super) fn identify(&mut self, link: LinkId, server: ServerId) -> Option<ServerId> {
        let (_, contact) = self.of_link(link)?;
        contact.server.replace(server).filter(|before| *before != server)
    }

    /// This registrar itself answers on the link.
    pub(super) fn mark_own(&mut self, link: LinkId) {
        if let Some((_, contact)) = self.of_link(link) {
            contact.is_own = true;
        }
    }
}

impl Peers {
    pub(super) fn dial_all(&mut self, core: &mut Core, now: Instant) {
        let numbers: Vec<u32> = self.contacts.contacts.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.dial(core, now, number));
    }

    /// Opens a link to a contact, unless there is one, or another one leads to the same registrar.
    pub(super) fn dial(&mut self, core: &mut Core, now: Instant, number: u32) {
        let Some(contact) = self.contacts.contacts.get_mut(&number) else { return };
        let linked = contact.server.is_some_and(|server| core.links.route(server).is_some());
        if contact.link.is_none() && !linked && !contact.is_own {
            contact.dialled = Some(now);
            contact.link = Some(core.open(Protocol::Enrp, contact.endpoint.clone(), None));
            core.timers.cancel(Timer::Dial(number));
        }
    }

    /// Connects to a peer as soon as is decent, if it is known where it is.
    pub(super) fn dial_peer(&mut self, core: &mut Core, now: Instant, server: ServerId) {
        let numbers = self.contacts.of_server(server);
        numbers.into_iter().for_each(|number| self.redial(core, now, number));
    }

    /// Connects to a contact again: at once if the last attempt is long past, else after its pause, which doubles.
    fn redial(&mut self, core: &mut Core, now: Instant, number: u32) {
        let timers = &core.config.timers;
        let Some(contact) = self.contacts.contacts.get_mut(&number) else { return };
        if core.timers.due(Timer::Dial(number)).is_some() {
            return;
        }
        let since = contact.dialled.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        if since >= contact.pause {
            contact.pause = timers.reconnect_min;
            return self.dial(core, now, number);
        }
        core.timers.arm(Timer::Dial(number), now + (contact.pause - since));
        contact.pause = contact.pause.saturating_mul(2).min(timers.reconnect_max);
    }

    /// Remembers where a peer is; connects to it if there is no link yet. `seen_at`: where it was heard from.
    pub(super) fn learn_contact(
        &mut self,
        core: &mut Core,
        now: Instant,
        information: &ServerInformation,
        seen_at: Option<SocketAddr>,
    ) {
        let server = information.identifier;
        let Some(endpoint) = reachable(&information.transport, core.config.is_secured(), seen_at) else {
            return;
        };
        if let Some(peer) = self.list.get_mut(server) {
            peer.endpoint = Some(endpoint.clone());
        }
        let known = self.contacts.contacts.iter_mut().find(|(_, contact)| contact.endpoint == endpoint);
        let number = match known {
            Some((number, contact)) => {
                // Should another peer have been there before, connecting will tell that it was replaced.
                if contact.server.is_none_or(|before| !self.list.contains(before)) {
                    contact.server = Some(server);
                }
                *number
            }
            None => {
                // A peer has one place: a new one replaces what was learned before.
                self.contacts.contacts.retain(|_, contact| {
                    contact.configured || contact.server != Some(server) || contact.link.is_some()
                });
                let learned = self.contacts.contacts.values().filter(|contact| !contact.configured).count();
                if learned >= core.config.limits.peers {
                    return;
                }
                let number = self.contacts.add(endpoint, false, core.config.timers.reconnect_min);
                if let Some(contact) = self.contacts.contacts.get_mut(&number) {
                    contact.server = Some(server);
                }
                number
            }
        };
        if core.timers.due(Timer::Dial(number)).is_none() {
            self.dial(core, now, number);
        }
    }

    /// A peer is no longer in the list: what was learned of it is forgotten, configured contacts are looked for again.
    pub(super) fn forget_contacts(&mut self, core: &mut Core, now: Instant, server: ServerId) {
        for number in self.contacts.of_server(server) {
            let Some(contact) = self.contacts.contacts.get_mut(&number) else { continue };
            if contact.configured {
                contact.server = None;
                if contact.link.is_none() {
                    self.redial(core, now, number);
                }
            } else if contact.link.is_none() {
                self.contacts.contacts.remove(&number);
                core.timers.cancel(Timer::Dial(number));
            }
        }
    }

    /// An ENRP link has ended, or did not come up: the peer is connected to again, and taken for dead if that fails
    /// (RFC 5353 §3.4.3).
    pub(super) fn peer_link_lost(
        &mut self,
        core: &mut Core,
        service: &mut Service,
        now: Instant,
        link: LinkId,
        ended: &Link,
        reason: &DownReason,
    ) {
        let mut expected = ended.server;
        let mut contact_number = None;
        if let Some((number, contact)) = self.contacts.of_link(link) {
            contact.link = None;
            contact_number = Some(number);
            expected = expected.or(contact.server);
        }
        let cut_off = expected.filter(|server| core.links.route(*server).is_none());
        if let Some(server) = cut_off {
            let was_linked = ended.server.is_some();
            match self.list.get_mut(server) {
                Some(peer) if peer.state != PeerState::Inactive && was_linked => {
                    peer.state = PeerState::Probed;
                    core.timers.arm(Timer::Peer(server), now + core.config.timers.max_time_no_response);
                    self.dial_peer(core, now, server);
                }
                // One that was only learned of, and never silent, is tried again until it has been silent for too long.
                Some(peer) if peer.state == PeerState::Probed => {
                    self.peer_failed(core, service, now, server, PeerDownReason::Unreachable(reason.clone()));
                }
                _ => {}
            }
        }
        let Some(number) = contact_number else { return };
        let Some(contact) = self.contacts.contacts.get(&number) else { return };
        let wanted = contact.configured || contact.server.is_some_and(|server| self.list.contains(server));
        if !wanted {
            self.contacts.contacts.remove(&number);
            core.timers.cancel(Timer::Dial(number));
        } else if contact.link.is_none() {
            self.redial(core, now, number);
        }
    }
}

/// Where to connect to a registrar that announced `transport`; an unspecified address stands for where it was heard from.
fn reachable(transport: &Transport, secured: bool, seen_at: Option<SocketAddr>) -> Option<Endpoint> {
    let endpoint = Endpoint::from_transport(transport, secured)?;
    let unspecified = transport.socket_addresses().any(|address| address.ip().is_unspecified());
    match seen_at {
        _ if !unspecified => Some(endpoint),
        Some(seen) => Some(Endpoint::new(endpoint.scheme(), SocketAddr::new(seen.ip(), transport.port()))),
        None => None,
    }
}
