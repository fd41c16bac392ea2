//! Decoding of ASAP messages. Parameters may come in any order; each may come once, but for lists.
use super::{
    BusinessCard, Cookie, CookieEcho, Deregistration, DeregistrationResponse, EndpointKeepAlive,
    EndpointKeepAliveAck, EndpointUnreachable, ErrorReport, FLAG, HandleResolution, HandleResolutionResponse,
    Message, Registration, RegistrationResponse, ServerAnnounce, message_type as mt,
};
use crate::cause::{ErrorCause, OperationError};
use crate::dialect::Dialect;
use crate::element::PoolElement;
use crate::error::{DecodeError, Decoded};
use crate::frame;
use crate::handle::PoolHandle;
use crate::identifier::{PeIdentifier, ServerId};
use crate::parameter::{ParameterType as P, Parameters};
use crate::policy::Policy;
use crate::reader::Reader;
use crate::transport::Transport;

/// Decodes exactly one ASAP message; its final padding may be there or not.
///
/// # Errors
/// When `bytes` are not a message that a receiver may act on. [`DecodeError::cause`] says what to answer.
pub fn decode(bytes: &[u8], dialect: Dialect) -> Result<Decoded<'_, Message<'_>>, DecodeError> {
    let (message_type, flags, mut value) = frame::open(bytes)?;
    let flag = flags & FLAG != 0;
    let mut found = Found { dialect, ..Found::default() };
    let message = match message_type {
        mt::REGISTRATION => {
            found.read(value, &[P::POOL_HANDLE, P::POOL_ELEMENT])?;
            Registration { pool_handle: found.pool_handle()?, element: found.element()? }.into()
        }
        mt::DEREGISTRATION => {
            found.read(value, &[P::POOL_HANDLE, P::PE_IDENTIFIER])?;
            Deregistration { pool_handle: found.pool_handle()?, identifier: found.identifier()? }.into()
        }
        mt::REGISTRATION_RESPONSE => {
            found.read(value, &[P::POOL_HANDLE, P::PE_IDENTIFIER, P::OPERATION_ERROR])?;
            let (pool_handle, identifier) = (found.pool_handle()?, found.identifier()?);
            RegistrationResponse { rejected: flag, pool_handle, identifier, error: found.error.take() }.into()
        }
        mt::DEREGISTRATION_RESPONSE => {
            found.read(value, &[P::POOL_HANDLE, P::PE_IDENTIFIER, P::OPERATION_ERROR])?;
            let (pool_handle, identifier) = (found.pool_handle()?, found.identifier()?);
            DeregistrationResponse { pool_handle, identifier, error: found.error.take() }.into()
        }
        mt::HANDLE_RESOLUTION => {
            found.read(value, &[P::POOL_HANDLE, P::HANDLE_RESOLUTION_OPTION])?;
            HandleResolution { pool_handle: found.pool_handle()?, subscribe: flag, items: found.items }.into()
        }
        mt::HANDLE_RESOLUTION_RESPONSE => {
            found.many_elements = true;
            found.read(value, &[P::POOL_HANDLE, P::POLICY, P::POOL_ELEMENT, P::OPERATION_ERROR])?;
            HandleResolutionResponse {
                accept_updates: flag,
                pool_handle: found.pool_handle()?,
                policy: found.policy.take(),
                elements: std::mem::take(&mut found.elements),
                error: found.error.take(),
            }
            .into()
        }
        mt::ENDPOINT_KEEP_ALIVE => {
            let server = ServerId(value.u32()?);
            found.read(value, &[P::POOL_HANDLE, P::PE_IDENTIFIER])?;
            let pool_handle = found.pool_handle()?;
            EndpointKeepAlive { home: flag, server, pool_handle, identifier: found.identifier }.into()
        }
        mt::ENDPOINT_KEEP_ALIVE_ACK => {
            found.read(value, &[P::POOL_HANDLE, P::PE_IDENTIFIER])?;
            EndpointKeepAliveAck { pool_handle: found.pool_handle()?, identifier: found.identifier()? }.into()
        }
        mt::ENDPOINT_UNREACHABLE => {
            found.read(value, &[P::POOL_HANDLE, P::PE_IDENTIFIER])?;
            EndpointUnreachable { pool_handle: found.pool_handle()?, identifier: found.identifier()? }.into()
        }
        mt::SERVER_ANNOUNCE => {
            let server = ServerId(value.u32()?);
            found.read(value, &[P::TCP_TRANSPORT, P::SCTP_TRANSPORT])?;
            ServerAnnounce { server, transports: std::mem::take(&mut found.transports) }.into()
        }
        mt::COOKIE => {
            found.read(value, &[P::COOKIE])?;
            Cookie { cookie: found.cookie()? }.into()
        }
        mt::COOKIE_ECHO => {
            found.read(value, &[P::COOKIE])?;
            CookieEcho { cookie: found.cookie()? }.into()
        }
        mt::BUSINESS_CARD => {
            found.many_elements = true;
            found.read(value, &[P::POOL_HANDLE, P::POOL_ELEMENT])?;
            BusinessCard { pool_handle: found.pool_handle()?, elements: std::mem::take(&mut found.elements) }
                .into()
        }
        mt::ERROR => {
            found.read(value, &[P::OPERATION_ERROR])?;
            let error = found.error.take().ok_or_else(|| found.missing(P::OPERATION_ERROR))?;
            ErrorReport { error }.into()
        }
        unknown => return Err(DecodeError::unknown_message(unknown)),
    };
    Ok(Decoded { message, unrecognized: found.unrecognized })
}

