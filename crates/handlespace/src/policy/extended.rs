//! Policies that extend a standard one ([`PolicyType::standard`](rserpool_wire::PolicyType::standard)): elements are selected by
//! that one.
use rserpool_wire::Policy;

use super::{Draw, Member, Places, Selection};

pub(super) struct Extended(pub(super) Box<dyn Selection>);

impl Selection for Extended {
    fn insert(&mut self, member: Member, values: &Policy, places: &mut Places) {
        self.0.insert(member, &values.standard(), places);
    }

    fn update(&mut self, member: Member, values: &Policy, places: &mut Places) {
        self.0.update(member, &values.standard(), places);
    }

    fn remove(&mut self, member: Member, places: &mut Places) {
        self.0.remove(member, places);
    }

    fn select(&mut self, draw: &mut Draw<'_>) {
        self.0.select(draw);
    }
}
