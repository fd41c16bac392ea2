//! What can be wrong with a message that came in, and with one that is to go out.
//!
//! A [`DecodeError`] is a peer's mistake: it carries what the RFCs want answered. An [`EncodeError`] is the caller's.
use std::ops::Range;

use crate::cause::{CauseCode, ErrorCause};
use crate::parameter::ParameterType;
use crate::transport::TransportKind;

/// A decoded message, and the error causes to report about parameters that were skipped (action bits 11).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decoded<'a, M> {
    /// The message.
    pub message: M,
    /// One "Unrecognized Parameter" cause per skipped parameter that asked to be reported (RFC 5354 §3).
    pub unrecognized: Vec<ErrorCause<'a>>,
}

/// Why a message could not be decoded, where, and what to answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {reason}")]
pub struct DecodeError {
    /// Offset from the start of the message.
    pub offset: usize,
    /// What is wrong there.
    pub reason: DecodeReason,
    report: Report,
}

/// The part of a message that the answer to it must quote.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Report {
    Nothing,
    UnrecognizedMessage,
    UnrecognizedParameter(Range<usize>),
    InvalidValues(Range<usize>),
}

/// What is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeReason {
    /// The message or parameter ends before its content does.
    #[error("{needed} bytes needed, {available} left")]
    Truncated {
        /// Bytes that should follow.
        needed: usize,
        /// Bytes that do follow.
        available: usize,
    },
    /// The length field of the message does not fit the bytes received.
    #[error("message length field says {field}, {received} bytes received")]
    MessageLength {
        /// Value of the field.
        field: usize,
        /// Bytes handed to the decoder.
        received: usize,
    },
    /// The length field of a parameter is below 4 or points behind the end of what encloses it.
    #[error("parameter length field says {field}, {available} bytes left")]
    ParameterLength {
        /// Value of the field.
        field: usize,
        /// Bytes left, the parameter's header included.
        available: usize,
    },
    /// Bytes are left over inside a parameter of fixed size.
    #[error("{0} unexpected bytes at the end of a parameter")]
    TrailingBytes(usize),
    /// A message type that this protocol does not have.
    #[error("unknown message type 0x{0:02x}")]
    UnknownMessage(u8),
    /// A parameter type that is unknown and asks not to be skipped.
    #[error("unknown parameter type {0}")]
    UnknownParameter(ParameterType),
    /// A known parameter in a place where it has no meaning.
    #[error("parameter {0} does not belong here")]
    UnexpectedParameter(ParameterType),
    /// A parameter that may occur once occurs twice.
    #[error("second {0} parameter")]
    DuplicateParameter(ParameterType),
    /// A mandatory parameter is absent.
    #[error("no {0} parameter")]
    MissingParameter(ParameterType),
    /// A value that the RFCs do not allow.
    #[error("{0}")]
    InvalidValue(&'static str),
}

impl DecodeError {
    pub(crate) const fn new(offset: usize, reason: DecodeReason) -> Self {
        Self { offset, reason, report: Report::Nothing }
    }

    pub(crate) const fn unknown_message(message_type: u8) -> Self {
        // The two highest bits say what to do; only 01 asks for a report (RFC 5354 §4).
        let report = if message_type >> 6 == 0b01 { Report::UnrecognizedMessage } else { Report::Nothing };
        Self { offset: 0, reason: DecodeReason::UnknownMessage(message_type), report }
    }

    pub(crate) const fn unknown_parameter(parameter: ParameterType, tlv: Range<usize>, report: bool) -> Self {
        let offset = tlv.start;
        let report = if report { Report::UnrecognizedParameter(tlv) } else { Report::Nothing };
        Self { offset, reason: DecodeReason::UnknownParameter(parameter), report }
    }

    /// Quotes `tlv` as the offending parameter, unless something inside it is quoted already.
    pub(crate) fn within(mut self, tlv: Range<usize>) -> Self {
        if self.report == Report::Nothing && !matches!(self.reason, DecodeReason::UnknownParameter(_)) {
            self.report = Report::InvalidValues(tlv);
        }
        self
    }

    /// The error cause to answer with, if the RFCs want an answer; `message` is what was given to the decoder.
    ///
    /// "Unrecognized Message", "Unrecognized Parameter" or "Invalid Values", each quoting the offending bytes
    /// (RFC 5354 §3.12.2 to §3.12.4) unless they are too long to be quoted.
    #[must_use]
    pub fn cause<'a>(&self, message: &'a [u8]) -> Option<ErrorCause<'a>> {
        let (code, offending) = match &self.report {
            Report::Nothing => return None,
            Report::UnrecognizedMessage => (CauseCode::UNRECOGNIZED_MESSAGE, message),
            Report::UnrecognizedParameter(tlv) => {
                (CauseCode::UNRECOGNIZED_PARAMETER, message.get(tlv.clone())?)
            }
            Report::InvalidValues(tlv) => (CauseCode::INVALID_VALUES, message.get(tlv.clone())?),
        };
        // What is about as long as a message can be does not fit an answer.
        let quoted = if offending.len() <= MAX_QUOTED { offending } else { &[] };
        Some(ErrorCause::with_information(code, quoted))
    }
}

/// The most that an ENRP_ERROR has room for behind the headers of the message, the Operation Error and the cause.
const MAX_QUOTED: usize = (u16::MAX as usize - 12 - 4 - 4) & !3;

/// Why a message could not be encoded. The buffer is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A message or parameter would be longer than its 16-bit length field can say.
    #[error("{length} bytes do not fit a 16-bit length field: shorten the handle, cookie or list")]
    TooLong {
        /// Bytes needed.
        length: usize,
    },
    /// A DCCP, TCP, UDP or UDP-Lite transport has exactly one address, an SCTP transport at least one (RFC 5354 §3.3-3.7).
    #[error("a transport needs an address")]
    NoAddress,
    /// The ASAP transport of an element, or the transport of a registrar, is neither SCTP nor TCP (RFC 5354 §3.10, §3.11).
    #[error("ASAP and ENRP run over SCTP or TCP, not over {0:?}")]
    NotForRegistrars(TransportKind),
}
