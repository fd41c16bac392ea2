//! Whose the elements are: the identities that registered them, as far as they are known. Few identities have many elements, so
//! each is kept once, and an element has a number. There is nothing here where nobody proves an identity.
use std::sync::Arc;

use hashbrown::HashMap;
use rserpool_handlespace::ElementKey;
use rserpool_wire::ElementOwner;

/// The owners of the elements of a handlespace.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    /// By the index of the element's key: 0 for nobody, else one more than the place in `owners`.
    numbers: Vec<u32>,
    owners: Vec<Owner>,
    /// Places in `owners` that are free.
    free: Vec<u32>,
    found: HashMap<Arc<str>, u32>,
}

#[derive(Debug)]
struct Owner {
    identity: Arc<str>,
    elements: usize,
}

impl Owners {
    /// Whose the element is; `None` if that is not known.
    pub(crate) fn of(&self, key: ElementKey) -> Option<&Arc<str>> {
        let number = self.numbers.get(key.index()).copied()?;
        let owner = self.owners.get(number.checked_sub(1)? as usize)?;
        Some(&owner.identity)
    }

    /// The same as it is told to peers; `None` if it is not known, or too long to be told.
    pub(crate) fn told(&self, key: ElementKey) -> Option<ElementOwner<'_>> {
        ElementOwner::new(&**self.of(key)?)
    }

    /// How many elements an identity has.
    pub(crate) fn elements_of(&self, identity: &str) -> usize {
        let owner = self.found.get(identity).and_then(|place| self.owners.get(*place as usize));
        owner.map_or(0, |owner| owner.elements)
    }

    /// The element is this identity's from now on.
    pub(crate) fn claim(&mut self, key: ElementKey, identity: &str) {
        if self.of(key).is_some_and(|owner| **owner == *identity) {
            return;
        }
        self.forget(key);
        let place = match self.found.get(identity) {
            Some(place) => *place,
            None => self.add(identity.into()),
        };
        if let Some(owner) = self.owners.get_mut(place as usize) {
            owner.elements += 1;
        }
        if self.numbers.len() <= key.index() {
            self.numbers.resize(key.index() + 1, 0);
        }
        if let Some(number) = self.numbers.get_mut(key.index()) {
            *number = place + 1;
        }
    }

    fn add(&mut self, identity: Arc<str>) -> u32 {
        let owner = Owner { identity: Arc::clone(&identity), elements: 0 };
        let place = match self.free.pop() {
            Some(place) => {
                if let Some(slot) = self.owners.get_mut(place as usize) {
                    *slot = owner;
                }
                place
            }
            None => {
                self.owners.push(owner);
                self.owners.len() as u32 - 1
            }
        };
        self.found.insert(identity, place);
        place
    }

    /// The element is nobody's, or gone. An identity without elements is forgotten with its last one.
    pub(crate) fn forget(&mut self, key: ElementKey) {
        let number = self.numbers.get_mut(key.index()).map(std::mem::take);
        let Some(place) = number.and_then(|number| number.checked_sub(1)) else { return };
        if let Some(owner) = self.owners.get_mut(place as usize) {
            owner.elements -= 1;
            if owner.elements == 0 {
                self.found.remove(&owner.identity);
                self.free.push(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rserpool_handlespace::Handlespace;
    use rserpool_wire::{
        Dialect, PeIdentifier, Policy, PoolElement, PoolHandle, RegistrationLife, ServerId, Transport,
    };

    use super::*;

    fn keys(count: u32) -> Vec<ElementKey> {
        let mut handlespace = Handlespace::new(Dialect::Rfc, 0);
        let registered = (0..count).map(|n| {
            let element = PoolElement {
                identifier: PeIdentifier(n),
                home: ServerId(1),
                life: RegistrationLife::Infinite,
                user_transport: Transport::Tcp(([192, 0, 2, 1], 80).into()),
                policy: Policy::RoundRobin,
                asap_transport: None,
            };
            handlespace.register(&PoolHandle::from("echo"), &element).expect("registered").key
        });
        registered.collect()
    }

    #[test]
    fn an_element_has_the_owner_that_claimed_it_last() {
        let (keys, mut owners) = (keys(3), Owners::default());
        owners.claim(keys[2], "a");
        owners.claim(keys[0], "a");
        assert_eq!((owners.of(keys[0]).map(|name| &**name), owners.of(keys[1])), (Some("a"), None));
        owners.claim(keys[0], "b");
        assert_eq!((owners.elements_of("a"), owners.elements_of("b")), (1, 1));
        assert_eq!(owners.told(keys[0]), ElementOwner::new("b"));
        owners.forget(keys[0]);
        owners.forget(keys[0]);
        assert_eq!((owners.of(keys[0]), owners.elements_of("b")), (None, 0));
    }

    #[test]
    fn identities_without_elements_take_no_room() {
        let (keys, mut owners) = (keys(2), Owners::default());
        owners.claim(keys[0], "stays");
        for n in 0..1_000 {
            owners.claim(keys[1], &format!("identity-{n}"));
        }
        assert_eq!((owners.owners.len(), owners.found.len()), (2, 2));
        assert_eq!(owners.of(keys[0]).map(|name| &**name), Some("stays"));
        assert_eq!(owners.of(keys[1]).map(|name| &**name), Some("identity-999"));
    }
}
