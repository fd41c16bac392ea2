//! Bytes that no well-meaning encoder writes.
use bytes::BytesMut;
use rserpool_wire::{Dialect, PoolElement, PoolHandle, ServerId};

/// Message types of ASAP (RFC 5352, figure 1) that cases write themselves.
pub(crate) const REGISTRATION: u8 = 0x01;
pub(crate) const DEREGISTRATION: u8 = 0x02;
pub(crate) const HANDLE_RESOLUTION: u8 = 0x05;
pub(crate) const ASAP_ERROR: u8 = 0x0e;

/// Message types of ENRP (RFC 5353, figure 1).
pub(crate) const PRESENCE: u8 = 0x01;
pub(crate) const HANDLE_UPDATE: u8 = 0x04;
pub(crate) const ENRP_ERROR: u8 = 0x0a;

/// Parameter types (RFC 5354, table 1).
pub(crate) const IPV4_ADDRESS: u16 = 0x1;
pub(crate) const SCTP_TRANSPORT: u16 = 0x4;
pub(crate) const TCP_TRANSPORT: u16 = 0x5;
pub(crate) const POLICY: u16 = 0x8;
pub(crate) const POOL_HANDLE: u16 = 0x9;
pub(crate) const POOL_ELEMENT: u16 = 0xa;
pub(crate) const OPERATION_ERROR: u16 = 0xc;
pub(crate) const PE_IDENTIFIER: u16 = 0xe;

/// Parameter types that nobody has, by action (RFC 5354 §4).
pub(crate) const STOP: u16 = 0x3f3f;
pub(crate) const STOP_AND_REPORT: u16 = 0x7f3f;
pub(crate) const SKIP: u16 = 0xbf3f;
pub(crate) const SKIP_AND_REPORT: u16 = 0xff3f;

/// A message of this type with this value, padded.
pub(crate) fn message(message_type: u8, value: &[u8]) -> Vec<u8> {
    let length = length(4 + value.len());
    pad([&[message_type, 0], &length[..], value].concat())
}

/// An ENRP message: the identifiers of sender and receiver stand before the parameters.
pub(crate) fn enrp(message_type: u8, sender: ServerId, value: &[u8]) -> Vec<u8> {
    message(message_type, &[&sender.0.to_be_bytes(), &[0; 4][..], value].concat())
}

/// A parameter of this type with this value, padded.
pub(crate) fn parameter(parameter_type: u16, value: &[u8]) -> Vec<u8> {
    parameter_claiming(parameter_type, 4 + value.len(), value)
}

/// The same with any length field.
pub(crate) fn parameter_claiming(parameter_type: u16, claimed: usize, value: &[u8]) -> Vec<u8> {
    pad([&parameter_type.to_be_bytes(), &length(claimed)[..], value].concat())
}

/// The Pool Handle parameter.
pub(crate) fn handle(pool_handle: &PoolHandle<'_>) -> Vec<u8> {
    parameter(POOL_HANDLE, pool_handle.as_bytes())
}

/// The Pool Element parameter as it should be.
pub(crate) fn element(element: &PoolElement, dialect: Dialect) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    // An element that does not encode shows as a registration without one.
    let _ = element.encode(dialect, &mut buffer);
    buffer.to_vec()
}

/// A Pool Element parameter with these parameters inside, identifier and life as `like` has them.
pub(crate) fn element_of(like: &PoolElement, parameters: &[Vec<u8>]) -> Vec<u8> {
    let fixed = [like.identifier.0, 0, 600].map(u32::to_be_bytes).concat();
    parameter(POOL_ELEMENT, &[fixed, parameters.concat()].concat())
}

/// A TCP Transport parameter with these addresses inside.
pub(crate) fn tcp_transport(addresses: &[Vec<u8>]) -> Vec<u8> {
    parameter(TCP_TRANSPORT, &[vec![0, 7, 0, 0], addresses.concat()].concat())
}

/// An IPv4 Address parameter.
pub(crate) fn ipv4() -> Vec<u8> {
    parameter(IPV4_ADDRESS, &[192, 0, 2, 1])
}

/// The Round Robin policy.
pub(crate) fn round_robin() -> Vec<u8> {
    parameter(POLICY, &1_u32.to_be_bytes())
}

/// A registration: a handle, then what should be a Pool Element parameter.
pub(crate) fn registration(pool_handle: &PoolHandle<'_>, element: &[u8]) -> Vec<u8> {
    message(REGISTRATION, &[&handle(pool_handle), element].concat())
}

/// A message or parameter with more inside, at its end. Its own end must not be padded.
pub(crate) fn extended(mut outer: Vec<u8>, inner: &[u8]) -> Vec<u8> {
    outer.extend_from_slice(inner);
    let total = outer.len();
    with_length(outer, total)
}

/// A message or parameter with another length field.
pub(crate) fn with_length(mut outer: Vec<u8>, claimed: usize) -> Vec<u8> {
    if let Some(field) = outer.get_mut(2..4) {
        field.copy_from_slice(&length(claimed));
    }
    outer
}

fn length(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

fn pad(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
