//! (head comes last)
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod authorization;
mod config;
mod core;
mod event;
mod limits;
mod links;
mod peers;
mod registrar;
mod service;
mod statistics;

pub use authorization::{Action, AllowAll, Authorization, Requester};
pub use config::{ConfigError, RegistrarConfig, RegistrarTimers};
pub use event::{Fault, PeerDownReason, RegistrarEvent, RemovalReason, TakeoverAbortReason};
pub use limits::RegistrarLimits;
pub use peers::{PeerState, PeerStatus};
pub use registrar::RegistrarMachine;
pub use statistics::Statistics;
