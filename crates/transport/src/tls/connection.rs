//! Connections that are no links: TLS on an application's TCP connection, for whatever it says over it. The same handshakes, keys
//! and limits as those of links.
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use rserpool_machine::{Endpoint, PeerIdentity, Scheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::{Gate, Shaken, Stream, connect, of_client};
use crate::config::LinkConfig;
use crate::connection::Connection;
use crate::error::TransportError;
use crate::listener::accept_tcp;

/// Room for what is read at once.
const ROOM: usize = 16 << 10;

/// A TCP connection with TLS on it, for an application's own protocol.
///
/// It ends in order when it is shut down or dropped. The other end tells that from a connection that was cut on the way, which is
/// an error to whoever reads.
///
/// ```
/// # use rserpool_machine::PeerIdentity;
/// # use rserpool_transport::{LinkConfig, PreSharedKey, PskTable, Security, SecurityConfig};
/// # use rserpool_transport::{ClientSecurity, ServerSecurity, TlsListener, TlsStream};
/// # use std::sync::Arc;
/// # use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// # use tokio::net::{TcpListener, TcpStream};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let key = PreSharedKey::new("user-1", vec![7; 32])?;
/// let keys: PskTable = [key.clone()].into_iter().collect();
/// let server = ServerSecurity { psk: Some(Arc::new(keys)), ..ServerSecurity::default() };
/// let server = Security::new(SecurityConfig { server: Some(server), client: None })?;
/// let client = Security::new(SecurityConfig { client: Some(ClientSecurity::Psk(key)), server: None })?;
/// let with = |security| LinkConfig { security: Some(security), ..LinkConfig::default() };
///
/// let listener = TlsListener::new(TcpListener::bind("127.0.0.1:0").await?, &with(server))?;
/// let address = listener.local_endpoint().clone();
/// let connecting = async {
///     let socket = TcpStream::connect(("127.0.0.1", address.authorities()[0].port)).await?;
///     Ok::<_, Box<dyn std::error::Error>>(TlsStream::connect(socket, &address, &with(client)).await?)
/// };
/// let (accepted, connected) = tokio::join!(listener.accept(), connecting);
/// let (mut accepted, mut connected) = (accepted?, connected?);
/// assert_eq!(*accepted.identity(), PeerIdentity::Authenticated("user-1".into()));
/// connected.write_all(b"hello").await?;
/// drop(connected);
/// let mut heard = String::new();
/// accepted.read_to_string(&mut heard).await?;
/// assert_eq!(heard, "hello");
/// # Ok(())
/// # }
/// ```
pub struct TlsStream {
    shaken: Shaken,
    /// Read, and not taken yet.
    received: BytesMut,
}

impl TlsStream {
    /// Takes the client's part on a connection. The other end has to prove what [`LinkConfig::security`] asks for: by certificate
    /// that it is the host of `server`, which need not be the address that `socket` is connected to.
    ///
    /// # Errors
    /// When there is no security for clients, or the other end does not prove who it is within [`LinkConfig::handshake_timeout`].
    pub async fn connect(
        socket: TcpStream,
        server: &Endpoint,
        config: &LinkConfig,
    ) -> Result<Self, TransportError> {
        let client = of_client(server, config)?;
        let connection = Connection::tcp(socket, config).map_err(TransportError::Broken)?;
        connect(connection, server, &client, config).await.map(Self::from)
    }

    /// Who is known to be at the other end.
    #[must_use]
    pub const fn identity(&self) -> &PeerIdentity {
        &self.shaken.identity
    }

    /// The address of the other end.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
        self.shaken.addresses.remote.first().copied().unwrap_or(unspecified)
    }

    const fn stream(&self) -> &Stream {
        &self.shaken.stream
    }
}

impl From<Shaken> for TlsStream {
    fn from(shaken: Shaken) -> Self {
        Self { shaken, received: BytesMut::new() }
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        // As far as the socket has room: nobody waits here.
        let _ = self.stream().finish();
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { shaken, received } = &mut *self;
        if received.is_empty() {
            received.reserve(ROOM);
            ready!(shaken.stream.poll_read(cx, received))?;
        }
        let count = received.len().min(buffer.remaining());
        buffer.put_slice(received.get(..count).unwrap_or_default());
        received.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_finish(cx)
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsStream({}, {:?})", self.peer(), self.identity())
    }
}

/// Accepts connections with TLS on them, on a TCP listener of the application's.
///
/// How many handshakes there may be at once is limited, in all and per source, by [`LinkConfig`].
pub struct TlsListener {
    listener: TcpListener,
    local: Endpoint,
    config: LinkConfig,
    gate: Gate,
}

impl TlsListener {
    /// Takes the listener over.
    ///
    /// # Errors
    /// When there is no security for servers in `config`, or something else is wrong there.
    pub fn new(listener: TcpListener, config: &LinkConfig) -> Result<Self, TransportError> {
        config.validate()?;
        let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
        let local = Endpoint::new(Scheme::Tls, listener.local_addr().unwrap_or(unspecified));
        let gate = Gate::new(&local, config)?;
        Ok(Self { listener, local, config: config.clone(), gate })
    }

    /// Where it is listened on.
    #[must_use]
    pub const fn local_endpoint(&self) -> &Endpoint {
        &self.local
    }

    /// Waits for the next connection whose handshake succeeds; the others are logged and counted.
    ///
    /// Nothing is lost when the future is dropped before it is ready.
    ///
    /// # Errors
    /// [`TransportError::Accept`] when the system is out of files or memory: the listener is intact, and accepting may be tried
    /// again after the time that [`TransportError::retry_after`] says.
    pub async fn accept(&self) -> Result<TlsStream, TransportError> {
        let arrive = || accept_tcp(&self.listener, &self.local, &self.config);
        self.gate.admit(arrive).await.map(TlsStream::from)
    }

    /// How many connections were turned away: their handshakes failed, or were one too many.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.gate.refused()
    }
}

impl fmt::Debug for TlsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsListener({})", self.local)
    }
}
