//! Reliable Server Pooling: services that survive the death of their servers, and of their registrars.
//!
//! Servers ([`PoolElement`]) register under a pool handle with a [`Registrar`]. Registrars replicate the table of all pools
//! among themselves, watch their elements, and take over those of a registrar that dies. Clients ([`PoolUser`]) ask any
//! registrar for a pool, get elements chosen by the pool's policy, talk to one, and go on with the next when it fails.
//!
//! | role | what to call | RFC |
//! |---|---|---|
//! | a server that others must find | [`PoolElement::builder`] | 5352 |
//! | a client that must get through | [`PoolUser::builder`], [`Pool::connect`], [`Pool::session`] | 5352 |
//! | a registrar inside your program | [`Registrar::builder`] | 5353 |
//!
//! # A server registers
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use rserpool::{Load, Policy, PoolElement};
//!
//! let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await?;
//! let element = PoolElement::builder("echo")
//!     .registrars(["tcp://127.0.0.1:3863"])
//!     .policy(Policy::LeastUsed { load: Load::ZERO })
//!     .transport(listener.local_addr()?)
//!     .register()
//!     .await?; // stays registered until dropped or deregistered
//! # drop(element); Ok(())
//! # }
//! ```
//!
//! # A client gets through
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use rserpool::PoolUser;
//!
//! let user = PoolUser::builder().registrars(["tcp://127.0.0.1:3863"]).build().await?;
//! let stream = user.pool("echo").connect().await?; // a live element, the next one when that fails
//! # drop(stream); Ok(())
//! # }
//! ```
//!
//! # Secured end to end
//!
//! Links to registrars are secured by `tls://` and `sctp+tls://` endpoints and the `security` of a builder. What users and elements
//! say to each other is secured apart, with keys and certificates of the same kind: by [`Pool::session_secured`] (or
//! [`Pool::connect_secured`], for any protocol) on one side, and by a [`TlsListener`] on the other. Each application gets to know
//! whom the other end proved to be.
//!
//! ```no_run
//! # async fn run(element: rserpool::PoolElement) -> Result<(), Box<dyn std::error::Error>> {
//! use rserpool::transport::{
//!     ClientCertificates, LinkConfig, Security, SecurityConfig, ServerCertificate, ServerSecurity, TlsIdentity, TlsRoots,
//! };
//! use rserpool::{ServiceSession, TimerProfile, TlsListener};
//!
//! // The certificate is for the pool handle, beside the names of this element.
//! let identity = TlsIdentity::read("cert.pem", "key.pem")?;
//! let clients = ClientCertificates::Optional(TlsRoots::read("ca.pem")?);
//! let certificate = Some(ServerCertificate::Identity { identity, clients });
//! let server = Some(ServerSecurity { certificate, psk: None });
//! let security = Security::new(SecurityConfig { server, client: None })?;
//!
//! let listener = tokio::net::TcpListener::bind("0.0.0.0:4711").await?; // where the element is registered
//! let links = LinkConfig { security: Some(security), ..TimerProfile::Rfc.links() };
//! let listener = TlsListener::new(listener, &links)?;
//! loop {
//!     let mut session = ServiceSession::accept(listener.accept().await?, &element).await?;
//!     println!("a session with {:?}", session.security());
//!     # session.send(b"").await?;
//! }
//! # }
//! ```
//!
//! # Layers
//!
//! This crate drives the sans-IO machines of the crates below on tokio. They are re-exported for those who build something
//! else of them: [`wire`] (messages), [`handlespace`] (pools and policies), [`machine`] (the contract), [`enrp`] (the
//! registrar), [`asap`] (element and user), [`transport`] (links).
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![allow(
    clippy::disallowed_methods,
    reason = "this crate brings the clock and the randomness to the machines"
)]

#[cfg(feature = "admin")]
pub mod admin;
mod advertise;
mod driver;
mod element;
mod endpoints;
mod error;
mod events;
mod multicast;
mod pool;
mod profile;
mod registrar;
mod session;
mod settings;
mod user;
mod watch;

pub use element::{PoolElement, PoolElementBuilder, Status};
pub use error::{ConnectError, RegisterError, ResolveError, SessionError, StartError};
pub use pool::{Pool, Target};
pub use profile::TimerProfile;
pub use registrar::{Registrar, RegistrarBuilder};
pub use session::{
    Connection, CookieKey, Secured, ServiceEvent, ServiceSecurity, ServiceSession, Session, SessionEvent,
};
pub use user::{PoolUser, PoolUserBuilder};
pub use watch::{PoolChange, PoolWatch};

pub use rserpool_asap as asap;
pub use rserpool_enrp as enrp;
pub use rserpool_handlespace as handlespace;
pub use rserpool_machine as machine;
pub use rserpool_sctp as sctp;
pub use rserpool_transport as transport;
pub use rserpool_wire as wire;

pub use rserpool_asap::ElementEvent;
pub use rserpool_asap::session::PayloadProtocol;
pub use rserpool_enrp::RegistrarEvent;
pub use rserpool_machine::Endpoint;
pub use rserpool_transport::{TlsListener, TlsStream};
pub use rserpool_wire::{
    Dialect, Load, PeIdentifier, Policy, PoolHandle, RegistrationLife, ServerId, Transport,
};

/// The examples of the README must compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
