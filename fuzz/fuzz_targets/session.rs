//! Any bytes as the stream between a user and an element: frames come out the same however the stream is cut, and both ends of a
//! session take any message of the control channel.
#![no_main]
#![forbid(unsafe_code)]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use rserpool_asap::session::{ElementSession, Frame, FrameCodec, FrameError, UserSession};
use rserpool_wire::{Dialect, PoolHandle};

const LARGEST: usize = 1 << 12;

fuzz_target!(|input: (usize, &[u8])| {
    let (piece, stream) = input;
    let whole = frames(stream, stream.len().max(1));
    assert_eq!(whole, frames(stream, piece.clamp(1, 64)));

    for dialect in [Dialect::Rfc, Dialect::Rsplib] {
        let mut user = UserSession::new(dialect);
        let element = ElementSession::new(dialect, PoolHandle::from("echo"));
        for frame in whole.0.iter().filter(|frame| frame.protocol.is_control()) {
            let _ = user.handle_control(&frame.payload);
            let _ = element.handle_control(&frame.payload);
        }
        for message in user.opening() {
            let _ = element.handle_control(&message);
        }
    }
});

/// What comes out of a stream that arrives in pieces of this size, and what ended it.
fn frames(stream: &[u8], piece: usize) -> (Vec<Frame>, Option<FrameError>) {
    let codec = FrameCodec::new(LARGEST);
    let (mut frames, mut buffer) = (Vec::new(), BytesMut::new());
    for piece in stream.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}
