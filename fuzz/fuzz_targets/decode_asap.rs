//! Any bytes as an ASAP message: the decoder must not panic, an error must point into the message, and the answer to it
//! must fit a message itself.
#![no_main]
#![forbid(unsafe_code)]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use rserpool_wire::{Dialect, asap};

fuzz_target!(|bytes: &[u8]| {
    for dialect in [Dialect::Rfc, Dialect::Rsplib] {
        let Err(error) = asap::decode(bytes, dialect) else { continue };
        assert!(error.offset <= bytes.len(), "{error}");
        if let Some(cause) = error.cause(bytes) {
            let message = asap::Message::from(asap::ErrorReport { error: cause.into() });
            message.encode(dialect, &mut BytesMut::new()).expect("an answer that fits");
        }
    }
});
