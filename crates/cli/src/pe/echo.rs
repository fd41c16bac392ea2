//! The echo service: every byte comes back, and over SCTP every message.
use std::net::SocketAddr;

use rserpool::machine::{Endpoint, Scheme};
use rserpool::transport::LinkConfig;
use rserpool::wire::Transport;
use rserpool::{TimerProfile, TlsListener};
use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::net::TcpListener;
use tracing::debug;

use crate::failure::Failure;
use crate::listening;

/// The service, listening.
pub(super) enum Echo {
    Tcp(TcpListener),
    Tls(Box<TlsListener>),
    #[cfg(target_os = "linux")]
    Sctp(Box<rserpool::sctp::SctpListener>),
}

impl Echo {
    /// Listens at `place`, as the user gave it by `--listen`: `HOST:PORT`, or the URL of an endpoint; for TLS where there is a `tls`.
    /// Returns what to tell registrars about it, with the real port.
    #[cfg_attr(not(target_os = "linux"), allow(unused_variables, reason = "SCTP is there on Linux only"))]
    pub(super) async fn listen(
        place: &str,
        timers: TimerProfile,
        tls: Option<&LinkConfig>,
    ) -> Result<(Self, Transport), Failure> {
        let failed = |error: String| Failure::new(format!("--listen {place}: {error}"));
        if let Some(links) = tls {
            let (listener, address) = listening::listen_secured(place, links).await?;
            return Ok((Self::Tls(Box::new(listener)), address.into()));
        }
        if !place.contains("://") {
            return Self::tcp(place).await;
        }
        let endpoint: Endpoint = place.parse().map_err(|error| failed(format!("{error}")))?;
        match endpoint.scheme() {
            Scheme::Tcp => Self::tcp(place.trim_start_matches("tcp://")).await,
            #[cfg(target_os = "linux")]
            Scheme::Sctp => sctp::listen(&endpoint, timers).await.map_err(failed),
            scheme => Err(failed(format!("the echo service does not speak {scheme}"))),
        }
    }

    async fn tcp(place: &str) -> Result<(Self, Transport), Failure> {
        let listener = listening::listen("--listen", place).await?;
        let address = listener.local_addr()?;
        Ok((Self::Tcp(listener), address.into()))
    }

    /// Serves for ever.
    pub(super) async fn serve(self) {
        match self {
            Self::Tcp(listener) => serve(listener).await,
            Self::Tls(listener) => match listening::accept_secured(*listener, serve_one).await {},
            #[cfg(target_os = "linux")]
            Self::Sctp(listener) => sctp::serve(&listener).await,
        }
    }
}

/// Serves TCP for ever.
pub(crate) async fn serve(listener: TcpListener) {
    match listening::accept(listener, serve_one).await {}
}

async fn serve_one(stream: impl AsyncRead + AsyncWrite, from: SocketAddr) {
    let (mut read, mut write) = split(stream);
    match tokio::io::copy(&mut read, &mut write).await {
        Ok(bytes) => debug!(%from, bytes, "client served"),
        Err(error) => debug!(%from, %error, "connection broke"),
    }
}

#[cfg(target_os = "linux")]
mod sctp {
    use rserpool::PayloadProtocol;
    use rserpool::machine::Host;
    use rserpool::sctp::{Error, Received, SctpListener, SctpStream, SendInfo};
    use rserpool::wire::TransportUse;
    use tokio::net::lookup_host;
    use tokio::time::sleep;
    use tracing::warn;

    use super::{Echo, Endpoint, TimerProfile, Transport, debug};
    use crate::listening::ACCEPT_PAUSE;

    /// On all addresses of the endpoint.
    pub(super) async fn listen(
        endpoint: &Endpoint,
        timers: TimerProfile,
    ) -> Result<(Echo, Transport), String> {
        let mut addresses = Vec::new();
        for authority in endpoint.authorities() {
            match &authority.host {
                Host::Address(ip) => addresses.push((*ip, authority.port).into()),
                Host::Name(name) => {
                    let found = lookup_host((&**name, authority.port)).await;
                    addresses.extend(found.map_err(|error| format!("{name}: {error}"))?);
                }
            }
        }
        let listener = SctpListener::bind(&addresses, &timers.sctp_socket())
            .map_err(|error| format!("cannot listen there: {error}"))?;
        let local = listener.local_addrs().map_err(|error| error.to_string())?;
        let transport = Transport::Sctp {
            port: local.first().map_or(0, |address| address.port()),
            transport_use: TransportUse::DataOnly,
            // Not the local ones: `0.0.0.0` is told as the address that users can reach.
            addresses: addresses.iter().map(|address| address.ip()).collect(),
        };
        Ok((Echo::Sctp(Box::new(listener)), transport))
    }

    pub(super) async fn serve(listener: &SctpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => drop(tokio::spawn(async move {
                    match echo(stream).await {
                        Ok(messages) => debug!(%from, messages, "client served"),
                        Err(error) => debug!(%from, %error, "association broke"),
                    }
                })),
                Err(error) => {
                    warn!(%error, "cannot accept an association; trying again");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Sends messages back with their payload protocol identifier. The control channel has nothing to say here: without state
    /// there are no cookies (RFC 5352 §5).
    async fn echo(stream: SctpStream) -> Result<u64, Error> {
        let mut messages = 0;
        while let Some(received) = stream.recv().await? {
            if let Received::Message(message) = received
                && !PayloadProtocol(message.info.ppid).is_control()
            {
                stream.send(&SendInfo::new(message.info.ppid), &message.bytes).await?;
                messages += 1;
            }
        }
        Ok(messages)
    }
}
