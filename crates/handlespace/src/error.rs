//! Why a registration is refused, and what to answer (RFC 5352 §3.1, rules 2 and 3).
use rserpool_wire::{CauseCode, EncodeError, ErrorCause, Policy, Transport};

/// Why an element was not registered. The handlespace is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The pool has another policy: this one.
    #[error("the policy of the pool is {}: register with that policy", .0.policy_type())]
    InconsistentPolicy(Policy),
    /// The elements of the pool use another transport protocol: that of this transport.
    #[error("the transport of the pool is like {0}: register with the same protocol")]
    InconsistentTransport(Transport),
    /// The elements of the pool differ in whether they have a control channel to their users (Transport Use field).
    #[error("the pool differs in its data/control channel: register with the other Transport Use")]
    InconsistentDataControl,
    /// The handle and the element do not fit one message.
    #[error("the handle and the element are too long for one message: {0}")]
    TooLong(#[from] EncodeError),
}

impl RegisterError {
    /// The error cause to answer with.
    #[must_use]
    pub fn cause(&self) -> ErrorCause<'static> {
        match self {
            Self::InconsistentPolicy(policy) => ErrorCause::inconsistent_policy(policy),
            Self::InconsistentTransport(transport) => ErrorCause::inconsistent_transport(transport),
            Self::InconsistentDataControl => ErrorCause::new(CauseCode::INCONSISTENT_DATA_CONTROL),
            Self::TooLong(_) => ErrorCause::new(CauseCode::INVALID_VALUES),
        }
    }
}
