//! Weighted Random (RFC 5356 §4.4): any elements, with a chance in proportion to their weight.
use rserpool_wire::Policy;

use super::weight_tree::WeightTree;
use super::{Draw, Member, Places, Selection};

#[derive(Debug, Default)]
pub(super) struct WeightedRandom(WeightTree);

impl Selection for WeightedRandom {
    fn insert(&mut self, member: Member, values: &Policy, places: &mut Places) {
        self.0.insert(member, weight(values), places);
    }

    fn update(&mut self, member: Member, values: &Policy, places: &mut Places) {
        self.0.update(member, weight(values), places);
    }

    fn remove(&mut self, member: Member, places: &mut Places) {
        self.0.remove(member, places);
    }

    fn select(&mut self, draw: &mut Draw<'_>) {
        self.0.select(draw);
    }
}

pub(super) const fn weight(values: &Policy) -> u32 {
    match values {
        Policy::WeightedRandom { weight } => *weight,
        _ => 1,
    }
}
