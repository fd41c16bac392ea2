//! Looks into the first message of a TLS client for the pre-shared keys that it offers (RFC 8446 §4.1.2, §4.2.11), which
//! decide who answers it. Nothing is believed here: whatever is malformed is left to the TLS library to refuse.

use super::alert;

/// The longest first message that is read; real ones have a few hundred bytes, with post-quantum keys a few thousand.
pub(super) const LONGEST: usize = 16 << 10;

/// The content type of records with handshake messages (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

const CLIENT_HELLO: u8 = 1;
const PRE_SHARED_KEY: u16 = 41;

/// What has arrived from a client so far.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Hello {
    /// Too little to say.
    Partial,
    /// Something that is not TLS.
    NotTls,
    /// A whole message, with the identities of the keys that it offers. Session tickets look the same.
    Whole { identities: Vec<Vec<u8>> },
}

/// Whether a stream that begins with these bytes is TLS, as far as the first byte tells.
pub(super) fn is_tls(stream: &[u8]) -> bool {
    matches!(stream.first(), None | Some(&alert::CONTENT | &HANDSHAKE))
}

/// Reads what a client has sent.
pub(crate) fn read(stream: &[u8]) -> Hello {
    if stream.first().is_some_and(|first| *first != HANDSHAKE)
        || stream.get(1).is_some_and(|major| *major != 3)
    {
        return Hello::NotTls;
    }
    match handshake_message(stream) {
        Some(Ok(body)) => Hello::Whole { identities: identities(&body).unwrap_or_default() },
        Some(Err(Malformed)) => Hello::Whole { identities: Vec::new() },
        None => Hello::Partial,
    }
}

struct Malformed;

/// The body of the first handshake message, which may be spread over several records; `None` while it is not whole.
fn handshake_message(stream: &[u8]) -> Option<Result<Vec<u8>, Malformed>> {
    let mut rest = Fields(stream);
    let mut message = Vec::new();
    loop {
        if let Some((&[kind, high, middle, low], body)) = message.split_first_chunk::<4>() {
            let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            if kind != CLIENT_HELLO || length > LONGEST {
                return Some(Err(Malformed));
            }
            if let Some(body) = body.get(..length) {
                return Some(Ok(body.to_vec()));
            }
        }
        let [content, _, _] = *rest.chunk::<3>()?;
        if content != HANDSHAKE {
            return Some(Err(Malformed));
        }
        message.extend_from_slice(rest.vector16()?);
    }
}

/// The identities in the `pre_shared_key` extension of a ClientHello; `None` if it has none, or is malformed.
fn identities(body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut body = Fields(body);
    body.take(2 + 32)?; // version and random
    body.vector8()?; // session
    body.vector16()?; // cipher suites
    body.vector8()?; // compression methods
    let mut extensions = Fields(body.vector16()?);
    loop {
        let kind = u16::from_be_bytes(*extensions.chunk()?);
        let content = extensions.vector16()?;
        if kind != PRE_SHARED_KEY {
            continue;
        }
        let mut offered = Fields(Fields(content).vector16()?);
        let mut identities = Vec::new();
        while !offered.0.is_empty() {
            identities.push(offered.vector16()?.to_vec());
            offered.take(4)?; // age of a ticket, of no meaning for other keys
        }
        return Some(identities);
    }
}

/// What is left of a structure in TLS's notation.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(taken)
    }

    /// Bytes led by their number in 8 bits.
    fn vector8(&mut self) -> Option<&'a [u8]> {
        let [length] = *self.chunk()?;
        self.take(usize::from(length))
    }

    /// Bytes led by their number in 16 bits.
    fn vector16(&mut self) -> Option<&'a [u8]> {
        let length = u16::from_be_bytes(*self.chunk()?);
        self.take(usize::from(length))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vector16(content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).expect("short").to_be_bytes();
        [&length, content].concat()
    }

    /// A ClientHello that offers these identities, in records of `size` bytes at most.
    fn hello(identities: &[&[u8]], size: usize) -> Vec<u8> {
        let offered: Vec<u8> =
            identities.iter().flat_map(|identity| [vector16(identity), vec![0; 4]].concat()).collect();
        let binders = vector16(&[32; 33]);
        let psk = [vec![0, 41], vector16(&[vector16(&offered), binders].concat())].concat();
        let extensions = [vec![0, 43], vector16(&[2, 3, 4]), psk].concat();
        let body = [vec![3; 34], vec![0], vector16(&[0x13, 1]), vec![1, 0], vector16(&extensions)].concat();
        let [_, length @ ..] = u32::try_from(body.len()).expect("short").to_be_bytes();
        let message = [vec![1], length.to_vec(), body].concat();
        message.chunks(size).flat_map(|part| [vec![22, 3, 1], vector16(part)].concat()).collect()
    }

    #[test]
    fn offered_identities_are_found_however_the_message_is_cut_into_records() {
        let expected = Hello::Whole { identities: vec![b"pe-a".to_vec(), b"pe-b".to_vec()] };
        for size in [1, 3, 7, 50, 1000] {
            assert_eq!(read(&hello(&[b"pe-a", b"pe-b"], size)), expected);
        }
    }

    #[test]
    fn a_message_is_whole_with_its_last_byte_only() {
        let whole = hello(&[b"pe-a"], 40);
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), Hello::Partial, "{length} bytes");
        }
    }

    #[test]
    fn other_protocols_are_told_by_their_first_bytes() {
        for other in [&b"GET / HTTP/1.1"[..], &[5, 0, 0, 12], &[22, 1]] {
            assert_eq!(read(other), Hello::NotTls);
        }
    }

    proptest! {
        #[test]
        fn damage_offers_nothing_or_something_but_never_panics(
            at in 0usize..200, with: u8, length in 0usize..200,
        ) {
            let mut bytes = hello(&[b"pe-a", b"pe-b"], 64);
            let count = bytes.len();
            bytes[at % count] = with;
            bytes.truncate(length);
            let _ = read(&bytes);
        }
    }
}
