//! The PE checksum, worked out from its definition (RFC 5353 §3.6.2) and that of the Internet checksum (RFC 1071), over all
//! bytes at once.
use rserpool_wire::{PeIdentifier, PoolHandle};

/// The checksum over these elements, in any order.
pub(crate) fn checksum<'a>(
    elements: impl IntoIterator<Item = (&'a PoolHandle<'static>, PeIdentifier)>,
) -> u16 {
    let mut block = Vec::new();
    for (pool_handle, identifier) in elements {
        block.extend_from_slice(pool_handle.as_bytes());
        block.resize(block.len().next_multiple_of(4), 0);
        block.extend_from_slice(&identifier.0.to_be_bytes());
    }
    let mut sum = 0_u32;
    for word in block.as_chunks::<2>().0 {
        sum += u32::from(u16::from_be_bytes(*word));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rserpool_handlespace::Handlespace;
    use rserpool_wire::{Dialect, Policy, PoolElement, RegistrationLife, ServerId};

    #[test]
    fn the_checksum_is_that_of_the_incremental_one() {
        let mut handlespace = Handlespace::new(Dialect::Rfc, 0);
        let mut elements = Vec::new();
        assert_eq!(checksum([]), 0xffff);
        for i in 1..50_u32 {
            let pool_handle: PoolHandle<'static> =
                "odd-length".repeat(i as usize)[i as usize..].to_owned().into();
            let element = PoolElement {
                identifier: PeIdentifier(i.wrapping_mul(0x9e37_79b9)),
                home: ServerId(1),
                life: RegistrationLife::Infinite,
                user_transport: std::net::SocketAddr::from(([192, 0, 2, 1], 7)).into(),
                policy: Policy::RoundRobin,
                asap_transport: None,
            };
            handlespace.register(&pool_handle, &element).expect("granted");
            elements.push((pool_handle, element.identifier));
            let ours = checksum(elements.iter().map(|(pool_handle, identifier)| (pool_handle, *identifier)));
            assert_eq!(ours, handlespace.checksum(ServerId(1)));
        }
    }
}
