//! Standard output: lines that are there for the reader at once, and JSON.
use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;

use crate::failure::{Failure, written};

/// Writes one line and flushes: whoever waits for it, gets it now.
pub(crate) fn line(text: impl Display) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    written(writeln!(stdout, "{text}").and_then(|()| stdout.flush()))
}

/// Writes bytes as they are and flushes.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    written(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

/// Writes a value as JSON over several lines.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(serde_json::to_string_pretty(value)?)
}

/// Says that a long-running command serves now: `ready name=value …`, parts that do not exist left out. It serves whether
/// somebody reads that or not.
pub(crate) fn ready<V: Display>(parts: impl IntoIterator<Item = (&'static str, V)>) -> Result<(), Failure> {
    let mut text = String::from("ready");
    for (name, value) in parts {
        text.push_str(&format!(" {name}={value}"));
    }
    match line(text) {
        Err(Failure::ReaderGone) => Ok(()),
        other => other,
    }
}
