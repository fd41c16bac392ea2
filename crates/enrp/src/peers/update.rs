//! Following what peers say about elements (RFC 5353 §3.3), and who is right when two registrars both say "mine".
//!
//! The rules of ownership, so that all copies of the handlespace come to agree:
//! * An element is added or changed by its home alone: the sender must name itself as the home. It is removed by the
//!   registrar that is known as its home. Everything else is refused; the audit puts right what that leaves wrong.
//! * An addition by another registrar moves an element of ours to it, since elements go where they please. But when the
//!   element registered here so lately that the two announcements may have crossed, and its link is up, the registrar that
//!   goes first in a take-over (the dialect knows which) claims it again, every time; the other one claims it once, in case
//!   the first has nothing to show for it. A claim is a keep-alive with the H bit and an announcement.
//! * In a table response, a registrar that was taken over in error still lists what it owned. An element of ours that it
//!   lists is given up if we have no link to it; but if both gave it up at once it would be lost, so who goes first keeps
//!   it, and so does whoever it registered at lately: a probe decides. If we have a link, we claim it if we go first, else
//!   keep it until claimed.
//!   An element that belongs to a third registrar which lives is left to that one.
//!
//! With an element comes the identity that registered it, from registrars that tell (`owners`). Where it does not come, what was
//! known of it stays. That it is another one than before, only the home says that the element had before: a registrar that does not
//! know an element lets anybody register it, and nobody else's copy shall follow that. Such copies differ until one of the
//! two elements ends.
use std::sync::Arc;
use std::time::Instant;

use rserpool_handlespace::{Change, ElementKey, Registered};
use rserpool_wire::enrp::{HandleUpdate, TableElement, UpdateAction};
use rserpool_wire::{PoolElement, PoolHandle, ServerId};

use super::Peers;
use super::list::PeerState;
use crate::core::{Core, Phase};
use crate::event::RegistrarEvent;
use crate::service::{Service, has_room};

/// Where an entry of a handle table comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// A mentor's whole handlespace.
    Mentor(ServerId),
    /// The elements that this registrar owns.
    Owner(ServerId),
}

impl Peers {
    /// ENRP_HANDLE_UPDATE.
    pub(super) fn follow_update(
        &mut self,
        core: &mut Core,
        service: &mut Service,
        now: Instant,
        sender: ServerId,
        update: HandleUpdate<'_>,
    ) {
        let HandleUpdate { action, takeover_suggested, pool_handle, element, owner } = update;
        let listed = TableElement { element, owner };
        let followed = match action {
            UpdateAction::Delete => {
                self.follow_removal(core, service, now, sender, &pool_handle, &listed.element)
            }
            UpdateAction::Add if listed.element.home != sender => false,
            UpdateAction::Add if takes_away(core, &pool_handle, &listed) => false,
            UpdateAction::Add if takeover_suggested && core.phase == Phase::Ready => {
                self.take_offered(core, service, now, &pool_handle, listed)
            }
            UpdateAction::Add => self.follow_addition(core, service, now, sender, &pool_handle, &listed),
        };
        let counter = if followed {
            &mut core.statistics.updates_accepted
        } else {
            &mut core.statistics.updates_refused
        };
        *counter += 1;
    }

    fn follow_addition(
        &mut self,
        core: &mut Core,
        service: &mut Service,
        now: Instant,
        sender: ServerId,
        pool_handle: &PoolHandle<'_>,
        listed: &TableElement<'_>,
    ) -> bool {
        if core.phase == Phase::Ready
            && let Some(key) = core.handlespace.find(pool_handle.as_bytes(), listed.element.identifier)
            && let Some(contested) = service.fresh_claim(core, now, key)
            && (!contested || goes_first(core, sender))
        {
            service.claim(core, now, key);
            return false;
        }
        self.store(core, service, now, pool_handle, listed).is_some()
    }

    fn follow_removal(
        &mut self,
        core: &mut Core,
        service: &mut Service,
        now: Instant,
        sender: ServerId,
        pool_handle: &PoolHandle<'_>,
        element: &PoolElement,
    ) -> bool {
        match core.handlespace.find(pool_handle.as_bytes(), element.identifier) {
            // Nothing to do is as good as done (§3.3.2).
            None => true,
            Some(key) if home_of(core, key) == Some(sender) => {
                core.handlespace.remove(key);
                core.owners.forget(key);
                service.pool_changed(core, now, pool_handle);
                true
            }
            Some(_) => false,
        }
    }

