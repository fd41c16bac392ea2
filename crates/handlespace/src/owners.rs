//! Who owns which elements: a list, a checksum sum and a mark per registrar (RFC 5353 §3.6).
//! The lists run through the elements themselves, in the order in which they came to their owner.
use std::collections::BTreeMap;
use std::iter;

use rserpool_wire::ServerId;
use slab::Slab;

use crate::element::{Element, ElementKey};

/// The index that no element has: the end of a list.
pub(crate) const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Owner {
    first: u32,
    last: u32,
    count: usize,
    /// The sum of the checksum blocks of the elements.
    sum: u64,
    /// Which mark was the last for this owner; 0 for none.
    mark: u32,
}

/// All registrars that own elements.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    owners: BTreeMap<ServerId, Owner>,
    /// How many marks there have been: the clock that tells which elements came before a mark.
    marks: u32,
}

impl Owners {
    /// Adds the element to the list of its home, unmarked. `sum` is its part of the checksum.
    pub(crate) fn link(&mut self, elements: &mut Slab<Element>, index: u32, sum: u64) {
        let Some(element) = elements.get_mut(index as usize) else { return };
        let owner = self.owners.entry(element.home).or_insert_with(|| Owner {
            first: NONE,
            last: NONE,
            count: 0,
            sum: 0,
            mark: 0,
        });
        (element.previous, element.next) = (owner.last, NONE);
        element.marks_seen = self.marks;
        match elements.get_mut(owner.last as usize) {
            Some(last) => last.next = index,
            None => owner.first = index,
        }
        owner.last = index;
        owner.count += 1;
        owner.sum += sum;
    }

    /// Takes the element off the list of its home.
    pub(crate) fn unlink(&mut self, elements: &mut Slab<Element>, index: u32, sum: u64) {
        let Some(element) = elements.get(index as usize) else { return };
        let (home, previous, next) = (element.home, element.previous, element.next);
        let Some(owner) = self.owners.get_mut(&home) else { return };
        match elements.get_mut(previous as usize) {
            Some(element) => element.next = next,
            None => owner.first = next,
        }
        match elements.get_mut(next as usize) {
            Some(element) => element.previous = previous,
            None => owner.last = previous,
        }
        owner.count -= 1;
        owner.sum -= sum;
        if owner.count == 0 {
            self.owners.remove(&home);
        }
    }

    /// Moves all elements of `from` behind those of `to`.
    pub(crate) fn transfer(&mut self, elements: &mut Slab<Element>, from: ServerId, to: ServerId) -> usize {
        if from == to {
            return 0;
        }
        let Some(moved) = self.owners.remove(&from) else { return 0 };
        let mut index = moved.first;
        while let Some(element) = elements.get_mut(index as usize) {
            element.set_home(to);
            element.marks_seen = self.marks;
            index = element.next;
        }
        let count = moved.count;
        match self.owners.get_mut(&to) {
            Some(owner) => {
                if let Some(last) = elements.get_mut(owner.last as usize) {
                    last.next = moved.first;
                }
                if let Some(first) = elements.get_mut(moved.first as usize) {
                    first.previous = owner.last;
                }
                owner.last = moved.last;
                owner.count += count;
                owner.sum += moved.sum;
            }
            None => {
                self.owners.insert(to, Owner { mark: 0, ..moved });
            }
        }
        count
    }

    /// The owners, in the order of their identifiers.
    pub(crate) fn identifiers(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.owners.keys().copied()
    }

    pub(crate) fn count(&self, owner: ServerId) -> usize {
        self.owners.get(&owner).map_or(0, |owner| owner.count)
    }

    /// The sum of the checksum blocks of the owner's elements.
    pub(crate) fn sum(&self, owner: ServerId) -> u64 {
        self.owners.get(&owner).map_or(0, |owner| owner.sum)
    }

    /// The owner's elements, in the order of the list.
    pub(crate) fn list<'a>(
        &self,
        elements: &'a Slab<Element>,
        owner: ServerId,
    ) -> impl Iterator<Item = (ElementKey, &'a Element)> + use<'a> {
        let mut index = self.owners.get(&owner).map_or(NONE, |owner| owner.first);
        iter::from_fn(move || {
            let element = elements.get(index as usize)?;
            let key = ElementKey { index, generation: element.generation };
            index = element.next;
            Some((key, element))
        })
    }

    /// Marks every element that the owner has now.
    pub(crate) fn mark(&mut self, owner: ServerId) {
        if let Some(owner) = self.owners.get_mut(&owner) {
            self.marks += 1;
            owner.mark = self.marks;
        }
    }

    /// Takes the marks off.
    pub(crate) fn unmark(&mut self, owner: ServerId) {
        if let Some(owner) = self.owners.get_mut(&owner) {
            owner.mark = 0;
        }
    }

    /// Takes the mark off one element.
    pub(crate) const fn renew(&self, element: &mut Element) {
        element.marks_seen = self.marks;
    }

    /// The elements that still have their mark.
    pub(crate) fn marked(&self, elements: &Slab<Element>, owner: ServerId) -> Vec<ElementKey> {
        let mark = self.owners.get(&owner).map_or(0, |owner| owner.mark);
        self.list(elements, owner)
            .filter(|(_, element)| element.marks_seen < mark)
            .map(|(key, _)| key)
            .collect()
    }
}
