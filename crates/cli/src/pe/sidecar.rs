//! A sidecar: registers a TCP service that knows nothing of RSerPool while it can be connected to, and only then; if wanted, with TLS
//! in front of it.
use std::net::SocketAddr;
use std::time::Duration;

use rserpool::transport::LinkConfig;
use rserpool::wire::PeIdentifier;
use rserpool::{PoolElement, TimerProfile, TlsStream};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{debug, info, warn};

use super::{Arguments, register};
use crate::failure::Failure;
use crate::listening;
use crate::shutdown::Shutdown;

/// The least time that the target has to accept a connection.
const CONNECT: Duration = Duration::from_millis(250);

pub(super) async fn run(
    arguments: &Arguments,
    target: &str,
    tls: Option<&LinkConfig>,
    shutdown: &mut Shutdown,
) -> Result<(), Failure> {
    if arguments.listen.is_some() && tls.is_none() {
        return Err(Failure::usage(
            "--listen is not for --target, which users reach by itself, unless --service-tls is in front of it",
        ));
    }
    let address = look_up(target).await?;
    let reached_at = match tls {
        Some(links) => {
            let (listener, reached_at) = listening::listen_secured(arguments.place(), links).await?;
            tokio::spawn(listening::accept_secured(listener, move |user, from| relay(user, from, address)));
            reached_at
        }
        None => address,
    };
    let every = arguments.check.unwrap_or(match arguments.registrars.conventions.timers {
        TimerProfile::Rfc => Duration::from_secs(1),
        TimerProfile::Fast => Duration::from_millis(200),
    });
    let mut checks = interval(every);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut registered: Option<PoolElement> = None;
    // The element keeps its identifier for as long as the sidecar runs.
    let mut identity: Option<PeIdentifier> = None;
    loop {
        tokio::select! {
            _ = checks.tick() => {}
            () = shutdown.requested() => break,
        }
        let up = answers(address, every.max(CONNECT)).await;
        match registered.take() {
            Some(element) if up => registered = Some(element),
            Some(element) => {
                warn!(%target, "the service does not answer; deregistering it");
                element.deregister().await;
            }
            None if up => {
                let mut builder = arguments.element(reached_at)?;
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
            None => {}
        }
    }
    if let Some(element) = registered {
        element.deregister().await;
    }
    Ok(())
}

/// Copies both ways between a user and the target until one of them is done.
async fn relay(mut user: TlsStream, from: SocketAddr, target: SocketAddr) {
    let served = async {
        let mut service = TcpStream::connect(target).await?;
        service.set_nodelay(true)?;
        copy_bidirectional(&mut user, &mut service).await
    };
    match served.await {
        Ok((received, sent)) => debug!(%from, received, sent, "client served"),
        Err(error) => debug!(%from, %error, "connection broke"),
    }
}

/// The first address of the target: the one that its users are sent to, if nothing is in front of it.
async fn look_up(target: &str) -> Result<SocketAddr, Failure> {
    let mut addresses =
        lookup_host(target).await.map_err(|error| Failure::new(format!("--target {target}: {error}")))?;
    addresses.next().ok_or_else(|| Failure::new(format!("--target {target}: the name has no address")))
}

/// Whether somebody accepts connections there.
async fn answers(address: SocketAddr, within: Duration) -> bool {
    matches!(timeout(within, TcpStream::connect(address)).await, Ok(Ok(_)))
}
