//! Least Used with Degradation (RFC 5356 §5.2): the lowest load first, each selection since the last registration
//! counting as load. The sum of load and degradation has 64 bits: far beyond full load there is an order still.
use rserpool_wire::Policy;

use super::ranking::{Ranking, Value};

pub(super) type LeastUsedDegradation = Ranking<LowestDegradedLoad>;

#[derive(Debug)]
pub(super) enum LowestDegradedLoad {}

impl Value for LowestDegradedLoad {
    fn of(values: &Policy) -> (u64, u32) {
        match values {
            Policy::LeastUsedDegradation { load, degradation } => (u64::from(load.0), degradation.0),
            _ => (0, 0),
        }
    }
}
