//! Messages that are handed to the kernel together, so that small ones share packets (RFC 9260 §6.10).
//!
//! Until the last of them is there, the kernel keeps the others, and with them all else that has not been sent yet. If the last
//! found no room in a send buffer that is full of these, nothing would ever be sent: so there must be room for all from the start.
use std::iter::Peekable;

use crate::sys::batch::BATCH;

/// One message, or several that may wait for each other.
pub(crate) struct Bundle<'m> {
    messages: [&'m [u8]; BATCH],
    count: usize,
}

impl<'m> Bundle<'m> {
    /// The next of `messages`, as many as one system call takes and as there is `room` for in the send buffer, in bytes. At least
    /// one, if there is one.
    pub(crate) fn next(messages: &mut Peekable<impl Iterator<Item = &'m [u8]>>, room: usize) -> Self {
        let mut bundle = Self { messages: [&[]; BATCH], count: 0 };
        let mut taken = 0;
        for slot in &mut bundle.messages {
            // The kernel refuses empty ones, with no effect on those before them.
            let fits = |message: &&[u8]| {
                bundle.count == 0 || !message.is_empty() && taken + footprint(message) <= room
            };
            let Some(message) = messages.next_if(fits) else { break };
            *slot = message;
            bundle.count += 1;
            taken += footprint(message);
        }
        bundle
    }

    /// How much of the send buffer they take at most.
    pub(crate) fn footprint(&self) -> usize {
        self.messages().iter().copied().map(footprint).sum()
    }

    pub(crate) fn messages(&self) -> &[&'m [u8]] {
        self.messages.get(..self.count).unwrap_or_default()
    }
}

/// How much of the send buffer a message takes at most: its bytes in packets of 512, which is the least that a path may take, each
/// with what the kernel keeps about it, and all rounded up to powers of two.
pub(crate) fn footprint(message: &[u8]) -> usize {
    4 * message.len() + (2 << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lengths of the messages in each bundle.
    fn bundles(lengths: &[usize], room: usize) -> Vec<Vec<usize>> {
        let all = [0; 10_000];
        let mut messages = lengths.iter().map(|length| &all[..*length]).peekable();
        let mut bundles = Vec::new();
        while messages.peek().is_some() {
            let bundle = Bundle::next(&mut messages, room);
            bundles.push(bundle.messages().iter().map(|message| message.len()).collect());
        }
        bundles
    }

    #[test]
    fn small_messages_are_bundled_as_far_as_one_system_call_takes_them() {
        assert_eq!(bundles(&[100; BATCH + 2], 1 << 20), [vec![100; BATCH], vec![100; 2]]);
    }

    #[test]
    fn those_that_wait_for_each_other_have_room_in_the_send_buffer() {
        let lengths = [1_000, 1_000, 1_000, 10_000, 10_000, 10];
        assert_eq!(
            bundles(&lengths, 13_000),
            [vec![1_000, 1_000], vec![1_000], vec![10_000], vec![10_000], vec![10]]
        );
        assert_eq!(bundles(&[1, 2], 0), [[1], [2]]);
    }

    #[test]
    fn nothing_waits_for_an_empty_message() {
        assert_eq!(bundles(&[1, 2, 0, 3], 1 << 20), [vec![1, 2], vec![0, 3]]);
    }
}
