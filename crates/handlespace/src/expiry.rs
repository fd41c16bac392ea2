//! When elements are due: at most one time per element, the earliest at hand.
use std::time::Instant;

use crate::heap::{Entry, Heap};
use crate::policy::{Member, Places};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Due {
    at: Instant,
    member: Member,
}

impl Entry for Due {
    fn member(&self) -> Member {
        self.member
    }
}

/// The times, by element.
#[derive(Debug, Default)]
pub(crate) struct Expiry {
    heap: Heap<Due>,
    places: Places,
}

impl Expiry {
    pub(crate) fn set(&mut self, member: Member, at: Instant) {
        let due = Due { at, member };
        match self.place(member) {
            Some(place) => self.heap.replace(place, due, &mut self.places),
            None => self.heap.push(due, &mut self.places),
        }
    }

    pub(crate) fn clear(&mut self, member: Member) {
        if let Some(place) = self.place(member) {
            self.heap.remove(place, &mut self.places);
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|due| due.at)
    }

    pub(crate) fn pop(&mut self, now: Instant) -> Option<Member> {
        let member = self.heap.first().filter(|due| due.at <= now)?.member;
        self.heap.remove(0, &mut self.places);
        Some(member)
    }

    /// Where the element is. Its place may be left over from an earlier time: only the heap tells.
    fn place(&self, member: Member) -> Option<usize> {
        let place = self.places.of(member);
        self.heap.entry(place).is_some_and(|due| due.member == member).then_some(place)
    }
}
