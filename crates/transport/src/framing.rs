//! Message boundaries in a byte stream: each message's length field, padded to 4 (RFC 5354 §4). Pure: bytes in, messages
//! out. Memory grows with what has arrived, never with what a length field claims.
use bytes::{Buf, BytesMut};
use rserpool_wire::{HEADER_LENGTH, frame_length};

use crate::error::TransportError;

/// Room for one read when little arrives, and when much does.
const READ: std::ops::RangeInclusive<usize> = 4 << 10..=64 << 10;
/// After this many reads in a row that a smaller buffer would have held, the buffer becomes smaller.
const SMALL_READS: u8 = 32;

/// Cuts a stream into messages.
pub(crate) struct Framer {
    buffer: BytesMut,
    /// How much of the front of `buffer` has been handed out.
    taken: usize,
    /// Whether no message has been handed out yet.
    at_start: bool,
    max_message: usize,
    /// Room to have for the next read.
    room: usize,
    /// How many reads in a row were small.
    small_reads: u8,
}

impl Framer {
    pub(crate) fn new(max_message: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            taken: 0,
            at_start: true,
            max_message,
            room: *READ.start(),
            small_reads: 0,
        }
    }

    /// A buffer with room at its end for more of the stream. What was handed out is gone.
    pub(crate) fn room(&mut self) -> &mut BytesMut {
        self.buffer.advance(self.taken);
        self.taken = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > 2 * self.room {
            self.buffer = BytesMut::new();
        }
        if self.buffer.capacity() - self.buffer.len() < self.room / 2 {
            self.buffer.reserve(self.room);
        }
        &mut self.buffer
    }

    /// Takes note that one read brought `count` bytes: the room for the next follows the traffic.
    pub(crate) fn filled(&mut self, count: usize) {
        if count >= self.room {
            self.room = (self.room * 2).min(*READ.end());
            self.small_reads = 0;
        } else if count >= self.room / 4 {
            self.small_reads = 0;
        } else {
            self.small_reads += 1;
            if self.small_reads == SMALL_READS {
                self.room = (self.room / 2).max(*READ.start());
                self.small_reads = 0;
            }
        }
    }

    /// The next whole message, if it has arrived.
    pub(crate) fn next_message(&mut self) -> Result<Option<&[u8]>, TransportError> {
        let rest = self.buffer.get(self.taken..).unwrap_or_default();
        let Some(header) = rest.first_chunk::<HEADER_LENGTH>() else { return Ok(None) };
        if self.at_start && is_tls(*header) {
            return Err(TransportError::SpeaksTls);
        }
        let length = frame_length(*header).filter(|length| *length <= self.max_message).ok_or_else(|| {
            let [_, _, high, low] = *header;
            let length = usize::from(u16::from_be_bytes([high, low])).next_multiple_of(4);
            TransportError::MessageLength { length, limit: self.max_message }
        })?;
        let message = rest.get(..length);
        if message.is_some() {
            self.taken += length;
            self.at_start = false;
        }
        Ok(message)
    }

    /// Throws away everything that has arrived.
    pub(crate) fn discard(&mut self) {
        self.taken = self.buffer.len();
    }

    /// How many bytes of an unfinished message have arrived.
    pub(crate) fn pending(&self) -> usize {
        self.buffer.len() - self.taken
    }
}

/// Whether a stream that begins with these bytes is TLS: a record with a handshake message or an alert (RFC 8446 §5.1). As
/// messages of ASAP or ENRP they would be of unknown types.
pub(crate) fn is_tls([content, major, minor, _]: [u8; HEADER_LENGTH]) -> bool {
    matches!(content, 21 | 22) && major == 3 && minor <= 4
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message of type 5 with this length field, padded.
    fn message(length: u16) -> Vec<u8> {
        let mut bytes = vec![5, 0];
        bytes.extend(length.to_be_bytes());
        bytes.extend((4..length).map(|i| i as u8));
        bytes.resize(usize::from(length).next_multiple_of(4), 0);
        bytes
    }

    /// Hands `bytes` to `framer` as one read, and returns the messages that it completes.
    fn read(framer: &mut Framer, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TransportError> {
        framer.room().extend_from_slice(bytes);
        framer.filled(bytes.len());
        let mut messages = Vec::new();
        while let Some(message) = framer.next_message()? {
            messages.push(message.to_vec());
        }
        Ok(messages)
    }

    proptest! {
        #[test]
        fn messages_come_out_whole_however_the_stream_is_split(
            lengths in prop::collection::vec(prop_oneof![4u16..64, 4u16..=65_535], 1..12),
            cuts in prop::collection::vec(1usize..9_000, 1..40),
        ) {
            let messages: Vec<_> = lengths.into_iter().map(message).collect();
            let stream = messages.concat();
            let mut framer = Framer::new(65_536);
            let (mut rest, mut got, mut cuts) = (stream.as_slice(), Vec::new(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(*cuts.next().expect("endless")));
                got.extend(read(&mut framer, now).expect("a good stream"));
                rest = later;
            }
            prop_assert_eq!(got, messages);
            prop_assert_eq!(framer.pending(), 0);
        }
    }

    #[test]
    fn a_length_below_four_or_over_the_limit_ends_the_stream() {
        for (header, length) in [([5, 0, 0, 3], 4), ([5, 0, 0, 0], 0), ([5, 0, 4, 1], 1028)] {
            let mut framer = Framer::new(1024);
            let error = read(&mut framer, &header).expect_err("out of step");
            assert!(matches!(error, TransportError::MessageLength { length: l, limit: 1024 } if l == length));
        }
        assert_eq!(read(&mut Framer::new(1024), &message(1024)).expect("just fits").len(), 1);
    }

    #[test]
    fn tls_on_a_plain_link_is_recognised_by_its_first_record() {
        for record in [[22, 3, 1, 2], [21, 3, 3, 0]] {
            let error = read(&mut Framer::new(1024), &record).expect_err("not for us");
            assert!(matches!(error, TransportError::SpeaksTls), "{error}");
        }
        let mut framer = Framer::new(1024);
        read(&mut framer, &message(8)).expect("a good stream");
        assert_eq!(read(&mut framer, &[22, 3, 1, 2]).expect("a message of an unknown type").len(), 0);
    }

    #[test]
    fn a_claimed_length_costs_no_memory() {
        let mut framer = Framer::new(65_536);
        read(&mut framer, &[5, 0, 0xff, 0xff]).expect("a start");
        assert!(framer.room().capacity() <= 3 * READ.start());
        assert_eq!(framer.pending(), 4);
    }

    #[test]
    fn memory_is_given_back_after_a_burst() {
        let mut framer = Framer::new(65_536);
        for _ in 0..20 {
            read(&mut framer, &message(65_532)).expect("a good stream");
        }
        assert!(framer.room().capacity() >= *READ.end());
        for _ in 0..1000 {
            read(&mut framer, &message(16)).expect("a good stream");
        }
        assert!(framer.room().capacity() <= 3 * READ.start());
    }
}
