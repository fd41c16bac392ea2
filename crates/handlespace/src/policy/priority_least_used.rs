//! Priority Least Used (RFC 5356 §5.3): the lowest load after one more user first.
use rserpool_wire::Policy;

use super::ranking::{Ranking, Value};

pub(super) type PriorityLeastUsed = Ranking<LowestLoadToCome>;

#[derive(Debug)]
pub(super) enum LowestLoadToCome {}

impl Value for LowestLoadToCome {
    fn of(values: &Policy) -> (u64, u32) {
        match values {
            // The sum may exceed full load, but not 64 bits: elements beyond full load have an order too.
            Policy::PriorityLeastUsed { load, degradation } => {
                (u64::from(load.0) + u64::from(degradation.0), 0)
            }
            _ => (0, 0),
        }
    }
}
