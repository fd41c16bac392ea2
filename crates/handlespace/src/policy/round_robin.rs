//! Round Robin (RFC 5356 §4.1): a circular list, and its head, which advances by one per resolution.
use rserpool_wire::Policy;

use super::{Draw, Member, Places, Selection};

/// The circular list. Its nodes lie close together in any order; newcomers join it just before the head.
#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    nodes: Vec<Node>,
    head: usize,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    member: Member,
    previous: u32,
    next: u32,
}

impl Selection for RoundRobin {
    fn insert(&mut self, member: Member, _: &Policy, places: &mut Places) {
        let new = self.nodes.len();
        let next = if new == 0 { new } else { self.head };
        let previous = self.nodes.get(next).map_or(new, |node| node.previous as usize);
        self.nodes.push(Node { member, previous: previous as u32, next: next as u32 });
        places.set(member, new);
        self.join(previous, new);
        self.join(new, next);
    }

    fn update(&mut self, _: Member, _: &Policy, _: &mut Places) {}

    fn remove(&mut self, member: Member, places: &mut Places) {
        let place = places.of(member);
        let Some(node) = self.nodes.get(place).copied() else { return };
        self.join(node.previous as usize, node.next as usize);
        if self.head == place {
            self.head = node.next as usize;
        }
        self.nodes.swap_remove(place);
        // The last node has moved to the free place.
        let last = self.nodes.len();
        if let Some(moved) = self.nodes.get(place).copied() {
            places.set(moved.member, place);
            let elsewhere =
                |neighbour: u32| if neighbour as usize == last { place } else { neighbour as usize };
            self.join(elsewhere(moved.previous), place);
            self.join(place, elsewhere(moved.next));
        }
        if self.head == last {
            self.head = place;
        }
    }

    fn select(&mut self, draw: &mut Draw<'_>) {
        let mut place = self.head;
        for _ in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(place).copied() else { return };
            if draw.is_done() || !draw.offer(node.member) {
                return;
            }
            if place == self.head && draw.taken() == 1 {
                self.head = node.next as usize;
            }
            place = node.next as usize;
        }
    }
}

impl RoundRobin {
    fn join(&mut self, previous: usize, next: usize) {
        if let Some(node) = self.nodes.get_mut(previous) {
            node.next = next as u32;
        }
        if let Some(node) = self.nodes.get_mut(next) {
            node.previous = previous as u32;
        }
    }
}
