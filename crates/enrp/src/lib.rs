//! The registrar of Reliable Server Pooling (ENRP server, [RFC 5353]) as a sans-IO machine.
//!
//! A [`RegistrarMachine`] keeps a copy of the handlespace in step with other registrars over ENRP, watches the elements
//! that it owns, takes over those of a registrar that dies, and answers elements and users over ASAP ([RFC 5352]). It has
//! no socket, no clock and no randomness but its seed: see [`rserpool_machine`] for the contract.
//!
//! # Driving it
//!
//! Besides the loop that is common to all machines, a driver of a registrar
//! * listens for ASAP and ENRP links and hands each over as [`Input::LinkUp`](rserpool_machine::Input::LinkUp) with its
//!   protocol. Links of elements and users that come before [`RegistrarEvent::Ready`] are closed again, so it is as well
//!   to listen for them only then;
//! * joins the multicast groups, if there are any, and hands each over as a link of
//!   [`LinkKind::Multicast`](rserpool_machine::LinkKind::Multicast): server announcements go to ASAP groups, presences to
//!   ENRP groups;
//! * calls [`RegistrarMachine::shutdown`] before it ends, and waits for [`RegistrarEvent::Drained`].
//!
//! ```
//! use std::time::Instant;
//! use rserpool_enrp::{RegistrarConfig, RegistrarEvent, RegistrarMachine};
//! use rserpool_machine::{Machine, Output};
//! use rserpool_wire::ServerId;
//!
//! let mut config = RegistrarConfig::new(ServerId(0x1234_5678));
//! config.asap.push("tcp://192.0.2.1:3863".parse()?);
//! let mut registrar = RegistrarMachine::new(config, 42, Instant::now())?;
//!
//! // Nobody else is configured: it is alone in its scope, and ready at once.
//! assert_eq!(registrar.poll_output(), Some(Output::Event(RegistrarEvent::Ready)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Who may do what
//!
//! In a secured scope, an [`Authorization`] ties the identities that links have proved to pools, elements and server
//! identifiers.
//!
//! [RFC 5352]: https://www.rfc-editor.org/rfc/rfc5352
//! [RFC 5353]: https://www.rfc-editor.org/rfc/rfc5353
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod authorization;
mod config;
mod core;
mod event;
mod limits;
mod links;
mod owners;
mod pause;
mod peers;
mod refusal;
mod registrar;
mod service;
mod statistics;

#[cfg(feature = "policy-file")]
pub use authorization::PolicyError;
pub use authorization::{
    AccessPolicy, Action, AddressRange, AllowAll, AuthenticatedOnly, Authorization, Grant,
    ParseAddressRangeError, PoolPattern, Quota, Requester, Resolvers,
};
pub use config::{ConfigError, RegistrarConfig, RegistrarTimers};
pub use event::{Fault, PeerDownReason, RegistrarEvent, RemovalReason, TakeoverAbortReason};
pub use limits::RegistrarLimits;
pub use peers::{PeerState, PeerStatus};
pub use refusal::{Refusal, Refusals};
pub use registrar::RegistrarMachine;
pub use statistics::Statistics;
