//! Supervision of the elements that this registrar owns (RFC 5352 §3.4): which link leads to each, keep-alives spread over
//! time, and what happens when a link breaks or an element is taken over from another registrar.
//!
//! A link may carry many elements. An element whose link broke, or that was taken over, is *probed*: it is connected to at
//! its ASAP transport and must acknowledge a keep-alive in time. Only so many are probed at once; the others queue.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;
use rserpool_handlespace::ElementKey;
use rserpool_machine::{Endpoint, LinkId, Protocol};
use rserpool_wire::RegistrationLife;
use rserpool_wire::asap::{DeregistrationResponse, EndpointKeepAlive, EndpointKeepAliveAck, Message};
use rserpool_wire::enrp::UpdateAction;

use super::Service;
use super::ownership::learn_owner;
use crate::core::{Core, Phase, Timer};
use crate::event::RemovalReason;
use crate::links::Party;

/// What is going on with an element.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Nothing until the next keep-alive is due.
    Idle,
    /// A keep-alive on its link is not acknowledged yet. `home`: it shall adopt this registrar as its home (the H bit).
    Asked { home: bool },
    /// It waits to be probed, with this ticket, and to adopt this registrar if `home`.
    Queued { home: bool, ticket: u64 },
    /// It is being probed: if the link that was opened for this ends, it is gone.
    Probed { home: bool },
    /// It cannot be reached, but may register again.
    Detached,
}

/// One owned element.
#[derive(Debug)]
struct Watch {
    state: State,
    link: Option<LinkId>,
    /// The link on which it registered here, or adopted this registrar: for the element, the link to its home.
    home_link: Option<LinkId>,
    /// Who registered it; `None` where that was at another registrar.
    party: Option<Arc<Party>>,
    /// When it last registered here, or adopted this registrar as its home.
    confirmed: Option<Instant>,
    /// Whether the claim of another registrar was turned down since.
    contested: bool,
    /// Reports of users that it is unreachable, since it last registered.
    reports: u32,
    /// Who made them, where that is known.
    reporters: Vec<Arc<Party>>,
    /// When such a report last led to a keep-alive.
    asked_for_report: Option<Instant>,
}

/// The elements at the other end of a link.
#[derive(Debug, Default)]
struct LinkElements {
    keys: BTreeSet<ElementKey>,
    /// What this registrar connected to.
    opened_to: Option<Place>,
}

/// Where an element is reached by registrars, and whose it is, where that is known. Whoever names the ASAP transport of somebody
/// else's element shares no link with that.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Place {
    pub(super) endpoint: Endpoint,
    pub(super) owner: Option<Arc<str>>,
}

/// All owned elements.
#[derive(Debug, Default)]
pub(super) struct Supervision {
    watches: HashMap<ElementKey, Watch>,
    links: HashMap<LinkId, LinkElements>,
    /// The links opened to ASAP transports.
    opened: HashMap<Place, LinkId>,
    /// Elements to be probed, in the order of their tickets.
    queue: BTreeMap<u64, ElementKey>,
    next_ticket: u64,
    /// How many are being probed.
    probing: usize,
}

impl Supervision {
    pub(super) fn link_of(&self, key: ElementKey) -> Option<LinkId> {
        self.watches.get(&key)?.link
    }

    pub(super) fn elements_on(&self, link: LinkId) -> usize {
        self.links.get(&link).map_or(0, |of_link| of_link.keys.len())
    }

    /// Whether the element has a link that is up, and that is neither this one nor one of the same party. For an element
    /// that was taken over, and connected to at its ASAP transport, its own links may come from other addresses.
    pub(super) fn is_held_by_another(
        &self,
        core: &Core,
        key: ElementKey,
        link: LinkId,
        party: &Party,
    ) -> bool {
        let Some(watch) = self.watches.get(&key) else { return false };
        let held = watch.link.filter(|held| *held != link && core.links.is_open(*held));
        let holder = held.and_then(|held| core.links.get(held));
        match (holder, &watch.party) {
            (None, _) | (_, None) => false,
            (Some(holder), Some(owner)) => !owner.is_same(party) && !holder.party.is_same(party),
        }
    }

