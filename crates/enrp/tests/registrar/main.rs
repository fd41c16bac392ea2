//! The registrar machine as others see it, one file per part of the RFCs.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

mod arbitrary_input;
mod audit;
mod bad_input;
mod disorder;
mod keep_alive;
mod limits;
mod owners_told;
mod ownership;
mod presence;
mod registration;
mod resolution;
mod shutdown;
mod startup;
mod support;
mod takeover;
mod unreachable;
mod updates;
