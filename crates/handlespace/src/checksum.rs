//! The PE checksum (RFC 5353 §3.6.2): the Internet checksum (RFC 1071) over the byte blocks of a registrar's elements.
//!
//! The sum of the 16-bit words is kept as the plain integer that it is, so that taking a block out again is exact, and
//! is folded and complemented only where a checksum is asked for.
use rserpool_wire::PeIdentifier;

/// The sum over a pool handle, padded with zeros to a multiple of 32 bits.
pub(crate) fn handle_sum(pool_handle: &[u8]) -> u64 {
    // The padding adds nothing: what is left after whole words is one byte at most, the upper half of a word.
    let (words, rest) = pool_handle.as_chunks::<2>();
    let last = rest.first().map_or(0, |byte| u64::from(*byte) << 8);
    words.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum::<u64>() + last
}

/// The sum over an element's block, the handle of its pool having the sum `handle_sum`.
pub(crate) const fn element_sum(handle_sum: u64, identifier: PeIdentifier) -> u64 {
    handle_sum + (identifier.0 >> 16) as u64 + (identifier.0 & 0xffff) as u64
}

/// The checksum for the sum of all blocks: folded to 16 bits, the carries added in, and complemented.
pub(crate) const fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

/// The checksum of an implementation that sums in 32 bits without folding on the way, and so loses the carries out of
/// bit 31.
pub(crate) const fn fold_wrapped(sum: u64) -> u16 {
    fold(sum & 0xffff_ffff)
}
