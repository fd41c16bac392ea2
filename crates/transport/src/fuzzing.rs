//! Doors to the inside for the fuzzer, which builds with `--cfg fuzzing`: what reads bytes before anybody has proved anything.
use crate::framing::Framer;
use crate::tls::hello::{self, Hello};

/// The messages of a stream that arrives in pieces of this size, and how it ended, if it was cut off.
#[must_use]
pub fn messages(stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, Option<String>) {
    let mut framer = Framer::new(1 << 14);
    let mut messages = Vec::new();
    for piece in stream.chunks(piece) {
        framer.room().extend_from_slice(piece);
        framer.filled(piece.len());
        loop {
            match framer.next_message() {
                Ok(Some(message)) => messages.push(message.to_vec()),
                Ok(None) => break,
                Err(error) => return (messages, Some(error.to_string())),
            }
        }
    }
    (messages, None)
}

/// The identities that a TLS client offers in its first message.
#[must_use]
pub fn client_hello(stream: &[u8]) -> Vec<Vec<u8>> {
    match hello::read(stream) {
        Hello::Whole { identities } => identities,
        Hello::Partial | Hello::NotTls => Vec::new(),
    }
}
