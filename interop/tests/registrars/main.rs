//! Registrars of both implementations in one operational scope: joining in any order, agreeing on the handlespace, taking
//! over from each other, and coming together again after a partition. One file per theme.
//!
//! Hosts 1 to 3 have registrars, host 4 and 5 elements, host 6 users and those who look.
#![allow(clippy::disallowed_methods, reason = "tests of real processes wait in real time")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod joining;
mod members;
mod partition;
mod table;
mod takeover;
mod users;
