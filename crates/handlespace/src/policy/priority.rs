//! Priority (RFC 5356 §4.5): the highest priority first.
use rserpool_wire::Policy;

use super::ranking::{Ranking, Value};

pub(super) type Priority = Ranking<HighestPriority>;

#[derive(Debug)]
pub(super) enum HighestPriority {}

impl Value for HighestPriority {
    fn of(values: &Policy) -> (u64, u32) {
        match values {
            Policy::Priority { priority } => (u64::from(u32::MAX - priority), 0),
            _ => (0, 0),
        }
    }
}
