//! Every parameter that is not a message's business alone: transports, policies and error causes, byte for byte as
//! RFC 5354 §3 and RFC 5356 draw them, decoded and encoded. Worked out by hand.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed step of the scaffolding fails the test"
)]
mod support;

use std::net::SocketAddr;

use rserpool_wire::asap::{BusinessCard, ErrorReport, HandleResolutionResponse};
use rserpool_wire::{
    CauseCode, ErrorCause, Load, PeIdentifier, Policy, PolicyType, PoolElement, RegistrationLife, ServerId,
    Transport, TransportKind, TransportUse,
};
use support::{check_asap, hex};

/// Checks a transport parameter where it stands: as the user transport of an element.
#[track_caller]
fn check_transport(parameter: &str, transport: Transport) {
    let parameter = hex(parameter);
    let mut bytes = vec![0x0d, 0, 0, 0];
    bytes.extend(hex("0009 0004 000a 0000 00000001 00000000 ffffffff"));
    bytes.extend(&parameter);
    bytes.extend(hex("0008 0008 00000001"));
    // Lengths of message and element: nothing here ends with padding.
    let (message, element) = (bytes.len() as u16, bytes.len() as u16 - 8);
    bytes[2..4].copy_from_slice(&message.to_be_bytes());
    bytes[10..12].copy_from_slice(&element.to_be_bytes());
    let element = PoolElement {
        identifier: PeIdentifier(1),
        home: ServerId::NONE,
        life: RegistrationLife::Infinite,
        user_transport: transport,
        policy: Policy::RoundRobin,
        asap_transport: None,
    };
    check_asap(&bytes, BusinessCard { pool_handle: "".into(), elements: vec![element] });
}

/// Checks a policy parameter where it stands: as the overall policy of a resolution response.
#[track_caller]
fn check_policy(parameter: &str, policy: Policy) {
    let parameter = hex(parameter);
    let unpadded = u16::from_be_bytes([parameter[2], parameter[3]]);
    let mut bytes = vec![0x06, 0];
    bytes.extend((8 + unpadded).to_be_bytes());
    bytes.extend(hex("0009 0004"));
    bytes.extend(&parameter);
    let response = HandleResolutionResponse {
        accept_updates: false,
        pool_handle: "".into(),
        policy: Some(policy),
        elements: vec![],
        error: None,
    };
    check_asap(&bytes, response);
}

/// Checks an error cause without final padding.
#[track_caller]
fn check_cause(cause: &str, expected: ErrorCause<'_>) {
    let cause = hex(cause);
    let mut bytes = vec![0x0e, 0];
    bytes.extend((8 + cause.len() as u16).to_be_bytes());
    bytes.extend(hex("000c"));
    bytes.extend((4 + cause.len() as u16).to_be_bytes());
    bytes.extend(&cause);
    check_asap(&bytes, ErrorReport { error: expected.into() });
}

fn v4() -> SocketAddr {
    ([192, 0, 2, 1], 80).into()
}

fn v6() -> SocketAddr {
    "[2001:db8::1]:80".parse().expect("an address")
}

/// RFC 5354 §3.3; always data only (5354-3.3-02).
#[test]
fn dccp_transport() {
    let transport = Transport::Dccp { address: v4(), service_code: 0x4563_686f };
    assert_eq!(transport.transport_use(), TransportUse::DataOnly);
    check_transport("0003 0014 0050 0000 4563686f 0001 0008 c0000201", transport);
}

/// RFC 5354 §3.4; mixed addresses (5354-3.4-02), both uses (5354-3.4-01).
#[test]
fn sctp_transport() {
    let transport = Transport::Sctp {
        port: 80,
        transport_use: TransportUse::DataAndControl,
        addresses: vec![v4().ip(), v6().ip()],
    };
    let bytes = "0004 0024 0050 0001
        0001 0008 c0000201
        0002 0014 20010db8 00000000 00000000 00000001";
    check_transport(bytes, transport);

    let transport =
        Transport::Sctp { port: 80, transport_use: TransportUse::DataOnly, addresses: vec![v4().ip()] };
    check_transport("0004 0010 0050 0000 0001 0008 c0000201", transport);
}

