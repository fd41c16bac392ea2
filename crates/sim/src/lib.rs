//! A deterministic world for the RSerPool machines: any number of registrars, elements and users on virtual time, and a
//! network that fails on purpose.
//!
//! A [`Scenario`] says who is there and what goes wrong. Running it with a seed gives the same run each time, in which
//! [invariants](at_rest) are checked at every step and once all has settled. A run that fails prints its seed and the
//! fewest faults that it takes:
//!
//! ```
//! use std::time::Duration;
//! use rserpool_sim::{Disturbance, Scenario, Settings};
//!
//! let scenario = Scenario::new("a_registrar_dies", Settings::fast());
//! let node = scenario.registrar(1);
//! let scenario = scenario.fault(Duration::from_secs(2), Duration::ZERO, Disturbance::Death { node, silent: true });
//! let report = scenario.run(7).expect("the others take over, and users hardly notice");
//! assert!(report.served > 0);
//! ```
//!
//! The world knows nothing of the protocols: it carries bytes between the machines of `rserpool-enrp` and `rserpool-asap`
//! as the driver of `rserpool` does, with the kernels of two hosts between them. What is cut off waits and is sent again,
//! links break when it takes too long, and each end learns of it in its own time.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod calls;
mod clock;
mod explore;
mod fault;
mod faults;
mod history;
mod invariants;
mod links;
mod network;
mod node;
mod pace;
mod processes;
mod random;
mod registrars;
mod scenario;
mod shrink;
mod user;
mod wire;
mod world;

pub use explore::{Arbitration, Explored, Step};
pub use fault::{Disturbance, Fault, NodeId};
pub use invariants::{Violation, at_rest, users_are_served};
pub use network::Weather;
pub use node::Traffic;
pub use pace::Pace;
pub use processes::service_transport;
pub use random::random_scenario;
pub use scenario::{Failure, Report, Scenario, replayed_seed};
pub use world::{Settings, World};
