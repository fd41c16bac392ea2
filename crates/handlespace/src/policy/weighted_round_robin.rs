//! Weighted Round Robin (RFC 5356 §4.2): a circular list in which elements occur in proportion to their weight, evenly
//! distributed.
//!
//! The list is never laid out. Each element has the point at which it occurs next, on a line on which an element of
//! weight w occurs every `LAP / w`; the head is the element with the lowest point.
use rserpool_wire::Policy;

use super::ranking::Rank;
use super::{Draw, Member, Places, Selection};
use crate::heap::{Frontier, Heap};

/// From one occurrence of an element of weight 1 to its next.
const LAP: u64 = 1 << 48;
/// When the head gets here, all points are moved back, long before they could overflow.
const FAR: u64 = 1 << 62;
/// The point of elements of weight 0: behind all others.
const NEVER: u64 = u64::MAX;

#[derive(Debug, Default)]
pub(super) struct WeightedRoundRobin {
    /// By point; the step is the weight.
    ranks: Heap<Rank>,
    frontier: Frontier<Rank>,
    /// The point of the last head.
    passed: u64,
    turn: u64,
}

impl Selection for WeightedRoundRobin {
    fn insert(&mut self, member: Member, values: &Policy, places: &mut Places) {
        let weight = weight(values);
        let rank = Rank { value: self.entry_point(weight), turn: self.next_turn(), member, step: weight };
        self.ranks.push(rank, places);
    }

    fn update(&mut self, member: Member, values: &Policy, places: &mut Places) {
        let weight = weight(values);
        let place = places.of(member);
        let Some(rank) = self.ranks.entry(place).copied() else { return };
        if rank.step == weight {
            return;
        }
        let value = if rank.step == 0 || weight == 0 {
            self.entry_point(weight)
        } else {
            // The part of the way that is left stays the same part of the new way.
            let left = rank.value.saturating_sub(self.passed);
            self.passed + left.saturating_mul(u64::from(rank.step)) / u64::from(weight)
        };
        self.ranks.replace(place, Rank { value, step: weight, ..rank }, places);
    }

    fn remove(&mut self, member: Member, places: &mut Places) {
        self.ranks.remove(places.of(member), places);
    }

    fn select(&mut self, draw: &mut Draw<'_>) {
        let Some(head) = self.ranks.first().copied() else { return };
        self.ranks.visit_smallest(&mut self.frontier, draw, |draw, rank| {
            let serves = rank.step > 0 || head.step == 0;
            serves && draw.offer(rank.member) && !draw.is_done()
        });
        if draw.taken() > 0 {
            self.advance(head, draw.places());
        }
    }
}

impl WeightedRoundRobin {
    fn advance(&mut self, head: Rank, places: &mut Places) {
        let mut value = NEVER;
        if head.step > 0 {
            self.passed = head.value;
            value = head.value + LAP / u64::from(head.step);
        }
        let turn = self.next_turn();
        self.ranks.replace(0, Rank { value, turn, ..head }, places);
        if self.passed >= FAR {
            let passed = std::mem::take(&mut self.passed);
            self.ranks.rewrite_in_order(|rank| {
                if rank.value != NEVER {
                    rank.value -= passed;
                }
            });
        }
    }

    /// Half an interval ahead: were it a whole one, heavy elements would come in bursts before light ones.
    fn entry_point(&self, weight: u32) -> u64 {
        LAP.checked_div(2 * u64::from(weight)).map_or(NEVER, |half| self.passed + half)
    }

    const fn next_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }
}

const fn weight(values: &Policy) -> u32 {
    match values {
        Policy::WeightedRoundRobin { weight } => *weight,
        _ => 1,
    }
}
