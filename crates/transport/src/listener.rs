//! Listening: a bound endpoint that yields links.
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rserpool_machine::Endpoint;
#[cfg(target_os = "linux")]
use rserpool_machine::Scheme;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::config::LinkConfig;
#[cfg(target_os = "linux")]
use crate::connect::connect_over;
use crate::connect::{connect, is_built_in, look_up};
use crate::connection::Connection;
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
    /// Lets clients in where TLS is on the links.
    #[cfg(feature = "tls")]
    gate: Option<tls::Gate>,
    local: Endpoint,
    config: LinkConfig,
}

enum Acceptor {
    Tcp(TcpListener),
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
        if !is_built_in(scheme) {
            return Err(TransportError::UnsupportedScheme { endpoint: endpoint.clone(), scheme });
        }
        #[cfg(feature = "tls")]
        let gate = scheme.is_secured().then(|| tls::Gate::new(endpoint, config)).transpose()?;
        let (acceptor, local) = match scheme {
            #[cfg(target_os = "linux")]
            Scheme::Sctp | Scheme::SctpTls => {
                let (acceptor, local) = SctpAcceptor::bind(endpoint, config).await?;
                (Acceptor::Sctp(Box::new(acceptor)), local)
            }
            _ => {
                let (listener, address) = bind_tcp(endpoint).await?;
                (Acceptor::Tcp(listener), Endpoint::new(scheme, address))
            }
        };
        Ok(Self {
            acceptor,
            #[cfg(feature = "tls")]
            gate,
            local,
            config: config.clone(),
        })
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
        #[cfg(feature = "tls")]
        if let Some(gate) = &self.gate {
            return gate.admit(|| self.arrival()).await.map(|shaken| Link::tls(shaken, &self.config));
        }
        self.arrival().await.map(|connection| Link::plain(connection, &self.config))
    }

    /// The next connection, without the TLS that may be wanted on it.
    async fn arrival(&self) -> Result<Connection, TransportError> {
        match &self.acceptor {
            Acceptor::Tcp(listener) => accept_tcp(listener, &self.local, &self.config).await,
            #[cfg(target_os = "linux")]
            Acceptor::Sctp(acceptor) => acceptor.accept(&self.config).await.map_err(|error| {
                let source = io::Error::other(error);
                TransportError::Accept { endpoint: self.local.clone(), source, retry_after: PAUSE }
            }),
        }
    }

    /// Opens a link to `remote`, from the port of this listener over SCTP, and over SCTP with TLS where
    /// one is [`LinkConfig::called_back`]. Somebody must [`accept`](Self::accept) meanwhile.
    ///
    /// # Errors
    /// As [`connect`].
    pub async fn connect(&self, remote: &Endpoint) -> Result<Link, TransportError> {
        match &self.acceptor {
            #[cfg(target_os = "linux")]
            Acceptor::Sctp(acceptor) if remote.scheme() == self.local.scheme() && self.opens_from_here() => {
                connect_over(acceptor.connect(remote, &self.config), remote, &self.config).await
            }
            _ => connect(remote, &self.config).await,
        }
    }

    #[cfg(target_os = "linux")]
    const fn opens_from_here(&self) -> bool {
        #[cfg(feature = "tls")]
        if self.gate.is_some() {
            return self.config.called_back;
        }
        true
    }

    /// How many connections were turned away since the listener is bound: their handshakes failed, or were one too many.
    #[must_use]
    pub fn refused(&self) -> u64 {
        #[cfg(feature = "tls")]
        if let Some(gate) = &self.gate {
            return gate.refused();
        }
        0
    }
}

/// The next connection, past those that break meanwhile.
pub(crate) async fn accept_tcp(
    listener: &TcpListener,
    local: &Endpoint,
    config: &LinkConfig,
) -> Result<Connection, TransportError> {
    loop {
        let connection = match listener.accept().await {
            Ok((stream, _)) => Connection::tcp(stream, config),
            Err(error) if concerns_one_connection(&error) => Err(error),
            Err(source) => {
                return Err(TransportError::Accept { endpoint: local.clone(), source, retry_after: PAUSE });
            }
        };
        match connection {
            Ok(connection) => return Ok(connection),
            Err(error) => passed_over(local, &error),
        }
    }
}

fn passed_over(local: &Endpoint, error: &io::Error) {
    tracing::debug!(endpoint = %local, %error, "a connection broke before it was accepted");
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
