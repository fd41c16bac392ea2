//! Any bytes as the stream of a link: messages come out the same however the stream is cut, each as long as its length field says;
//! and as the first bytes of a TLS client.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use rserpool_transport::fuzzing::{client_hello, messages};
use rserpool_wire::frame_length;

fuzz_target!(|input: (usize, &[u8])| {
    let (piece, stream) = input;
    let whole = messages(stream, stream.len().max(1));
    assert_eq!(whole, messages(stream, piece.clamp(1, 64)));
    for message in &whole.0 {
        assert_eq!(message.first_chunk().and_then(|header| frame_length(*header)), Some(message.len()));
    }
    assert!(client_hello(stream).iter().map(Vec::len).sum::<usize>() <= stream.len());
});
