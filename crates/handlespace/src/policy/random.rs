//! Random (RFC 5356 §4.3): any elements, with equal chance.
use rand::RngExt as _;
use rserpool_wire::Policy;

use super::{Draw, Member, Places, Selection};

/// The elements in any order: a draw shuffles as many of them to the front as it takes.
#[derive(Debug, Default)]
pub(super) struct Random {
    members: Vec<Member>,
}

impl Selection for Random {
    fn insert(&mut self, member: Member, _: &Policy, places: &mut Places) {
        places.set(member, self.members.len());
        self.members.push(member);
    }

    fn update(&mut self, _: Member, _: &Policy, _: &mut Places) {}

    fn remove(&mut self, member: Member, places: &mut Places) {
        let place = places.of(member);
        if place < self.members.len() {
            self.members.swap_remove(place);
        }
        if let Some(moved) = self.members.get(place) {
            places.set(*moved, place);
        }
    }

    fn select(&mut self, draw: &mut Draw<'_>) {
        draw_evenly(&mut self.members, |member| *member, draw);
    }
}

/// Offers members with equal chance. Those that were offered are swapped to the front, out of the way of the next.
pub(super) fn draw_evenly<T>(items: &mut [T], member: impl Fn(&T) -> Member, draw: &mut Draw<'_>) {
    for front in 0..items.len() {
        if draw.is_done() {
            return;
        }
        let picked = draw.rng().random_range(front..items.len());
        let Some(item) = items.get(picked) else { return };
        if !draw.offer(member(item)) || draw.is_done() {
            return;
        }
        items.swap(front, picked);
        for place in [front, picked] {
            if let Some(item) = items.get(place) {
                draw.places().set(member(item), place);
            }
        }
    }
}
