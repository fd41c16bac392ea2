//! The identity that registered an element, as registrars tell each other: an extension.
//!
//! RFC 5353 leaves it to whoever takes an element over to find out whose it is. Registrars that have proved to each other who
//! they are say so in a parameter behind the Pool Element parameter of ENRP_HANDLE_UPDATE and ENRP_HANDLE_TABLE_RESPONSE, whose
//! action bits let everybody else skip it. It is no part of the element: neither checksums nor elements and users see it.
use std::borrow::Cow;
use std::fmt;

use crate::error::{DecodeError, DecodeReason, EncodeError};
use crate::parameter::{Parameter, ParameterType};
use crate::writer::Writer;

/// Whose an element is: the identity that its registration was proved by.
///
/// ```
/// use rserpool_wire::ElementOwner;
/// assert_eq!(ElementOwner::new("pe-a").expect("short").as_str(), "pe-a");
/// assert_eq!(ElementOwner::new(""), None);
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ElementOwner<'a>(Cow<'a, str>);

impl<'a> ElementOwner<'a> {
    /// The longest identity that is told, in bytes: room for every DNS name.
    pub const MAX_LENGTH: usize = 255;

    /// An owner with this identity; `None` if it is empty or too long to be told.
    #[must_use]
    pub fn new(identity: impl Into<Cow<'a, str>>) -> Option<Self> {
        let identity = identity.into();
        (1..=Self::MAX_LENGTH).contains(&identity.len()).then_some(Self(identity))
    }

    /// The identity.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, free of the lifetime of what it was decoded from.
    #[must_use]
    pub fn into_owned(self) -> ElementOwner<'static> {
        ElementOwner(Cow::Owned(self.0.into_owned()))
    }

    pub(crate) fn read(parameter: &Parameter<'a>) -> Result<Self, DecodeError> {
        parameter.read(|value| {
            let at = value.offset();
            let identity = std::str::from_utf8(value.take_rest()).ok().and_then(Self::new);
            identity.ok_or_else(|| {
                DecodeError::new(at, DecodeReason::InvalidValue("owner is not 1 to 255 bytes of UTF-8"))
            })
        })
    }

    /// How many bytes the parameter has, padding included.
    pub(crate) fn encoded_length(&self) -> usize {
        (4 + self.0.len()).next_multiple_of(4)
    }

    /// Writes the parameter, if the dialect has it.
    pub(crate) fn write(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        if !writer.dialect().tells_owners() {
            return Ok(());
        }
        writer.parameter(ParameterType::ELEMENT_OWNER, |writer| {
            writer.bytes(self.0.as_bytes());
            Ok(())
        })
    }
}

impl fmt::Display for ElementOwner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