    /// Whether the element may be deregistered over this link by this party: it registered here so, or elsewhere.
    pub(super) fn may_be_of(&self, key: ElementKey, link: LinkId, party: &Party) -> bool {
        self.watches.get(&key).is_none_or(|watch| {
            watch.link == Some(link) || watch.party.as_ref().is_none_or(|owner| owner.is_same(party))
        })
    }

    /// The elements that registered here, with who registered them.
    pub(super) fn registered(&self) -> Vec<(ElementKey, Arc<Party>)> {
        let mut registered: Vec<_> =
            self.watches.iter().filter_map(|(key, watch)| Some((*key, watch.party.clone()?))).collect();
        registered.sort_unstable_by_key(|(key, _)| *key);
        registered
    }

    /// Counts a report of a user, and says how many there were; `None` for an element that is not owned here. A `reporter` that is
    /// known for what it is counts once.
    pub(super) fn count_report(&mut self, key: ElementKey, reporter: Option<&Arc<Party>>) -> Option<u32> {
        let watch = self.watches.get_mut(&key)?;
        if let Some(reporter) = reporter {
            if watch.reporters.iter().any(|known| known.is_same(reporter)) {
                return Some(watch.reports);
            }
            // Never more than it takes to have the element removed.
            watch.reporters.push(Arc::clone(reporter));
        }
        watch.reports = watch.reports.saturating_add(1);
        Some(watch.reports)
    }

    /// Puts the element on a link, and takes it off the one where it was.
    fn attach(&mut self, core: &mut Core, key: ElementKey, link: LinkId) {
        let Some(watch) = self.watches.get_mut(&key) else { return };
        let before = watch.link.replace(link);
        if before != Some(link) {
            self.links.entry(link).or_default().keys.insert(key);
            before.into_iter().for_each(|before| self.detach(core, key, before));
        }
    }

    /// Takes the element off a link, which is closed if it was opened for elements and has none any more.
    fn detach(&mut self, core: &mut Core, key: ElementKey, link: LinkId) {
        let Some(of_link) = self.links.get_mut(&link) else { return };
        of_link.keys.remove(&key);
        if of_link.keys.is_empty() {
            let ended = self.links.remove(&link);
            if let Some(place) = ended.and_then(|ended| ended.opened_to) {
                self.opened.remove(&place);
                core.close(link);
            }
        }
    }

    fn set_state(&mut self, key: ElementKey, state: State) {
        if let Some(watch) = self.watches.get_mut(&key) {
            let before = std::mem::replace(&mut watch.state, state);
            if let State::Queued { ticket, .. } = before {
                self.queue.remove(&ticket);
            }
            self.probing -= usize::from(matches!(before, State::Probed { .. }));
            self.probing += usize::from(matches!(state, State::Probed { .. }));
        }
    }

    fn queue(&mut self, core: &mut Core, key: ElementKey, home: bool) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.set_state(key, State::Queued { home, ticket });
        self.queue.insert(ticket, key);
        core.timers.cancel(Timer::KeepAlive(key));
    }
}

impl Service {
    /// Watches an element that has just registered on a link.
    pub(super) fn watch_registered(
        &mut self,
        core: &mut Core,
        now: Instant,
        key: ElementKey,
        life: RegistrationLife,
        link: LinkId,
    ) {
        self.watch(core, now, key, life);
        let party = core.links.get(link).map(|link| link.party.clone());
        if let Some(watch) = self.supervision.watches.get_mut(&key) {
            watch.party = party;
            watch.home_link = Some(link);
            watch.confirmed = Some(now);
            watch.contested = false;
            watch.reports = 0;
            watch.reporters = Vec::new();
        }
        self.supervision.attach(core, key, link);
        self.rest(core, now, key);
    }

