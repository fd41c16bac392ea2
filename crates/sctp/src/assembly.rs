//! From what the kernel delivers piece by piece to whole messages and notifications.
//!
//! Pieces of messages of different associations may alternate (RFC 6458 §8.1.20, level 1), those of one association do
//! not. What is held is bounded by the limit for each association.
use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};

use crate::message::{AssocId, Message, Received, RecvInfo};
use crate::notification::{self, Notification, SendFailed};
use crate::sys::batch::Read;

/// Puts pieces together. `take` what was read, then `next` until there is nothing left.
pub(crate) struct Assembly {
    limit: usize,
    messages: BTreeMap<AssocId, Partial>,
    notification: Vec<u8>,
    /// A message that comes back in fragments, of which the last has not come.
    returned: Option<(SendFailed, BytesMut)>,
    ready: VecDeque<Received>,
}

/// A message of which not all has come.
struct Partial {
    info: RecvInfo,
    bytes: Vec<u8>,
    /// It is longer than the limit, and is being discarded; so much of it since that was told last.
    discarded: Option<usize>,
}

impl Assembly {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            messages: BTreeMap::new(),
            notification: Vec::new(),
            returned: None,
            ready: VecDeque::new(),
        }
    }

    /// What is complete.
    pub(crate) fn next(&mut self) -> Option<Received> {
        self.ready.pop_front()
    }

    /// Takes what was received in one slot.
    pub(crate) fn take(&mut self, read: &Read<'_>) {
        if read.notification {
            self.notification.extend_from_slice(read.bytes);
            if read.end_of_record {
                let bytes = std::mem::take(&mut self.notification);
                self.take_notification(&bytes);
            }
        } else if let (Some(raw), Some(from)) = (read.info, read.from) {
            let message = Message {
                assoc: AssocId(raw.rcv_assoc_id),
                from,
                info: RecvInfo::from_raw(&raw),
                bytes: Bytes::new(),
            };
            self.take_piece(message, read.bytes, read.end_of_record);
        }
    }

    /// Moves what is held for one association, complete or not, into an assembly of its own, for a socket of its own.
    pub(crate) fn split_off(&mut self, assoc: AssocId) -> Self {
        let mut other = Self::new(self.limit);
        other.messages.extend(self.messages.remove(&assoc).map(|partial| (assoc, partial)));
        let ready = std::mem::take(&mut self.ready).into_iter();
        (other.ready, self.ready) = ready.partition(|received| received.assoc() == Some(assoc));
        other
    }

    fn take_piece(&mut self, message: Message, piece: &[u8], last: bool) {
        let Message { assoc, from, info, .. } = message;
        // A new message where the rest of another was due: that one was given up by its sender.
        let continued = self
            .messages
            .remove(&assoc)
            .filter(|partial| (partial.info.stream, partial.info.ssn) == (info.stream, info.ssn));
        let mut partial = match continued {
            None if last && piece.len() <= self.limit => {
                let bytes = Bytes::copy_from_slice(piece);
                return self.ready.push_back(Received::Message(Message { bytes, ..message }));
            }
            continued => continued.unwrap_or(Partial { info, bytes: Vec::new(), discarded: None }),
        };
        let told = Received::Oversized { assoc, from, info, limit: self.limit };
        if let Some(discarded) = &mut partial.discarded {
            // Told again now and then, so that the reader gets to run however long it goes on.
            *discarded += piece.len();
            if *discarded >= self.limit {
                *discarded = 0;
                self.ready.push_back(told);
            }
        } else if partial.bytes.len() + piece.len() > self.limit {
            partial.bytes = Vec::new();
            partial.discarded = Some(0);
            self.ready.push_back(told);
        } else {
            partial.bytes.extend_from_slice(piece);
        }
        if !last {
            self.messages.insert(assoc, partial);
        } else if partial.discarded.is_none() {
            let bytes = partial.bytes.into();
            self.ready.push_back(Received::Message(Message { bytes, ..message }));
        }
    }

    fn take_notification(&mut self, bytes: &[u8]) {
        let parsed = notification::parse(bytes);
        match parsed.notification {
            Notification::SendFailed(fragment) => self.take_returned(fragment, parsed.begins, parsed.ends),
            other => {
                match &other {
                    Notification::AssocChange(change) => self.forget(change.assoc),
                    Notification::PartialDeliveryAborted { assoc, .. } => self.forget(*assoc),
                    _ => (),
                }
                self.ready.push_back(Received::Notification(other));
            }
        }
    }

    /// The kernel returns the fragments of a message one after the other.
    fn take_returned(&mut self, fragment: SendFailed, begins: bool, ends: bool) {
        let (whole, mut bytes) = match self.returned.take() {
            Some(returned) if !begins && returned.0.assoc == fragment.assoc => returned,
            unfinished => {
                self.deliver_returned(unfinished);
                (SendFailed { bytes: Bytes::new(), ..fragment.clone() }, BytesMut::new())
            }
        };
        bytes.extend_from_slice(&fragment.bytes);
        // If any part may have been sent, so may the message.
        let whole = SendFailed { sent: whole.sent || fragment.sent, ..whole };
        if ends {
            self.deliver_returned(Some((whole, bytes)));
        } else {
            self.returned = Some((whole, bytes));
        }
    }

    fn deliver_returned(&mut self, returned: Option<(SendFailed, BytesMut)>) {
        if let Some((failed, bytes)) = returned {
            let failed = SendFailed { bytes: bytes.freeze(), ..failed };
            self.ready.push_back(Received::Notification(Notification::SendFailed(failed)));
        }
    }

    /// Messages do not go on beyond the end of an association, nor across its restart.
    fn forget(&mut self, assoc: AssocId) {
        self.messages.remove(&assoc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::{ASSOC_CHANGE, SEND_FAILED_EVENT};
    use crate::sys::layout::{AssocChange, Rcvinfo, SendFailedEvent, Sndinfo, bytes_of};

    /// What a read of a piece of a message looks like.
    fn piece(assoc: i32, ssn: u16, end_of_record: bool, bytes: &[u8]) -> Read<'_> {
        Read {
            bytes,
            notification: false,
            end_of_record,
            from: Some("10.9.0.1:5".parse().unwrap()),
            info: Some(Rcvinfo { rcv_assoc_id: assoc, rcv_ssn: ssn, ..Rcvinfo::default() }),
        }
    }

    fn notice(bytes: &[u8]) -> Read<'_> {
        Read { bytes, notification: true, end_of_record: true, from: None, info: None }
    }

    /// What is complete, told shortly.
    fn drain(assembly: &mut Assembly) -> Vec<String> {
        std::iter::from_fn(|| assembly.next())
            .map(|received| match received {
                Received::Message(Message { assoc, bytes, .. }) => format!("{assoc}: {bytes:?}"),
                Received::Oversized { assoc, .. } => format!("{assoc}: oversized"),
                Received::Notification(Notification::SendFailed(SendFailed { bytes, sent, .. })) => {
                    format!("returned {bytes:?}, sent: {sent}")
                }
                Received::Notification(Notification::AssocChange(_)) => "change".to_owned(),
                Received::Notification(other) => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn pieces_become_messages_while_associations_alternate() {
        let mut assembly = Assembly::new(100);
        assembly.take(&piece(1, 0, false, b"one "));
        assembly.take(&piece(2, 0, false, b"two "));
        assembly.take(&piece(3, 0, true, b"whole"));
        assembly.take(&piece(1, 0, false, b"and "));
        assembly.take(&piece(2, 0, true, b"end"));
        assembly.take(&piece(1, 0, true, b"end"));
        assert_eq!(drain(&mut assembly), ["3: b\"whole\"", "2: b\"two end\"", "1: b\"one and end\""]);
        assert!(assembly.messages.is_empty());
    }

    #[test]
    fn a_message_of_the_limit_is_taken_and_one_byte_more_is_told_once_and_discarded() {
        let mut assembly = Assembly::new(4);
        assembly.take(&piece(1, 0, true, b"four"));
        assembly.take(&piece(1, 1, true, b"fives"));
        assembly.take(&piece(1, 2, false, b"fo"));
        assembly.take(&piece(1, 2, true, b"ur"));
        assembly.take(&piece(1, 3, false, b"four"));
        assembly.take(&piece(1, 3, false, b"+"));
        assembly.take(&piece(1, 3, true, b"+"));
        assembly.take(&piece(1, 4, true, b"next"));
        let expected = ["1: b\"four\"", "1: oversized", "1: b\"four\"", "1: oversized", "1: b\"next\""];
        assert_eq!(drain(&mut assembly), expected);
    }

    #[test]
    fn an_endless_message_is_told_again_and_again_and_not_kept() {
        let mut assembly = Assembly::new(10);
        for _ in 0..9 {
            assembly.take(&piece(1, 0, false, b"12345"));
        }
        // At 15 bytes, and with every 10 more.
        assert_eq!(drain(&mut assembly).len(), 1 + 3);
        assert!(assembly.messages[&AssocId(1)].bytes.is_empty());
    }

    #[test]
    fn the_end_of_an_association_and_a_new_message_discard_what_was_incomplete() {
        let mut assembly = Assembly::new(100);
        assembly.take(&piece(1, 0, false, b"lost"));
        let change =
            AssocChange { sac_type: ASSOC_CHANGE, sac_state: 1, sac_assoc_id: 1, ..Default::default() };
        assembly.take(&notice(bytes_of(&change)));
        assembly.take(&piece(1, 0, true, b"new"));
        assembly.take(&piece(2, 0, false, b"lost"));
        assembly.take(&piece(2, 1, true, b"new"));
        assert_eq!(drain(&mut assembly), ["change", "1: b\"new\"", "2: b\"new\""]);
    }

    #[test]
    fn a_message_that_is_returned_in_fragments_comes_back_whole() {
        let returned = |flags: u16, sent: u16, data: &[u8]| {
            let info = Sndinfo { snd_flags: flags, ..Sndinfo::default() };
            let raw = SendFailedEvent {
                ssf_type: SEND_FAILED_EVENT,
                ssf_flags: sent,
                ssfe_info: info,
                ssf_assoc_id: 1,
                ..Default::default()
            };
            [bytes_of(&raw), data].concat()
        };
        let (first, middle, last) = (2, 0, 1);
        let mut assembly = Assembly::new(100);
        assembly.take(&notice(&returned(first, 1, b"a ")));
        assembly.take(&notice(&returned(middle, 0, b"whole ")));
        assembly.take(&notice(&returned(last, 0, b"message")));
        assembly.take(&notice(&returned(first, 0, b"cut off")));
        assembly.take(&notice(&returned(first | last, 0, b"short")));
        let expected = [
            "returned b\"a whole message\", sent: true",
            "returned b\"cut off\", sent: false",
            "returned b\"short\", sent: false",
        ];
        assert_eq!(drain(&mut assembly), expected);
    }

    #[test]
    fn a_peeled_off_association_takes_its_incomplete_message_along() {
        let mut assembly = Assembly::new(100);
        assembly.take(&piece(1, 0, false, b"be"));
        assembly.take(&piece(2, 0, false, b"stay"));
        let mut peeled = assembly.split_off(AssocId(1));
        peeled.take(&piece(1, 0, true, b"gun"));
        assert_eq!(drain(&mut peeled), ["1: b\"begun\""]);
        assert_eq!(assembly.messages.len(), 1);
    }

    #[test]
    fn a_peeled_off_association_takes_along_what_was_received_with_its_coming_up() {
        let up = |sac_assoc_id| AssocChange { sac_type: ASSOC_CHANGE, sac_assoc_id, ..Default::default() };
        let mut assembly = Assembly::new(100);
        assembly.take(&notice(bytes_of(&up(1))));
        assembly.take(&notice(bytes_of(&up(2))));
        assembly.take(&piece(1, 0, true, b"one"));
        assembly.take(&piece(2, 0, true, b"two"));
        assembly.take(&piece(1, 1, true, b"and one"));
        assert!(matches!(assembly.next(), Some(Received::Notification(Notification::AssocChange(_)))));
        let mut peeled = assembly.split_off(AssocId(1));
        assert_eq!(drain(&mut peeled), ["1: b\"one\"", "1: b\"and one\""]);
        assert_eq!(drain(&mut assembly), ["change", "2: b\"two\""]);
    }
}
