//! Type-length-value parameters: their types, the action bits of unknown ones, and walking over a list of them
//! (RFC 5354 §3). Everything about lengths, padding and unknown types is decided here, once.
use std::fmt;
use std::ops::Range;

use crate::cause::ErrorCause;
use crate::dialect::Dialect;
use crate::error::{DecodeError, DecodeReason};
use crate::reader::Reader;

/// The type of a parameter; unknown types are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterType(pub u16);

/// What to do with a parameter of unknown type: the two highest bits of the type (RFC 5354 §3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnknownAction {
    /// 00: discard the whole message.
    Stop,
    /// 01: discard the whole message and report the parameter.
    StopAndReport,
    /// 10: skip the parameter.
    Skip,
    /// 11: skip the parameter and report it.
    SkipAndReport,
}

macro_rules! parameter_types {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        impl ParameterType {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

parameter_types! {
    /// §3.1
    IPV4_ADDRESS = 0x1, "IPv4 Address";
    /// §3.2
    IPV6_ADDRESS = 0x2, "IPv6 Address";
    /// §3.3
    DCCP_TRANSPORT = 0x3, "DCCP Transport";
    /// §3.4
    SCTP_TRANSPORT = 0x4, "SCTP Transport";
    /// §3.5
    TCP_TRANSPORT = 0x5, "TCP Transport";
    /// §3.6
    UDP_TRANSPORT = 0x6, "UDP Transport";
    /// §3.7
    UDP_LITE_TRANSPORT = 0x7, "UDP-Lite Transport";
    /// §3.8
    POLICY = 0x8, "Pool Member Selection Policy";
    /// §3.9
    POOL_HANDLE = 0x9, "Pool Handle";
    /// §3.10
    POOL_ELEMENT = 0xa, "Pool Element";
    /// §3.11
    SERVER_INFORMATION = 0xb, "Server Information";
    /// §3.12
    OPERATION_ERROR = 0xc, "Operation Error";
    /// §3.13
    COOKIE = 0xd, "Cookie";
    /// §3.14
    PE_IDENTIFIER = 0xe, "PE Identifier";
    /// §3.15
    PE_CHECKSUM = 0xf, "PE Checksum";
    /// §3.16
    OPAQUE_TRANSPORT = 0x10, "Opaque Transport";
    /// An extension of the reference implementation: how many elements a resolution may return, 32 bits. Its action
    /// bits say "skip", so others ignore it.
    HANDLE_RESOLUTION_OPTION = 0x803f, "Handle Resolution option";
    /// An extension of this implementation: the identity that registered the element before it, 1 to 255 bytes of UTF-8; see
    /// [`ElementOwner`](crate::ElementOwner). The number is in the space that IANA has not assigned (RFC 5354 §5.1), and its action
    /// bits say "skip", which is what happens to it wherever else it stands.
    ELEMENT_OWNER = 0x8040, "Element Owner";
}

impl ParameterType {
    /// Whether this implementation knows the type.
    #[must_use]
    pub const fn is_known(self) -> bool {
        self.name().is_some()
    }

    /// Whether this is one of the six transport parameters.
    #[must_use]
    pub const fn is_transport(self) -> bool {
        matches!(self.0, 0x3..=0x7 | 0x10)
    }

    /// Whether this transport can carry ASAP and ENRP: SCTP (RFC 5354 §3.10, §3.11), or TCP, which is an extension.
    pub(crate) const fn leads_to_registrars(self) -> bool {
        matches!(self, Self::SCTP_TRANSPORT | Self::TCP_TRANSPORT)
    }

    /// What to do with a parameter of this type where the type is unknown.
    #[must_use]
    pub const fn unknown_action(self) -> UnknownAction {
        match self.0 >> 14 {
            0b00 => UnknownAction::Stop,
            0b01 => UnknownAction::StopAndReport,
            0b10 => UnknownAction::Skip,
            _ => UnknownAction::SkipAndReport,
        }
    }
}

impl fmt::Display for ParameterType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "0x{:04x}", self.0),
        }
    }
}

impl fmt::Debug for ParameterType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParameterType(0x{:x}, {self})", self.0)
    }
}