    /// Watches an element that this registrar has made its own, and makes it adopt this registrar as its home
    /// (RFC 5353 §3.5.2).
    pub(crate) fn adopt(&mut self, core: &mut Core, now: Instant, key: ElementKey) {
        self.watch(core, now, key, life_of(core, key));
        self.supervision.queue(core, key, true);
    }

    fn watch(&mut self, core: &mut Core, now: Instant, key: ElementKey, life: RegistrationLife) {
        self.supervision.watches.entry(key).or_insert_with(|| Watch {
            state: State::Idle,
            link: None,
            home_link: None,
            party: None,
            confirmed: None,
            contested: false,
            reports: 0,
            reporters: Vec::new(),
            asked_for_report: None,
        });
        start_life(core, now, key, life);
    }

    /// An element has another home now: it is no longer watched. One that has moved has hung up on us, or is about to. One
    /// that takes us for its home is told that we are not, and registers again: its word decides, should the other registrar
    /// be wrong, which may have found an old registration in its queues after a pause.
    pub(crate) fn release(&mut self, core: &mut Core, key: ElementKey) {
        let home_link = self.supervision.watches.get(&key).and_then(|watch| watch.home_link);
        if core.phase == Phase::Ready && home_link.is_some() && home_link == self.supervision.link_of(key) {
            self.tell_removed(core, key);
        }
        self.unwatch(core, key);
        core.handlespace.set_expiry(key, None);
    }

    pub(super) fn unwatch(&mut self, core: &mut Core, key: ElementKey) {
        self.supervision.set_state(key, State::Idle);
        core.timers.cancel(Timer::KeepAlive(key));
        if let Some(watch) = self.supervision.watches.remove(&key)
            && let Some(link) = watch.link
        {
            self.supervision.detach(core, key, link);
        }
    }

    /// Whether the element can be reached here: it has a link that is up.
    pub(crate) fn has_link(&self, core: &Core, key: ElementKey) -> bool {
        self.supervision.link_of(key).is_some_and(|link| core.links.is_open(link))
    }

    /// Whether the element registered here, or adopted this registrar, so lately that who says otherwise may not have heard.
    pub(crate) fn came_lately(&self, core: &Core, now: Instant, key: ElementKey) -> bool {
        let confirmed = self.supervision.watches.get(&key).and_then(|watch| watch.confirmed);
        let age = confirmed.map(|at| now.saturating_duration_since(at));
        age.is_some_and(|age| age <= core.config.timers.max_time_no_response)
    }

    /// Whether the element registered here, or adopted this registrar, so lately that the news of another home may have
    /// crossed ours; and whether the claim of another registrar has been turned down since.
    pub(crate) fn fresh_claim(&self, core: &Core, now: Instant, key: ElementKey) -> Option<bool> {
        let watch = self.supervision.watches.get(&key)?;
        let age = now.saturating_duration_since(watch.confirmed?);
        let fresh = age <= core.config.timers.max_time_no_response && self.has_link(core, key);
        fresh.then_some(watch.contested)
    }

    /// Claims an owned element again, although another registrar says that it is the home: the element adopts this one,
    /// and peers are told.
    pub(crate) fn claim(&mut self, core: &mut Core, now: Instant, key: ElementKey) {
        core.statistics.claims += 1;
        if let Some(watch) = self.supervision.watches.get_mut(&key) {
            watch.contested = true;
        }
        if let Some(link) = self.supervision.link_of(key) {
            self.ask(core, now, key, link, State::Asked { home: true });
        }
        core.announce_update(UpdateAction::Add, key);
    }

    /// Probes queued elements, as many at once as the limit allows.
    pub(crate) fn start_probes(&mut self, core: &mut Core, now: Instant) {
        while self.supervision.probing < core.config.limits.probes
            && let Some((_, key)) = self.supervision.queue.pop_first()
        {
            let state = self.supervision.watches.get(&key).map(|watch| watch.state);
            if let Some(State::Queued { home, .. }) = state {
                self.probe(core, now, key, home);
            }
        }
    }

