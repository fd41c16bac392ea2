//! The messages of one association: on stream 0, in order, marked with the payload protocol identifier of the link (RFC 5352
//! §5, §8.3; RFC 5353 §5.3). They are messages of ASAP or ENRP, or with TLS on the link, its records.
use std::io::{self, IoSlice};
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
            if let Some(next) = self.sort(received) {
                return Poll::Ready(next);
            }
        }
    }

    /// The same, `WouldBlock` if there is none now.
    fn try_message(&self) -> io::Result<Option<Message>> {
        loop {
            let received = self.stream.try_recv()?.ok_or(io::ErrorKind::WouldBlock)?;
            if let Some(next) = self.sort(received) {
                return next;
            }
        }
    }

    /// What is received, as it concerns the link; `None` if it does not.
    fn sort(&self, received: Received) -> Option<io::Result<Option<Message>>> {
        match received {
            Received::Message(message) if message.info.ppid == self.info.ppid => Some(Ok(Some(message))),
            Received::Message(message) => {
                debug!(ppid = message.info.ppid, from = %message.from, "a message of another protocol");
                None
            }
            Received::Notification(Notification::AssocChange(change)) if change.state.is_end() => {
                Some(match change.state {
                    AssocState::ShutdownComplete => Ok(None),
                    _ => Err(io::ErrorKind::ConnectionReset.into()),
                })
            }
            // What could not be delivered to a peer that restarted, or never will be: the link is of no use any more
            // (RFC 5352 §3.7.1).
            Received::Notification(Notification::SendFailed(_)) => {
                Some(Err(io::Error::other("a message could not be delivered")))
            }
            Received::Oversized { limit, .. } => {
                let error = format!("a message of more than {limit} bytes");
                Some(Err(io::Error::new(io::ErrorKind::InvalidData, error)))
            }
            other => {
                debug!(?other, "SCTP notification");
                None
            }
        }
    }

    /// Sends messages, as many as there is room for, and returns how many bytes these are; `WouldBlock` if there is no room for the
    /// first.
    pub(crate) fn try_send<'m>(&self, messages: impl Iterator<Item = &'m [u8]> + Clone) -> io::Result<usize> {
        match self.stream.try_send_many(&self.info, messages.clone())? {
            0 if messages.clone().next().is_none() => Err(io::ErrorKind::InvalidInput.into()),
            0 => Err(io::ErrorKind::WouldBlock.into()),
            sent => Ok(messages.take(sent).map(<[u8]>::len).sum()),
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

/// The reading half of a link without TLS: each message is one of ASAP or ENRP.
pub(crate) struct SctpReader {
    messages: Arc<SctpMessages>,
    /// What came behind messages that are read first: the end, or why there are no more.
    ending: Option<io::Result<usize>>,
}

/// Its writing half.
pub(crate) struct SctpWriter(Arc<SctpMessages>);

/// Both halves of a link.
pub(crate) fn halves(messages: Box<SctpMessages>) -> (SctpReader, SctpWriter) {
    let messages: Arc<_> = messages.into();
    (SctpReader { messages: Arc::clone(&messages), ending: None }, SctpWriter(messages))
}

impl SctpReader {
    /// Appends the messages that are there to `buffer`, padded as on a byte stream, until it has no room for more; 0 bytes are the
    /// end.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        if let Some(ending) = self.ending.take() {
            return Poll::Ready(ending);
        }
        let (before, room) = (buffer.len(), buffer.capacity());
        let mut next = append(ready!(self.messages.poll_message(cx)), buffer);
        while matches!(next, Ok(1..)) && buffer.len() < room {
            next = append(self.messages.try_message(), buffer);
        }
        match (next, buffer.len() - before) {
            (ending, 0) => return Poll::Ready(ending),
            (Err(error), _) if error.kind() == io::ErrorKind::WouldBlock => {}
            (ending @ (Err(_) | Ok(0)), _) => self.ending = Some(ending),
            (Ok(_), _) => {}
        }
        Poll::Ready(Ok(buffer.len() - before))
    }

    pub(crate) fn abort(&self) {
        self.messages.abort();
    }
}

/// Appends a message to `buffer`, padded, and returns its length then; 0 for the end.
fn append(message: io::Result<Option<Message>>, buffer: &mut BytesMut) -> io::Result<usize> {
    let Some(message) = message? else { return Ok(0) };
    let length = message.bytes.len().next_multiple_of(4);
    let header = message.bytes.first_chunk().copied();
    if header.and_then(frame_length) != Some(length) {
        return Err(if header.is_some_and(is_tls) {
            io::Error::other(TransportError::SpeaksTls)
        } else {
            let error = "a message whose length field does not fit its length";
            io::Error::new(io::ErrorKind::InvalidData, error)
        });
    }
    buffer.put_slice(&message.bytes);
    buffer.put_bytes(0, length - message.bytes.len());
    Ok(length)
}

impl SctpWriter {
    /// Sends the messages in `slices`, as many as there is room for, and returns how many bytes these are; `WouldBlock` if there is
    /// no room for the first.
    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_send(slices.iter().flat_map(|slice| Messages(slice)))
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

/// The messages of a byte stream, which has whole ones only.
#[derive(Clone)]
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = frame_length(*self.0.first_chunk()?)?;
        let (message, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(message)
    }
}
