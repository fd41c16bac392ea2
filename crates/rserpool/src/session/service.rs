//! The pool element's side of a session.
use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use rserpool_asap::session::{ControlFault, ElementControl, ElementSession, PayloadProtocol};
use rserpool_wire::PoolElement as ElementInformation;
use tracing::debug;

use super::stream::{Connection, Failure, FrameStream};
use crate::element::PoolElement;
use crate::error::SessionError;

/// A session with one pool user, over a connection that the element accepted.
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
}

/// What a session's user sends.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ServiceEvent {
    /// A message.
    Message(Bytes),
    /// The session was with another element before: this is the last cookie that it set. Whoever connects could have made it
    /// up, so sign cookies that matter, and verify them here (RFC 5352 §3.8).
    Restored(Bytes),
    /// The user is a pool element itself, of this pool, and prefers these elements to stand in for it (RFC 5352 §3.9).
    BusinessCard {
        /// The user's pool.
        pool_handle: rserpool_wire::PoolHandle<'static>,
        /// Best first.
        elements: Vec<ElementInformation>,
    },
}

impl ServiceSession {
    /// Begins a session on a connection, with a business card that prefers nobody (RFC 5352 §3.9).
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
        let stream = FrameStream::new(connection.into(), element.profile()).map_err(broken)?;
        let mut session = Self { stream, state };
        session.prefer(Vec::new()).await?;
        Ok(session)
    }

    /// The user's address.
    #[must_use]
    pub const fn peer(&self) -> SocketAddr {
        self.stream.peer()
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
            match self.state.handle_control(&frame.payload) {
                ElementControl::CookieEchoed(cookie) => return Ok(Some(ServiceEvent::Restored(cookie))),
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
        self.frame(PayloadProtocol::DATA, message).await
    }

    /// Hands the user the state of the session, for the element that it fails over to. Replaces earlier ones. At most 65,527
    /// bytes.
    ///
    /// # Errors
    /// When the cookie is too long or the connection breaks.
    pub async fn set_cookie(&mut self, cookie: &[u8]) -> Result<(), SessionError> {
        let message = self.state.cookie(cookie);
        self.control(message).await
    }

    /// Tells the user which elements to prefer when this one fails, best first; none for no preference.
    ///
    /// # Errors
    /// When the list is too long or the connection breaks.
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
