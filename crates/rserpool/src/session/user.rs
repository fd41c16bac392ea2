//! The pool user's side of a session: goes on with the next element when one fails.
use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use rserpool_asap::session::UserSession;
use rserpool_wire::PeIdentifier;
use tokio::time::{Instant, timeout_at};
use tracing::info;

use super::stream::FrameStream;
use crate::error::{ConnectError, SessionError};
use crate::pool::{Pool, Target};

/// A session with one element of a pool at a time.
///
/// When the connection breaks, the session connects to the next element, hands it the last state cookie as the first message
/// (RFC 5352 §3.8), and says so by [`SessionEvent::FailedOver`]. Messages that were under way may be lost: send again what was not
/// answered, or let [`request`](Self::request) do it. An element that is silent is found by [`request`](Self::request)'s time limit,
/// or by calling [`fail_over`](Self::fail_over).
///
/// ```no_run
/// # async fn run(pool: rserpool::Pool) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// let mut session = pool.session().await?;
/// let answer = session.request(b"how many?", Duration::from_secs(1)).await?;
/// # drop(answer); Ok(())
/// # }
/// ```
pub struct Session {
    pool: Pool,
    target: Target,
    stream: FrameStream,
    state: UserSession,
    /// An element that the session failed over to and has not told of yet.
    announced: Option<(PeIdentifier, PeIdentifier)>,
}

/// What a session receives.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SessionEvent {
    /// A message of the element.
    Message(Bytes),
    /// The session goes on with another element, which has the last cookie if there was one. What was sent and not answered
    /// may never have arrived.
    FailedOver {
        /// The element that failed.
        from: PeIdentifier,
        /// The element from now on. May be the same one, if it came back.
        to: PeIdentifier,
        /// Whether it was handed a cookie.
        cookie_echoed: bool,
    },
}
