//! Error causes and the Operation Error parameter that carries them (RFC 5354 §3.12).
use std::borrow::Cow;
use std::fmt;

use bytes::BytesMut;

use crate::dialect::Dialect;
use crate::error::{DecodeError, EncodeError};
use crate::parameter::{ParameterType, Parameters};
use crate::policy::Policy;
use crate::reader::Reader;
use crate::transport::Transport;
use crate::writer::Writer;

/// The code of an error cause; unknown codes are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CauseCode(pub u16);

impl CauseCode {
    /// Unspecified Error (§3.12.1).
    pub const UNSPECIFIED: Self = Self(0x0);
    /// Unrecognized Parameter: the information is the parameter (§3.12.2).
    pub const UNRECOGNIZED_PARAMETER: Self = Self(0x1);
    /// Unrecognized Message: the information is the message (§3.12.3).
    pub const UNRECOGNIZED_MESSAGE: Self = Self(0x2);
    /// Invalid Values: the information is the offending parameter (§3.12.4).
    pub const INVALID_VALUES: Self = Self(0x3);
    /// Non-unique PE Identifier (§3.12.5).
    pub const NON_UNIQUE_PE_IDENTIFIER: Self = Self(0x4);
    /// Inconsistent Pooling Policy: the information is the pool's policy parameter (§3.12.6).
    pub const INCONSISTENT_POOLING_POLICY: Self = Self(0x5);
    /// Lack of Resources (§3.12.7).
    pub const LACK_OF_RESOURCES: Self = Self(0x6);
    /// Inconsistent Transport Type: the information is a transport of the pool's type (§3.12.8).
    pub const INCONSISTENT_TRANSPORT_TYPE: Self = Self(0x7);
    /// Inconsistent Data/Control Configuration (§3.12.9).
    pub const INCONSISTENT_DATA_CONTROL: Self = Self(0x8);
    /// Unknown Pool Handle (§3.12.11).
    pub const UNKNOWN_POOL_HANDLE: Self = Self(0x9);
    /// Rejected Due to Security Considerations (§3.12.10).
    pub const REJECTED_FOR_SECURITY: Self = Self(0xa);

    const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::UNSPECIFIED => "unspecified error",
            Self::UNRECOGNIZED_PARAMETER => "unrecognized parameter",
            Self::UNRECOGNIZED_MESSAGE => "unrecognized message",
            Self::INVALID_VALUES => "invalid values",
            Self::NON_UNIQUE_PE_IDENTIFIER => "non-unique PE identifier",
            Self::INCONSISTENT_POOLING_POLICY => "inconsistent pooling policy",
            Self::LACK_OF_RESOURCES => "lack of resources",
            Self::INCONSISTENT_TRANSPORT_TYPE => "inconsistent transport type",
            Self::INCONSISTENT_DATA_CONTROL => "inconsistent data/control configuration",
            Self::UNKNOWN_POOL_HANDLE => "unknown pool handle",
            Self::REJECTED_FOR_SECURITY => "rejected due to security considerations",
            _ => return None,
        })
    }
}

impl fmt::Display for CauseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "error cause 0x{:04x}", self.0),
        }
    }
}

impl fmt::Debug for CauseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CauseCode(0x{:x}, {self})", self.0)
    }
}

/// One error cause: a code and its cause-specific information.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ErrorCause<'a> {
    /// What went wrong.
    pub code: CauseCode,
    /// The cause-specific information, usually an offending or a correct parameter; empty for most codes.
    pub information: Cow<'a, [u8]>,
}

impl<'a> ErrorCause<'a> {
    /// A cause without cause-specific information.
    #[must_use]
    pub const fn new(code: CauseCode) -> Self {
        Self { code, information: Cow::Borrowed(&[]) }
    }

    /// A cause with `information`, as it is.
    #[must_use]
    pub const fn with_information(code: CauseCode, information: &'a [u8]) -> Self {
        Self { code, information: Cow::Borrowed(information) }
    }

