//! Frames on a byte stream: payload protocol identifier and length, 32 bits each, big-endian, then the payload.
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// What a payload is: the payload protocol identifier of SCTP.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PayloadProtocol(pub u32);

impl PayloadProtocol {
    /// Data of the application, which may use other values too.
    pub const DATA: Self = Self(0);
    /// An ASAP message of the control channel (RFC 5352 §8.3).
    pub const ASAP: Self = Self(11);

    /// Whether the payload is a message of the control channel, for a session to handle.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.0 == Self::ASAP.0
    }
}

/// One frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// What the payload is.
    pub protocol: PayloadProtocol,
    /// The payload.
    pub payload: Bytes,
}

/// Writes and reads frames, up to a maximum size.
///
/// ```
/// use bytes::BytesMut;
/// use rserpool_asap::session::{FrameCodec, PayloadProtocol};
///
/// let (codec, mut wire) = (FrameCodec::default(), BytesMut::new());
/// codec.encode(PayloadProtocol::DATA, b"hello", &mut wire)?;
/// assert_eq!(&wire[..], b"\0\0\0\0\0\0\0\x05hello");
/// let mut arrived = wire.split_to(9);
/// assert_eq!(codec.decode(&mut arrived)?, None);
/// arrived.unsplit(wire);
/// assert_eq!(codec.decode(&mut arrived)?.map(|frame| frame.payload), Some("hello".into()));
/// # Ok::<(), rserpool_asap::session::FrameError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FrameCodec {
    max_payload: usize,
}

impl FrameCodec {
    /// Bytes before the payload.
    pub const HEADER_LENGTH: usize = 8;

    /// A codec for payloads of `max_payload` bytes at most. What is larger is refused in both directions: a
    /// receiver buffers a frame until it is whole.
    #[must_use]
    pub const fn new(max_payload: usize) -> Self {
        Self { max_payload }
    }

    /// Appends a frame to `buffer`.
    ///
    /// # Errors
    /// When the payload is too large. The buffer is then as it was.
    pub fn encode(
        &self,
        protocol: PayloadProtocol,
        payload: &[u8],
        buffer: &mut BytesMut,
    ) -> Result<(), FrameError> {
        buffer.put_slice(&self.header(protocol, payload.len())?);
        buffer.put_slice(payload);
        Ok(())
    }

    /// What stands before a payload of this length, for those who send it without copying.
    ///
    /// # Errors
    /// When the payload is too large.
    pub fn header(
        &self,
        protocol: PayloadProtocol,
        length: usize,
    ) -> Result<[u8; Self::HEADER_LENGTH], FrameError> {
        let too_large = FrameError::TooLarge { length, limit: self.max_payload };
        let field = u32::try_from(length).ok().filter(|_| length <= self.max_payload).ok_or(too_large)?;
        Ok(((u64::from(protocol.0) << 32) | u64::from(field)).to_be_bytes())
    }

    /// Takes the first frame out of `buffer`; `None` until it is whole.
    ///
    /// # Errors
    /// When the frame is too large. The stream is of no use any more then.
    pub fn decode(&self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some(header) = buffer.first_chunk::<{ Self::HEADER_LENGTH }>() else { return Ok(None) };
        let mut header = &header[..];
        let (protocol, field) = (PayloadProtocol(header.get_u32()), header.get_u32());
        let limit = self.max_payload;
        let length = usize::try_from(field).ok().filter(|length| *length <= limit);
        let Some(length) = length else {
            return Err(FrameError::TooLarge { length: usize::try_from(field).unwrap_or(usize::MAX), limit });
        };
        if buffer.len() - Self::HEADER_LENGTH < length {
            return Ok(None);
        }
        buffer.advance(Self::HEADER_LENGTH);
        Ok(Some(Frame { protocol, payload: buffer.split_to(length).freeze() }))
    }
}

/// 16 MiB.
impl Default for FrameCodec {
    fn default() -> Self {
        Self::new(16 << 20)
    }
}

/// A frame that is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// More bytes than the codec takes.
    #[error("a frame of {length} bytes is over the limit of {limit}")]
    TooLarge {
        /// Bytes of the payload.
        length: usize,
        /// Bytes that the codec takes.
        limit: usize,
    },
}
