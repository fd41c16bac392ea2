//! Elements drawn with a chance in proportion to their weight, in O(log n): a tree of sums of weights.
use rand::RngExt as _;

use super::random::draw_evenly;
use super::{Draw, Member, Places};

/// How many nodes or leaves a node sums: two cache lines.
const FAN_OUT: usize = 16;

/// Members and their weights, and the sums of each [`FAN_OUT`] of them, the sums of each `FAN_OUT` of these, and so on
/// up to a level of `FAN_OUT` at most.
#[derive(Debug, Default)]
pub(super) struct WeightTree {
    leaves: Vec<Leaf>,
    /// From the level above the leaves to the top.
    levels: Vec<Vec<u64>>,
    total: u64,
    /// The leaves drawn so far, while a draw goes on: their places and their weights.
    drawn: Vec<(usize, u32)>,
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
        let mut node = place;
        for level in &mut self.levels {
            node /= FAN_OUT;
            if node == level.len() {
                level.push(0);
            }
        }
        if node == FAN_OUT {
            // The top level has become too long: another one above it, for what was there and for what is new.
            self.levels.push(vec![self.total, 0]);
        }
        self.change(place, 0, weight);
    }

    pub(super) fn update(&mut self, member: Member, weight: u32, places: &Places) {
        self.set_weight(places.of(member), weight);
    }

    pub(super) fn remove(&mut self, member: Member, places: &mut Places) {
        let place = places.of(member);
        let Some(Leaf { weight, .. }) = self.leaves.get(place).copied() else { return };
        // The last leaf takes the free place.
        let Some(last) = self.leaves.pop() else { return };
        self.change(self.leaves.len(), last.weight, 0);
        if let Some(leaf) = self.leaves.get_mut(place) {
            *leaf = last;
            places.set(last.member, place);
            self.change(place, weight, last.weight);
        }
        let mut below = self.leaves.len();
        for level in &mut self.levels {
            below = below.div_ceil(FAN_OUT);
            level.truncate(below);
        }
        while self.levels.last().is_some_and(|top| top.len() <= 1) {
            self.levels.pop();
        }
    }

    /// Offers members by weight; evenly if none has any. While the draw goes on, what was drawn has no weight.
    pub(super) fn select(&mut self, draw: &mut Draw<'_>) {
        if self.total == 0 {
            // Leaves without weight may change places without a change to the sums.
            draw_evenly(&mut self.leaves, |leaf| leaf.member, draw);
            return;
        }
        self.drawn.clear();
        while !draw.is_done() && self.total > 0 {
            let point = draw.rng().random_range(0..self.total);
            let Some((place, leaf)) = self.leaf_at(point) else { break };
            if !draw.offer(leaf.member) || draw.is_done() {
                break;
            }
            self.drawn.push((place, leaf.weight));
            self.set_weight(place, 0);
        }
        while let Some((place, weight)) = self.drawn.pop() {
            self.set_weight(place, weight);
        }
    }

    /// The leaf whose weight covers the point, all weights laid end to end.
    fn leaf_at(&self, mut point: u64) -> Option<(usize, Leaf)> {
        let mut place = 0;
        for level in self.levels.iter().rev() {
            let sums = level.iter().skip(place).take(FAN_OUT).copied();
            place = (place + covering(sums, &mut point)) * FAN_OUT;
        }
        let weights = self.leaves.iter().skip(place).take(FAN_OUT).map(|leaf| u64::from(leaf.weight));
        place += covering(weights, &mut point);
        Some((place, *self.leaves.get(place)?))
    }

    fn set_weight(&mut self, place: usize, weight: u32) {
        if let Some(leaf) = self.leaves.get_mut(place) {
            let old = std::mem::replace(&mut leaf.weight, weight);
            self.change(place, old, weight);
        }
    }

    /// Changes the sums for a leaf whose weight was `old` and is `new`.
    fn change(&mut self, place: usize, old: u32, new: u32) {
        let change = u64::from(new).wrapping_sub(u64::from(old));
        self.total = self.total.wrapping_add(change);
        let mut node = place;
        for level in &mut self.levels {
            node /= FAN_OUT;
            if let Some(sum) = level.get_mut(node) {
                *sum = sum.wrapping_add(change);
            }
        }
    }
}

/// Which of the weights, laid end to end, covers the point; makes the point one within that weight.
fn covering(weights: impl Iterator<Item = u64>, point: &mut u64) -> usize {
    let mut index = 0;
    for weight in weights {
        if *point < weight {
            break;
        }
        *point -= weight;
        index += 1;
    }
    index
}
