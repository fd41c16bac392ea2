//! Faults begin and end.
use rand::RngExt;
use rserpool_wire::ServerId;

use crate::fault::{Disturbance, Fault, NodeId};
use crate::node::Blueprint;
use crate::world::{Event, World};

impl World {
    pub(crate) fn fault_begins(&mut self, index: usize) {
        let Some(fault) = self.faults.get(index).cloned() else { return };
        let now = self.now;
        self.note(|| format!("-- {fault}"));
        self.history.disturb(&fault, now);
        if !fault.what.is_instant() {
            self.happens_at(fault.end().max(now), Event::FaultEnds(index));
        }
        self.begin(fault);
        if self.faults.get(index).is_some_and(|fault| fault.what.is_instant()) {
            self.calm_down(index);
        }
    }

    fn begin(&mut self, fault: Fault) {
        match fault.what {
            Disturbance::Crash { node, .. } => self.stop(node, false),
            Disturbance::PowerLoss { node, .. } => self.lose_power(node),
            Disturbance::Death { node, silent } => {
                if let Some(node) = self.node_mut(node) {
                    node.dead = true;
                }
                if silent { self.lose_power(node) } else { self.stop(node, false) }
            }
            Disturbance::Leave { node } => self.leave(node),
            Disturbance::Pause { node } => {
                if let Some(node) = self.node_mut(node) {
                    node.pauses += 1;
                }
            }
            Disturbance::Slow { node, each } => {
                if let Some(node) = self.node_mut(node) {
                    node.slowness = each;
                }
            }
            Disturbance::Drift { node, percent } => self.run_clock(node, percent),
            Disturbance::Cut { from, to, both } => {
                self.ways(&from, &to, both, |world, a, b| world.network.cut(a, b));
                self.ways(&from, &to, true, Self::way_cut);
            }
            Disturbance::Reset { a, b } => {
                for (id, side) in self.wires_between(a, b) {
                    self.fail(id, side, "reset");
                    self.fail(id, side.other(), "reset");
                }
            }
            Disturbance::Loss { percent } => self.network.losses.push(percent),
            Disturbance::Delay { times } => self.network.delays.push(times),
            Disturbance::Disorder => self.network.disorders += 1,
        }
    }

    pub(crate) fn fault_ends(&mut self, index: usize) {
        let Some(fault) = self.faults.get(index).cloned() else { return };
        self.note(|| format!("-- over: {fault}"));
        match fault.what {
            Disturbance::Crash { node, same_identifier } => self.come_back(node, same_identifier),
            Disturbance::PowerLoss { node, .. } if self.node(node).is_none_or(|node| node.dead) => {}
            Disturbance::PowerLoss { node, same_identifier } => {
                self.network.switch_power(node, true);
                for other in self.node_ids() {
                    self.way_open(node, other);
                }
                self.come_back(node, same_identifier);
            }
            Disturbance::Leave { node } => {
                // Should it still be at it, it is ended.
                self.stop(node, false);
                self.come_back(node, false);
            }
            Disturbance::Pause { node } => self.resume(node),
            Disturbance::Slow { node, .. } => {
                if let Some(node) = self.node_mut(node) {
                    node.slowness = std::time::Duration::ZERO;
                }
            }
            Disturbance::Drift { node, .. } => self.run_clock(node, 100),
            Disturbance::Cut { from, to, both } => {
                self.ways(&from, &to, both, |world, a, b| world.network.heal(a, b));
                self.ways(&from, &to, false, Self::way_open);
            }
            Disturbance::Loss { percent } => remove(&mut self.network.losses, percent),
            Disturbance::Delay { times } => remove(&mut self.network.delays, times),
            Disturbance::Disorder => self.network.disorders = self.network.disorders.saturating_sub(1),
            Disturbance::Reset { .. } | Disturbance::Death { .. } => {}
        }
        self.calm_down(index);
    }

    fn lose_power(&mut self, node: NodeId) {
        self.network.switch_power(node, false);
        self.stop(node, true);
    }

    fn calm_down(&mut self, index: usize) {
        if let Some(fault) = self.faults.get(index) {
            self.history.calm_down(fault, self.now);
        }
    }

    fn ways(
        &mut self,
        from: &[NodeId],
        to: &[NodeId],
        both: bool,
        mut act: impl FnMut(&mut Self, NodeId, NodeId),
    ) {
        for a in from {
            for b in to {
                act(self, *a, *b);
                if both {
                    act(self, *b, *a);
                }
            }
        }
    }

    fn come_back(&mut self, node: NodeId, same_identifier: bool) {
        let fresh = ServerId(self.rng.random_range(1..u32::MAX));
        if self.node(node).is_none_or(|node| node.dead) {
            return;
        }
        if let Some(Blueprint::Registrar { server }) = self.node_mut(node).map(|node| &mut node.blueprint)
            && !same_identifier
        {
            *server = fresh;
        }
        self.start(node);
    }

    /// A process that stood still goes on: what lies waiting and what is due come in either order.
    fn resume(&mut self, id: NodeId) {
        let timers_first = self.rng.random_bool(0.5);
        let now = self.now;
        let Some(node) = self.node_mut(id) else { return };
        node.pauses = node.pauses.saturating_sub(1);
        if node.pauses > 0 {
            return;
        }
        node.wake = Some(now);
        if timers_first {
            self.happens_at(now, Event::Wake(id));
            self.happens_at(now, Event::Serve(id));
        } else {
            self.happens_at(now, Event::Serve(id));
            self.happens_at(now, Event::Wake(id));
        }
    }

    fn run_clock(&mut self, id: NodeId, percent: u32) {
        let now = self.now;
        if let Some(node) = self.node_mut(id) {
            node.clock.run_at(now, percent);
            // What was planned by the old rate is planned anew.
            node.wake = None;
        }
        self.perform(id);
    }
}

fn remove<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if let Some(at) = list.iter().position(|other| *other == item) {
        list.swap_remove(at);
    }
}
