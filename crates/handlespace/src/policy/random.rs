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
        draw_evenly(&mut self.members, draw);
    }
}

/// Offers members with equal chance. Those that were offered are swapped to the front, out of the way of the next.
pub(super) fn draw_evenly(members: &mut [Member], draw: &mut Draw<'_>) {
    for front in 0..members.len() {
        if draw.is_done() {
            return;
        }
        let picked = draw.rng().random_range(front..members.len());
        let Some(member) = members.get(picked).copied() else { return };
        if !draw.offer(member) || draw.is_done() {
            return;
        }
        members.swap(front, picked);
        for place in [front, picked] {
            if let Some(member) = members.get(place) {
                draw.places().set(*member, place);
            }
        }
    }
}
