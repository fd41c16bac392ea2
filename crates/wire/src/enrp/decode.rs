//! Decoding of ENRP messages.
use super::{
    Body, ErrorReport, FLAG, HandleTableRequest, HandleTableResponse, HandleUpdate, InitTakeover,
    InitTakeoverAck, ListResponse, MORE, Message, PoolEntry, Presence, TableElement, TakeoverServer,
    UpdateAction, message_type as mt,
};
use crate::cause::{ErrorCause, OperationError};
use crate::dialect::Dialect;
use crate::element::{PoolElement, ServerInformation};
use crate::error::{DecodeError, DecodeReason, Decoded};
use crate::frame;
use crate::handle::PoolHandle;
use crate::identifier::ServerId;
use crate::owner::ElementOwner;
use crate::parameter::{ParameterType as P, Parameters};
use crate::reader::Reader;

/// Decodes exactly one ENRP message; its final padding may be there or not.
///
/// # Errors
/// When `bytes` are not a message that a receiver may act on. [`DecodeError::cause`] says what to answer.
pub fn decode(bytes: &[u8], dialect: Dialect) -> Result<Decoded<'_, Message<'_>>, DecodeError> {
    let (message_type, flags, mut value) = frame::open(bytes)?;
    if !(mt::PRESENCE..=mt::ERROR).contains(&message_type) {
        return Err(DecodeError::unknown_message(message_type));
    }
    let sender = ServerId(value.u32()?);
    let receiver = ServerId(value.u32()?);
    let flag = flags & FLAG != 0;
    let mut unrecognized = Vec::new();
    let body = match message_type {
        mt::PRESENCE => Body::Presence(read_presence(value, flag, &mut unrecognized)?),
        mt::HANDLE_TABLE_REQUEST => {
            expect_end(value, &mut unrecognized)?;
            Body::HandleTableRequest(HandleTableRequest { own_children_only: flag })
        }
        mt::HANDLE_TABLE_RESPONSE => {
            let entries = read_entries(value, dialect, &mut unrecognized)?;
            Body::HandleTableResponse(HandleTableResponse {
                rejected: flag,
                more: flags & MORE != 0,
                entries,
            })
        }
        mt::HANDLE_UPDATE => Body::HandleUpdate(read_update(value, flag, dialect, &mut unrecognized)?),
        mt::LIST_REQUEST => {
            expect_end(value, &mut unrecognized)?;
            Body::ListRequest
        }
        mt::LIST_RESPONSE => Body::ListResponse(ListResponse {
            rejected: flag,
            servers: read_servers(value, &mut unrecognized)?,
        }),
        mt::INIT_TAKEOVER => {
            Body::InitTakeover(InitTakeover { target: read_target(value, &mut unrecognized)? })
        }
        mt::INIT_TAKEOVER_ACK => {
            Body::InitTakeoverAck(InitTakeoverAck { target: read_target(value, &mut unrecognized)? })
        }
        mt::TAKEOVER_SERVER => {
            Body::TakeoverServer(TakeoverServer { target: read_target(value, &mut unrecognized)? })
        }
        _ => Body::Error(ErrorReport { error: read_error(value, &mut unrecognized)? }),
    };
    Ok(Decoded { message: Message { sender, receiver, body }, unrecognized })
}

/// Nothing may follow but parameters to be skipped.
fn expect_end<'a>(value: Reader<'a>, unrecognized: &mut Vec<ErrorCause<'a>>) -> Result<(), DecodeError> {
    match Parameters::new(value).next(unrecognized)? {
        Some(parameter) => Err(parameter.unexpected()),
        None => Ok(()),
    }
}

fn read_target<'a>(
    mut value: Reader<'a>,
    unrecognized: &mut Vec<ErrorCause<'a>>,
) -> Result<ServerId, DecodeError> {
    let target = ServerId(value.u32()?);
    expect_end(value, unrecognized)?;
    Ok(target)
}

fn read_presence<'a>(
    value: Reader<'a>,
    reply_required: bool,
    unrecognized: &mut Vec<ErrorCause<'a>>,
) -> Result<Presence, DecodeError> {
    let (mut checksum, mut information) = (None, None);
    let mut parameters = Parameters::new(value);
    while let Some(parameter) = parameters.next(unrecognized)? {
        match parameter.parameter {
            P::PE_CHECKSUM => parameter.store(&mut checksum, parameter.read(Reader::u16)?)?,
            P::SERVER_INFORMATION => {
                let server = ServerInformation::read(&parameter, unrecognized)?;
                parameter.store(&mut information, server)?;
            }
            _ => return Err(parameter.unexpected()),
        }
    }
    Ok(Presence { reply_required, checksum, information })
}

