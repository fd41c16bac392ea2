//! Failures on real kernels: registrars, elements and users are processes on hosts of a laboratory ([`rserpool_interop`]),
//! over TCP, and what fails is real: cables, packets, addresses, processes.
//!
//! * [`Site`] starts them, and knows where they are.
//! * [`Handlespace`] is what a registrar says that it has; a site waits until all of its registrars say the same.
//! * [`Caller`] is a user that asks all the time, and the log of what it was answered, and when.
//!
//! * [`Soak`] lets elements come and go on a bad network for long, and looks for what grows.
//!
//! The tests hold what must be true whatever fails; the programs `failover` and `soak` measure.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![allow(
    clippy::disallowed_methods,
    reason = "the clock is banned from the crates without I/O; this one is all I/O"
)]

mod caller;
mod handlespace;
mod site;
mod soak;
mod vitals;

pub use caller::{Answer, Caller, Log};
pub use handlespace::Handlespace;
pub use site::{Site, Timers};
pub use soak::{Soak, Soaked};
pub use vitals::Vitals;
