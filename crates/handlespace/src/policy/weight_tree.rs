//! Elements drawn with a chance in proportion to their weight, in O(log n): sums of weights in a Fenwick tree.
use rand::RngExt as _;

use super::random::draw_evenly;
use super::{Draw, Member, Places};

/// Members and their weights. Node `i` of the tree, counted from 1, is the sum of the `i & -i` weights up to the `i`-th.
#[derive(Debug, Default)]
pub(super) struct WeightTree {
    leaves: Vec<Leaf>,
    sums: Vec<u64>,
    total: u64,
    /// The places drawn so far, while a draw goes on.
    drawn: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Leaf {
    member: Member,
    weight: u32,
}

impl WeightTree {
    pub(super) fn insert(&mut self, member: Member, weight: u32, places: &mut Places) {
        let place = self.leaves.len();
        places.set(member, place);
        self.leaves.push(Leaf { member, weight });
        // The new node sums the nodes below it: those at `node - 1`, `node - 2`, `node - 4`, … up to its own span.
        let node = place + 1;
        let span = node & node.wrapping_neg();
        let mut sum = u64::from(weight);
        let mut step = 1;
        while step < span {
            sum += self.sums.get(node - step - 1).copied().unwrap_or_default();
            step *= 2;
        }
        self.sums.push(sum);
        self.total += u64::from(weight);
    }

    pub(super) fn update(&mut self, member: Member, weight: u32, places: &Places) {
        let place = places.of(member);
        let Some(leaf) = self.leaves.get_mut(place) else { return };
        let old = std::mem::replace(&mut leaf.weight, weight);
        self.change(place, u64::from(old), u64::from(weight));
    }

    pub(super) fn remove(&mut self, member: Member, places: &mut Places) {
        let place = places.of(member);
        let Some(Leaf { weight, .. }) = self.leaves.get(place).copied() else { return };
        // No other node has the last leaf in its sum, so it comes off without a trace, and takes the free place.
        let Some(last) = self.leaves.pop() else { return };
        self.sums.pop();
        self.total -= u64::from(last.weight);
        if let Some(leaf) = self.leaves.get_mut(place) {
            *leaf = last;
            places.set(last.member, place);
            self.change(place, u64::from(weight), u64::from(last.weight));
        }
    }

    /// Offers members by weight; evenly if none has any. While the draw goes on, what was drawn has no weight.
    pub(super) fn select(&mut self, draw: &mut Draw<'_>) {
        if self.total == 0 {
            self.select_evenly(draw);
            return;
        }
        self.drawn.clear();
        while !draw.is_done() && self.total > 0 {
            let point = draw.rng().random_range(0..self.total);
            let place = self.place_at(point);
            let Some(leaf) = self.leaves.get(place).copied() else { break };
            if !draw.offer(leaf.member) || draw.is_done() {
                break;
            }
            self.change(place, u64::from(leaf.weight), 0);
            self.drawn.push(place);
        }
        while let Some(place) = self.drawn.pop() {
            let weight = self.leaves.get(place).map_or(0, |leaf| leaf.weight);
            self.change(place, 0, u64::from(weight));
        }
    }

    /// All weights being 0, leaves may change places without a change to the sums.
    fn select_evenly(&mut self, draw: &mut Draw<'_>) {
        let mut members: Vec<_> = self.leaves.iter().map(|leaf| leaf.member).collect();
        draw_evenly(&mut members, draw);
        for (leaf, member) in self.leaves.iter_mut().zip(members) {
            leaf.member = member;
        }
    }

    /// The place whose weight covers the point: the first with a sum of weights, its own included, above the point.
    fn place_at(&self, mut point: u64) -> usize {
        let mut place = 0;
        let mut span = (self.sums.len() + 1).next_power_of_two() / 2;
        while span > 0 {
            let sum = self.sums.get(place + span - 1).copied().unwrap_or(u64::MAX);
            if sum <= point {
                place += span;
                point -= sum;
            }
            span /= 2;
        }
        place
    }

    fn change(&mut self, place: usize, old: u64, new: u64) {
        let difference = new.wrapping_sub(old);
        self.total = self.total.wrapping_add(difference);
        let mut node = place + 1;
        while let Some(sum) = self.sums.get_mut(node - 1) {
            *sum = sum.wrapping_add(difference);
            node += node & node.wrapping_neg();
        }
    }
}
