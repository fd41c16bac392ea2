//! Socket addresses as the kernel lays them out: `sockaddr_in` and `sockaddr_in6`, single or packed one after the other
//! (RFC 6458 §9). IPv4 addresses that an IPv6 socket reports in mapped form come out as IPv4.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::error::Error;
use crate::sys::layout::SockaddrStorage;

const INET_LENGTH: usize = 16;
const INET6_LENGTH: usize = 28;
const _: () = assert!(size_of::<libc::sockaddr_in>() == INET_LENGTH);
const _: () = assert!(size_of::<libc::sockaddr_in6>() == INET6_LENGTH);

/// The addresses one after the other, without padding: what `bindx` and `connectx` take.
pub(crate) fn pack(addresses: &[SocketAddr]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(addresses.len() * INET6_LENGTH);
    for address in addresses {
        append(&mut packed, *address);
    }
    packed
}

/// The addresses in a packed list, as far as they can be read.
pub(crate) fn unpack(packed: &[u8], count: usize) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    let mut rest = packed;
    while addresses.len() < count
        && let Some((address, length)) = decode_first(rest)
        && let Some(after) = rest.get(length..)
    {
        addresses.push(address);
        rest = after;
    }
    addresses
}

/// An address in the room of a `sockaddr_storage`; `None` is the "any address" of options, all zeros.
pub(crate) fn encode(address: Option<SocketAddr>) -> SockaddrStorage {
    let mut storage = SockaddrStorage::default();
    if let Some(address) = address {
        for (to, from) in storage.0.iter_mut().zip(pack(&[address])) {
            *to = from;
        }
    }
    storage
}

/// The address at the beginning of `bytes`, or `None` if there is none of IPv4 or IPv6.
pub(crate) fn decode(bytes: &[u8]) -> Option<SocketAddr> {
    decode_first(bytes).map(|(address, _)| address)
}

/// An IPv4 address in mapped form as IPv4.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

/// Checks that a list can be bound: it has a first address, and all ports are the same or 0, which stands for "the same".
/// Returns the list with that port everywhere.
pub(crate) fn with_one_port(addresses: &[SocketAddr]) -> Result<Vec<SocketAddr>, Error> {
    let mut ports = addresses.iter().map(SocketAddr::port).filter(|port| *port != 0);
    let port = ports.next().unwrap_or(0);
    if let Some(other) = ports.find(|other| *other != port) {
        return Err(Error::PortsDiffer { first: port, other });
    }
    if addresses.is_empty() {
        return Err(Error::NoAddress);
    }
    Ok(addresses.iter().map(|address| SocketAddr::new(address.ip(), port)).collect())
}

fn append(packed: &mut Vec<u8>, address: SocketAddr) {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // The two families are 2 and 10.
    packed.extend_from_slice(&(family as u16).to_ne_bytes());
    packed.extend_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(address) => {
            packed.extend_from_slice(&address.ip().octets());
            packed.extend_from_slice(&[0; 8]);
        }
        SocketAddr::V6(address) => {
            packed.extend_from_slice(&address.flowinfo().to_ne_bytes());
            packed.extend_from_slice(&address.ip().octets());
            packed.extend_from_slice(&address.scope_id().to_ne_bytes());
        }
    }
}

fn decode_first(bytes: &[u8]) -> Option<(SocketAddr, usize)> {
    let (family, rest) = bytes.split_first_chunk::<2>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let port = u16::from_be_bytes(*port);
    match libc::c_int::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET => {
            let (ip, rest) = rest.split_first_chunk::<4>()?;
            (rest.len() >= 8).then_some(())?;
            Some((SocketAddr::new(IpAddr::V4(Ipv4Addr::from(*ip)), port), INET_LENGTH))
        }
        libc::AF_INET6 => {
            let (flow, rest) = rest.split_first_chunk::<4>()?;
            let (ip, rest) = rest.split_first_chunk::<16>()?;
            let (scope, _) = rest.split_first_chunk::<4>()?;
            let (flow, scope) = (u32::from_ne_bytes(*flow), u32::from_ne_bytes(*scope));
            let address = SocketAddrV6::new(Ipv6Addr::from(*ip), port, flow, scope);
            Some((canonical(address.into()), INET6_LENGTH))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn packed_lists_of_both_families_survive_the_way_there_and_back() {
        let list = addresses(&["10.9.0.1:3863", "[2001:db8::1]:3863", "[fe80::1%3]:7"]);
        let packed = pack(&list);
        assert_eq!(packed.len(), 16 + 28 + 28);
        assert_eq!(unpack(&packed, 3), list);
        assert_eq!(unpack(&packed, 2), list[..2]);
        assert_eq!(unpack(&packed[..50], 3), list[..2], "a cut-off address is left out");
    }

    #[test]
    fn an_address_is_what_the_c_library_makes_of_it() {
        for address in addresses(&["10.9.0.1:3863", "[2001:db8::1]:3863"]) {
            let c = socket2::SockAddr::from(address);
            let storage = encode(Some(address));
            assert_eq!(decode(&storage.0), Some(address));
            assert_eq!(c.len() as usize, pack(&[address]).len());
            assert_eq!(c.family(), u16::from_ne_bytes([storage.0[0], storage.0[1]]));
        }
    }

    #[test]
    fn mapped_addresses_come_out_as_ipv4_and_other_families_as_none() {
        let mapped = pack(&addresses(&["[::ffff:10.9.0.1]:5"]));
        assert_eq!(decode(&mapped), Some("10.9.0.1:5".parse().unwrap()));
        assert_eq!(decode(&encode(None).0), None);
        assert_eq!(decode(&[]), None);
    }

    #[test]
    fn a_list_to_bind_has_one_port() {
        let one = with_one_port(&addresses(&["10.9.0.1:0", "10.9.0.2:7", "10.9.0.3:7"])).unwrap();
        assert_eq!(one, addresses(&["10.9.0.1:7", "10.9.0.2:7", "10.9.0.3:7"]));
        assert!(matches!(with_one_port(&[]), Err(Error::NoAddress)));
        assert!(matches!(
            with_one_port(&addresses(&["10.9.0.1:7", "10.9.0.2:8"])),
            Err(Error::PortsDiffer { first: 7, other: 8 })
        ));
    }
}
