//! Whose an element is: the identity that registered it, and nobody else, changes or removes it.
//!
//! A registrar knows the owners of the elements that registered with it, for as long as they exist, wherever their home is
//! meanwhile, and those that its peers tell it of. Of an element that came from a peer that tells no owners, it learns the owner
//! when this proves itself: by answering as that element at its ASAP transport, or by registering. Until then whoever may register
//! the element just as it stands, in that pool and with those addresses, counts as its owner.
use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;
use rserpool_handlespace::ElementKey;
use rserpool_machine::{LinkId, Rate};

use super::Service;
use crate::authorization::Action;
use crate::core::Core;
use crate::event::RemovalReason;
use crate::links::Party;
use crate::refusal::Refusal;

/// How many registrations and deregistrations came from each identity lately. Grows with those who have proved one only.
pub(super) type Registrations = HashMap<Arc<str>, Rate>;

impl Service {
    /// Whether the party may go on after what it has registered and deregistered lately.
    pub(super) fn admit_registration(
        &mut self,
        core: &Core,
        now: Instant,
        party: &Party,
    ) -> Result<(), Refusal> {
        let Some(identity) = party.identity() else { return Ok(()) };
        let quota = core.config.authorization.quota(identity);
        let per_second =
            quota.registrations_per_second.unwrap_or(core.config.limits.registrations_per_second);
        let registrations = self.registrations.entry(Arc::clone(identity)).or_default();
        if registrations.admits(now, per_second) { Ok(()) } else { Err(Refusal::RegistrationRate) }
    }

    /// Removes the elements that were registered here by those who may not have them any more.
    pub(crate) fn enforce(&mut self, core: &mut Core, now: Instant) {
        let mut withdrawn = self.supervision.registered();
        withdrawn.retain(|(key, party)| !might_register(core, party, *key));
        for (key, _) in withdrawn {
            self.remove(core, now, key, RemovalReason::NotPermitted);
        }
    }
}

/// Whether the party may have this element, or one more if there is none yet.
pub(super) fn admit_element(core: &Core, party: &Party, existing: Option<ElementKey>) -> Result<(), Refusal> {
    if let Some(key) = existing {
        check_owner(core, party, key)?;
    }
    let Some(identity) = party.identity() else { return Ok(()) };
    if existing.is_some_and(|key| core.owners.of(key) == Some(identity)) {
        return Ok(());
    }
    let quota = core.config.authorization.quota(identity);
    let most = quota.elements.unwrap_or(core.config.limits.elements_per_identity);
    if core.owners.elements_of(identity) < most { Ok(()) } else { Err(Refusal::ElementsOfIdentity) }
}

/// Whether the party is the owner of the element, as far as is known.
pub(super) fn check_owner(core: &Core, party: &Party, key: ElementKey) -> Result<(), Refusal> {
    let is_owner = match (core.owners.of(key), party.identity()) {
        (Some(owner), identity) => identity == Some(owner),
        (None, Some(_)) => might_register(core, party, key),
        // Nothing was ever proved: what links say about each other decides.
        (None, None) => true,
    };
    if is_owner { Ok(()) } else { Err(Refusal::Owner) }
}

/// The element was registered by this party.
pub(super) fn own(core: &mut Core, party: &Party, key: ElementKey) {
    match party.identity() {
        Some(identity) => core.owners.claim(key, identity),
        None => core.owners.forget(key),
    }
}

/// The element has adopted this registrar over a link to its ASAP transport: whoever is there owns it, if it might have
/// registered it, and no owner is known.
pub(super) fn learn_owner(core: &mut Core, link: LinkId, key: ElementKey) {
    let Some(party) = core.links.get(link).map(|link| Arc::clone(&link.party)) else { return };
    if let Some(identity) = party.identity()
        && core.owners.of(key).is_none()
        && might_register(core, &party, key)
    {
        core.owners.claim(key, identity);
    }
}

/// Whether the party might register the element as it stands.
fn might_register(core: &Core, party: &Party, key: ElementKey) -> bool {
    let Some(view) = core.handlespace.element(key) else { return false };
    let Some(element) = view.decode() else { return false };
    let action = Action::Register { pool_handle: &view.pool_handle(), element: &element };
    core.authorize(party, action).is_ok()
}
