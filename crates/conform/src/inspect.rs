//! Messages of the registrar: decoded strictly, and told to people.
use rserpool_machine::Protocol;
use rserpool_wire::{Dialect, asap, enrp};

use crate::outcome::{Problem, Verdict};

/// The most of a message that a report quotes.
const QUOTED: usize = 400;

/// Decodes what the registrar sent: all of it must be right, whatever the case is about.
pub(crate) fn asap(bytes: &[u8], dialect: Dialect) -> Verdict<asap::Message<'_>> {
    let decoded = asap::decode(bytes, dialect).map_err(|error| undecodable(bytes, &error.to_string()))?;
    if decoded.unrecognized.is_empty() {
        Ok(decoded.message)
    } else {
        Err(undecodable(bytes, "it has parameters of unknown type"))
    }
}

/// The same between registrars.
pub(crate) fn enrp(bytes: &[u8], dialect: Dialect) -> Verdict<enrp::Message<'_>> {
    let decoded = enrp::decode(bytes, dialect).map_err(|error| undecodable(bytes, &error.to_string()))?;
    if decoded.unrecognized.is_empty() {
        Ok(decoded.message)
    } else {
        Err(undecodable(bytes, "it has parameters of unknown type"))
    }
}

fn undecodable(bytes: &[u8], why: &str) -> Problem {
    Problem::failed("only messages as the RFCs define them", format!("{why}: {}", hex(bytes)))
}

/// A message as a report shows it.
pub(crate) fn describe(bytes: &[u8], protocol: Protocol, dialect: Dialect) -> String {
    let text = match protocol {
        Protocol::Asap => asap::decode(bytes, dialect).map(|decoded| format!("{:?}", decoded.message)),
        Protocol::Enrp => enrp::decode(bytes, dialect).map(|decoded| format!("{:?}", decoded.message)),
    };
    let text = text.unwrap_or_else(|error| format!("{error}: {}", hex(bytes)));
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Several messages as a report shows them.
pub(crate) fn describe_all(messages: &[impl AsRef<[u8]>], protocol: Protocol, dialect: Dialect) -> String {
    if messages.is_empty() {
        return "nothing".to_owned();
    }
    let texts: Vec<_> = messages.iter().map(|bytes| describe(bytes.as_ref(), protocol, dialect)).collect();
    texts.join("; ")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
