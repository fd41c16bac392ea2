//! The common header of all messages (RFC 5354 §4), as far as a byte stream needs it to find message boundaries.
use crate::error::{DecodeError, DecodeReason};
use crate::reader::Reader;

/// Bytes of the common header: type, flags, length.
pub const HEADER_LENGTH: usize = 4;

/// The longest message, final padding included: 65,536 bytes.
pub const MAX_MESSAGE_LENGTH: usize = 65_536;

/// How many bytes the message with this header takes on a byte stream, final padding included.
///
/// `None` for a length that no message can have (below 4): the stream is out of step and must be closed.
///
/// ```
/// assert_eq!(rserpool_wire::frame_length([0x05, 0, 0, 13]), Some(16));
/// assert_eq!(rserpool_wire::frame_length([0x05, 0, 0, 3]), None);
/// ```
#[must_use]
pub const fn frame_length(header: [u8; HEADER_LENGTH]) -> Option<usize> {
    let length = u16::from_be_bytes([header[2], header[3]]) as usize;
    if length < HEADER_LENGTH { None } else { Some(length.next_multiple_of(4)) }
}

/// Type, flags and value of the message that `bytes` are, with or without final padding.
pub(crate) fn open(bytes: &[u8]) -> Result<(u8, u8, Reader<'_>), DecodeError> {
    let mut header = Reader::new(bytes, 0);
    let (message_type, flags) = (header.u8()?, header.u8()?);
    let field = usize::from(header.u16()?);
    let fits = field >= HEADER_LENGTH && (field == bytes.len() || field.next_multiple_of(4) == bytes.len());
    let value = bytes.get(HEADER_LENGTH..field).filter(|_| fits);
    match value {
        Some(value) => Ok((message_type, flags, Reader::new(value, HEADER_LENGTH))),
        None => Err(DecodeError::new(2, DecodeReason::MessageLength { field, received: bytes.len() })),
    }
}
