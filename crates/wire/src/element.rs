//! What is known of a pool element and of a registrar (RFC 5354 §3.10, §3.11).
use std::fmt;
use std::time::Duration;

use bytes::BytesMut;

use crate::cause::ErrorCause;
use crate::dialect::Dialect;
use crate::error::{DecodeError, DecodeReason, EncodeError};
use crate::identifier::{PeIdentifier, ServerId};
use crate::parameter::{Parameter, ParameterType, Parameters};
use crate::policy::Policy;
use crate::transport::Transport;
use crate::writer::Writer;

/// How long a registration is valid unless it is renewed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RegistrationLife {
    /// For this long. Goes out in whole seconds, rounded up (in milliseconds in the rsplib dialect).
    Finite(Duration),
    /// For ever: -1 on the wire.
    Infinite,
}

impl RegistrationLife {
    /// The life as a duration; `None` for ever.
    #[must_use]
    pub const fn duration(self) -> Option<Duration> {
        match self {
            Self::Finite(duration) => Some(duration),
            Self::Infinite => None,
        }
    }

    fn from_field(field: u32, dialect: Dialect) -> Self {
        match field {
            u32::MAX => Self::Infinite,
            // The field is signed, but of the negative values only -1 has a meaning: the others are taken as the longest.
            units => Self::Finite(dialect.registration_life_unit() * units.min(i32::MAX as u32)),
        }
    }

    fn field(self, dialect: Dialect) -> u32 {
        let Self::Finite(duration) = self else { return u32::MAX };
        let units = duration.as_nanos().div_ceil(dialect.registration_life_unit().as_nanos().max(1));
        u32::try_from(units).map_or(i32::MAX as u32, |units| units.min(i32::MAX as u32))
    }
}

impl fmt::Display for RegistrationLife {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finite(duration) => write!(f, "{duration:?}"),
            Self::Infinite => f.write_str("infinite"),
        }
    }
}

/// A Pool Element parameter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolElement {
    /// Identifies the element within its pool.
    pub identifier: PeIdentifier,
    /// The registrar that owns the element; [`ServerId::NONE`] where undetermined.
    pub home: ServerId,
    /// How long the registration is valid.
    pub life: RegistrationLife,
    /// Where users reach the element.
    pub user_transport: Transport,
    /// The policy of its pool, with this element's values.
    pub policy: Policy,
    /// Where registrars reach the element. RFC 5354 wants an SCTP transport filled in by the home registrar; an element
    /// that registers over TCP fills in a TCP transport itself, which is an extension. No other kind can be sent.
    pub asap_transport: Option<Transport>,
}

impl PoolElement {
    pub(crate) fn read<'a>(
        parameter: &Parameter<'a>,
        dialect: Dialect,
        unrecognized: &mut Vec<ErrorCause<'a>>,
    ) -> Result<Self, DecodeError> {
        Self::read_value(parameter, dialect, unrecognized).map_err(|error| error.within(parameter.range()))
    }

    fn read_value<'a>(
        parameter: &Parameter<'a>,
        dialect: Dialect,
        unrecognized: &mut Vec<ErrorCause<'a>>,
    ) -> Result<Self, DecodeError> {
        let mut value = parameter.value();
        let identifier = PeIdentifier(value.u32()?);
        let home = ServerId(value.u32()?);
        let life = RegistrationLife::from_field(value.u32()?, dialect);
        let (mut user_transport, mut policy, mut asap_transport) = (None, None, None);
        let mut parameters = Parameters::new(value);
        while let Some(found) = parameters.next(unrecognized)? {
            match found.parameter {
                ParameterType::POLICY => found.store(&mut policy, found.read(Policy::read)?)?,
                // The first transport is the user transport, the second the ASAP transport: only order tells.
                kind if kind.is_transport() && user_transport.is_none() => {
                    user_transport = Some(Transport::read(&found, unrecognized)?);
                }
                kind if kind.leads_to_registrars() => {
                    found.store(&mut asap_transport, Transport::read(&found, unrecognized)?)?;
                }
                _ => return Err(found.unexpected()),
            }
        }
        let missing =
            |parameter| DecodeError::new(parameters.offset(), DecodeReason::MissingParameter(parameter));
        Ok(Self {
            identifier,
            home,
            life,
            user_transport: user_transport.ok_or_else(|| missing(ParameterType::SCTP_TRANSPORT))?,
            policy: policy.ok_or_else(|| missing(ParameterType::POLICY))?,
            asap_transport,
        })
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.parameter(ParameterType::POOL_ELEMENT, |writer| {
            writer.u32(self.identifier.0);
            writer.u32(self.home.0);
            writer.u32(self.life.field(writer.dialect()));
            self.user_transport.write(writer)?;
            self.policy.write(writer)?;
            self.asap_transport.as_ref().map_or(Ok(()), |transport| transport.write_for_registrars(writer))
        })
    }

    /// Appends the whole Pool Element parameter to `buffer`, padded; see [`EncodedElement`] for what to do with it.
    ///
    /// # Errors
    /// When the element does not fit a parameter. The buffer is then as it was.
    pub fn encode(&self, dialect: Dialect, buffer: &mut BytesMut) -> Result<(), EncodeError> {
        Writer::append(buffer, dialect, |writer| self.write(writer))
    }
}