    fn probe(&mut self, core: &mut Core, now: Instant, key: ElementKey, home: bool) {
        let Some(place) = asap_place(core, key) else {
            self.supervision.set_state(key, State::Detached);
            core.timers.arm(Timer::KeepAlive(key), now + core.config.timers.detached_grace);
            return;
        };
        let link = match self.supervision.opened.get(&place) {
            Some(link) => *link,
            None => {
                let link = core.open(Protocol::Asap, place.endpoint.clone(), place.owner.clone());
                self.supervision.opened.insert(place.clone(), link);
                self.supervision.links.entry(link).or_default().opened_to = Some(place);
                link
            }
        };
        self.supervision.attach(core, key, link);
        self.ask(core, now, key, link, State::Probed { home });
    }

    fn ask(&mut self, core: &mut Core, now: Instant, key: ElementKey, link: LinkId, state: State) {
        let shared = self.supervision.elements_on(link) > 1;
        self.supervision.set_state(key, state);
        let home = matches!(state, State::Asked { home: true } | State::Probed { home: true });
        send_keep_alive(core, key, link, home, shared);
        core.timers.arm(Timer::KeepAlive(key), now + core.config.timers.keep_alive_timeout);
    }

    /// Sends a keep-alive at once because a user reported the element, or somebody else claims to be it, unless one is on its way or was so just now.
    pub(super) fn probe_reported(&mut self, core: &mut Core, now: Instant, key: ElementKey) {
        let interval = core.config.timers.probe_interval;
        let Some(watch) = self.supervision.watches.get_mut(&key) else { return };
        let lately = |at: Instant| now.saturating_duration_since(at) < interval;
        if watch.state == State::Idle
            && !watch.asked_for_report.is_some_and(lately)
            && let Some(link) = watch.link
        {
            watch.asked_for_report = Some(now);
            self.ask(core, now, key, link, State::Asked { home: false });
        }
    }

    /// An element lives.
    pub(super) fn acknowledge(
        &mut self,
        core: &mut Core,
        now: Instant,
        link: LinkId,
        ack: &EndpointKeepAliveAck<'_>,
    ) {
        if self.foreign_probe_answered(core, link, ack) {
            return;
        }
        let key = core.handlespace.find(ack.pool_handle.as_bytes(), ack.identifier);
        let watch = key.and_then(|key| Some((key, self.supervision.watches.get_mut(&key)?)));
        let Some((key, watch)) = watch.filter(|(_, watch)| watch.link == Some(link)) else {
            core.statistics.unsolicited += 1;
            return;
        };
        match watch.state {
            State::Asked { home: false } | State::Probed { home: false } => {}
            State::Asked { home: true } | State::Probed { home: true } => {
                watch.home_link = watch.link;
                watch.confirmed = Some(now);
                // It may have registered elsewhere meanwhile, which set its T4 anew.
                start_life(core, now, key, life_of(core, key));
                learn_owner(core, link, key);
                // Peers that missed the take-over, or do not follow its announcement, learn the new home from this.
                core.announce_update(UpdateAction::Add, key);
            }
            // Where several elements share a link, one may be asked and all answer.
            State::Idle | State::Queued { .. } | State::Detached => return,
        }
        core.statistics.keep_alive_acks += 1;
        self.rest(core, now, key);
    }

    /// The element is well: nothing to do until its next keep-alive.
    fn rest(&mut self, core: &mut Core, now: Instant, key: ElementKey) {
        self.supervision.set_state(key, State::Idle);
        let interval = core.spread(core.config.timers.keep_alive_interval);
        core.timers.arm(Timer::KeepAlive(key), now + interval);
    }

