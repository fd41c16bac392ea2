//! Any bytes as a message of either protocol: what decodes must encode, and decode to the same again.
#![no_main]
#![forbid(unsafe_code)]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use rserpool_wire::{Dialect, asap, enrp};

fuzz_target!(|bytes: &[u8]| {
    for dialect in [Dialect::Rfc, Dialect::Rsplib] {
        if let Ok(decoded) = asap::decode(bytes, dialect) {
            let mut buffer = BytesMut::new();
            match decoded.message.encode(dialect, &mut buffer) {
                Ok(()) => {
                    let again = asap::decode(&buffer, dialect).expect("what was encoded decodes");
                    assert_eq!(again.message, decoded.message);
                }
                Err(error) => assert!(may_grow_too_long(bytes), "{error}"),
            }
        }
        if let Ok(decoded) = enrp::decode(bytes, dialect) {
            let mut buffer = BytesMut::new();
            match decoded.message.encode(dialect, &mut buffer) {
                Ok(()) => {
                    let again = enrp::decode(&buffer, dialect).expect("what was encoded decodes");
                    assert_eq!(again.message, decoded.message);
                }
                Err(error) => assert!(may_grow_too_long(bytes), "{error}"),
            }
        }
    }
});

/// Encoding adds the final padding that the sender left out, which one of the dialects counts.
fn may_grow_too_long(bytes: &[u8]) -> bool {
    bytes.len() > 65_532
}
