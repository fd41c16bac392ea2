//! The pool user's side of a session: goes on with the next element when one fails.
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use rserpool_asap::session::{ControlFault, PayloadProtocol, UserControl, UserSession};
use rserpool_machine::PeerIdentity;
use rserpool_wire::PeIdentifier;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, info};

use super::secured::{Connector, is_as_secure, is_unreachable};
use super::stream::{Connection, Failure, FrameStream};
use crate::error::{ConnectError, SessionError};
use crate::pool::{Pool, Target};

/// How many messages that nobody asked for are kept; more wait in the kernel, and with them the element.
const UNASKED: usize = 256;

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
    /// Messages that were found when cookies were looked for, at most [`UNASKED`].
    received: VecDeque<Bytes>,
    /// What data is marked as.
    payload_protocol: PayloadProtocol,
    /// Whether data is sent without order.
    unordered: bool,
    connector: Connector,
    /// How secure an element must be to go on with.
    required: PeerIdentity,
    /// Whether nothing has come since the last fail-over.
    fruitless: bool,
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
        /// What is known for sure of the new element (RFC 5355 §2.9): of another one than before, even where both are proven.
        security: PeerIdentity,
    },
}

impl Session {
    pub(super) async fn begin(pool: Pool, connector: Connector) -> Result<Self, ConnectError> {
        let state = UserSession::new(pool.dialect());
        let (stream, target) = connect(&pool, &state, &[], &connector, &PeerIdentity::Anonymous).await?;
        let (undelivered, payload_protocol) = (Vec::new(), PayloadProtocol::DATA);
        let required = stream.security().clone();
        let announced = None;
        Ok(Self {
            pool,
            target,
            stream,
            state,
            announced,
            undelivered,
            received: VecDeque::new(),
            payload_protocol,
            unordered: false,
            connector,
            required,
            fruitless: false,
        })
    }

    pub(crate) async fn open(pool: Pool) -> Result<Self, ConnectError> {
        Self::begin(pool, Connector::default()).await
    }

    pub(crate) async fn open_by<F, C>(pool: Pool, connect: F) -> Result<Self, ConnectError>
    where
        F: Fn(Target) -> C + Send + Sync + 'static,
        C: Future<Output = io::Result<Connection>> + Send + 'static,
    {
        Self::begin(pool, Connector::new(connect)).await
    }

    /// What is known for sure of the element that the session is with.
    #[must_use]
    pub const fn security(&self) -> &PeerIdentity {
        self.stream.security()
    }

