//! Elements in the order of a value, the lowest first, equal ones taking turns: what Priority and the Least Used
//! policies have in common.
use std::cmp::Ordering;
use std::marker::PhantomData;

use rserpool_wire::Policy;

use super::{Draw, Member, Places, Selection};
use crate::heap::{Entry, Frontier, Heap};

/// An element's place in the order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rank {
    /// The lowest is first.
    pub(super) value: u64,
    /// Of equal values, the one whose turn came first.
    pub(super) turn: u64,
    pub(super) member: Member,
    /// What the policy needs besides; never decides the order.
    pub(super) step: u32,
}

impl Rank {
    /// Value and turn in one number, which compares without a branch.
    const fn order(&self) -> u128 {
        (self.value as u128) << 64 | self.turn as u128
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }

    fn lt(&self, other: &Self) -> bool {
        self.order() < other.order()
    }
}

impl Entry for Rank {
    fn member(&self) -> Member {
        self.member
    }
}

/// What distinguishes a policy that ranks elements from others.
pub(super) trait Value: Send {
    /// What to rank an element by, and how much a selection adds to it until the next registration.
    fn of(values: &Policy) -> (u64, u32);
}

/// The elements of a pool, ranked.
#[derive(Debug)]
pub(super) struct Ranking<V> {
    ranks: Heap<Rank>,
    turn: u64,
    frontier: Frontier<Rank>,
    /// The ranks selected so far, while a selection goes on.
    selected: Vec<Rank>,
    value: PhantomData<V>,
}

impl<V> Default for Ranking<V> {
    fn default() -> Self {
        Self {
            ranks: Heap::default(),
            turn: 0,
            frontier: Frontier::default(),
            selected: Vec::new(),
            value: PhantomData,
        }
    }
}

impl<V: Value> Selection for Ranking<V> {
    fn insert(&mut self, member: Member, values: &Policy, places: &mut Places) {
        let (value, step) = V::of(values);
        self.turn += 1;
        self.ranks.push(Rank { value, turn: self.turn, member, step }, places);
    }

    fn update(&mut self, member: Member, values: &Policy, places: &mut Places) {
        let (value, step) = V::of(values);
        let place = places.of(member);
        let Some(rank) = self.ranks.entry(place).copied() else { return };
        let mut turn = rank.turn;
        if value != rank.value {
            self.turn += 1;
            turn = self.turn;
        }
        self.ranks.replace(place, Rank { value, turn, member, step }, places);
    }

    fn remove(&mut self, member: Member, places: &mut Places) {
        self.ranks.remove(places.of(member), places);
    }

    fn select(&mut self, draw: &mut Draw<'_>) {
        let Self { ranks, frontier, selected, .. } = self;
        selected.clear();
        ranks.visit_smallest(frontier, draw, |draw, rank| {
            let taken = draw.offer(rank.member);
            if taken {
                selected.push(*rank);
            }
            taken && !draw.is_done()
        });
        self.count_selected(draw.places());
    }
}

impl<V> Ranking<V> {
    /// Adds the step of each element to its value; of those that stay equal, moves the first to the end of their line.
    fn count_selected(&mut self, places: &mut Places) {
        let Self { ranks, turn, selected, .. } = self;
        let mut previous = None;
        for rank in selected.drain(..) {
            let value = rank.value.saturating_add(u64::from(rank.step));
            let first_of_equals = previous.replace(rank.value) != Some(rank.value);
            if value != rank.value || first_of_equals {
                *turn += 1;
                ranks.replace(places.of(rank.member), Rank { value, turn: *turn, ..rank }, places);
            }
        }
    }
}
