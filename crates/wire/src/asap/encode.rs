//! Encoding of ASAP messages, in the order of parameters that the figures of RFC 5352 §2.2 show.
use bytes::BytesMut;

use super::{EndpointKeepAlive, FLAG, HandleResolution, Message, message_type as mt};
use crate::cause::OperationError;
use crate::dialect::Dialect;
use crate::element::EncodedElement;
use crate::error::EncodeError;
use crate::handle::PoolHandle;
use crate::identifier::PeIdentifier;
use crate::parameter::ParameterType;
use crate::policy::{Policy, PolicyType};
use crate::writer::{OpenLength, Writer};

impl Message<'_> {
    /// Appends the message to `buffer`, padded to a multiple of 4 bytes.
    ///
    /// # Errors
    /// When a length would not fit its field. The buffer is then as it was.
    pub fn encode(&self, dialect: Dialect, buffer: &mut BytesMut) -> Result<(), EncodeError> {
        Writer::append(buffer, dialect, |writer| self.write(writer))
    }

    fn write(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        match self {
            Self::Registration(m) => w.message(mt::REGISTRATION, 0, |w| {
                m.pool_handle.write(w)?;
                m.element.write(w)
            }),
            Self::Deregistration(m) => {
                w.message(mt::DEREGISTRATION, 0, |w| write_element_name(w, &m.pool_handle, m.identifier))
            }
            Self::RegistrationResponse(m) => w.message(mt::REGISTRATION_RESPONSE, flag(m.rejected), |w| {
                write_element_name(w, &m.pool_handle, m.identifier)?;
                write_error(w, m.error.as_ref())
            }),
            Self::DeregistrationResponse(m) => w.message(mt::DEREGISTRATION_RESPONSE, 0, |w| {
                write_element_name(w, &m.pool_handle, m.identifier)?;
                write_error(w, m.error.as_ref())
            }),
            Self::HandleResolution(HandleResolution { pool_handle, subscribe, items }) => {
                w.message(mt::HANDLE_RESOLUTION, flag(*subscribe), |w| {
                    pool_handle.write(w)?;
                    items.map_or(Ok(()), |items| {
                        w.parameter(ParameterType::HANDLE_RESOLUTION_OPTION, |w| {
                            w.u32(items);
                            Ok(())
                        })
                    })
                })
            }
            Self::HandleResolutionResponse(m) => {
                w.message(mt::HANDLE_RESOLUTION_RESPONSE, flag(m.accept_updates), |w| {
                    m.pool_handle.write(w)?;
                    m.policy.as_ref().map_or(Ok(()), |policy| policy.write(w))?;
                    m.elements.iter().try_for_each(|element| element.write(w))?;
                    write_error(w, m.error.as_ref())
                })
            }
            Self::EndpointKeepAlive(EndpointKeepAlive { home, server, pool_handle, identifier }) => w
                .message(mt::ENDPOINT_KEEP_ALIVE, flag(*home), |w| {
                    w.u32(server.0);
                    pool_handle.write(w)?;
                    identifier.map_or(Ok(()), |identifier| identifier.write(w))
                }),
            Self::EndpointKeepAliveAck(m) => w.message(mt::ENDPOINT_KEEP_ALIVE_ACK, 0, |w| {
                write_element_name(w, &m.pool_handle, m.identifier)
            }),
            Self::EndpointUnreachable(m) => w.message(mt::ENDPOINT_UNREACHABLE, 0, |w| {
                write_element_name(w, &m.pool_handle, m.identifier)
            }),
            Self::ServerAnnounce(m) => w.message(mt::SERVER_ANNOUNCE, 0, |w| {
                w.u32(m.server.0);
                m.transports.iter().try_for_each(|transport| transport.write_for_registrars(w))
            }),
            Self::Cookie(m) => w.message(mt::COOKIE, 0, |w| write_cookie(w, m.cookie)),
            Self::CookieEcho(m) => w.message(mt::COOKIE_ECHO, 0, |w| write_cookie(w, m.cookie)),
            Self::BusinessCard(m) => w.message(mt::BUSINESS_CARD, 0, |w| {
                m.pool_handle.write(w)?;
                m.elements.iter().try_for_each(|element| element.write(w))
            }),
            Self::Error(m) => w.message(mt::ERROR, 0, |w| m.error.write(w)),
        }
    }
}

/// Writes an ASAP_HANDLE_RESOLUTION_RESPONSE from elements that are already encoded: the registrar's hot path.
///
/// ```
/// use bytes::BytesMut;
/// use rserpool_wire::{Dialect, Policy, PoolHandle, asap::ResolutionResponseWriter};
///
/// let mut buffer = BytesMut::new();
/// let mut response = ResolutionResponseWriter::start(
///     Dialect::Rfc, &mut buffer, &PoolHandle::from("echo"), &Policy::Random, false)?;
/// // response.element(…) for each element, until it says that the message is full
/// response.finish()?;
/// # Ok::<(), rserpool_wire::EncodeError>(())
/// ```
pub struct ResolutionResponseWriter<'b> {
    writer: Writer<'b>,
    open: OpenLength,
}

impl<'b> ResolutionResponseWriter<'b> {
    /// Starts a response at the end of `buffer`. `accept_updates` is the A bit.
    ///
    /// # Errors
    /// When the handle is too long. The buffer is then as it was.
    pub fn start(
        dialect: Dialect,
        buffer: &'b mut BytesMut,
        pool_handle: &PoolHandle<'_>,
        policy: &Policy,
        accept_updates: bool,
    ) -> Result<Self, EncodeError> {
        let mut writer = Writer::new(buffer, dialect);
        let open = writer.open_message(mt::HANDLE_RESOLUTION_RESPONSE, flag(accept_updates));
        let named = dialect.always_names_policy() || policy.policy_type() != PolicyType::ROUND_ROBIN;
        let written = pool_handle
            .write(&mut writer)
            .and_then(|()| if named { policy.write(&mut writer) } else { Ok(()) });
        match written {
            Ok(()) => Ok(Self { writer, open }),
            Err(error) => {
                writer.abandon(open);
                Err(error)
            }
        }
    }

    /// Adds an element, without its ASAP transport. `false` where the message has no room for it.
    pub fn element(&mut self, element: EncodedElement<'_>) -> bool {
        let room =
            self.writer.length_since(self.open) + element.as_bytes().len() <= usize::from(u16::MAX) - 3;
        room && element.write_for_users(&mut self.writer).is_ok()
    }

    /// Ends the message.
    ///
    /// # Errors
    /// Not when all elements were added by [`element`](Self::element). The buffer is then as it was.
    pub fn finish(mut self) -> Result<(), EncodeError> {
        let closed = self.writer.close(self.open);
        if closed.is_err() {
            self.writer.abandon(self.open);
        }
        closed
    }
}

const fn flag(set: bool) -> u8 {
    if set { FLAG } else { 0 }
}

fn write_element_name(
    w: &mut Writer<'_>,
    pool_handle: &PoolHandle<'_>,
    identifier: PeIdentifier,
) -> Result<(), EncodeError> {
    pool_handle.write(w)?;
    identifier.write(w)
}

fn write_cookie(w: &mut Writer<'_>, cookie: &[u8]) -> Result<(), EncodeError> {
    w.parameter(ParameterType::COOKIE, |w| {
        w.bytes(cookie);
        Ok(())
    })
}

fn write_error(w: &mut Writer<'_>, error: Option<&OperationError<'_>>) -> Result<(), EncodeError> {
    error.map_or(Ok(()), |error| error.write(w))
}
