//! The echo service: every byte comes back.
use tokio::net::{TcpListener, TcpStream};
use tracing::debug;

use crate::listening;

/// Serves for ever.
pub(crate) async fn serve(listener: TcpListener) {
    match listening::accept(listener, |stream, from| async move {
        match echo(stream).await {
            Ok(bytes) => debug!(%from, bytes, "client served"),
            Err(error) => debug!(%from, %error, "connection broke"),
        }
    })
    .await {}
}

async fn echo(mut stream: TcpStream) -> std::io::Result<u64> {
    let (mut read, mut write) = stream.split();
    tokio::io::copy(&mut read, &mut write).await
}