/// A Pool Element parameter that is already encoded, as [`PoolElement::encode`] wrote it: header, value and padding.
///
/// A handlespace that keeps elements in this form answers resolutions, updates and table downloads by copying bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EncodedElement<'a>(&'a [u8]);

impl<'a> EncodedElement<'a> {
    /// Takes bytes written by [`PoolElement::encode`]. They are not checked: others would read whatever they are.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The parameter: header, value and padding.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Decodes the element again.
    ///
    /// # Errors
    /// When the bytes were not written by [`PoolElement::encode`].
    pub fn decode(&self, dialect: Dialect) -> Result<PoolElement, DecodeError> {
        let mut parameters = Parameters::new(crate::reader::Reader::new(self.0, 0));
        match parameters.next(&mut Vec::new())? {
            Some(found) if found.parameter == ParameterType::POOL_ELEMENT => {
                PoolElement::read(&found, dialect, &mut Vec::new())
            }
            _ => Err(parameters.missing(ParameterType::POOL_ELEMENT)),
        }
    }

    /// Sets the home of the element encoded in `bytes`, as ownership moves between registrars.
    pub fn set_home(bytes: &mut [u8], home: ServerId) {
        if let Some(field) = bytes.get_mut(8..12) {
            field.copy_from_slice(&home.0.to_be_bytes());
        }
    }

    /// Writes the element for registrars, ASAP transport included.
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        let length = usize::from(self.length_field(0));
        writer.encoded(self.0, self.0.len().saturating_sub(length));
    }

    /// Writes the element for users, to whom its ASAP transport means nothing.
    pub(crate) fn write_for_users(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        const FIXED: usize = 16;
        let user_transport = usize::from(self.length_field(FIXED)).next_multiple_of(4);
        let policy = usize::from(self.length_field(FIXED + user_transport));
        let end = FIXED + user_transport + policy.next_multiple_of(4);
        match self.0.get(4..end) {
            Some(kept) if end < self.0.len() => writer.parameter(ParameterType::POOL_ELEMENT, |writer| {
                writer.encoded(kept, policy.next_multiple_of(4) - policy);
                Ok(())
            }),
            _ => {
                self.write(writer);
                Ok(())
            }
        }
    }

    /// The length field of the parameter that starts at `offset`.
    fn length_field(&self, offset: usize) -> u16 {
        let field = self.0.get(offset + 2..offset + 4).and_then(|field| field.try_into().ok());
        field.map_or(0, u16::from_be_bytes)
    }
}

/// A Server Information parameter: a registrar and where it can be reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerInformation {
    /// The registrar.
    pub identifier: ServerId,
    /// Where other registrars reach it: SCTP by RFC 5354, or TCP as an extension.
    pub transport: Transport,
}

impl ServerInformation {
    pub(crate) fn read<'a>(
        parameter: &Parameter<'a>,
        unrecognized: &mut Vec<ErrorCause<'a>>,
    ) -> Result<Self, DecodeError> {
        Self::read_value(parameter, unrecognized).map_err(|error| error.within(parameter.range()))
    }

    fn read_value<'a>(
        parameter: &Parameter<'a>,
        unrecognized: &mut Vec<ErrorCause<'a>>,
    ) -> Result<Self, DecodeError> {
        let mut value = parameter.value();
        let identifier = ServerId(value.u32()?);
        let mut transport = None;
        let mut parameters = Parameters::new(value);
        while let Some(found) = parameters.next(unrecognized)? {
            if !found.parameter.leads_to_registrars() {
                return Err(found.unexpected());
            }
            found.store(&mut transport, Transport::read(&found, unrecognized)?)?;
        }
        let transport = transport.ok_or_else(|| parameters.missing(ParameterType::SCTP_TRANSPORT))?;
        Ok(Self { identifier, transport })
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.parameter(ParameterType::SERVER_INFORMATION, |writer| {
            writer.u32(self.identifier.0);
            self.transport.write_for_registrars(writer)
        })
    }
}
