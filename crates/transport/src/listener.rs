//! Listening: a bound endpoint that yields links.
use std::io;
use std::net::SocketAddr;
#[cfg(feature = "tls")]
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rserpool_machine::{Endpoint, Scheme};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
#[cfg(feature = "tls")]
use tokio::sync::Mutex;

use crate::config::LinkConfig;
use crate::connect::{connect, look_up};
use crate::error::TransportError;
use crate::link::Link;
#[cfg(target_os = "linux")]
use crate::sctp::SctpAcceptor;
#[cfg(feature = "tls")]
use crate::tls;

/// How many connections the system may complete ahead of [`Listener::accept`].
const BACKLOG: i32 = 1024;
/// How long to leave a system alone that is out of files or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts links on an endpoint.
pub struct Listener {
    acceptor: Acceptor,
    local: Endpoint,
    config: LinkConfig,
}

enum Acceptor {
    Tcp(TcpListener),
    #[cfg(feature = "tls")]
    Tls {
        listener: TcpListener,
        security: tls::Security,
        gate: Mutex<tls::Gate>,
        refused: AtomicU64,
    },
    #[cfg(target_os = "linux")]
    Sctp(Box<SctpAcceptor>),
}

impl Listener {
    /// Listens on `endpoint`. Port 0 asks for any free one; `[::]` takes IPv4 too.
    ///
    /// # Errors
    /// When the configuration is wrong, the name unknown, the address not this host's, or the port in use.
    pub async fn bind(endpoint: &Endpoint, config: &LinkConfig) -> Result<Self, TransportError> {
        config.validate()?;
        let scheme = endpoint.scheme();
        let (acceptor, address) = match scheme {
            Scheme::Tcp => {
                let (listener, address) = bind_tcp(endpoint).await?;
                (Acceptor::Tcp(listener), address)
            }
            #[cfg(feature = "tls")]
            Scheme::Tls => {
                let security = tls::of_server(endpoint, config)?;
                let (listener, address) = bind_tcp(endpoint).await?;
                let (gate, refused) = (Mutex::new(tls::Gate::new()), AtomicU64::new(0));
                (Acceptor::Tls { listener, security, gate, refused }, address)
            }
            #[cfg(target_os = "linux")]
            Scheme::Sctp => {
                let (acceptor, local) = SctpAcceptor::bind(endpoint, config).await?;
                return Ok(Self {
                    acceptor: Acceptor::Sctp(Box::new(acceptor)),
                    local,
                    config: config.clone(),
                });
            }
            scheme => return Err(TransportError::UnsupportedScheme { endpoint: endpoint.clone(), scheme }),
        };
        Ok(Self { acceptor, local: Endpoint::new(scheme, address), config: config.clone() })
    }

    /// Where it is listened on, with the real port.
    #[must_use]
    pub const fn local_endpoint(&self) -> &Endpoint {
        &self.local
    }

    /// Waits for the next link. Connections that break before they are a link are passed over.
    ///
    /// Nothing is lost when the future is dropped before it is ready.
    ///
    /// # Errors
    /// [`TransportError::Accept`] when the system is out of files or memory: the listener is intact, and accepting may be tried
    /// again after the time that [`TransportError::retry_after`] says.
    pub async fn accept(&self) -> Result<Link, TransportError> {
        match &self.acceptor {
            Acceptor::Tcp(listener) => loop {
                let (stream, _) = self.accept_tcp(listener).await?;
                match Link::tcp(stream, &self.config) {
                    Ok(link) => return Ok(link),
                    Err(error) => self.passed_over(&error),
                }
            },
            #[cfg(target_os = "linux")]
            Acceptor::Sctp(acceptor) => acceptor.accept(&self.config).await.map_err(|error| {
                let source = io::Error::other(error);
                TransportError::Accept { endpoint: self.local.clone(), source, retry_after: PAUSE }
            }),
            #[cfg(feature = "tls")]
            Acceptor::Tls { listener, security, gate, refused } => {
                let mut gate = gate.lock().await;
                loop {
                    tokio::select! {
                        biased;
                        link = gate.next(refused) => return Ok(link),
                        accepted = self.accept_tcp(listener) => {
                            let (stream, from) = accepted?;
                            gate.enter(stream, from, security, &self.config);
                            // Handshakes that have begun are to get on before more of them begin.
                            tokio::task::yield_now().await;
                        }
                    }
                }
            }
        }
    }

    /// Opens a link to `remote`, from the port of this listener where the transport can: over SCTP it can, and somebody must
    /// [`accept`](Self::accept) meanwhile.
    ///
    /// # Errors
    /// As [`connect`].
    pub async fn connect(&self, remote: &Endpoint) -> Result<Link, TransportError> {
        match &self.acceptor {
            #[cfg(target_os = "linux")]
            Acceptor::Sctp(acceptor) if remote.scheme() == self.local.scheme() => {
                acceptor.connect(remote, &self.config).await
            }
            _ => connect(remote, &self.config).await,
        }
    }

    /// How many connections were turned away since the listener is bound: their handshakes failed, or were one too many.
    #[must_use]
    pub fn refused(&self) -> u64 {
        match &self.acceptor {
            Acceptor::Tcp(_) => 0,
            #[cfg(target_os = "linux")]
            Acceptor::Sctp(_) => 0,
            #[cfg(feature = "tls")]
            Acceptor::Tls { refused, .. } => refused.load(Ordering::Relaxed),
        }
    }

    /// The next connection, past those that break meanwhile.
    async fn accept_tcp(&self, listener: &TcpListener) -> Result<(TcpStream, SocketAddr), TransportError> {
        loop {
            match listener.accept().await {
                Ok(accepted) => return Ok(accepted),
                Err(error) if concerns_one_connection(&error) => self.passed_over(&error),
                Err(source) => {
                    return Err(TransportError::Accept {
                        endpoint: self.local.clone(),
                        source,
                        retry_after: PAUSE,
                    });
                }
            }
        }
    }

    fn passed_over(&self, error: &io::Error) {
        tracing::debug!(endpoint = %self.local, %error, "a connection broke before it was accepted");
    }
}

/// Listens on the first address of `endpoint` that can be had; returns it with the real port.
async fn bind_tcp(endpoint: &Endpoint) -> Result<(TcpListener, SocketAddr), TransportError> {
    let failed = |source| TransportError::Bind { endpoint: endpoint.clone(), source };
    let mut result = Err(failed(io::ErrorKind::AddrNotAvailable.into()));
    for address in look_up(endpoint).await? {
        result = listen(address).map_err(failed);
        if result.is_ok() {
            break;
        }
    }
    let listener = result?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A registrar that is started again must get its port back while old connections are in TIME_WAIT.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// `accept` reports errors of the connection that it would have returned (accept(2), "Error handling"): the next may be fine.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as E;
    matches!(
        error.kind(),
        E::ConnectionAborted
            | E::ConnectionReset
            | E::ConnectionRefused
            | E::NetworkDown
            | E::NetworkUnreachable
            | E::HostUnreachable
            | E::TimedOut
            | E::Interrupted
            | E::PermissionDenied
    )
}