/// What the parameters of one message said.
#[derive(Default)]
struct Found<'a> {
    dialect: Dialect,
    /// Whether the message may have more than one Pool Element.
    many_elements: bool,
    pool_handle: Option<PoolHandle<'a>>,
    identifier: Option<PeIdentifier>,
    policy: Option<Policy>,
    elements: Vec<PoolElement>,
    transports: Vec<Transport>,
    items: Option<u32>,
    cookie: Option<&'a [u8]>,
    error: Option<OperationError<'a>>,
    unrecognized: Vec<ErrorCause<'a>>,
    /// Where the message ends: where a missing parameter is missing.
    end: usize,
}

impl<'a> Found<'a> {
    /// Reads all parameters of `value`, of which only the `expected` ones may occur.
    fn read(&mut self, value: Reader<'a>, expected: &[P]) -> Result<(), DecodeError> {
        let mut parameters = Parameters::new(value);
        while let Some(parameter) = parameters.next(&mut self.unrecognized)? {
            if !expected.contains(&parameter.parameter) {
                return Err(parameter.unexpected());
            }
            match parameter.parameter {
                P::POOL_HANDLE => {
                    let handle = PoolHandle::new(parameter.value().take_rest());
                    parameter.store(&mut self.pool_handle, handle)?;
                }
                P::PE_IDENTIFIER => {
                    let identifier = PeIdentifier(parameter.read(Reader::u32)?);
                    parameter.store(&mut self.identifier, identifier)?;
                }
                P::POLICY => parameter.store(&mut self.policy, parameter.read(Policy::read)?)?,
                P::POOL_ELEMENT => {
                    if !self.many_elements && !self.elements.is_empty() {
                        parameter.store(&mut Some(()), ())?;
                    }
                    let element = PoolElement::read(&parameter, self.dialect, &mut self.unrecognized)?;
                    self.elements.push(element);
                }
                P::HANDLE_RESOLUTION_OPTION => {
                    parameter.store(&mut self.items, parameter.read(Reader::u32)?)?;
                }
                P::COOKIE => parameter.store(&mut self.cookie, parameter.value().take_rest())?,
                P::OPERATION_ERROR => {
                    let error =
                        OperationError::read(parameter.value()).map_err(|e| e.within(parameter.range()))?;
                    parameter.store(&mut self.error, error)?;
                }
                _ => self.transports.push(Transport::read(&parameter, &mut self.unrecognized)?),
            }
        }
        self.end = parameters.offset();
        Ok(())
    }

    const fn missing(&self, parameter: P) -> DecodeError {
        DecodeError::new(self.end, crate::error::DecodeReason::MissingParameter(parameter))
    }

    fn pool_handle(&mut self) -> Result<PoolHandle<'a>, DecodeError> {
        self.pool_handle.take().ok_or_else(|| self.missing(P::POOL_HANDLE))
    }

    fn identifier(&self) -> Result<PeIdentifier, DecodeError> {
        self.identifier.ok_or_else(|| self.missing(P::PE_IDENTIFIER))
    }

    fn element(&mut self) -> Result<PoolElement, DecodeError> {
        self.elements.pop().ok_or_else(|| self.missing(P::POOL_ELEMENT))
    }

    fn cookie(&self) -> Result<&'a [u8], DecodeError> {
        self.cookie.ok_or_else(|| self.missing(P::COOKIE))
    }
}
