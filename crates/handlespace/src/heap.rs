//! A heap whose entries can be found again, to be changed or removed in O(log n): each element's place in the heap is
//! kept in a table of [`Places`]. Expiry and all policies that rank elements build on it.
//!
//! The first entries are put into full order once somebody asks for them, which a heap allows, and stay so until
//! something changes there: whoever asks for a few of the smallest again and again just reads them.
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::policy::{Draw, Member, Places};

/// Something to be ordered, that belongs to an element. No two entries of a heap are equal.
pub(crate) trait Entry: Copy + Ord {
    /// The element.
    fn member(&self) -> Member;
}

/// How many entries are put into full order at most: finding the next one looks at as many as there are already.
const MAX_SORTED: usize = 32;

/// How many children an entry has. Four make a flatter heap than two, and lie side by side in memory.
const CHILDREN: usize = 4;

/// The heap: the smallest entry first.
#[derive(Debug)]
pub(crate) struct Heap<E> {
    entries: Vec<E>,
    /// How many entries from the first on are in full order.
    sorted: usize,
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
        Self { entries: Vec::new(), sorted: 0 }
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
        let place = self.entries.len();
        self.entries.push(entry);
        self.cut_sorted(place, &entry);
        self.sift_up(place, entry, places);
    }

    /// Puts an entry of the same element in the stead of the one at `place`.
    pub(crate) fn replace(&mut self, place: usize, entry: E, places: &mut Places) {
        if self.fits_between_neighbours(place, &entry) {
            self.put(place, entry, places);
            return;
        }
        self.cut_sorted(place, &entry);
        if self.parent(place).is_some_and(|parent| *parent > entry) {
            self.sift_up(place, entry, places);
        } else {
            self.sift_down(place, entry, places);
        }
    }

    /// Removes the entry at `place`.
    pub(crate) fn remove(&mut self, place: usize, places: &mut Places) {
        let Some(last) = self.entries.pop() else { return };
        self.sorted = self.sorted.min(self.entries.len());
        if place < self.entries.len() {
            self.replace(place, last, places);
        }
    }

    /// Visits the smallest entries in ascending order, until `visit` returns `false`.
    pub(crate) fn visit_smallest(
        &mut self,
        frontier: &mut Frontier<E>,
        draw: &mut Draw<'_>,
        mut visit: impl FnMut(&mut Draw<'_>, &E) -> bool,
    ) {
        for place in 0..MAX_SORTED {
            if place == self.sorted {
                self.sort_one_more(draw.places());
            }
            match self.entries.get(place) {
                Some(entry) if visit(draw, entry) => {}
                _ => return,
            }
        }
        // What follows is, each time, the smallest of those whose parents have been visited.
        let frontier = &mut frontier.0;
        frontier.clear();
        frontier.extend((MAX_SORTED..=CHILDREN * MAX_SORTED).filter_map(|place| self.candidate(place)));
        while let Some(Reverse((entry, place))) = frontier.pop() {
            if !visit(draw, &entry) {
                return;
            }
            let first = CHILDREN * place + 1;
            frontier.extend((first..first + CHILDREN).filter_map(|place| self.candidate(place)));
        }
    }

    /// Rewrites all entries in a way that keeps their order.
    pub(crate) fn rewrite_in_order(&mut self, rewrite: impl FnMut(&mut E)) {
        self.entries.iter_mut().for_each(rewrite);
    }

    /// Swaps the smallest entry that follows the sorted ones to their end. It is one of those whose parents are sorted.
    fn sort_one_more(&mut self, places: &mut Places) {
        let end = self.sorted;
        let Some(mut smallest) = self.entries.get(end).copied() else { return };
        let (displaced, mut place) = (smallest, end);
        for (candidate, entry) in self.entries.iter().enumerate().take(CHILDREN * end + 1).skip(end + 1) {
            if *entry < smallest {
                (smallest, place) = (*entry, candidate);
            }
        }
        if place != end {
            self.put(end, smallest, places);
            self.sift_down(place, displaced, places);
        }
        self.sorted = end + 1;
    }

    /// Whether the entry can come to a place among the sorted ones without any other having to move.
    fn fits_between_neighbours(&self, place: usize, entry: &E) -> bool {
        let neighbour = |place: usize| self.entries.get(place);
        place + 1 < self.sorted
            && neighbour(place + 1).is_some_and(|next| entry < next)
            && neighbour(place.wrapping_sub(1)).is_none_or(|previous| previous < entry)
    }

    /// Cuts the sorted entries short of `place` and of whatever is behind `entry`, which is to come to that place.
    fn cut_sorted(&mut self, place: usize, entry: &E) {
        self.sorted = self.sorted.min(place);
        while let Some(last) = self.sorted.checked_sub(1)
            && self.entries.get(last).is_some_and(|last| last > entry)
        {
            self.sorted = last;
        }
    }

    fn parent(&self, place: usize) -> Option<&E> {
        self.entries.get(place.checked_sub(1)? / CHILDREN)
    }

    fn candidate(&self, place: usize) -> Option<Reverse<(E, usize)>> {
        Some(Reverse((*self.entries.get(place)?, place)))
    }

    fn smallest_child(&self, place: usize) -> Option<(usize, E)> {
        let first = CHILDREN * place + 1;
        let children = self.entries.get(first..)?;
        // Where there are all four, compare without a branch: which one it is cannot be foreseen.
        if let Some([a, b, c, d]) = children.first_chunk::<CHILDREN>() {
            let (left, right) = (usize::from(b < a), usize::from(d < c));
            let (ab, cd) = (if b < a { b } else { a }, if d < c { d } else { c });
            return Some(if cd < ab { (first + 2 + right, *cd) } else { (first + left, *ab) });
        }
        let (child, smallest) = children.iter().enumerate().min_by_key(|(_, entry)| **entry)?;
        Some((first + child, *smallest))
    }

    fn sift_up(&mut self, mut place: usize, entry: E, places: &mut Places) {
        while let Some(parent) = self.parent(place).copied()
            && parent > entry
        {
            self.put(place, parent, places);
            place = (place - 1) / CHILDREN;
        }
        self.put(place, entry, places);
    }

    fn sift_down(&mut self, mut place: usize, entry: E, places: &mut Places) {
        while let Some((child, smallest)) = self.smallest_child(place)
            && smallest < entry
        {
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

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt as _, SeedableRng};

    use super::*;

    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    struct Number(u32, Member);

    impl Entry for Number {
        fn member(&self) -> Member {
            self.1
        }
    }

    fn smallest(heap: &mut Heap<Number>, places: &mut Places, count: usize) -> Vec<Number> {
        let (mut rng, mut visited) = (SmallRng::seed_from_u64(0), Vec::new());
        let mut take_all = |_| true;
        let mut draw = Draw::new(count, &mut rng, places, &mut take_all);
        heap.visit_smallest(&mut Frontier::default(), &mut draw, |draw, entry| {
            visited.push(*entry);
            draw.offer(entry.member()) && !draw.is_done()
        });
        visited
    }

    #[test]
    fn the_smallest_come_in_order_whatever_changes() {
        let mut rng = SmallRng::seed_from_u64(1);
        let (mut heap, mut places, mut model) = (Heap::default(), Places::default(), Vec::<Number>::new());
        // Miri takes a thousand times as long.
        for round in 0..if cfg!(miri) { 400 } else { 20_000 } {
            let any = rng.random_range(0..model.len().max(1));
            match rng.random_range(0..5) {
                0 | 1 if model.len() < 150 => {
                    let number = Number(rng.random_range(0..300), Member(round));
                    heap.push(number, &mut places);
                    model.push(number);
                }
                2 if !model.is_empty() => {
                    let Number(_, member) = model.swap_remove(any);
                    heap.remove(places.of(member), &mut places);
                }
                3 if !model.is_empty() => {
                    model[any].0 = rng.random_range(0..300);
                    heap.replace(places.of(model[any].1), model[any], &mut places);
                }
                _ => {
                    model.sort_unstable();
                    let count = rng.random_range(1..150);
                    let expected: Vec<_> = model.iter().take(count).copied().collect();
                    assert_eq!(smallest(&mut heap, &mut places, count), expected, "round {round}");
                }
            }
            assert_eq!(heap.first(), model.iter().min());
        }
    }
}
