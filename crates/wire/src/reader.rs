//! A cursor over the bytes of one message that knows its offset from the start, for errors that say where.
//! Nothing here can panic: every read is checked against what is left.
use crate::error::{DecodeError, DecodeReason};

/// Bytes still to be read, and where they stand in the message.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// A reader of `bytes`, the first of which stands at `offset` of the message.
    pub(crate) const fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset }
    }

    /// Where the next byte stands in the message.
    pub(crate) const fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) const fn remaining(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((head, tail)) = self.bytes.split_at_checked(count) else {
            let reason = DecodeReason::Truncated { needed: count, available: self.bytes.len() };
            return Err(DecodeError::new(self.offset, reason));
        };
        self.bytes = tail;
        self.offset += count;
        Ok(head)
    }

    /// Everything that is left.
    pub(crate) fn take_rest(&mut self) -> &'a [u8] {
        let rest = self.bytes;
        self.offset += rest.len();
        self.bytes = &[];
        rest
    }

    /// Skips up to `count` bytes, fewer where fewer are left: padding that the sender may have left out.
    pub(crate) fn skip_padding(&mut self, count: usize) {
        let count = count.min(self.bytes.len());
        self.bytes = self.bytes.split_at(count).1;
        self.offset += count;
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((head, tail)) = self.bytes.split_first_chunk::<N>() else {
            let reason = DecodeReason::Truncated { needed: N, available: self.bytes.len() };
            return Err(DecodeError::new(self.offset, reason));
        };
        self.bytes = tail;
        self.offset += N;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn octets<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.array()
    }
}