    /// A leaving peer suggests that we take one of its elements over.
    fn take_offered(
        &mut self,
        core: &mut Core,
        service: &mut Service,
        now: Instant,
        pool_handle: &PoolHandle<'_>,
        mut listed: TableElement<'_>,
    ) -> bool {
        listed.element.home = core.id();
        let Some(key) = self.store(core, service, now, pool_handle, &listed) else { return false };
        core.statistics.handovers_taken += 1;
        core.announce_update(UpdateAction::Add, key);
        true
    }

    /// Enters one element of a table response; `false` if it was refused or left as it was.
    pub(super) fn enter(
        &mut self,
        core: &mut Core,
        service: &mut Service,
        now: Instant,
        source: Source,
        pool_handle: &PoolHandle<'_>,
        listed: TableElement<'_>,
    ) -> bool {
        let element = &listed.element;
        let known = core.handlespace.find(pool_handle.as_bytes(), element.identifier);
        let known = known.and_then(|key| Some((key, home_of(core, key)?)));
        let accepted = match (source, known) {
            _ if element.home.is_none() || takes_away(core, pool_handle, &listed) => false,
            (Source::Owner(owner), _) if element.home != owner => false,
            (_, None) => true,
            // What is here already came from its home directly, which is newer than what others know of it.
            (Source::Mentor(mentor), Some((_, home))) => home == mentor,
            (Source::Owner(owner), Some((key, home))) if home == core.id() => {
                let (first, linked) = (goes_first(core, owner), service.has_link(core, key));
                let keep =
                    core.phase == Phase::Ready && (linked || first || service.came_lately(core, now, key));
                if keep && first && linked {
                    service.claim(core, now, key);
                }
                !keep
            }
            (Source::Owner(owner), Some((_, home))) => home == owner || !self.lives(core, home),
        };
        let stored = accepted && self.store(core, service, now, pool_handle, &listed).is_some();
        core.statistics.updates_refused += u64::from(!stored);
        stored
    }

    /// Stores an element and whose it is, and starts or stops watching it as it becomes or ceases to be ours.
    fn store(
        &mut self,
        core: &mut Core,
        service: &mut Service,
        now: Instant,
        pool_handle: &PoolHandle<'_>,
        TableElement { element, owner }: &TableElement<'_>,
    ) -> Option<ElementKey> {
        let is_new = core.handlespace.find(pool_handle.as_bytes(), element.identifier).is_none();
        if pool_handle.as_bytes().len() > core.config.limits.handle_length
            || !has_room(core, pool_handle, is_new)
        {
            return None;
        }
        let Registered { key, change } = core.handlespace.register(pool_handle, element).ok()?;
        if let Some(owner) = owner {
            core.owners.claim(key, owner.as_str());
        }
        let own = core.id();
        let was_ours = matches!(change, Change::Updated { previous_home } if previous_home == own);
        if element.home == own {
            service.adopt(core, now, key);
        } else if was_ours {
            service.release(core, key);
            self.handover.taken(key);
            core.event(RegistrarEvent::ElementMoved {
                pool_handle: pool_handle.clone().into_owned(),
                identifier: element.identifier,
                home: element.home,
            });
        }
        service.pool_changed(core, now, pool_handle);
        Some(key)
    }

    /// Whether a peer is known, taken to live, and there is a link to it.
    fn lives(&self, core: &Core, server: ServerId) -> bool {
        let active = self.list.get(server).is_some_and(|peer| peer.state != PeerState::Inactive);
        active && core.links.route(server).is_some()
    }
}

/// Whether the element would come to another owner by coming to another home.
fn takes_away(core: &Core, pool_handle: &PoolHandle<'_>, listed: &TableElement<'_>) -> bool {
    let TableElement { element, owner } = listed;
    let known = core.handlespace.find(pool_handle.as_bytes(), element.identifier);
    known.is_some_and(|key| {
        let of_another = |known: &Arc<str>| owner.as_ref().is_some_and(|told| told.as_str() != &**known);
        core.owners.of(key).is_some_and(of_another) && home_of(core, key) != Some(element.home)
    })
}

fn home_of(core: &Core, key: ElementKey) -> Option<ServerId> {
    core.handlespace.element(key).map(|view| view.home())
}

/// Whether this registrar goes before the other one, in take-overs and in everything else that they both want.
pub(super) fn goes_first(core: &Core, other: ServerId) -> bool {
    !core.dialect().yields_takeover(core.id(), other)
}
