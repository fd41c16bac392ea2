//! Sessions between a pool user and the elements of a pool, over TCP, TLS or SCTP: messages, state cookies, business cards and fail-over
//! (RFC 5352 §3.8, §3.9; RFC 5355 §2.16 asks for data and control on one connection).
mod cookie;
#[cfg(target_os = "linux")]
mod sctp;
mod secured;
mod service;
mod stream;
mod tcp;
mod user;

pub use cookie::CookieKey;
pub(crate) use secured::is_unreachable;
pub use secured::{Secured, ServiceSecurity};
pub use service::{ServiceEvent, ServiceSession};
pub use stream::Connection;
pub use user::{Session, SessionEvent};
