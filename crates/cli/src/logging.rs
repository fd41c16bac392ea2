//! Logs on standard error, for people or for machines.
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// The form of the logs.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// One line per event, for people
    Text,
    /// One JSON object per event
    Json,
}

/// Starts logging; `level` holds where `RUST_LOG` says nothing.
pub(crate) fn start(format: LogFormat, level: &str) {
    let filter = EnvFilter::builder().parse(std::env::var("RUST_LOG").unwrap_or_else(|_| level.to_owned()));
    let filter = filter.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "RUST_LOG: {error}; logging at level {level}");
        EnvFilter::new(level)
    });
    // A log that cannot be written is no reason to stop, nor is that this cannot be said either.
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).log_internal_errors(false);
    match format {
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().init(),
    }
}
