//! The messages of one association: on stream 0, in order, marked with the payload protocol identifier of the link (RFC 5352
//! §5, §8.3; RFC 5353 §5.3). They are messages of ASAP or ENRP, or with TLS on the link, its records.
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use rserpool_machine::Protocol;
use rserpool_sctp::{AssocState, Message, Notification, Received, SctpStream, SendInfo};
use rserpool_wire::frame_length;
use tracing::debug;

use crate::error::TransportError;
use crate::framing::is_tls;

/// An association that carries one protocol.
pub(crate) struct SctpMessages {
    stream: SctpStream,
    info: SendInfo,
}

impl SctpMessages {
    pub(super) fn new(stream: SctpStream, protocol: Protocol) -> Self {
        Self { stream, info: SendInfo::new(payload_protocol(protocol)) }
    }

    /// The next message of the protocol; `None` is the end, in order.
    pub(crate) fn poll_message(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Message>>> {
        loop {
            let Some(received) = ready!(self.stream.poll_recv(cx))? else { return Poll::Ready(Ok(None)) };
            match received {
                Received::Message(message) if message.info.ppid == self.info.ppid => {
                    return Poll::Ready(Ok(Some(message)));
                }
                Received::Message(message) => {
                    debug!(ppid = message.info.ppid, from = %message.from, "a message of another protocol");
                }
                Received::Notification(Notification::AssocChange(change)) if change.state.is_end() => {
                    return Poll::Ready(match change.state {
                        AssocState::ShutdownComplete => Ok(None),
                        _ => Err(io::ErrorKind::ConnectionReset.into()),
                    });
                }
                // What could not be delivered to a peer that restarted, or never will be: the link is of no use any more
                // (RFC 5352 §3.7.1).
                Received::Notification(Notification::SendFailed(_)) => {
                    return Poll::Ready(Err(io::Error::other("a message could not be delivered")));
                }
                Received::Oversized { limit, .. } => {
                    let error = format!("a message of more than {limit} bytes");
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
                }
                other => debug!(?other, "SCTP notification"),
            }
        }
    }

    /// Sends one message, `WouldBlock` if there is no room for it.
    pub(crate) fn try_send(&self, message: &[u8]) -> io::Result<()> {
        match self.stream.association().try_send(&self.info, message)? {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Waits until there may be room.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        Ok(self.stream.writable().await?)
    }

    /// The same, for implementations of futures: the task of the last caller is woken.
    #[cfg(feature = "tls")]
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_writable(cx).map_err(io::Error::from)
    }

    /// Ends both directions once everything is delivered: SCTP has no half-closed associations.
    pub(crate) fn finish(&self) -> io::Result<()> {
        Ok(self.stream.shutdown()?)
    }

    /// Ends it at once.
    pub(crate) fn abort(&self) {
        // Should it fail, the association is gone already, which is what is wanted.
        let _ = self.stream.abort();
    }
}

const fn payload_protocol(protocol: Protocol) -> u32 {
    match protocol {
        Protocol::Asap => 11,
        Protocol::Enrp => 12,
    }
}

/// Either half of a link without TLS: each message is one of ASAP or ENRP.
#[derive(Clone)]
pub(crate) struct SctpHalf(Arc<SctpMessages>);

impl SctpHalf {
    pub(crate) fn new(messages: Box<SctpMessages>) -> Self {
        Self(messages.into())
    }

    /// Appends the next message to `buffer`, padded as on a byte stream; 0 bytes are the end.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        let Some(message) = ready!(self.0.poll_message(cx))? else { return Poll::Ready(Ok(0)) };
        let length = message.bytes.len().next_multiple_of(4);
        let header = message.bytes.first_chunk().copied();
        if header.and_then(frame_length) != Some(length) {
            let error = if header.is_some_and(is_tls) {
                io::Error::other(TransportError::SpeaksTls)
            } else {
                let error = "a message whose length field does not fit its length";
                io::Error::new(io::ErrorKind::InvalidData, error)
            };
            return Poll::Ready(Err(error));
        }
        buffer.put_slice(&message.bytes);
        buffer.put_bytes(0, length - message.bytes.len());
        Poll::Ready(Ok(length))
    }

    /// Sends the first message of `bytes`, `WouldBlock` if there is no room for it.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.first_chunk().and_then(|header| frame_length(*header));
        let message = length.and_then(|length| bytes.get(..length)).ok_or(io::ErrorKind::InvalidInput)?;
        self.0.try_send(message)?;
        Ok(message.len())
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.0.writable().await
    }

    pub(crate) fn finish(&self) -> io::Result<()> {
        self.0.finish()
    }

    pub(crate) fn abort(&self) {
        self.0.abort();
    }
}
