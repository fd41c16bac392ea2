//! Encoding of ENRP messages, in the order of parameters that the figures of RFC 5353 §2 show.
use bytes::BytesMut;

use super::{Body, FLAG, MORE, Message, UpdateAction, message_type as mt};
use crate::dialect::Dialect;
use crate::element::EncodedElement;
use crate::error::EncodeError;
use crate::handle::PoolHandle;
use crate::identifier::ServerId;
use crate::owner::ElementOwner;
use crate::parameter::ParameterType;
use crate::writer::{OpenLength, Writer};

impl Message<'_> {
    /// Appends the message to `buffer`, padded to a multiple of 4 bytes.
    ///
    /// # Errors
    /// When a length would not fit its field. The buffer is then as it was.
    pub fn encode(&self, dialect: Dialect, buffer: &mut BytesMut) -> Result<(), EncodeError> {
        Writer::append(buffer, dialect, |writer| {
            let (message_type, flags) = self.type_and_flags();
            writer.message(message_type, flags, |writer| {
                writer.u32(self.sender.0);
                writer.u32(self.receiver.0);
                self.body.write(writer)
            })
        })
    }

    const fn type_and_flags(&self) -> (u8, u8) {
        match &self.body {
            Body::Presence(m) => (mt::PRESENCE, flag(m.reply_required)),
            Body::HandleTableRequest(m) => (mt::HANDLE_TABLE_REQUEST, flag(m.own_children_only)),
            Body::HandleTableResponse(m) => (mt::HANDLE_TABLE_RESPONSE, flag(m.rejected) | more(m.more)),
            Body::HandleUpdate(m) => (mt::HANDLE_UPDATE, flag(m.takeover_suggested)),
            Body::ListRequest => (mt::LIST_REQUEST, 0),
            Body::ListResponse(m) => (mt::LIST_RESPONSE, flag(m.rejected)),
            Body::InitTakeover(_) => (mt::INIT_TAKEOVER, 0),
            Body::InitTakeoverAck(_) => (mt::INIT_TAKEOVER_ACK, 0),
            Body::TakeoverServer(_) => (mt::TAKEOVER_SERVER, 0),
            Body::Error(_) => (mt::ERROR, 0),
        }
    }
}

impl Body<'_> {
    fn write(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        match self {
            Self::Presence(m) => {
                if let Some(checksum) = m.checksum {
                    w.parameter(ParameterType::PE_CHECKSUM, |w| {
                        w.u16(checksum);
                        Ok(())
                    })?;
                }
                m.information.as_ref().map_or(Ok(()), |information| information.write(w))
            }
            Self::HandleTableRequest(_) | Self::ListRequest => Ok(()),
            Self::HandleTableResponse(m) => m.entries.iter().try_for_each(|entry| {
                entry.pool_handle.write(w)?;
                entry.elements.iter().try_for_each(|listed| {
                    listed.element.write(w)?;
                    write_owner(w, listed.owner.as_ref())
                })
            }),
            Self::HandleUpdate(m) => {
                write_action(w, m.action);
                m.pool_handle.write(w)?;
                m.element.write(w)?;
                write_owner(w, m.owner.as_ref())
            }
            Self::ListResponse(m) => m.servers.iter().try_for_each(|server| server.write(w)),
            Self::InitTakeover(super::InitTakeover { target })
            | Self::InitTakeoverAck(super::InitTakeoverAck { target })
            | Self::TakeoverServer(super::TakeoverServer { target }) => {
                w.u32(target.0);
                Ok(())
            }
            Self::Error(m) => m.error.write(w),
        }
    }
}

