//! (in progress)
#![forbid(unsafe_code)]
mod cache;
mod channel;
mod config;
mod element;
mod events;
mod fault;
mod hunt;
mod user;
pub use user::*;
pub use config::*;
pub use element::*;
pub use events::*;
pub use fault::{Fault, Statistics};