/// RFC 5354 §3.5 to §3.7; always data only (5354-3.5-02, 5354-3.6-02, 5354-3.7-02).
#[test]
fn tcp_udp_and_udp_lite_transport() {
    type Make = fn(SocketAddr) -> Transport;
    for (code, make, kind) in [
        ("0005", Transport::Tcp as Make, TransportKind::Tcp),
        ("0006", Transport::Udp as Make, TransportKind::Udp),
        ("0007", Transport::UdpLite as Make, TransportKind::UdpLite),
    ] {
        assert_eq!((make(v4()).kind(), make(v4()).transport_use()), (kind, TransportUse::DataOnly));
        check_transport(&format!("{code} 0010 0050 0000 0001 0008 c0000201"), make(v4()));
        let bytes = format!("{code} 001c 0050 0000 0002 0014 20010db8 00000000 00000000 00000001");
        check_transport(&bytes, make(v6()));
    }
}

/// RFC 5354 §3.16.
#[test]
fn opaque_transport() {
    check_transport("0010 0009 73 74 61 74 65 000000", Transport::Opaque((*b"state").into()));
    check_transport("0010 0004", Transport::Opaque([].into()));
}

/// 5354-3.8-01: type, length, policy type, data. The values are those of RFC 5356 §4, §5 and §7.1.
#[test]
fn policies() {
    let (load, degradation) = (Load(0x8000_0000), Load(0x0100_0000));
    for (bytes, policy) in [
        ("0008 0008 00000001", Policy::RoundRobin),
        ("0008 000c 00000002 00000007", Policy::WeightedRoundRobin { weight: 7 }),
        ("0008 0008 00000003", Policy::Random),
        ("0008 000c 00000004 00000007", Policy::WeightedRandom { weight: 7 }),
        ("0008 000c 00000005 00000009", Policy::Priority { priority: 9 }),
        ("0008 000c 40000001 80000000", Policy::LeastUsed { load }),
        ("0008 0010 40000002 80000000 01000000", Policy::LeastUsedDegradation { load, degradation }),
        ("0008 0010 40000003 80000000 01000000", Policy::PriorityLeastUsed { load, degradation }),
        ("0008 000c 40000004 80000000", Policy::RandomizedLeastUsed { load }),
    ] {
        check_policy(bytes, policy);
    }
}

/// What follows the type of an unknown or user-defined policy is kept as it is.
#[test]
fn unknown_policies() {
    let other = |code, data: &[u8]| Policy::Other { policy_type: PolicyType(code), data: data.into() };
    check_policy("0008 0008 b0000000", other(0xb000_0000, b""));
    check_policy("0008 000d 00000077 01020304 05 000000", other(0x77, &[1, 2, 3, 4, 5]));
}

/// RFC 5354 §3.12.1 to §3.12.11.
#[test]
fn error_causes() {
    let plain = ErrorCause::new;
    let transport = Transport::Udp(v4());
    for (bytes, cause) in [
        ("0000 0004", plain(CauseCode::UNSPECIFIED)),
        (
            "0001 000c c0ff 0008 01020304",
            ErrorCause::unrecognized_parameter(b"\xc0\xff\0\x08\x01\x02\x03\x04"),
        ),
        ("0002 0008 40 00 0004", ErrorCause::unrecognized_message(b"\x40\0\0\x04")),
        ("0003 0008 000e 0004", ErrorCause::invalid_values(b"\0\x0e\0\x04")),
        ("0004 0004", plain(CauseCode::NON_UNIQUE_PE_IDENTIFIER)),
        ("0005 000c 0008 0008 00000003", ErrorCause::inconsistent_policy(&Policy::Random)),
        ("0006 0004", plain(CauseCode::LACK_OF_RESOURCES)),
        ("0007 0014 0006 0010 0050 0000 0001 0008 c0000201", ErrorCause::inconsistent_transport(&transport)),
        ("0008 0004", plain(CauseCode::INCONSISTENT_DATA_CONTROL)),
        ("0009 0004", plain(CauseCode::UNKNOWN_POOL_HANDLE)),
        ("000a 0004", plain(CauseCode::REJECTED_FOR_SECURITY)),
        ("f00d 0008 00000001", ErrorCause::with_information(CauseCode(0xf00d), &[0, 0, 0, 1])),
    ] {
        check_cause(bytes, cause);
    }
}
