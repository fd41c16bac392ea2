//! Why registrars cannot be reached: roles only know that they cannot, and go on trying. Before a command says so, it looks
//! for itself, so that a wrong certificate reads as one.
use std::io;
use std::time::Duration;

use bytes::BytesMut;
use rserpool::machine::Endpoint;
use rserpool::transport::{self, LinkConfig, Security, TransportError};
use rserpool::wire::asap::{self, HandleResolution, Message};
use rserpool::wire::{Dialect, PoolHandle};
use tokio::time::timeout;

/// How long one registrar is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// A pool that is asked for only to be answered.
const NOBODY: &str = "?";

/// What keeps links to these registrars from working, `None` if one of them answers.
pub(crate) async fn diagnose(
    registrars: &[Endpoint],
    security: Option<&Security>,
    dialect: Dialect,
) -> Option<String> {
    let links = LinkConfig { security: security.cloned(), ..LinkConfig::default() };
    let mut found = Vec::new();
    for registrar in registrars {
        match timeout(PATIENCE, ask(registrar, &links, dialect)).await {
            Ok(Ok(true)) => return None,
            Ok(Ok(false)) => found.push(format!(
                "{registrar}: what answers there is none for elements and users; is it the ENRP port of a registrar?"
            )),
            Ok(Err(error)) => found.push(named(registrar, &error)),
            Err(_) => found.push(format!("{registrar}: no answer within {PATIENCE:?}")),
        }
    }
    (!found.is_empty()).then(|| found.join("; "))
}

/// Asks for a pool, and returns whether the answer is that of a registrar, whatever it says.
async fn ask(registrar: &Endpoint, links: &LinkConfig, dialect: Dialect) -> Result<bool, TransportError> {
    let (mut reader, writer) = transport::connect(registrar, links).await?.split();
    let queue = writer.queue();
    let mut request = BytesMut::new();
    let resolution =
        HandleResolution { pool_handle: PoolHandle::from(NOBODY), subscribe: false, items: None };
    if Message::from(resolution).encode(dialect, &mut request).is_ok() {
        // A link that has ended meanwhile says why when it is read.
        let _ = queue.push(request.freeze());
        queue.try_flush();
    }
    while reader.fill().await? {
        if let Some(bytes) = reader.next_message()? {
            let answer = asap::decode(bytes, dialect).map(|decoded| decoded.message);
            return Ok(matches!(answer, Ok(Message::HandleResolutionResponse(_) | Message::Error(_))));
        }
    }
    Err(TransportError::Broken(io::ErrorKind::UnexpectedEof.into()))
}

/// The error, with the registrar where it does not name it.
fn named(registrar: &Endpoint, error: &TransportError) -> String {
    let (text, name) = (error.to_string(), registrar.to_string());
    if text.contains(&name) { text } else { format!("{name}: {text}") }
}
