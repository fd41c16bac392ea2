//! Any bytes as an ENRP message: the decoder must not panic, an error must point into the message, and the answer to it
//! must fit a message itself.
#![no_main]
#![forbid(unsafe_code)]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use rserpool_wire::{Dialect, enrp};

fuzz_target!(|bytes: &[u8]| {
    for dialect in [Dialect::Rfc, Dialect::Rsplib] {
        let Err(error) = enrp::decode(bytes, dialect) else { continue };
        assert!(error.offset <= bytes.len(), "{error}");
        if let Some(cause) = error.cause(bytes) {
            let body = enrp::Body::Error(enrp::ErrorReport { error: cause.into() });
            let message = enrp::Message { sender: 1.into(), receiver: 2.into(), body };
            message.encode(dialect, &mut BytesMut::new()).expect("an answer that fits");
        }
    }
});
