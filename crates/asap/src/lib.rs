//! The pool element and the pool user of Reliable Server Pooling: Aggregate Server Access Protocol, [RFC 5352].
//!
//! * [`ElementMachine`] keeps elements registered at a home registrar: through its death, its silence, its
//!   hand-over to another one, and network cuts.
//! * [`UserMachine`] resolves pool handles, keeps the answers, selects elements from them by the policy of the pool,
//!   subscribes to pools, and reports elements that cannot be reached.
//! * [`session`] is what users and elements say to each other: data, cookies and business cards.
//!
//! Both machines are [`Machine`](rserpool_machine::Machine)s: they perform no I/O, read no clock and use no
//! randomness but what they are seeded with. Time, links and bytes come in; bytes to send, links to open and events
//! come out. Both hunt for a home registrar from the start (§3.6): up to three at once, in rounds that become
//! longer, for ever.
//!
//! What registrars get wrong is answered where the RFC wants an answer, counted in [`Statistics`], and reported as
//! an event at a bounded rate; it never stops a machine.
//!
//! [RFC 5352]: https://www.rfc-editor.org/rfc/rfc5352
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod cache;
mod channel;
mod config;
mod element;
mod events;
mod fault;
mod hunt;
pub mod session;
mod user;

pub use config::{AsapTimers, ConfigError, ElementConfig, UserConfig};
pub use element::{ElementMachine, ElementRegistration, RegisterError, RegistrationId, SetPolicyError};
pub use events::{DeregistrationOutcome, ElementEvent, HomeLoss, PoolChange, UserEvent};
pub use fault::{Fault, Statistics};
pub use user::{Freshness, RequestId, ResolveError, SubscribeError, UserMachine};