    pub(super) fn keep_alive_due(&mut self, core: &mut Core, now: Instant, key: ElementKey) {
        let Some(watch) = self.supervision.watches.get(&key) else { return };
        match (watch.state, watch.link) {
            (State::Idle, Some(link)) => self.ask(core, now, key, link, State::Asked { home: false }),
            (State::Idle | State::Queued { .. }, _) => {}
            (State::Asked { .. } | State::Probed { .. }, _) => {
                self.fail(core, now, key, RemovalReason::Silent)
            }
            (State::Detached, _) => self.fail(core, now, key, RemovalReason::Detached),
        }
    }

    fn fail(&mut self, core: &mut Core, now: Instant, key: ElementKey, reason: RemovalReason) {
        core.statistics.elements_failed += 1;
        self.tell_removed(core, key);
        self.remove(core, now, key, reason);
    }

    /// Tells an element that its registration is over, in the manner of RFC 5352 §3.2, if its link is up: one that was
    /// removed although it lives, cut off for a while, registers again at once instead of after T4.
    pub(super) fn tell_removed(&self, core: &mut Core, key: ElementKey) {
        if let Some(view) = core.handlespace.element(key)
            && let Some(link) = self.supervision.link_of(key).filter(|link| core.links.is_open(*link))
        {
            let (pool_handle, identifier) = (view.pool_handle().into_owned(), view.identifier());
            core.send_asap(link, DeregistrationResponse { pool_handle, identifier, error: None });
        }
    }

    /// The elements of a broken link are connected to at their ASAP transports; those being probed over it have failed.
    pub(super) fn link_lost(&mut self, core: &mut Core, now: Instant, link: LinkId) {
        let Some(lost) = self.supervision.links.remove(&link) else { return };
        if let Some(place) = &lost.opened_to {
            self.supervision.opened.remove(place);
        }
        for key in lost.keys {
            let Some(watch) = self.supervision.watches.get_mut(&key) else { continue };
            watch.link = None;
            match watch.state {
                State::Probed { .. } if lost.opened_to.is_some() => {
                    self.fail(core, now, key, RemovalReason::Silent);
                }
                // One that was asked and hung up may have gone to another home: it is not dead for that.
                State::Asked { home } | State::Probed { home } | State::Queued { home, .. } => {
                    self.supervision.queue(core, key, home);
                }
                State::Idle | State::Detached => self.supervision.queue(core, key, false),
            }
        }
    }
}

fn life_of(core: &Core, key: ElementKey) -> RegistrationLife {
    let element = core.handlespace.element(key).and_then(|view| view.decode());
    element.map_or(RegistrationLife::Infinite, |element| element.life)
}

/// The registration life begins.
fn start_life(core: &mut Core, now: Instant, key: ElementKey, life: RegistrationLife) {
    let expiry = life.duration().and_then(|life| now.checked_add(life));
    core.handlespace.set_expiry(key, expiry);
}

/// Where registrars reach the element.
pub(super) fn asap_place(core: &Core, key: ElementKey) -> Option<Place> {
    let transport = core.handlespace.element(key)?.decode()?.asap_transport?;
    let endpoint = Endpoint::from_transport(&transport, core.config.is_secured())?;
    Some(Place { endpoint, owner: core.owners.of(key).cloned() })
}

/// Sends a keep-alive. `home` is the H bit. Where elements share the link, it names the one that is meant: RFC 5352 §2.2.7,
/// which has one element per association, names the pool alone.
pub(super) fn send_keep_alive(core: &mut Core, key: ElementKey, link: LinkId, home: bool, shared: bool) {
    let named = shared || core.dialect().keep_alive_names_element();
    let (dialect, server) = (core.dialect(), core.id());
    let bytes = core.encode(|handlespace, _, buffer| {
        let view = handlespace.element(key).ok_or(())?;
        let identifier = named.then(|| view.identifier());
        let keep_alive = EndpointKeepAlive { home, server, pool_handle: view.pool_handle(), identifier };
        Message::from(keep_alive).encode(dialect, buffer).map_err(|_| ())
    });
    if let Some(bytes) = bytes {
        core.statistics.keep_alives += 1;
        core.transmit(link, bytes);
    }
}