/// One parameter of a list.
#[derive(Clone, Copy)]
pub(crate) struct Parameter<'a> {
    pub(crate) parameter: ParameterType,
    /// The whole parameter, header included, padding not.
    pub(crate) tlv: &'a [u8],
    /// Where it starts in the message.
    pub(crate) offset: usize,
}

impl<'a> Parameter<'a> {
    /// A reader of the value.
    pub(crate) fn value(&self) -> Reader<'a> {
        Reader::new(self.tlv.get(4..).unwrap_or_default(), self.offset + 4)
    }

    /// Where the parameter stands in the message, for an error that quotes it.
    pub(crate) fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.tlv.len()
    }

    /// Reads the value with `read`, which must use all of it; an error quotes the parameter.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let mut value = self.value();
        let result = read(&mut value).and_then(|parsed| {
            if value.is_empty() {
                Ok(parsed)
            } else {
                Err(DecodeError::new(value.offset(), DecodeReason::TrailingBytes(value.remaining())))
            }
        });
        result.map_err(|error| error.within(self.range()))
    }

    /// The error for a parameter that is known but means nothing here.
    pub(crate) fn unexpected(&self) -> DecodeError {
        DecodeError::new(self.offset, DecodeReason::UnexpectedParameter(self.parameter)).within(self.range())
    }

    /// Stores `value` in `slot`, which must be empty.
    pub(crate) fn store<T>(&self, slot: &mut Option<T>, value: T) -> Result<(), DecodeError> {
        if slot.replace(value).is_some() {
            let error = DecodeError::new(self.offset, DecodeReason::DuplicateParameter(self.parameter));
            return Err(error.within(self.range()));
        }
        Ok(())
    }
}

/// A list of parameters, up to the end of what encloses it.
pub(crate) struct Parameters<'a> {
    rest: Reader<'a>,
    /// Whether owners of elements are looked for.
    owners: bool,
}

impl<'a> Parameters<'a> {
    pub(crate) const fn new(rest: Reader<'a>) -> Self {
        Self { rest, owners: false }
    }

    /// The same list with the owners of elements in it, if the dialect has them. Without, they are skipped.
    pub(crate) const fn with_owners(self, dialect: Dialect) -> Self {
        Self { owners: dialect.tells_owners(), ..self }
    }

    /// Where the list goes on.
    pub(crate) const fn offset(&self) -> usize {
        self.rest.offset()
    }

    /// The next parameter whatever its type. The sender may have left out the final padding.
    pub(crate) fn next_tlv(&mut self) -> Result<Option<Parameter<'a>>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (offset, mut header) = (self.rest.offset(), self.rest);
        let parameter = ParameterType(header.u16()?);
        let length = usize::from(header.u16()?);
        if length < 4 || length > self.rest.remaining() {
            let reason = DecodeReason::ParameterLength { field: length, available: self.rest.remaining() };
            return Err(DecodeError::new(offset, reason));
        }
        let tlv = self.rest.take(length)?;
        self.rest.skip_padding(length.next_multiple_of(4) - length);
        Ok(Some(Parameter { parameter, tlv, offset }))
    }

    /// The next parameter of known type; unknown ones are treated by their action bits.
    pub(crate) fn next(
        &mut self,
        unrecognized: &mut Vec<ErrorCause<'a>>,
    ) -> Result<Option<Parameter<'a>>, DecodeError> {
        while let Some(found) = self.next_tlv()? {
            if found.parameter.is_known() && (self.owners || found.parameter != ParameterType::ELEMENT_OWNER)
            {
                return Ok(Some(found));
            }
            match found.parameter.unknown_action() {
                UnknownAction::Skip => {}
                UnknownAction::SkipAndReport => {
                    unrecognized.push(ErrorCause::unrecognized_parameter(found.tlv))
                }
                action => {
                    let report = action == UnknownAction::StopAndReport;
                    return Err(DecodeError::unknown_parameter(found.parameter, found.range(), report));
                }
            }
        }
        Ok(None)
    }

    /// The error for a mandatory parameter that the list, now at its end, did not have.
    pub(crate) const fn missing(&self, parameter: ParameterType) -> DecodeError {
        DecodeError::new(self.offset(), DecodeReason::MissingParameter(parameter))
    }
}
