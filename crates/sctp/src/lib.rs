//! SCTP as the kernel has it, for tokio: messages instead of bytes, several addresses at both ends, several streams.
//!
//! * [`SctpSocket`] is a one-to-many socket: one port, any number of associations, taken and opened.
//! * [`SctpStream`] is one association with a socket of its own; [`SctpListener`] accepts them.
//! * [`Association`] is one association of either: its addresses, paths, settings and state.
//! * What is received is a [`Received`]: a [`Message`] with its [`RecvInfo`], or a [`Notification`] of what happened to an
//!   association.
//! * [`SocketConfig`] has the options, with the defaults of RFC 9260 and RFC 6458.
//!
//! Names are those of RFC 6458, the sockets API for SCTP. Sending waits while the send buffer is full; all futures can be
//! dropped without loss; a message comes whole, up to a limit, or not at all.
//!
//! This crate works on Linux (5.0 or later) with the `sctp` module. Where the kernel has no SCTP, opening a socket fails with
//! [`Error::Unsupported`]. On other platforms the crate is empty.
//!
//! ```no_run
//! use rserpool_sctp::{Received, SctpSocket, SendInfo, SocketConfig};
//!
//! # async fn example() -> Result<(), rserpool_sctp::Error> {
//! let socket = SctpSocket::bind(&["0.0.0.0:0".parse().unwrap()], &SocketConfig::default())?;
//! // Opens an association, and sends the message as soon as it is up.
//! socket.send_to("10.1.0.1:7".parse().unwrap(), &SendInfo::new(0), b"echo").await?;
//! let answer = loop {
//!     match socket.recv().await? {
//!         Received::Message(message) => break message,
//!         other => println!("{other:?}"),
//!     }
//! };
//! socket.shutdown(answer.assoc)?;
//! # Ok(())
//! # }
//! ```
#![deny(unsafe_op_in_unsafe_fn)]
#![deny(missing_docs)]
#![cfg_attr(
    not(target_os = "linux"),
    allow(rustdoc::broken_intra_doc_links, reason = "the crate is empty on this platform")
)]

#[cfg(target_os = "linux")]
mod address;
#[cfg(target_os = "linux")]
mod assembly;
#[cfg(target_os = "linux")]
mod association;
#[cfg(target_os = "linux")]
mod bundle;
#[cfg(target_os = "linux")]
mod config;
#[cfg(target_os = "linux")]
mod descriptor;
#[cfg(target_os = "linux")]
mod error;
#[cfg(target_os = "linux")]
mod listener;
#[cfg(target_os = "linux")]
mod message;
#[cfg(target_os = "linux")]
mod notification;
#[cfg(target_os = "linux")]
mod options;
#[cfg(target_os = "linux")]
mod socket;
#[cfg(target_os = "linux")]
mod stream;
#[cfg(target_os = "linux")]
#[allow(
    unsafe_code,
    reason = "the system calls of SCTP are in no library; the rest of the crate has no unsafe code"
)]
mod sys;

#[cfg(target_os = "linux")]
pub use self::{
    association::Association,
    config::{ConfigError, SocketConfig},
    error::Error,
    listener::SctpListener,
    message::{AssocId, Message, Received, RecvInfo, SendInfo},
    notification::{AssocChange, AssocState, Notification, PeerAddrState, SendFailed},
    options::{AssocParams, LifeState, PathInfo, PathParams, PathState, RtoInfo, Status},
    socket::SctpSocket,
    stream::SctpStream,
};

/// Has the example of the README compiled.
#[cfg(all(doctest, target_os = "linux"))]
#[doc = include_str!("../README.md")]
struct Readme;
