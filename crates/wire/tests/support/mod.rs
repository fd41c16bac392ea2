//! Messages as people write them, and the checks that every vector goes through.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed step of the scaffolding fails the test"
)]
pub(crate) mod strategies;

use bytes::BytesMut;
use rserpool_wire::{DecodeError, Decoded, Dialect, EncodeError, asap, enrp};

/// Bytes from hexadecimal digits; blanks and `; comments` are for the reader.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .lines()
        .flat_map(|line| line.split(';').next().unwrap_or_default().chars())
        .filter(|c| !c.is_whitespace())
        .map(|c| u8::try_from(c.to_digit(16).expect("a hexadecimal digit")).expect("below 16"))
        .collect();
    assert!(digits.len().is_multiple_of(2), "half a byte in {text}");
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// What both protocols have in common, for tests that run on both.
pub(crate) trait Protocol<'a>: Sized + PartialEq + std::fmt::Debug {
    fn decode(bytes: &'a [u8], dialect: Dialect) -> Result<Decoded<'a, Self>, DecodeError>;
    fn encode(&self, dialect: Dialect, buffer: &mut BytesMut) -> Result<(), EncodeError>;
}

impl<'a> Protocol<'a> for asap::Message<'a> {
    fn decode(bytes: &'a [u8], dialect: Dialect) -> Result<Decoded<'a, Self>, DecodeError> {
        asap::decode(bytes, dialect)
    }
    fn encode(&self, dialect: Dialect, buffer: &mut BytesMut) -> Result<(), EncodeError> {
        self.encode(dialect, buffer)
    }
}

impl<'a> Protocol<'a> for enrp::Message<'a> {
    fn decode(bytes: &'a [u8], dialect: Dialect) -> Result<Decoded<'a, Self>, DecodeError> {
        enrp::decode(bytes, dialect)
    }
    fn encode(&self, dialect: Dialect, buffer: &mut BytesMut) -> Result<(), EncodeError> {
        self.encode(dialect, buffer)
    }
}

pub(crate) fn encoded<'a, M: Protocol<'a>>(message: &M, dialect: Dialect) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    message.encode(dialect, &mut buffer).expect("a message that fits");
    buffer.to_vec()
}

/// Checks that `bytes` decode to `message`, with nothing to report, and that `message` encodes to `bytes`.
#[track_caller]
pub(crate) fn check_in<'a, M: Protocol<'a>>(dialect: Dialect, bytes: &'a [u8], message: impl Into<M>) {
    let message = message.into();
    let decoded = M::decode(bytes, dialect).expect("a good message");
    assert_eq!(decoded.message, message);
    assert_eq!(decoded.unrecognized, []);
    assert_eq!(Hex(&encoded(&message, dialect)), Hex(bytes));
}

/// [`check_in`] the RFC's dialect, for an ASAP message.
#[track_caller]
pub(crate) fn check_asap<'a>(bytes: &'a [u8], message: impl Into<asap::Message<'a>>) {
    check_in::<asap::Message<'_>>(Dialect::Rfc, bytes, message);
}

/// [`check_in`] the RFC's dialect, for an ENRP message.
#[track_caller]
pub(crate) fn check_enrp<'a>(bytes: &'a [u8], sender: u32, receiver: u32, body: enrp::Body<'a>) {
    let message = enrp::Message { sender: sender.into(), receiver: receiver.into(), body };
    check_in::<enrp::Message<'_>>(Dialect::Rfc, bytes, message);
}

/// Bytes that a failed assertion prints as hexadecimal words.
#[derive(PartialEq)]
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl std::fmt::Debug for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for word in self.0.chunks(4) {
            word.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            f.write_str(" ")?;
        }
        Ok(())
    }
}
