//! Randomized Least Used (RFC 5356 §5.4): any elements, with a chance in proportion to what is not used of them.
use rserpool_wire::{Load, Policy};

use super::weight_tree::WeightTree;
use super::{Draw, Member, Places, Selection};

#[derive(Debug, Default)]
pub(super) struct RandomizedLeastUsed(WeightTree);

impl Selection for RandomizedLeastUsed {
    fn insert(&mut self, member: Member, values: &Policy, places: &mut Places) {
        self.0.insert(member, unused(values), places);
    }

    fn update(&mut self, member: Member, values: &Policy, places: &mut Places) {
        self.0.update(member, unused(values), places);
    }

    fn remove(&mut self, member: Member, places: &mut Places) {
        self.0.remove(member, places);
    }

    fn select(&mut self, draw: &mut Draw<'_>) {
        self.0.select(draw);
    }
}

const fn unused(values: &Policy) -> u32 {
    match values {
        Policy::RandomizedLeastUsed { load } => Load::FULL.0 - load.0,
        _ => 1,
    }
}
