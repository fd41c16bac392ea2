//! `rserpool proxy`: a fixed address behind which there is always a live element.
use std::net::SocketAddr;

use clap::Args;
use rserpool::machine::Endpoint;
use rserpool::{ConnectError, Target};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tracing::{debug, info, warn};

use crate::arguments::{self, User};
use crate::failure::Failure;
use crate::listening;
use crate::output;
use crate::security::{Renewal, UserTls};
use crate::shutdown::Shutdown;

/// Let any TCP client reach a live element of a pool
///
/// Each connection goes to an element that the pool's policy picks; those that cannot be connected to are passed over. A
/// connection whose element fails later is closed: the client connects again and gets another one. With --service-tls the
/// way from here to the element is encrypted, for clients that know nothing of TLS. Prints `ready listen=URL` once it
/// listens. Where it has keys, SIGHUP reads their files again.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    user: User,
    #[command(flatten)]
    tls: UserTls,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", value_parser = arguments::place)]
    listen: String,
}

pub(crate) async fn run(mut arguments: Arguments) -> Result<(), Failure> {
    let mut renewal = Renewal::default();
    let security = arguments.user.with_elements(&arguments.tls, &mut renewal)?;
    let mut shutdown = Shutdown::listen()?;
    let listener = listening::listen("--listen", &arguments.listen).await?;
    let pool = arguments.user.renewed_pool(&mut renewal).await?;
    renewal.start()?;
    output::ready([("listen", Endpoint::tcp(listener.local_addr()?))])?;
    let serve = listening::accept(listener, |client, from| {
        let (pool, security) = (pool.clone(), security.clone());
        async move {
            match security {
                Some(security) => relay(client, from, pool.connect_secured(&security).await).await,
                None => relay(client, from, pool.connect_target().await).await,
            }
        }
    });
    tokio::select! {
        never = serve => match never {},
        () = shutdown.requested() => Ok(()),
    }
}

/// Copies both ways between a client and an element until one of them is done.
async fn relay<S: AsyncRead + AsyncWrite + Unpin>(
    mut client: TcpStream,
    from: SocketAddr,
    reached: Result<(S, Target), ConnectError>,
) {
    let (mut stream, target) = match reached {
        Ok(reached) => reached,
        Err(error) => return warn!(%from, %error, "client turned away"),
    };
    let element = target.identifier();
    info!(%from, %element, "client connected");
    match tokio::io::copy_bidirectional(&mut client, &mut stream).await {
        Ok((sent, received)) => info!(%from, %element, sent, received, "client served"),
        Err(error) => debug!(%from, %element, %error, "connection broke"),
    }
}