/// Appends an ENRP_HANDLE_UPDATE for an element that is already encoded. It is an announcement: the receiver is 0.
///
/// # Errors
/// When the handle and the element do not fit a message. The buffer is then as it was.
pub fn encode_handle_update(
    dialect: Dialect,
    buffer: &mut BytesMut,
    sender: ServerId,
    action: UpdateAction,
    pool_handle: &PoolHandle<'_>,
    element: EncodedElement<'_>,
    owner: Option<&ElementOwner<'_>>,
) -> Result<(), EncodeError> {
    Writer::append(buffer, dialect, |w| {
        w.message(mt::HANDLE_UPDATE, 0, |w| {
            w.u32(sender.0);
            w.u32(ServerId::NONE.0);
            write_action(w, action);
            pool_handle.write(w)?;
            element.write(w);
            write_owner(w, owner)
        })
    })
}

/// Writes an ENRP_HANDLE_TABLE_RESPONSE from elements that are already encoded, up to the dialect's limit of size.
pub struct TableResponseWriter<'b> {
    writer: Writer<'b>,
    open: OpenLength,
    elements: usize,
}

impl<'b> TableResponseWriter<'b> {
    /// Starts a response at the end of `buffer`.
    pub fn start(dialect: Dialect, buffer: &'b mut BytesMut, sender: ServerId, receiver: ServerId) -> Self {
        let mut writer = Writer::new(buffer, dialect);
        let open = writer.open_message(mt::HANDLE_TABLE_RESPONSE, 0);
        writer.u32(sender.0);
        writer.u32(receiver.0);
        Self { writer, open, elements: 0 }
    }

    /// Starts the entry of a pool, if it and `first`, the first element of the entry, fit: then adds both.
    pub fn pool(
        &mut self,
        pool_handle: &PoolHandle<'_>,
        first: EncodedElement<'_>,
        owner: Option<&ElementOwner<'_>>,
    ) -> bool {
        let handle = (4 + pool_handle.as_bytes().len()).next_multiple_of(4);
        self.fits(handle + first.as_bytes().len())
            && pool_handle.write(&mut self.writer).is_ok()
            && self.add(first, owner)
    }

    /// Adds an element to the entry of the pool, if it fits. Its owner is left out where only that does not fit.
    pub fn element(&mut self, element: EncodedElement<'_>, owner: Option<&ElementOwner<'_>>) -> bool {
        self.fits(element.as_bytes().len()) && self.add(element, owner)
    }

    /// Ends the message. `more` is the M flag: the receiver shall ask for the next part.
    ///
    /// # Errors
    /// Not when everything was added by the methods above. The buffer is then as it was.
    pub fn finish(mut self, more_to_send: bool) -> Result<(), EncodeError> {
        self.writer.set_flags(self.open, more(more_to_send));
        let closed = self.writer.close(self.open);
        if closed.is_err() {
            self.writer.abandon(self.open);
        }
        closed
    }

    /// Whether `size` more bytes fit. The first entry always does if a message can hold it at all: a limit that a single
    /// element exceeds must not stop the download.
    fn fits(&self, size: usize) -> bool {
        let (bytes, elements) = self.writer.dialect().table_response_limit();
        let limit = if self.elements == 0 { usize::from(u16::MAX) - 3 } else { bytes };
        self.elements < elements && self.writer.length_since(self.open) + size <= limit
    }

    fn add(&mut self, element: EncodedElement<'_>, owner: Option<&ElementOwner<'_>>) -> bool {
        element.write(&mut self.writer);
        // What a message can hold, whatever the dialect's limit: an element does not wait for the next part for its owner's sake.
        let most = usize::from(u16::MAX) - 3;
        let room = most.saturating_sub(self.writer.length_since(self.open));
        let owner = owner.filter(|owner| owner.encoded_length() <= room);
        self.elements += 1;
        write_owner(&mut self.writer, owner).is_ok()
    }
}

fn write_action(w: &mut Writer<'_>, action: UpdateAction) {
    w.u16(action as u16);
    w.u16(0);
}

fn write_owner(w: &mut Writer<'_>, owner: Option<&ElementOwner<'_>>) -> Result<(), EncodeError> {
    owner.map_or(Ok(()), |owner| owner.write(w))
}

const fn flag(set: bool) -> u8 {
    if set { FLAG } else { 0 }
}

const fn more(set: bool) -> u8 {
    if set { MORE } else { 0 }
}
