//! A sidecar: registers a TCP service that knows nothing of RSerPool while it can be connected to, and only then; if wanted, with TLS
//! in front of it.
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rserpool::wire::PeIdentifier;
use rserpool::{PoolElement, TimerProfile, TlsStream};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{debug, info, warn};

use super::{Arguments, Secured, register};
use crate::failure::Failure;
use crate::listening;
use crate::shutdown::Shutdown;

/// The service: where it is, and how long it has to accept a connection, a user's as well as a check.
#[derive(Clone, Copy)]
struct Service {
    address: SocketAddr,
    accepts_within: Duration,
}

pub(super) async fn run(
    arguments: &Arguments,
    target: &str,
    secured: &Secured,
    mut shutdown: Shutdown,
) -> Result<(), Failure> {
    if arguments.listen.is_some() && secured.service.is_none() {
        return Err(Failure::usage(
            "--listen is not for --target, which users reach by itself, unless --service-tls is in front of it",
        ));
    }
    let (every, accepts_within) = match arguments.registrars.conventions.timers {
        TimerProfile::Rfc => (Duration::from_secs(1), Duration::from_secs(1)),
        TimerProfile::Fast => (Duration::from_millis(200), Duration::from_millis(250)),
    };
    let address = tokio::select! {
        address = look_up(target) => address?,
        () = shutdown.requested() => return Ok(()),
    };
    let service = Service { address, accepts_within };
    let reached_at = match &secured.service {
        Some(links) => {
            let (listener, reached_at) = listening::listen_secured(arguments.place(), links).await?;
            tokio::spawn(listening::accept_secured(listener, move |user, from| relay(user, from, service)));
            reached_at
        }
        None => service.address,
    };
    let mut checks = interval(arguments.check.unwrap_or(every));
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut registered: Option<PoolElement> = None;
    // The element keeps its identifier for as long as the sidecar runs.
    let mut identity: Option<PeIdentifier> = None;
    let mut said_to_be_down = false;
    loop {
        let check = async {
            checks.tick().await;
            service.connect().await
        };
        let up = tokio::select! {
            up = check => up,
            () = shutdown.requested() => break,
        };
        match (up, registered.take()) {
            (Ok(_), Some(element)) => registered = Some(element),
            (Err(error), Some(element)) => {
                warn!(%error, "deregistering the service until it is back");
                said_to_be_down = true;
                element.deregister().await;
            }
            (Ok(_), None) => {
                let mut builder = arguments.element(reached_at, secured);
                if let Some(identity) = identity {
                    builder = builder.identifier(identity);
                }
                let element = tokio::select! {
                    element = register(builder, &arguments.registrars) => element?,
                    () = shutdown.requested() => break,
                };
                if identity.replace(element.identifier()).is_none() {
                    arguments.announce(&element)?;
                } else {
                    info!(%target, "the service is back");
                }
                registered = Some(element);
            }
            (Err(error), None) => {
                if !said_to_be_down {
                    warn!(%error, "not registered yet; waiting for the service");
                    said_to_be_down = true;
                }
            }
        }
    }
    if let Some(element) = registered {
        element.deregister().await;
    }
    Ok(())
}

/// Copies both ways between a user and the service until one of them is done. A user whose service accepts no connection loses its
/// own, as with an element that fails, and goes on elsewhere.
async fn relay(mut user: TlsStream, from: SocketAddr, service: Service) {
    let mut served = match service.connect().await {
        Ok(connection) => connection,
        Err(error) => return warn!(%from, %error, "client turned away"),
    };
    match copy_bidirectional(&mut user, &mut served).await {
        Ok((received, sent)) => debug!(%from, received, sent, "client served"),
        Err(error) => debug!(%from, %error, "connection broke"),
    }
}

impl Service {
    async fn connect(&self) -> io::Result<TcpStream> {
        let Self { address, accepts_within } = *self;
        let Ok(connected) = timeout(accepts_within, TcpStream::connect(address)).await else {
            let text =
                format!("the service at {address} has not accepted a connection within {accepts_within:?}");
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        };
        let stream = connected.map_err(|error| {
            io::Error::new(error.kind(), format!("the service at {address} accepts no connection: {error}"))
        })?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// The first address of the target: the one that its users are sent to, if nothing is in front of it.
async fn look_up(target: &str) -> Result<SocketAddr, Failure> {
    let mut addresses =
        lookup_host(target).await.map_err(|error| Failure::new(format!("--target {target}: {error}")))?;
    addresses.next().ok_or_else(|| Failure::new(format!("--target {target}: the name has no address")))
}
