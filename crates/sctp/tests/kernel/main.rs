//! What the crate does with a real kernel. Where it has no SCTP, these tests are skipped, and say so; see the README for how
//! to run them on any machine.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod associations;
mod failures;
mod messages;
mod multihoming;
mod settings;
mod streams;
mod support;
