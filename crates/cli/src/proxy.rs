//! `rserpool proxy`: a fixed address behind which there is always a live element.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rserpool::machine::Endpoint;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::arguments::User;
use crate::failure::Failure;
use crate::output;
use crate::reach::Reach;
use crate::shutdown::Shutdown;

/// How long to wait before accepting again where that failed, for want of descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Let any TCP client reach a live element of a pool
///
/// Each connection goes to an element that the pool's policy picks; those that cannot be connected to are passed over. A
/// connection whose element fails later is closed: the client connects again and gets another one. Prints
/// `ready listen=URL` once it listens.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    user: User,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT")]
    listen: String,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut shutdown = Shutdown::listen()?;
    let listener = listen("--listen", &arguments.listen).await?;
    let reach = Arc::new(Reach::new(arguments.user.pool().await?, arguments.user.patience()));
    output::ready([("listen", Endpoint::tcp(listener.local_addr()?))])?;
    let serve = accept(listener, |client, from| {
        let reach = Arc::clone(&reach);
        async move { relay(client, from, &reach).await }
    });
    tokio::select! {
        never = serve => match never {},
        () = shutdown.requested() => Ok(()),
    }
}

/// Listens at `address`, which the user gave by `flag`.
pub(crate) async fn listen(flag: &str, address: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address)
        .await
        .map_err(|error| Failure::new(format!("{flag} {address}: cannot listen there: {error}")))
}

/// Accepts connections for ever, each served in a task of its own.
pub(crate) async fn accept<F>(
    listener: TcpListener,
    serve: impl Fn(TcpStream, SocketAddr) -> F,
) -> std::convert::Infallible
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

/// Connects a client with an element and copies both ways until one of them is done.
async fn relay(mut client: TcpStream, from: SocketAddr, reach: &Reach) {
    let (mut stream, target) = match reach.element().await {
        Ok(reached) => reached,
        Err(failure) => return warn!(%from, %failure, "client turned away"),
    };
    let element = target.identifier();
    info!(%from, %element, "client connected");
    match tokio::io::copy_bidirectional(&mut client, &mut stream).await {
        Ok((sent, received)) => info!(%from, %element, sent, received, "client served"),
        Err(error) => debug!(%from, %element, %error, "connection broke"),
    }
}
