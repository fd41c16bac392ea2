//! What both ends of a control channel do with what they do not understand.
use bytes::{Bytes, BytesMut};
use rserpool_wire::asap::{self, ErrorReport, Message};
use rserpool_wire::{Dialect, EncodeError, ErrorCause, OperationError};

use crate::fault::{Fault, cause_to_answer};

/// The other end made a mistake, which is without effect on the session.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ControlFault {
    /// The mistake.
    pub fault: Fault,
    /// An ASAP_ERROR to answer with, where the RFC wants one. Answer a bounded number of them.
    pub answer: Option<Bytes>,
}

/// What came over a control channel, if it is no message for the session.
pub(super) enum Unhandled {
    Error(OperationError<'static>),
    Fault(ControlFault),
}

/// Decodes a control message. Unknown parameters that ask to be reported do not keep it from counting, see [`report`].
pub(super) fn decode(bytes: &[u8], dialect: Dialect) -> Result<Message<'_>, Unhandled> {
    match asap::decode(bytes, dialect).map(|decoded| decoded.message) {
        Ok(Message::Error(ErrorReport { error })) => Err(Unhandled::Error(error.into_owned())),
        Ok(message) => Ok(message),
        Err(error) => {
            let answer = cause_to_answer(&error, bytes).and_then(|cause| answer(cause, dialect));
            Err(Unhandled::Fault(ControlFault { fault: error.into(), answer }))
        }
    }
}

/// An ASAP_ERROR that names the unknown parameters of a message that counts, where they ask to be reported (RFC 5352 §2.2.14).
pub(super) fn report(bytes: &[u8], dialect: Dialect) -> Option<Bytes> {
    let decoded = asap::decode(bytes, dialect).ok()?;
    let answered = !decoded.unrecognized.is_empty() && !matches!(decoded.message, Message::Error(_));
    answered
        .then(|| encode(&ErrorReport { error: decoded.unrecognized.into() }.into(), dialect).ok())
        .flatten()
}

pub(super) fn encode(message: &Message<'_>, dialect: Dialect) -> Result<Bytes, EncodeError> {
    let mut buffer = BytesMut::new();
    message.encode(dialect, &mut buffer)?;
    Ok(buffer.freeze())
}

impl ControlFault {
    pub(super) const fn unexpected(message: &Message<'_>) -> Self {
        Self { fault: Fault::Unexpected { message: message.name() }, answer: None }
    }
}

fn answer(cause: ErrorCause<'_>, dialect: Dialect) -> Option<Bytes> {
    encode(&ErrorReport { error: cause.into() }.into(), dialect).ok()
}
