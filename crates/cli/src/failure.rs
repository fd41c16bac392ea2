//! How a command fails: what standard error says, and the exit status.
use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something did not work out: status 1.
    Failed(String),
    /// The command was not used rightly, in a way that argument parsing alone cannot see: status 2.
    Usage(String),
    /// The command has said on standard output what is wrong: status 1.
    Told,
    /// Whoever read standard output has gone, as `head` does: there is nobody left to write for, so this is a good end.
    ReaderGone,
}

impl Failure {
    /// Something did not work out.
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self::Failed(message.to_string())
    }

    /// The command was not used rightly; name the flag.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::Usage(message.to_string())
    }

    /// Says it, and returns the exit status.
    pub(crate) fn report(&self) -> ExitCode {
        // That nobody reads the message does not make it another failure.
        match self {
            Self::Failed(message) => {
                let _ = writeln!(io::stderr(), "error: {message}");
                ExitCode::from(1)
            }
            Self::Usage(message) => {
                let _ = writeln!(io::stderr(), "error: {message}\n\nFor more information, try '--help'.");
                ExitCode::from(2)
            }
            Self::Told => ExitCode::from(1),
            Self::ReaderGone => ExitCode::SUCCESS,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(message) | Self::Usage(message) => f.write_str(message),
            Self::Told => f.write_str("failed"),
            Self::ReaderGone => f.write_str("nobody reads the output any more"),
        }
    }
}

/// Any error ends a command with its message and those of its causes, as far as they add something.
impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            source = cause.source();
        }
        Self::Failed(message)
    }
}

/// For the outcome of writing to standard output.
pub(crate) fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderGone),
        other => other.map_err(Failure::from),
    }
}
