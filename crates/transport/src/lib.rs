//! Links for RSerPool on tokio: whole ASAP and ENRP messages in both directions, and who is at the other end.
//!
//! * [`Listener`] and [`connect`] give a [`Link`]; [`Link::split`] makes a [`LinkReader`] and a [`LinkWriter`] of it.
//! * [`LinkReader::fill`] reads what is there with one system call, [`LinkReader::next_message`] yields message after
//!   message of it.
//! * [`SendQueue`] takes messages from any task without waiting. What is queued goes out together, with one system call:
//!   at once by [`SendQueue::try_flush`], or from [`LinkWriter::run`] once the socket has room.
//! * [`Multicast`] is membership in a multicast group.
//! * [`TlsListener`] and [`TlsStream`] are for what is no link: an application's own protocol, secured as links are.
//!
//! Everything is bounded by [`LinkConfig`]: the size of a message, the time to connect, the silence on a link, and the
//! bytes queued for somebody who does not read them.
//!
//! Built in are TCP and SCTP (Linux), and TLS over either. Over TCP, and inside TLS, messages are framed by their length field;
//! plain SCTP has messages of its own. Nothing in the interface is about a transport: [`Endpoint`](rserpool_machine::Endpoint)s
//! name it.
//!
//! ```
//! # use bytes::Bytes;
//! # use rserpool_transport::{LinkConfig, Listener, TransportError, connect};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = LinkConfig::default();
//! let listener = Listener::bind(&"tcp://127.0.0.1:0".parse()?, &config).await?;
//!
//! let (_, writer) = connect(listener.local_endpoint(), &config).await?.split();
//! let queue = writer.queue();
//! let writing = tokio::spawn(writer.run());
//! queue.push(Bytes::from_static(b"\x05\x00\x00\x0c\x00\x09\x00\x08echo"))?;
//! queue.close();
//!
//! let (mut reader, _) = listener.accept().await?.split();
//! while reader.fill().await? {
//!     while let Some(message) = reader.next_message()? {
//!         assert_eq!(message, b"\x05\x00\x00\x0c\x00\x09\x00\x08echo");
//!     }
//! }
//! writing.await??;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod config;
mod connect;
mod connection;
mod error;
mod framing;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod link;
mod listener;
mod multicast;
mod queue;
#[cfg(target_os = "linux")]
mod sctp;
mod stream;
#[cfg(feature = "tls")]
mod tls;

pub use config::{ConfigError, KeepAlive, LinkConfig, SctpTimers};
pub use connect::{connect, connect_to};
pub use error::TransportError;
pub use link::{Link, LinkReader};
pub use listener::Listener;
pub use multicast::{Interface, Multicast, MulticastConfig};
pub use queue::{LinkWriter, QueueFull, SendQueue};
/// For [`ClientSecurity::Rustls`] and [`ServerCertificate::Rustls`].
#[cfg(feature = "tls")]
pub use rustls;
#[cfg(feature = "tls")]
pub use tls::{
    ClientCertificates, ClientSecurity, HandshakeError, Security, SecurityConfig, SecurityError,
    ServerCertificate, ServerSecurity, TlsIdentity, TlsListener, TlsRoots, TlsStream,
};
#[cfg(feature = "psk")]
pub use tls::{PreSharedKey, PskStore, PskTable};