    /// Quotes a parameter whose type is unknown.
    #[must_use]
    pub const fn unrecognized_parameter(parameter: &'a [u8]) -> Self {
        Self::with_information(CauseCode::UNRECOGNIZED_PARAMETER, parameter)
    }

    /// Quotes a message whose type is unknown.
    #[must_use]
    pub const fn unrecognized_message(message: &'a [u8]) -> Self {
        Self::with_information(CauseCode::UNRECOGNIZED_MESSAGE, message)
    }

    /// Quotes a parameter with an invalid value.
    #[must_use]
    pub const fn invalid_values(parameter: &'a [u8]) -> Self {
        Self::with_information(CauseCode::INVALID_VALUES, parameter)
    }

    /// Tells a registering element the policy of the pool.
    #[must_use]
    pub fn inconsistent_policy(pool: &Policy) -> Self {
        Self::owned(CauseCode::INCONSISTENT_POOLING_POLICY, |writer| pool.write(writer))
    }

    /// Tells a registering element the transport type of the pool.
    #[must_use]
    pub fn inconsistent_transport(pool: &Transport) -> Self {
        Self::owned(CauseCode::INCONSISTENT_TRANSPORT_TYPE, |writer| pool.write(writer))
    }

    fn owned(code: CauseCode, write: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>) -> Self {
        let mut information = BytesMut::new();
        // Should the parameter be too long to encode, the cause goes out without it.
        let _ = Writer::append(&mut information, Dialect::Rfc, write);
        Self { code, information: Cow::Owned(information.to_vec()) }
    }

    /// The same cause, free of the lifetime of what it was decoded from.
    #[must_use]
    pub fn into_owned(self) -> ErrorCause<'static> {
        ErrorCause { code: self.code, information: Cow::Owned(self.information.into_owned()) }
    }
}

impl fmt::Display for ErrorCause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code.fmt(f)
    }
}

/// The Operation Error parameter: one or more causes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OperationError<'a> {
    /// The causes, in the order of the message.
    pub causes: Vec<ErrorCause<'a>>,
}

impl<'a> From<ErrorCause<'a>> for OperationError<'a> {
    fn from(cause: ErrorCause<'a>) -> Self {
        Self { causes: vec![cause] }
    }
}

impl<'a> From<Vec<ErrorCause<'a>>> for OperationError<'a> {
    fn from(causes: Vec<ErrorCause<'a>>) -> Self {
        Self { causes }
    }
}

impl fmt::Display for OperationError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, cause) in self.causes.iter().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{cause}")?;
        }
        Ok(())
    }
}

impl<'a> OperationError<'a> {
    /// Whether one of the causes has this code.
    #[must_use]
    pub fn has(&self, code: CauseCode) -> bool {
        self.causes.iter().any(|cause| cause.code == code)
    }

    /// The same error, free of the lifetime of what it was decoded from.
    #[must_use]
    pub fn into_owned(self) -> OperationError<'static> {
        OperationError { causes: self.causes.into_iter().map(ErrorCause::into_owned).collect() }
    }

    pub(crate) fn read(value: Reader<'a>) -> Result<Self, DecodeError> {
        let mut causes = Vec::new();
        let mut tlvs = Parameters::new(value);
        // Causes have the shape of parameters, but their codes have no action bits: unknown ones are kept.
        while let Some(cause) = tlvs.next_tlv()? {
            causes
                .push(ErrorCause::with_information(CauseCode(cause.parameter.0), cause.value().take_rest()));
        }
        Ok(Self { causes })
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.parameter(ParameterType::OPERATION_ERROR, |writer| {
            for cause in &self.causes {
                writer.tlv(cause.code.0, |writer| {
                    writer.bytes(&cause.information);
                    Ok(())
                })?;
            }
            Ok(())
        })
    }
}
