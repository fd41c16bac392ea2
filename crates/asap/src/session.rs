//! The session between a pool user and a pool element (RFC 5352 §3.8, §3.9): data, and a control channel of cookies
//! and business cards, over one connection. Performs no I/O.
//!
//! Over SCTP, the payload protocol identifier keeps control messages and data apart. Over TCP, where a mapping
//! never became an RFC, everything is framed ([`FrameCodec`]): payload protocol identifier and length, 32 bits
//! each, big-endian, then the payload.
//!
//! [`UserSession`] and [`ElementSession`] say what to send first on a new connection, and understand what comes
//! over the control channel. Data that was not acknowledged when an element failed is the application's matter.
//!
//! ```
//! use bytes::BytesMut;
//! use rserpool_asap::session::{ElementSession, FrameCodec, PayloadProtocol, UserSession};
//! use rserpool_wire::{Dialect, PoolHandle};
//!
//! let (codec, mut wire) = (FrameCodec::default(), BytesMut::new());
//! let element = ElementSession::new(Dialect::Rfc, PoolHandle::from("echo"));
//! codec.encode(PayloadProtocol::ASAP, &element.cookie(b"balance=7")?, &mut wire)?;
//!
//! let mut user = UserSession::new(Dialect::Rfc);
//! let frame = codec.decode(&mut wire)?.expect("a whole frame");
//! user.handle_control(&frame.payload);
//! // The element fails: the next one gets its last cookie before anything else.
//! assert_eq!(user.opening().len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
mod control;
mod element;
mod frame;
mod user;

pub use control::ControlFault;
pub use element::{ElementControl, ElementSession};
pub use frame::{Frame, FrameCodec, FrameError, PayloadProtocol};
pub use user::{UserControl, UserSession};
