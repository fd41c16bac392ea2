//! What TLS records travel over: the bytes of a TCP connection, or stream 0 of an SCTP association, in order, each record a
//! message (RFC 3436). Received is a stream of bytes either way.
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::connection::Medium;
use crate::stream::abort_tcp;

/// A carrier reads and writes as a blocking stream does, but what would have to wait is an error.
pub(super) enum Carrier {
    Tcp(TcpStream),
    #[cfg(target_os = "linux")]
    Sctp(sctp::Records),
}

impl From<Medium> for Carrier {
    fn from(medium: Medium) -> Self {
        match medium {
            Medium::Tcp(stream) => Self::Tcp(stream),
            #[cfg(target_os = "linux")]
            Medium::Sctp(messages) => Self::Sctp(sctp::Records::new(messages)),
        }
    }
}

impl Carrier {
    /// Ready when there is something to read; the task of the last caller is woken.
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            #[cfg(target_os = "linux")]
            Self::Sctp(records) => records.poll_read_ready(cx),
        }
    }

    /// Ready when there may be room to write; the task of the last caller is woken.
    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            #[cfg(target_os = "linux")]
            Self::Sctp(records) => records.messages.poll_writable(cx),
        }
    }

    /// Waits until there may be room to write.
    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.writable().await,
            #[cfg(target_os = "linux")]
            Self::Sctp(records) => records.messages.writable().await,
        }
    }

    /// Ends this direction, whose end TLS has announced. SCTP has no half-closed associations, so that one ends when it is
    /// dropped, once everything is delivered: the other end may have more to say until it has closed too.
    pub(super) fn finish(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream).shutdown(Shutdown::Write),
            #[cfg(target_os = "linux")]
            Self::Sctp(_) => Ok(()),
        }
    }

    /// Ends both directions at once, and forgets what the system still holds to send. Wakes the reader.
    pub(super) fn abort(&self) {
        match self {
            Self::Tcp(stream) => abort_tcp(stream),
            #[cfg(target_os = "linux")]
            Self::Sctp(records) => records.messages.abort(),
        }
    }
}

impl Read for &Carrier {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Carrier::Tcp(stream) => stream.try_read(buffer),
            #[cfg(target_os = "linux")]
            Carrier::Sctp(records) => records.try_read(buffer),
        }
    }
}

impl Write for &Carrier {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Carrier::Tcp(stream) => stream.try_write(bytes),
            #[cfg(target_os = "linux")]
            Carrier::Sctp(records) => records.try_write(&[IoSlice::new(bytes)]),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Carrier::Tcp(stream) => stream.try_write_vectored(slices),
            #[cfg(target_os = "linux")]
            Carrier::Sctp(records) => records.try_write(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
mod sctp {
    use std::io::{self, IoSlice};
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use std::task::{Context, Poll, ready};

    use bytes::{Buf, Bytes};
    use tracing::debug;

    use crate::sctp::SctpMessages;

    /// The messages of an association as a stream of bytes.
    pub(in crate::tls) struct Records {
        pub(super) messages: Box<SctpMessages>,
        incoming: Mutex<Incoming>,
    }

    /// What has been received and not been read.
    #[derive(Default)]
    struct Incoming {
        rest: Bytes,
        /// Whether nothing more comes.
        ended: bool,
    }

    impl Records {
        pub(super) fn new(messages: Box<SctpMessages>) -> Self {
            Self { messages, incoming: Mutex::default() }
        }

        pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            while self.incoming().is_empty() {
                match ready!(self.messages.poll_message(cx))? {
                    // Anything else would have no place in the order of the records.
                    Some(message) if message.info.stream == 0 && !message.info.unordered => {
                        self.incoming().rest = message.bytes;
                    }
                    Some(message) => debug!(info = ?message.info, "a message beside the TLS records"),
                    None => self.incoming().ended = true,
                }
            }
            Poll::Ready(Ok(()))
        }

        pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
            self.incoming().read(buffer)
        }

        /// Sends the records in `slices`, as many as there is room for.
        pub(super) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            self.messages.try_send(slices.iter().flat_map(|slice| RecordIter(slice)))
        }

        fn incoming(&self) -> MutexGuard<'_, Incoming> {
            // No code that holds the lock panics.
            self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl Incoming {
        /// Whether reading would have to wait.
        fn is_empty(&self) -> bool {
            self.rest.is_empty() && !self.ended
        }

        /// Reads on in the message that was received last; 0 bytes are the end.
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.is_empty() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let count = self.rest.len().min(buffer.len());
            self.rest.split_to(count).copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
            Ok(count)
        }
    }

    /// The records of a byte stream (RFC 8446 §5.1: content type and version in 3 bytes, the length in 2). Only whole ones are given
    /// out by the libraries.
    #[derive(Clone)]
    struct RecordIter<'a>(&'a [u8]);

    impl<'a> Iterator for RecordIter<'a> {
        type Item = &'a [u8];

        fn next(&mut self) -> Option<&'a [u8]> {
            let length = match self.0 {
                [] => return None,
                [_, _, _, high, low, ..] => 5 + usize::from(u16::from_be_bytes([*high, *low])),
                rest => rest.len(),
            };
            let (record, rest) = self.0.split_at_checked(length).unwrap_or((self.0, &[]));
            self.0 = rest;
            Some(record)
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn each_record_is_a_message() {
            let (first, second) = ([23, 3, 3, 0, 2, 7, 7], [21, 3, 3, 0, 1, 9]);
            let both = [&first[..], &second].concat();
            assert_eq!(RecordIter(&both).collect::<Vec<_>>(), [&first[..], &second]);
            let longest = [&[23, 3, 3, 0x48, 0][..], &[0; 0x4800], &first].concat();
            assert_eq!(RecordIter(&longest).map(<[u8]>::len).collect::<Vec<_>>(), [5 + 0x4800, first.len()]);
        }

        #[test]
        fn a_message_is_read_in_parts_and_its_end_is_not_that_of_the_stream() {
            let mut incoming = Incoming { rest: Bytes::from_static(b"record"), ended: false };
            let mut buffer = [0; 4];
            assert_eq!(incoming.read(&mut buffer).expect("there"), 4);
            assert_eq!(&buffer, b"reco");
            assert_eq!(incoming.read(&mut buffer).expect("the rest"), 2);
            assert_eq!(&buffer[..2], b"rd");
            let waiting = incoming.read(&mut buffer).expect_err("nothing there");
            assert_eq!(waiting.kind(), io::ErrorKind::WouldBlock);
            incoming.ended = true;
            assert_eq!(incoming.read(&mut buffer).expect("the end"), 0);
        }
    }
}
