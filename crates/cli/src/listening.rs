//! Serving TCP: a listener, and a task for each connection.
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use rserpool::machine::Endpoint;
use rserpool::transport::LinkConfig;
use rserpool::{TlsListener, TlsStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tracing::warn;

use crate::failure::Failure;

/// How long to wait before accepting again where that failed, for want of descriptors mostly.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens at `address`, which the user gave by `flag`.
pub(crate) async fn listen(flag: &str, address: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address)
        .await
        .map_err(|error| Failure::new(format!("{flag} {address}: cannot listen there: {error}")))
}

/// Listens at `place`, which the user gave by `--listen`, for TLS with these settings; with the real port.
pub(crate) async fn listen_secured(
    place: &str,
    links: &LinkConfig,
) -> Result<(TlsListener, SocketAddr), Failure> {
    if place.contains("://") {
        let message = format!("--listen {place}: with --service-tls it is HOST:PORT, for TLS over TCP");
        return Err(Failure::usage(message));
    }
    let listener = listen("--listen", place).await?;
    let address = listener.local_addr()?;
    Ok((TlsListener::new(listener, links)?, address))
}

/// A free port on all addresses, those of IPv6 among them where a registrar is reached at one.
pub(crate) fn everywhere(registrars: &[Endpoint]) -> &'static str {
    let mut addresses = registrars.iter().flat_map(Endpoint::socket_addresses).flatten();
    if addresses.any(|address| address.is_ipv6()) { "[::]:0" } else { "0.0.0.0:0" }
}

/// Accepts connections with TLS on them for ever, each served in a task of its own.
pub(crate) async fn accept_secured<F>(
    listener: TlsListener,
    serve: impl Fn(TlsStream, SocketAddr) -> F,
) -> Infallible
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok(stream) => {
                let from = stream.peer();
                tokio::spawn(serve(stream, from));
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection; trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Accepts connections for ever, each served in a task of its own.
pub(crate) async fn accept<F>(listener: TcpListener, serve: impl Fn(TcpStream, SocketAddr) -> F) -> Infallible
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                // Without it small answers are late, but they come.
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(stream, from));
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection; trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
