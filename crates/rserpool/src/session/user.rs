//! The pool user's side of a session: goes on with the next element when one fails.
use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use rserpool_asap::session::{ControlFault, PayloadProtocol, UserControl, UserSession};
use rserpool_wire::PeIdentifier;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info};

use super::stream::{Connection, Failure, FrameStream};
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
    /// Messages that came back from elements that failed.
    undelivered: Vec<Bytes>,
    /// What data is marked as.
    payload_protocol: PayloadProtocol,
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
        /// Messages that are known not to have arrived, in the order in which they were sent (RFC 5352 §6.5.5). Only SCTP tells;
        /// over TCP there may be such messages all the same.
        undelivered: Vec<Bytes>,
    },
}

impl Session {
    pub(crate) async fn open(pool: Pool) -> Result<Self, ConnectError> {
        let state = UserSession::new(pool.dialect());
        let (stream, target) = connect(&pool, &state, &[]).await?;
        let (undelivered, payload_protocol) = (Vec::new(), PayloadProtocol::DATA);
        Ok(Self { pool, target, stream, state, announced: None, undelivered, payload_protocol })
    }

    /// The element that the session is with.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// The last state cookie of the session's elements.
    #[must_use]
    pub fn cookie(&self) -> Option<&[u8]> {
        self.state.cookie()
    }

    /// Marks data from now on with another payload protocol identifier than 0. 11 is ASAP's, and cannot be used.
    pub fn set_payload_protocol(&mut self, protocol: PayloadProtocol) {
        if !protocol.is_control() {
            self.payload_protocol = protocol;
        }
    }

    /// Sends a message to the element, or to the next one when the connection is broken.
    ///
    /// # Errors
    /// When no element can be reached.
    pub async fn send(&mut self, message: &[u8]) -> Result<(), SessionError> {
        while let Err(error) = self.stream.send(self.payload_protocol, message).await {
            if error.kind() == io::ErrorKind::InvalidInput {
                return Err(SessionError::Broken { peer: self.stream.peer(), source: error });
            }
            self.fail_over().await?;
        }
        Ok(())
    }

    /// Waits for a message of the element, or for a fail-over to be over. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When no element can be reached, or the element does not speak sessions.
    pub async fn recv(&mut self) -> Result<SessionEvent, SessionError> {
        loop {
            if let Some((from, to)) = self.announced.take() {
                let cookie_echoed = self.state.cookie().is_some();
                let undelivered = std::mem::take(&mut self.undelivered);
                return Ok(SessionEvent::FailedOver { from, to, cookie_echoed, undelivered });
            }
            if let Some(message) = self.next_message().await? {
                return Ok(SessionEvent::Message(message));
            }
        }
    }

    /// Sends a message and waits for one in return. When the element fails, or stays silent for `limit`, the message goes to the
    /// next one, and so on until one answers or the patience of the pool user is at its end.
    ///
    /// An element may so get a message twice: cookies tell it how far the last one was.
    ///
    /// # Errors
    /// When no element can be reached or none answers.
    pub async fn request(&mut self, message: &[u8], limit: Duration) -> Result<Bytes, SessionError> {
        let (started, patience) = (Instant::now(), self.pool.user().inner.patience);
        loop {
            self.send(message).await?;
            let deadline = Instant::now() + limit;
            match timeout_at(deadline, self.next_message()).await {
                Ok(Ok(Some(answer))) => return Ok(answer),
                // Failed over: the new element knows nothing of the request.
                Ok(Ok(None)) => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => self.fail_over().await?,
            }
            if started.elapsed() >= patience {
                return Err(SessionError::NoAnswer { waited: started.elapsed() });
            }
        }
    }

    /// Gives the element up as unreachable and goes on with the next one: by the preference of the last business card, otherwise by
    /// the pool's policy.
    ///
    /// # Errors
    /// When no element can be reached. The session may be tried again later.
    pub async fn fail_over(&mut self) -> Result<(), ConnectError> {
        let failed = self.target.identifier();
        self.target.report_unreachable();
        let (stream, target) = connect(&self.pool, &self.state, &[failed]).await?;
        info!(pool = %self.pool.handle(), from = %failed, to = %target.identifier(), "session failed over");
        // Several fail-overs in a row are one to the application.
        let from = self.announced.map_or(failed, |(from, _)| from);
        self.announced = Some((from, target.identifier()));
        let mut failed = std::mem::replace(&mut self.stream, stream);
        self.target = target;
        self.undelivered.append(&mut failed.undelivered().await);
        Ok(())
    }

    /// The next message; `None` when the session had to fail over instead.
    async fn next_message(&mut self) -> Result<Option<Bytes>, SessionError> {
        loop {
            let frame = match self.stream.recv().await {
                Ok(Some(frame)) => frame,
                Ok(None) | Err(Failure::Io(_)) => {
                    self.fail_over().await?;
                    return Ok(None);
                }
                Err(Failure::Frame(error)) => {
                    let (peer, reason) = (self.stream.peer(), error.to_string().into());
                    return Err(SessionError::Protocol { peer, reason });
                }
            };
            if !frame.protocol.is_control() {
                return Ok(Some(frame.payload));
            }
            match self.state.handle_control(&frame.payload) {
                UserControl::Fault(ControlFault { fault, answer, .. }) => {
                    debug!(peer = %self.stream.peer(), %fault, "control message");
                    if let Some(answer) = answer {
                        // A broken connection shows with the next frame.
                        let _ = self.stream.answer(&answer).await;
                    }
                }
                control => debug!(peer = %self.stream.peer(), ?control, "control message"),
            }
        }
    }
}

/// Connects to an element, but not to those in `failed` while there are others, and sends what has to come first.
async fn connect(
    pool: &Pool,
    state: &UserSession,
    failed: &[PeIdentifier],
) -> Result<(FrameStream, Target), ConnectError> {
    let mut preferred = state.fail_over(failed).cloned();
    let mut avoided = failed.to_vec();
    loop {
        let connected = match preferred.take().map(|element| pool.target(element)) {
            Some(target) => match target.open().await {
                Ok(connection) => (connection, target),
                Err(_) => continue,
            },
            None => pool.reach(&avoided, async |target: &Target| target.open().await).await?,
        };
        let (connection, target) = connected;
        match open(connection, pool, state).await {
            Ok(stream) => return Ok((stream, target)),
            Err(error) => {
                debug!(element = %target.identifier(), %error, "element lost at once");
                target.report_unreachable();
                avoided.push(target.identifier());
            }
        }
    }
}

/// Sends the cookie, and whatever else has to come first, on a new connection (RFC 5352 §3.8).
async fn open(connection: Connection, pool: &Pool, state: &UserSession) -> io::Result<FrameStream> {
    let mut stream = FrameStream::new(connection, pool.profile())?;
    for message in state.opening() {
        stream.send(PayloadProtocol::ASAP, &message).await?;
    }
    Ok(stream)
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("pool", &self.pool)
            .field("target", &self.target.identifier())
            .finish()
    }
}
