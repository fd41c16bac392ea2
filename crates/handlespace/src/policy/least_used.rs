//! Least Used (RFC 5356 §5.1): the lowest load first.
use rserpool_wire::Policy;

use super::ranking::{Ranking, Value};

pub(super) type LeastUsed = Ranking<LowestLoad>;

#[derive(Debug)]
pub(super) enum LowestLoad {}

impl Value for LowestLoad {
    fn of(values: &Policy) -> (u64, u32) {
        match values {
            Policy::LeastUsed { load } => (u64::from(load.0), 0),
            _ => (0, 0),
        }
    }
}