/// Pool entries: order matters here, for an element belongs to the handle before it, and an owner to the element.
fn read_entries<'a>(
    value: Reader<'a>,
    dialect: Dialect,
    unrecognized: &mut Vec<ErrorCause<'a>>,
) -> Result<Vec<PoolEntry<'a>>, DecodeError> {
    let mut entries: Vec<PoolEntry<'a>> = Vec::new();
    let mut parameters = Parameters::new(value).with_owners(dialect);
    while let Some(parameter) = parameters.next(unrecognized)? {
        match parameter.parameter {
            P::POOL_HANDLE => {
                let pool_handle = PoolHandle::new(parameter.value().take_rest());
                entries.push(PoolEntry { pool_handle, elements: Vec::new() });
            }
            P::POOL_ELEMENT => {
                let element = PoolElement::read(&parameter, dialect, unrecognized)?;
                let entry = entries.last_mut().ok_or_else(|| parameter.unexpected())?;
                entry.elements.push(element.into());
            }
            P::ELEMENT_OWNER => {
                let owner = ElementOwner::read(&parameter)?;
                let element = entries.last_mut().and_then(|entry| entry.elements.last_mut());
                let TableElement { owner: slot, .. } = element.ok_or_else(|| parameter.unexpected())?;
                parameter.store(slot, owner)?;
            }
            _ => return Err(parameter.unexpected()),
        }
    }
    Ok(entries)
}

fn read_update<'a>(
    mut value: Reader<'a>,
    takeover_suggested: bool,
    dialect: Dialect,
    unrecognized: &mut Vec<ErrorCause<'a>>,
) -> Result<HandleUpdate<'a>, DecodeError> {
    let at = value.offset();
    let action = match value.u16()? {
        0 => UpdateAction::Add,
        1 => UpdateAction::Delete,
        _ => {
            return Err(DecodeError::new(at, DecodeReason::InvalidValue("update action is neither 0 nor 1")));
        }
    };
    value.u16()?;
    let (mut pool_handle, mut element, mut owner) = (None, None, None);
    let mut parameters = Parameters::new(value).with_owners(dialect);
    while let Some(parameter) = parameters.next(unrecognized)? {
        match parameter.parameter {
            P::POOL_HANDLE => {
                let handle = PoolHandle::new(parameter.value().take_rest());
                parameter.store(&mut pool_handle, handle)?;
            }
            P::POOL_ELEMENT => {
                let read = PoolElement::read(&parameter, dialect, unrecognized)?;
                parameter.store(&mut element, read)?;
            }
            P::ELEMENT_OWNER => {
                parameter.store(&mut owner, ElementOwner::read(&parameter)?)?;
            }
            _ => return Err(parameter.unexpected()),
        }
    }
    Ok(HandleUpdate {
        action,
        takeover_suggested,
        pool_handle: pool_handle.ok_or_else(|| parameters.missing(P::POOL_HANDLE))?,
        element: element.ok_or_else(|| parameters.missing(P::POOL_ELEMENT))?,
        owner,
    })
}

fn read_servers<'a>(
    value: Reader<'a>,
    unrecognized: &mut Vec<ErrorCause<'a>>,
) -> Result<Vec<ServerInformation>, DecodeError> {
    let mut servers = Vec::new();
    let mut parameters = Parameters::new(value);
    while let Some(parameter) = parameters.next(unrecognized)? {
        if parameter.parameter != P::SERVER_INFORMATION {
            return Err(parameter.unexpected());
        }
        servers.push(ServerInformation::read(&parameter, unrecognized)?);
    }
    Ok(servers)
}

fn read_error<'a>(
    value: Reader<'a>,
    unrecognized: &mut Vec<ErrorCause<'a>>,
) -> Result<OperationError<'a>, DecodeError> {
    let mut error = None;
    let mut parameters = Parameters::new(value);
    while let Some(parameter) = parameters.next(unrecognized)? {
        if parameter.parameter != P::OPERATION_ERROR {
            return Err(parameter.unexpected());
        }
        let read = OperationError::read(parameter.value()).map_err(|e| e.within(parameter.range()))?;
        parameter.store(&mut error, read)?;
    }
    error.ok_or_else(|| parameters.missing(P::OPERATION_ERROR))
}
