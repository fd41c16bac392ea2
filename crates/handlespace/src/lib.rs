//! The handlespace of Reliable Server Pooling: which pools there are, which elements they have, who owns them, and
//! which of them to use next.
//!
//! A registrar keeps one [`Handlespace`]. It is the only place where the state of pools changes: registration by the
//! rules of [RFC 5352] §3.1, removal, change of ownership, expiry, mark and sweep and the checksum of [RFC 5353] §3.6,
//! and selection by the policies of [RFC 5356]. Elements are kept encoded, so that answering a resolution is copying
//! bytes. A pool user keeps a [`UserPool`] for each pool that it has resolved, and selects from that.
//!
//! This crate performs no I/O, reads no clock and draws no global randomness: times and seeds are arguments, and the same
//! calls always have the same results.
//!
//! ```
//! use rserpool_handlespace::Handlespace;
//! use rserpool_wire::{
//!     Dialect, PeIdentifier, PoolElement, PoolHandle, Policy, RegistrationLife, ServerId, Transport,
//! };
//!
//! let mut handlespace = Handlespace::new(Dialect::Rfc, 42);
//! let echo = PoolHandle::from("echo");
//! for id in 1..=3 {
//!     let element = PoolElement {
//!         identifier: PeIdentifier(id),
//!         home: ServerId(0xabcd),
//!         life: RegistrationLife::Infinite,
//!         user_transport: Transport::Tcp("192.0.2.1:7".parse()?),
//!         policy: Policy::RoundRobin,
//!         asap_transport: None,
//!     };
//!     handlespace.register(&echo, &element)?;
//! }
//!
//! let mut answer = Vec::new();
//! let selected = handlespace.resolve(b"echo", 2, |element| {
//!     answer.extend_from_slice(element.as_bytes());
//!     true
//! });
//! assert_eq!(selected, Some(2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [RFC 5352]: https://www.rfc-editor.org/rfc/rfc5352
//! [RFC 5353]: https://www.rfc-editor.org/rfc/rfc5353
//! [RFC 5356]: https://www.rfc-editor.org/rfc/rfc5356
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod checksum;
mod element;
mod error;
mod expiry;
mod handlespace;
mod heap;
mod owners;
mod part;
pub mod policy;
mod pool;
mod user_pool;

pub use element::{ElementKey, ElementView};
pub use error::RegisterError;
pub use handlespace::{Change, Handlespace, Registered};
pub use part::Cursor;
pub use pool::PoolView;
pub use user_pool::UserPool;
