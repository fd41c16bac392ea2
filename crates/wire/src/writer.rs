//! Single-pass encoding: a length field is left open, the content is written, the length is filled in.
//! Every message and parameter is padded with zeros to a multiple of 4 bytes (RFC 5354 §3, §4).
use bytes::{BufMut, BytesMut};

use crate::dialect::Dialect;
use crate::error::EncodeError;
use crate::parameter::ParameterType;

/// Appends messages and parameters to a buffer.
pub(crate) struct Writer<'b> {
    buffer: &'b mut BytesMut,
    dialect: Dialect,
    /// How many of the last bytes written are padding.
    padding: usize,
}

/// A message or parameter whose length is not yet known, and where it starts in the buffer.
#[derive(Clone, Copy)]
pub(crate) struct OpenLength(usize);

impl<'b> Writer<'b> {
    pub(crate) const fn new(buffer: &'b mut BytesMut, dialect: Dialect) -> Self {
        Self { buffer, dialect, padding: 0 }
    }

    /// Runs `write` on the end of `buffer`, and takes back what it wrote when it fails.
    pub(crate) fn append(
        buffer: &'b mut BytesMut,
        dialect: Dialect,
        write: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let start = buffer.len();
        let mut writer = Self::new(buffer, dialect);
        let result = write(&mut writer);
        if result.is_err() {
            writer.buffer.truncate(start);
        }
        result
    }

    pub(crate) const fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.padding = 0;
        self.buffer.put_u16(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.padding = 0;
        self.buffer.put_u32(value);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.padding = 0;
        self.buffer.put_slice(bytes);
    }

    /// A parameter that is already encoded and padded, the last `padding` bytes of which are padding.
    pub(crate) fn encoded(&mut self, parameter: &[u8], padding: usize) {
        self.buffer.put_slice(parameter);
        self.padding = padding;
    }

    /// A message: type, flags, length, then what `value` writes.
    pub(crate) fn message(
        &mut self,
        message_type: u8,
        flags: u8,
        value: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let open = self.open_message(message_type, flags);
        value(self)?;
        self.close(open)
    }

    /// A parameter: type, length, then what `value` writes, then padding.
    pub(crate) fn parameter(
        &mut self,
        parameter: ParameterType,
        value: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.tlv(parameter.0, value)
    }

    /// The same for anything else that has the shape of a parameter (error causes).
    pub(crate) fn tlv(
        &mut self,
        code: u16,
        value: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let open = OpenLength(self.buffer.len());
        self.u16(code);
        self.u16(0);
        value(self)?;
        self.end(open, false)
    }

    pub(crate) fn open_message(&mut self, message_type: u8, flags: u8) -> OpenLength {
        let open = OpenLength(self.buffer.len());
        self.bytes(&[message_type, flags, 0, 0]);
        open
    }

    /// Bytes written since `open`, padding included.
    pub(crate) fn length_since(&self, open: OpenLength) -> usize {
        self.buffer.len() - open.0
    }

    /// Sets a flag of an open message.
    pub(crate) fn set_flags(&mut self, open: OpenLength, flags: u8) {
        if let Some(slot) = self.buffer.get_mut(open.0 + 1) {
            *slot = flags;
        }
    }

    /// Takes back everything since `open`.
    pub(crate) fn abandon(&mut self, open: OpenLength) {
        self.buffer.truncate(open.0);
    }

    /// Ends an open message.
    pub(crate) fn close(&mut self, open: OpenLength) -> Result<(), EncodeError> {
        self.end(open, self.dialect.counts_final_padding())
    }

    /// Pads, and fills in the length.
    ///
    /// When the last thing written was itself padded, its padding is the final padding of what encloses it. No length counts
    /// that, but in a dialect where those of messages do.
    fn end(&mut self, open: OpenLength, count_padding: bool) -> Result<(), EncodeError> {
        let length = self.buffer.len() - open.0;
        let padded = length.next_multiple_of(4);
        self.buffer.put_bytes(0, padded - length);
        let counted = if count_padding { padded } else { length - self.padding };
        let field = u16::try_from(counted).map_err(|_| EncodeError::TooLong { length: counted })?;
        if let Some(slot) = self.buffer.get_mut(open.0 + 2..open.0 + 4) {
            slot.copy_from_slice(&field.to_be_bytes());
        }
        self.padding = padded - counted;
        Ok(())
    }
}
