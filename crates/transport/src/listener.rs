//! Listening: a bound endpoint that yields links.
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rserpool_machine::{Endpoint, Scheme};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::config::LinkConfig;
use crate::connect::look_up;
use crate::error::TransportError;
use crate::link::Link;

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
}

impl Listener {
    /// Listens on `endpoint`. Port 0 asks for any free one; `[::]` takes IPv4 too.
    ///
    /// # Errors
    /// When the configuration is wrong, the name unknown, the address not this host's, or the port in use.
    pub async fn bind(endpoint: &Endpoint, config: &LinkConfig) -> Result<Self, TransportError> {
        config.validate()?;
        let scheme = endpoint.scheme();
        let Scheme::Tcp = scheme else {
            return Err(TransportError::UnsupportedScheme { endpoint: endpoint.clone(), scheme });
        };
        let failed = |source| TransportError::Bind { endpoint: endpoint.clone(), source };
        let mut result = Err(failed(io::ErrorKind::AddrNotAvailable.into()));
        for address in look_up(endpoint).await? {
            result = listen(address).map_err(failed);
            if result.is_ok() {
                break;
            }
        }
        let listener = result?;
        let local = Endpoint::new(scheme, listener.local_addr().map_err(failed)?);
        Ok(Self { acceptor: Acceptor::Tcp(listener), local, config: config.clone() })
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
        let Acceptor::Tcp(listener) = &self.acceptor;
        loop {
            let error = match listener.accept().await {
                Ok((stream, _)) => match Link::tcp(stream, &self.config) {
                    Ok(link) => return Ok(link),
                    Err(error) => error,
                },
                Err(error) if concerns_one_connection(&error) => error,
                Err(source) => {
                    return Err(TransportError::Accept {
                        endpoint: self.local.clone(),
                        source,
                        retry_after: PAUSE,
                    });
                }
            };
            tracing::debug!(endpoint = %self.local, %error, "a connection broke before it was accepted");
        }
    }
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
