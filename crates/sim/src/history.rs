//! What really happened: who lived when, and since when nothing has disturbed whom. Invariants compare what machines
//! believe with this.
use std::collections::BTreeMap;
use std::time::Duration;

use rserpool_wire::{PeIdentifier, PoolHandle, ServerId};

use crate::fault::{Disturbance, Fault, NodeId};
use crate::node::Element;

/// Whether something is disturbed, or since when it is not.
#[derive(Clone, Copy, Debug, Default)]
struct Calm {
    disturbances: u32,
    since: Duration,
}

/// One element in one pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) node: NodeId,
    pub(crate) since: Duration,
    /// When it ended.
    pub(crate) gone: Option<Duration>,
}

/// A take-over that was completed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completed {
    pub(crate) by: NodeId,
    pub(crate) at: Duration,
}

/// Everything that is remembered.
#[derive(Debug, Default)]
pub(crate) struct History {
    nodes: Vec<Calm>,
    everywhere: Calm,
    pub(crate) lives: BTreeMap<(PoolHandle<'static>, PeIdentifier), Life>,
    pub(crate) takeovers: BTreeMap<ServerId, Vec<Completed>>,
}

impl History {
    pub(crate) fn add_node(&mut self) {
        self.nodes.push(Calm::default());
    }

    /// Since when nothing has disturbed these nodes; `None` if something does.
    pub(crate) fn calm_since(&self, nodes: impl IntoIterator<Item = NodeId>) -> Option<Duration> {
        let of_nodes = nodes.into_iter().filter_map(|node| self.nodes.get(node.0 as usize));
        let mut since = Duration::ZERO;
        for calm in of_nodes.chain([&self.everywhere]) {
            if calm.disturbances > 0 {
                return None;
            }
            since = since.max(calm.since);
        }
        Some(since)
    }

    /// Since when nothing has disturbed anybody; `None` if something does.
    pub(crate) fn all_calm_since(&self) -> Option<Duration> {
        self.calm_since((0..self.nodes.len() as u32).map(NodeId))
    }

    pub(crate) fn disturb(&mut self, fault: &Fault, now: Duration) {
        self.each(fault, |calm| {
            calm.disturbances += 1;
            calm.since = now;
        });
    }

    pub(crate) fn calm_down(&mut self, fault: &Fault, now: Duration) {
        self.each(fault, |calm| {
            calm.disturbances = calm.disturbances.saturating_sub(1);
            calm.since = now;
        });
    }

    /// A process started: that disturbs it, too.
    pub(crate) fn started(&mut self, node: NodeId, now: Duration) {
        if let Some(calm) = self.nodes.get_mut(node.0 as usize) {
            calm.since = now;
        }
    }

    pub(crate) fn joined(&mut self, node: NodeId, now: Duration, element: Option<&Element>) {
        for (_, values) in element.iter().flat_map(|element| &element.registrations) {
            let name = (values.pool_handle.clone(), values.identifier);
            self.lives.insert(name, Life { node, since: now, gone: None });
        }
    }

    /// A process ended: whatever elements it was are no more.
    pub(crate) fn left(&mut self, node: NodeId, now: Duration) {
        if let Some(calm) = self.nodes.get_mut(node.0 as usize) {
            calm.since = now;
        }
        for life in self.lives.values_mut().filter(|life| life.node == node && life.gone.is_none()) {
            life.gone = Some(now);
        }
    }

    fn each(&mut self, fault: &Fault, mut act: impl FnMut(&mut Calm)) {
        let mut of = |node: &NodeId| {
            if let Some(calm) = self.nodes.get_mut(node.0 as usize) {
                act(calm);
            }
        };
        match &fault.what {
            Disturbance::Crash { node, .. }
            | Disturbance::PowerLoss { node, .. }
            | Disturbance::Death { node, .. }
            | Disturbance::Leave { node }
            | Disturbance::Pause { node }
            | Disturbance::Slow { node, .. }
            | Disturbance::Drift { node, .. } => of(node),
            Disturbance::Cut { from, to, .. } => from.iter().chain(to).for_each(of),
            Disturbance::Reset { a, b } => [a, b].into_iter().for_each(of),
            Disturbance::Loss { .. } | Disturbance::Delay { .. } | Disturbance::Disorder => {
                act(&mut self.everywhere);
            }
        }
    }
}
