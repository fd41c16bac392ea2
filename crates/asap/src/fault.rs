//! What other ends get wrong: counted always, answered and reported at a bounded rate.
use std::time::{Duration, Instant};

use rserpool_wire::{DecodeError, ErrorCause};

/// A mistake of another end. It was answered where the RFC wants an answer, and is otherwise without effect.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The message could not be decoded, or is of unknown type.
    #[error("malformed message: {0}")]
    Malformed(#[from] DecodeError),
    /// The message had parameters of unknown type, which were skipped.
    #[error("{count} unrecognized parameters")]
    UnrecognizedParameters {
        /// How many of them asked to be reported.
        count: usize,
    },
    /// The message is none that this role receives, or was not asked for.
    #[error("unexpected {message}")]
    Unexpected {
        /// The RFC's name of the message.
        message: &'static str,
    },
    /// Somebody who is not authenticated connected to an element of a secured scope (RFC 5352 §9.3). The link was
    /// closed.
    #[error("connection from somebody who is not authenticated")]
    Unauthenticated,
}

/// What went over the links of a machine, and what was wrong with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Messages received, announcements included.
    pub received: u64,
    /// Messages transmitted.
    pub transmitted: u64,
    /// Requests sent again because no answer came in time.
    pub retransmitted: u64,
    /// Received messages that were malformed or of unknown type.
    pub malformed: u64,
    /// Received messages that this role does not receive, or did not ask for.
    pub unexpected: u64,
    /// Received ASAP_ERROR messages.
    pub errors_received: u64,
    /// ASAP_ERROR messages sent.
    pub errors_sent: u64,
    /// Faults that were neither answered nor reported, because there were too many.
    pub suppressed: u64,
    /// Keep-alives that were not listened to, because there were too many.
    pub keep_alives_shed: u64,
    /// Home registrars found or adopted.
    pub homes: u64,
}

/// Lets so many faults through in a second; a flood of them must become neither a flood of answers nor of events.
#[derive(Debug, Default)]
pub(crate) struct FaultLimit {
    window: Option<Instant>,
    passed: u32,
}

impl FaultLimit {
    const PER_WINDOW: u32 = 10;
    const WINDOW: Duration = Duration::from_secs(1);

    pub(crate) fn pass(&mut self, now: Instant) -> bool {
        if self.window.is_none_or(|start| now.saturating_duration_since(start) >= Self::WINDOW) {
            (self.window, self.passed) = (Some(now), 0);
        }
        let pass = self.passed < Self::PER_WINDOW;
        self.passed += u32::from(pass);
        pass
    }
}

/// The cause to answer `message` with. An ASAP_ERROR, however malformed, is never answered: two ends could go on
/// like that for ever.
pub(crate) fn cause_to_answer<'a>(error: &DecodeError, message: &'a [u8]) -> Option<ErrorCause<'a>> {
    const ASAP_ERROR: u8 = 0x0e;
    error.cause(message).filter(|_| message.first() != Some(&ASAP_ERROR))
}
