//! The pool element's side of a session.
use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use rserpool_asap::session::{ControlFault, ElementControl, ElementSession, PayloadProtocol};
use rserpool_machine::PeerIdentity;
use rserpool_wire::PoolElement as ElementInformation;
use tracing::{debug, warn};

use super::cookie::CookieKey;
use super::stream::{Connection, Failure, FrameStream};
use crate::element::PoolElement;
use crate::error::SessionError;

/// A session with one pool user, over a connection that the element accepted: by a TCP or SCTP listener, or a
/// [`TlsListener`](crate::TlsListener).
///
/// ```no_run
/// # async fn run(stream: tokio::net::TcpStream, element: rserpool::PoolElement) -> Result<(), Box<dyn std::error::Error>> {
/// use rserpool::{ServiceEvent, ServiceSession};
///
/// let mut session = ServiceSession::accept(stream, &element).await?;
/// while let Some(event) = session.recv().await? {
///     match event {
///         ServiceEvent::Restored(cookie) => { /* go on where another element stopped */ }
///         ServiceEvent::Message(message) => {
///             session.set_cookie(b"state after this message").await?;
///             session.send(&message).await?;
///         }
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct ServiceSession {
    stream: FrameStream,
    state: ElementSession,
    /// What data is marked as.
    payload_protocol: PayloadProtocol,
    /// What cookies are sealed with.
    cookie_key: Option<CookieKey>,
}

/// What a session's user sends.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ServiceEvent {
    /// A message.
    Message(Bytes),
    /// The session was with another element before: this is the last cookie that it set. Whoever connects could have made it
    /// up (RFC 5352 §3.8), unless there is a [`CookieKey`]: then an element of the pool did.
    Restored(Bytes),
    /// The session was with another element before, and brings a cookie that no element of the pool has set: somebody has made it
    /// up or changed it, or the elements have different [`CookieKey`]s. There is no state to go on from.
    CookieRefused,
    /// The user is a pool element itself, of this pool, and prefers these elements to stand in for it (RFC 5352 §3.9).
    BusinessCard {
        /// The user's pool.
        pool_handle: rserpool_wire::PoolHandle<'static>,
        /// Best first.
        elements: Vec<ElementInformation>,
    },
}

impl ServiceSession {
    /// Begins a session on a connection, with a business card that prefers nobody (RFC 5352 §3.9). On SCTP for data only there is
    /// no control channel: no business card is sent, and cookies and preferences are refused.
    ///
    /// # Errors
    /// When the connection is broken already.
    pub async fn accept(
        connection: impl Into<Connection>,
        element: &PoolElement,
    ) -> Result<Self, SessionError> {
        let state = ElementSession::new(element.dialect(), element.pool_handle().clone());
        // A connection without an address is one that has ended already.
        let broken = |source| SessionError::Broken { peer: SocketAddr::from(([0, 0, 0, 0], 0)), source };
        let stream = FrameStream::new(connection.into(), element.transport(), element.profile());
        let payload_protocol = PayloadProtocol::DATA;
        let mut session = Self { stream: stream.map_err(broken)?, state, payload_protocol, cookie_key: None };
        if session.stream.has_control_channel() {
            session.prefer(Vec::new()).await?;
        }
        Ok(session)
    }

    /// The user's address.
    #[must_use]
    pub const fn peer(&self) -> SocketAddr {
        self.stream.peer()
    }

    /// What is known for sure of the user: its identity, if it has proved one (see [`TlsListener`](crate::TlsListener)).
    #[must_use]
    pub const fn security(&self) -> &PeerIdentity {
        self.stream.security()
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
        self.stream.set_unordered(unordered);
    }

    /// Seals cookies with this key from now on, and takes only those that were sealed with it. All elements of the pool need the same.
    pub fn set_cookie_key(&mut self, key: CookieKey) {
        self.cookie_key = Some(key);
    }

    /// Waits for what the user sends next; `None` when it ended the session. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When the connection breaks, or the user does not speak sessions.
    pub async fn recv(&mut self) -> Result<Option<ServiceEvent>, SessionError> {
        loop {
            let frame = match self.stream.recv().await {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(None),
                Err(Failure::Io(source)) => return Err(SessionError::Broken { peer: self.peer(), source }),
                Err(Failure::Frame(error)) => {
                    return Err(SessionError::Protocol {
                        peer: self.peer(),
                        reason: error.to_string().into(),
                    });
                }
            };
            if !frame.protocol.is_control() {
                return Ok(Some(ServiceEvent::Message(frame.payload)));
            }
            if let Some(report) = self.state.report(&frame.payload) {
                // A broken connection shows with the next frame.
                let _ = self.stream.answer(&report).await;
            }
            match self.state.handle_control(&frame.payload) {
                ElementControl::CookieEchoed(cookie) => return Ok(Some(self.restored(cookie))),
                ElementControl::BusinessCard { pool_handle, elements } => {
                    return Ok(Some(ServiceEvent::BusinessCard { pool_handle, elements }));
                }
                ElementControl::Fault(ControlFault { fault, answer, .. }) => {
                    debug!(peer = %self.peer(), %fault, "control message");
                    if let Some(answer) = answer {
                        // A broken connection shows with the next frame.
                        let _ = self.stream.answer(&answer).await;
                    }
                }
                control => debug!(peer = %self.peer(), ?control, "control message"),
            }
        }
    }

    /// Sends a message to the user.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn send(&mut self, message: &[u8]) -> Result<(), SessionError> {
        self.frame(self.payload_protocol, message).await
    }

    /// Hands the user the state of the session, for the element that it fails over to. Replaces earlier ones. At most 65,527
    /// bytes, 32 fewer with a [`CookieKey`].
    ///
    /// # Errors
    /// When the cookie is too long, there is no control channel, or the connection breaks.
    pub async fn set_cookie(&mut self, cookie: &[u8]) -> Result<(), SessionError> {
        let message = match &self.cookie_key {
            Some(key) => self.state.cookie(&key.seal(self.state.pool_handle(), cookie)),
            None => self.state.cookie(cookie),
        };
        self.control(message).await
    }

    fn restored(&self, cookie: Bytes) -> ServiceEvent {
        let Some(key) = &self.cookie_key else { return ServiceEvent::Restored(cookie) };
        match key.open(self.state.pool_handle(), &cookie) {
            Some(opened) => ServiceEvent::Restored(cookie.slice_ref(opened)),
            None => {
                warn!(peer = %self.peer(), "a cookie that no element of this pool has set");
                ServiceEvent::CookieRefused
            }
        }
    }

    /// Tells the user which elements to prefer when this one fails, best first; none for no preference.
    ///
    /// # Errors
    /// When the list is too long, there is no control channel, or the connection breaks.
    pub async fn prefer(&mut self, elements: Vec<ElementInformation>) -> Result<(), SessionError> {
        let message = self.state.business_card(elements);
        self.control(message).await
    }

    async fn control(
        &mut self,
        message: Result<Bytes, rserpool_wire::EncodeError>,
    ) -> Result<(), SessionError> {
        match message {
            Ok(message) => self.frame(PayloadProtocol::ASAP, &message).await,
            Err(error) => {
                let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, error);
                Err(SessionError::Broken { peer: self.peer(), source })
            }
        }
    }

    async fn frame(&mut self, protocol: PayloadProtocol, payload: &[u8]) -> Result<(), SessionError> {
        let peer = self.peer();
        self.stream.send(protocol, payload).await.map_err(|source| SessionError::Broken { peer, source })
    }
}

impl fmt::Debug for ServiceSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceSession").field("peer", &self.peer()).finish_non_exhaustive()
    }
}