    /// Lets the session go on with elements that are less secure than the first one was: by default it does not (RFC 5355 §2.9).
    pub fn allow_less_security(&mut self) {
        self.required = PeerIdentity::Anonymous;
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

    /// Sends data from now on so that messages may overtake each other, or in order again: a lost packet then holds up its own
    /// messages alone. SCTP can do that; without effect over TCP, and on cookies and business cards.
    pub const fn set_unordered(&mut self, unordered: bool) {
        self.unordered = unordered;
        self.stream.set_unordered(unordered);
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
            if let Some(message) = self.received.pop_front() {
                return Ok(SessionEvent::Message(message));
            }
            if let Some((from, to)) = self.announced.take() {
                let cookie_echoed = self.state.cookie().is_some();
                let undelivered = std::mem::take(&mut self.undelivered);
                let security = self.security().clone();
                return Ok(SessionEvent::FailedOver { from, to, cookie_echoed, undelivered, security });
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
            // Before the element's end can be noticed by sending: over TCP, that loses what is not read yet.
            self.take_what_has_come().await;
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
        self.take_what_has_come().await;
        self.target.report_unreachable();
        self.go_on().await
    }

    /// Goes on with the next element.
    async fn go_on(&mut self) -> Result<(), ConnectError> {
        if std::mem::replace(&mut self.fruitless, true) {
            // The mistake may be ours, and the same with all elements: let them have a rest.
            sleep(self.target.profile().retry_pause()).await;
        }
        let failed = self.target.identifier();
        let (stream, target) =
            connect(&self.pool, &self.state, &[failed], &self.connector, &self.required).await?;
        info!(pool = %self.pool.handle(), from = %failed, to = %target.identifier(), "session failed over");
        // Several fail-overs in a row are one to the application.
        let from = self.announced.map_or(failed, |(from, _)| from);
        self.announced = Some((from, target.identifier()));
        let mut failed = std::mem::replace(&mut self.stream, stream);
        self.stream.set_unordered(self.unordered);
        self.target = target;
        self.undelivered.append(&mut failed.undelivered().await);
        Ok(())
    }

    /// Reads what the element has sent up to now, without waiting: its last cookie may be behind the last message that anybody
    /// has waited for. Messages are kept for [`recv`](Self::recv): those that come unasked are no answer to the next request.
    async fn take_what_has_come(&mut self) {
        while self.received.len() < UNASKED {
            // Not by a time limit of nothing: that would wait for the next millisecond, for each request.
            let frame = tokio::select! {
                biased;
                frame = self.stream.recv() => frame,
                () = yield_now() => return,
            };
            let Ok(Some(frame)) = frame else { return };
            self.fruitless = false;
            if frame.protocol.is_control() {
                self.control(&frame.payload).await;
            } else {
                self.received.push_back(frame.payload);
            }
        }
    }

    /// The next message; `None` when the session had to fail over instead.
    async fn next_message(&mut self) -> Result<Option<Bytes>, SessionError> {
        loop {
            let frame = match self.stream.recv().await {
                Ok(Some(frame)) => frame,
                // In TLS 1.3, that the element does not want us comes after the handshake.
                Err(Failure::Io(error)) if !is_unreachable(&error) => {
                    debug!(peer = %self.stream.peer(), %error, "element passed over");
                    self.go_on().await?;
                    return Ok(None);
                }
                Ok(None) | Err(Failure::Io(_)) => {
                    self.fail_over().await?;
                    return Ok(None);
                }
                Err(Failure::Frame(error)) => {
                    let (peer, reason) = (self.stream.peer(), error.to_string().into());
                    return Err(SessionError::Protocol { peer, reason });
                }
            };
            self.fruitless = false;
            if !frame.protocol.is_control() {
                return Ok(Some(frame.payload));
            }
            self.control(&frame.payload).await;
        }
    }

    /// Takes a message of the control channel.
    async fn control(&mut self, message: &[u8]) {
        if let Some(report) = self.state.report(message) {
            // A broken connection shows with the next frame.
            let _ = self.stream.answer(&report).await;
        }
        match self.state.handle_control(message) {
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

/// Connects to an element, but not to those in `failed` while there are others, and sends what has to come first.
async fn connect(
    pool: &Pool,
    state: &UserSession,
    failed: &[PeIdentifier],
    connector: &Connector,
    required: &PeerIdentity,
) -> Result<(FrameStream, Target), ConnectError> {
    let (started, patience) = (Instant::now(), pool.user().inner.patience);
    let mut avoided = failed.to_vec();
    loop {
        let connected = match state.fail_over(&avoided).cloned().map(|element| pool.target(element)) {
            Some(target) => match connector.connect(target.clone()).await {
                Ok(connection) => (connection, target),
                Err(error) => {
                    debug!(element = %target.identifier(), %error, "preferred element not reachable");
                    if is_unreachable(&error) {
                        target.report_unreachable();
                    }
                    avoided.push(target.identifier());
                    continue;
                }
            },
            None => pool.reach(&avoided, |target| connector.connect(target)).await?,
        };
        let (connection, target) = connected;
        if !is_as_secure(connection.security(), required) {
            if started.elapsed() >= patience {
                let (pool_handle, element) = (pool.handle().clone(), target.identifier());
                return Err(ConnectError::LessSecure { pool_handle, element });
            }
            debug!(element = %target.identifier(), "element passed over: it is less secure");
            if avoided.contains(&target.identifier()) {
                sleep(target.profile().retry_pause()).await;
            } else {
                avoided.push(target.identifier());
            }
            continue;
        }
        match open(connection, &target, state).await {
            Ok(stream) => return Ok((stream, target)),
            Err(error) => {
                debug!(element = %target.identifier(), %error, "element lost at once");
                target.report_unreachable();
                avoided.push(target.identifier());
            }
        }
    }
}

/// Sends the cookie, and whatever else has to come first, on the control channel of a new connection (RFC 5352 §3.8).
async fn open(connection: Connection, target: &Target, state: &UserSession) -> io::Result<FrameStream> {
    let mut stream = FrameStream::new(connection, target.transport(), target.profile())?;
    if stream.has_control_channel() {
        for message in state.opening() {
            stream.send(PayloadProtocol::ASAP, &message).await?;
        }
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
