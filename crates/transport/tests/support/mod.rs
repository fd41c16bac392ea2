//! A pair of links over loopback, and messages to send on them.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::expect_used, reason = "test scaffolding: a failed step fails the test")]
#[cfg(feature = "psk")]
pub(crate) mod tls;

use bytes::Bytes;
use rserpool_machine::Endpoint;
use rserpool_transport::{Link, LinkConfig, LinkReader, Listener, SendQueue, TransportError, connect};
use tokio::task::JoinHandle;

pub(crate) fn endpoint(text: &str) -> Endpoint {
    text.parse().expect("an endpoint")
}

/// Two ends of one connection: the one that connected, and the one that accepted.
pub(crate) async fn pair(connecting: &LinkConfig, accepting: &LinkConfig) -> (Link, Link) {
    let listener = Listener::bind(&endpoint("tcp://127.0.0.1:0"), accepting).await.expect("a free port");
    let connected = connect(listener.local_endpoint(), connecting).await.expect("somebody listens");
    (connected, listener.accept().await.expect("somebody connected"))
}

/// A link with its writer running in the background.
pub(crate) struct Driven {
    pub(crate) reader: LinkReader,
    pub(crate) queue: SendQueue,
    pub(crate) writing: JoinHandle<Result<(), TransportError>>,
}

pub(crate) fn drive(link: Link) -> Driven {
    let (reader, writer) = link.split();
    let queue = writer.queue();
    Driven { reader, queue, writing: tokio::spawn(writer.run()) }
}

/// The `n`-th message: its length, a multiple of 4, follows from `n`, and so does its content.
pub(crate) fn message(n: usize, length: usize) -> Bytes {
    let field = u16::try_from(length).expect("a message length").to_be_bytes();
    let mut bytes = vec![5, 0, field[0], field[1]];
    bytes.resize(length, n as u8);
    bytes.into()
}

/// Every message up to the end of the stream, and the error that it ended with, if it did.
pub(crate) async fn read_all(reader: &mut LinkReader) -> (Vec<Bytes>, Option<TransportError>) {
    let mut messages = Vec::new();
    loop {
        match reader.fill().await {
            Ok(true) => {}
            Ok(false) => return (messages, None),
            Err(error) => return (messages, Some(error)),
        }
        loop {
            match reader.next_message() {
                Ok(Some(message)) => messages.push(Bytes::copy_from_slice(message)),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
}
