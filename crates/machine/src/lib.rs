//! The contract between the RSerPool protocol machines and whatever drives them.
//!
//! A [`Machine`] performs no I/O. It has no socket, no clock and no randomness but what it was seeded with: links, bytes
//! and time come in, bytes to send and events come out. The same machine runs on tokio, in a deterministic simulator, under
//! a fuzzer or in an event loop of your own.
//!
//! # The loop
//!
//! ```
//! use std::time::Instant;
//! use rserpool_machine::{Input, Machine, Output};
//!
//! /// Feeds one input, and gives every output to `perform`. Returns when to call `handle_timeout` next.
//! fn step<M: Machine>(
//!     machine: &mut M,
//!     now: Instant,
//!     input: Input<'_>,
//!     mut perform: impl FnMut(Output<M::Event>),
//! ) -> Option<Instant> {
//!     machine.handle_input(now, input);
//!     while let Some(output) = machine.poll_output() {
//!         perform(output);
//!     }
//!     machine.poll_timeout()
//! }
//! ```
//!
//! # Links
//!
//! A link carries whole messages in both directions, in order, until it breaks: a TCP connection, an SCTP association, a
//! multicast group. The driver opens a link when a machine asks for it ([`Output::Connect`]) or when somebody connects to
//! one of its listeners; both kinds are announced by [`Input::LinkUp`] and end with exactly one [`Input::LinkDown`], also
//! when connecting failed and when the machine itself asked for the end ([`Output::Disconnect`]).
//! A machine may transmit on a link that it asked for before it is up: the driver holds such bytes back.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod contract;
mod endpoint;
mod rate;
mod timers;

pub use contract::{DownReason, Input, LinkId, LinkKind, Machine, Output, PeerIdentity, Protocol};
pub use endpoint::{Authority, Endpoint, Host, ParseEndpointError, Scheme};
pub use rate::Rate;
pub use timers::Timers;
