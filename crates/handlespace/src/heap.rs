//! A heap whose entries can be found again, to be changed or removed in O(log n): each element's place in the heap is
//! kept in a table of [`Places`]. Expiry and all policies that rank elements build on it.
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::policy::{Member, Places};

/// Something to be ordered, that belongs to an element. No two entries of a heap are equal.
pub(crate) trait Entry: Copy + Ord {
    /// The element.
    fn member(&self) -> Member;
}

/// The heap: the smallest entry first.
#[derive(Debug)]
pub(crate) struct Heap<E> {
    entries: Vec<E>,
}

/// Memory for [`Heap::visit_smallest`], kept from one visit to the next.
#[derive(Debug)]
pub(crate) struct Frontier<E: Ord>(BinaryHeap<Reverse<(E, usize)>>);

impl<E: Ord> Default for Frontier<E> {
    fn default() -> Self {
        Self(BinaryHeap::new())
    }
}

impl<E> Default for Heap<E> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<E: Entry> Heap<E> {
    /// The smallest entry.
    pub(crate) fn first(&self) -> Option<&E> {
        self.entries.first()
    }

    /// The entry at a place.
    pub(crate) fn entry(&self, place: usize) -> Option<&E> {
        self.entries.get(place)
    }

    /// Adds an entry.
    pub(crate) fn push(&mut self, entry: E, places: &mut Places) {
        self.entries.push(entry);
        self.sift_up(self.entries.len() - 1, entry, places);
    }

    /// Puts an entry of the same element in the stead of the one at `place`.
    pub(crate) fn replace(&mut self, place: usize, entry: E, places: &mut Places) {
        if self.parent(place).is_some_and(|parent| *parent > entry) {
            self.sift_up(place, entry, places);
        } else {
            self.sift_down(place, entry, places);
        }
    }

    /// Removes the entry at `place`.
    pub(crate) fn remove(&mut self, place: usize, places: &mut Places) {
        if let Some(last) = self.entries.pop()
            && place < self.entries.len()
        {
            self.replace(place, last, places);
        }
    }

    /// Visits the smallest entries in ascending order, until `visit` returns `false`.
    pub(crate) fn visit_smallest(&self, frontier: &mut Frontier<E>, mut visit: impl FnMut(&E) -> bool) {
        let frontier = &mut frontier.0;
        let Some(first) = self.entries.first() else { return };
        if !visit(first) {
            return;
        }
        // What follows is the smallest of those whose parents have been visited.
        frontier.clear();
        frontier.extend(self.children(0));
        while let Some(Reverse((entry, place))) = frontier.pop() {
            if !visit(&entry) {
                break;
            }
            frontier.extend(self.children(place));
        }
    }

    /// Rewrites all entries in a way that keeps their order.
    pub(crate) fn rewrite_in_order(&mut self, rewrite: impl FnMut(&mut E)) {
        self.entries.iter_mut().for_each(rewrite);
    }

    fn parent(&self, place: usize) -> Option<&E> {
        self.entries.get(place.checked_sub(1)? / 2)
    }

    fn children(&self, place: usize) -> impl Iterator<Item = Reverse<(E, usize)>> + '_ {
        let first = 2 * place + 1;
        (first..first + 2).filter_map(|place| Some(Reverse((*self.entries.get(place)?, place))))
    }

    fn sift_up(&mut self, mut place: usize, entry: E, places: &mut Places) {
        while let Some(parent) = self.parent(place).copied()
            && parent > entry
        {
            self.put(place, parent, places);
            place = (place - 1) / 2;
        }
        self.put(place, entry, places);
    }

    fn sift_down(&mut self, mut place: usize, entry: E, places: &mut Places) {
        loop {
            let left = 2 * place + 1;
            let (child, smallest) = match (self.entries.get(left), self.entries.get(left + 1)) {
                (Some(a), Some(b)) if b < a => (left + 1, *b),
                (Some(a), _) => (left, *a),
                _ => break,
            };
            if entry < smallest {
                break;
            }
            self.put(place, smallest, places);
            place = child;
        }
        self.put(place, entry, places);
    }

    fn put(&mut self, place: usize, entry: E, places: &mut Places) {
        if let Some(slot) = self.entries.get_mut(place) {
            *slot = entry;
            places.set(entry.member(), place);
        }
    }
}
