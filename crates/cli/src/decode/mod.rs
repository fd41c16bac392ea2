//! `rserpool decode`: what the bytes of one message mean, and what this implementation would send in their place.
mod asap;
mod enrp;
mod text;

use std::io::Read;

use clap::{Args, ValueEnum};
use rserpool::wire::{DecodeError, Dialect, EncodeError, ErrorCause};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output;
use crate::values::{self, Object};

/// Decode one message: hex on standard input, its meaning on standard output
///
/// White space, colons and a leading 0x are ignored. The result names every field of the message; `unrecognized` lists the
/// parameters that were skipped and must be reported, `reencoded` is the same message as this implementation would send it.
/// A message that cannot be decoded is told with the offset, the reason, and the error cause that the RFCs want as an
/// answer; the exit status is then 1.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Which protocol the message belongs to: both number theirs from 1
    #[arg(long, value_enum, value_name = "PROTOCOL")]
    protocol: Protocol,
    /// The wire format: of the RFCs, or of the reference implementation where it deviates [rfc, rsplib]
    #[arg(long, value_name = "DIALECT", default_value_t)]
    dialect: Dialect,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    /// Between elements, users and registrars (RFC 5352)
    Asap,
    /// Between registrars (RFC 5353)
    Enrp,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input)?;
    let text = std::str::from_utf8(&input).map_err(|_| {
        Failure::new("standard input is no text: write the bytes of the message in hex, as `xxd -p` does")
    })?;
    let bytes = bytes(text)?;
    let result = match arguments.protocol {
        Protocol::Asap => asap::meaning(&bytes, arguments.dialect),
        Protocol::Enrp => enrp::meaning(&bytes, arguments.dialect),
    };
    let (value, decoded) = match result {
        Ok(object) => (Value::Object(object), true),
        Err(error) => (fault(arguments.protocol, &error, &bytes), false),
    };
    if arguments.json {
        output::json(&value)?;
    } else {
        output::line(text::Outline(&value))?;
    }
    if decoded { Ok(()) } else { Err(Failure::Told) }
}

/// The bytes that `text` spells.
fn bytes(text: &str) -> Result<Vec<u8>, Failure> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
    let digits = digits.strip_prefix("0x").unwrap_or(&digits);
    hex::decode(digits)
        .map_err(|error| Failure::new(format!("standard input is no hex of a message: {error}")))
}

/// What is wrong with a message, and what its sender is to be told.
fn fault(protocol: Protocol, error: &DecodeError, bytes: &[u8]) -> Value {
    json!({
        "protocol": if protocol == Protocol::Asap { "asap" } else { "enrp" },
        "error": {
            "offset": error.offset,
            "reason": error.reason.to_string(),
            "cause": error.cause(bytes).as_ref().map(values::cause),
        },
    })
}

/// Adds what both protocols end with: skipped parameters to be reported, and the message as we would send it.
fn finish(object: &mut Object, unrecognized: &[ErrorCause<'_>], reencoded: Result<String, EncodeError>) {
    if !unrecognized.is_empty() {
        object.insert("unrecognized".into(), unrecognized.iter().map(values::cause).collect());
    }
    match reencoded {
        Ok(hex) => object.insert("reencoded".into(), hex.into()),
        Err(error) => object.insert("not_encodable".into(), error.to_string().into()),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_may_be_written_in_the_usual_ways() {
        for text in ["0x0500000c\n", "05 00 00 0c", "05:00:00:0C"] {
            assert_eq!(bytes(text).expect(text), [5, 0, 0, 12]);
        }
        assert!(bytes("050").is_err());
    }
}
