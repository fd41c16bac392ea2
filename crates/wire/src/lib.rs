//! The messages and parameters of Reliable Server Pooling: bytes to typed values and back.
//!
//! This crate knows every message of ASAP ([RFC 5352] §2) and ENRP ([RFC 5353] §2), their common parameters
//! ([RFC 5354]) and the pool member selection policies ([RFC 5356]). It performs no I/O and holds no state.
//!
//! * **Decoding** ([`asap::decode`], [`enrp::decode`]) takes exactly one message. It borrows handles, cookies and error
//!   information from the input, never panics, allocates in proportion to what is really there, and applies the two
//!   action bits of unknown messages and parameters. A [`DecodeError`] says the offset, the reason and, by
//!   [`DecodeError::cause`], the error cause that the RFCs want as an answer.
//! * **Encoding** ([`asap::Message::encode`], [`enrp::Message::encode`]) appends to a caller's buffer in one pass and
//!   leaves the buffer as it was when a 16-bit length would overflow.
//! * **Dialects** ([`Dialect`]): the RFCs, or the reference implementation's deviations from them.
//!
//! ```
//! use bytes::BytesMut;
//! use rserpool_wire::{Dialect, PoolHandle, asap};
//!
//! let request = asap::HandleResolution { pool_handle: PoolHandle::from("echo"), subscribe: false, items: None };
//! let mut buffer = BytesMut::new();
//! asap::Message::from(request).encode(Dialect::Rfc, &mut buffer)?;
//! assert_eq!(&buffer[..], b"\x05\x00\x00\x0c\x00\x09\x00\x08echo");
//!
//! let decoded = asap::decode(&buffer, Dialect::Rfc)?;
//! assert!(matches!(decoded.message, asap::Message::HandleResolution(r) if r.pool_handle == "echo"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [RFC 5352]: https://www.rfc-editor.org/rfc/rfc5352
//! [RFC 5353]: https://www.rfc-editor.org/rfc/rfc5353
//! [RFC 5354]: https://www.rfc-editor.org/rfc/rfc5354
//! [RFC 5356]: https://www.rfc-editor.org/rfc/rfc5356
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod asap;
mod cause;
mod dialect;
mod element;
pub mod enrp;
mod error;
mod frame;
mod handle;
mod identifier;
mod owner;
mod parameter;
mod policy;
mod reader;
mod transport;
mod writer;

pub use cause::{CauseCode, ErrorCause, OperationError};
pub use dialect::Dialect;
pub use element::{EncodedElement, PoolElement, RegistrationLife, ServerInformation};
pub use error::{DecodeError, DecodeReason, Decoded, EncodeError};
pub use frame::{HEADER_LENGTH, MAX_MESSAGE_LENGTH, frame_length};
pub use handle::PoolHandle;
pub use identifier::{PeIdentifier, ServerId};
pub use owner::ElementOwner;
pub use parameter::{ParameterType, UnknownAction};
pub use policy::{Load, ParsePolicyError, Policy, PolicyType};
pub use transport::{Transport, TransportKind, TransportUse};
