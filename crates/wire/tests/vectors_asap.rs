//! Every ASAP message, byte for byte as the figures of RFC 5352 §2.2 draw it, decoded and encoded. Worked out by hand;
//! covers 5352-2.2.1-01, 5352-2.2.2-01 and 5354-2-01 (network byte order) throughout.
mod support;

use std::time::Duration;

use rserpool_wire::asap::{
    BusinessCard, Cookie, CookieEcho, Deregistration, DeregistrationResponse, EndpointKeepAlive,
    EndpointKeepAliveAck, EndpointUnreachable, ErrorReport, HandleResolution, HandleResolutionResponse,
    Message, Registration, RegistrationResponse, ServerAnnounce,
};
use rserpool_wire::{
    CauseCode, Dialect, ErrorCause, PeIdentifier, Policy, PoolElement, PoolHandle, RegistrationLife,
    ServerId, Transport, TransportUse,
};
use support::{check_asap, check_in, hex};

/// A pool element at 192.0.2.1, TCP port 80, for 30 s.
fn element(identifier: u32, policy: Policy) -> PoolElement {
    PoolElement {
        identifier: PeIdentifier(identifier),
        home: ServerId::NONE,
        life: RegistrationLife::Finite(Duration::from_secs(30)),
        user_transport: Transport::Tcp(([192, 0, 2, 1], 80).into()),
        policy,
        asap_transport: None,
    }
}

fn echo() -> PoolHandle<'static> {
    PoolHandle::from("echo")
}

#[test]
fn registration() {
    let bytes = hex("
        01 00 0038                  ; ASAP_REGISTRATION, 56 bytes
        0009 0008 65 63 68 6f       ; Pool Handle: echo
        000a 002c                   ; Pool Element, 44 bytes
            deadbeef                ;   PE Identifier
            00000000                ;   Home: undetermined
            0000001e                ;   Registration Life: 30 s
            0005 0010 0050 0000     ;   TCP Transport, port 80
                0001 0008 c0000201  ;     IPv4 Address
            0008 000c 00000002 00000007 ; Policy: Weighted Round Robin, weight 7
    ");
    let element = element(0xdead_beef, Policy::WeightedRoundRobin { weight: 7 });
    check_asap(&bytes, Registration { pool_handle: echo(), element });
}

/// 5354-3.10-02: the ASAP transport is an SCTP transport; it comes last (figure of §3.10).
#[test]
fn registration_with_an_asap_transport() {
    let bytes = hex("
        01 00 004c                  ; ASAP_REGISTRATION, 76 bytes
        0009 0008 65 63 68 6f       ; Pool Handle: echo
        000a 0040                   ; Pool Element, 64 bytes
            00000001
            12345678                ;   Home
            ffffffff                ;   Registration Life: infinite
            0005 0010 0050 0000     ;   TCP Transport, port 80
                0001 0008 c0000201
            0008 0008 00000001      ;   Policy: Round Robin
            0004 0018 0f17 0000     ;   SCTP Transport, port 3863, data only
                0001 0008 c0000201  ;     IPv4 Address
                0001 0008 c6336401  ;     IPv4 Address
    ");
    let element = PoolElement {
        home: ServerId(0x1234_5678),
        life: RegistrationLife::Infinite,
        asap_transport: Some(Transport::Sctp {
            port: 3863,
            transport_use: TransportUse::DataOnly,
            addresses: vec![[192, 0, 2, 1].into(), [198, 51, 100, 1].into()],
        }),
        ..element(1, Policy::RoundRobin)
    };
    check_asap(&bytes, Registration { pool_handle: echo(), element });
}

/// The unit of a registration life is a matter of dialect.
#[test]
fn registration_in_the_rsplib_dialect_counts_milliseconds() {
    let bytes = hex("
        01 00 0034 0009 0008 65 63 68 6f
        000a 0028 00000001 00000000
            00007530                ; Registration Life: 30,000 ms
            0005 0010 0050 0000 0001 0008 c0000201
            0008 0008 00000001
    ");
    let registration = Registration { pool_handle: echo(), element: element(1, Policy::RoundRobin) };
    check_in::<Message<'_>>(Dialect::Rsplib, &bytes, registration);
}

#[test]
fn deregistration() {
    let bytes = hex("
        02 00 0014                  ; ASAP_DEREGISTRATION, 20 bytes
        0009 0008 65 63 68 6f       ; Pool Handle: echo
        000e 0008 deadbeef          ; PE Identifier
    ");
    check_asap(&bytes, Deregistration { pool_handle: echo(), identifier: PeIdentifier(0xdead_beef) });
}

#[test]
fn registration_response() {
    let bytes = hex("
        03 00 0014                  ; ASAP_REGISTRATION_RESPONSE, R = 0
        0009 0008 65 63 68 6f
        000e 0008 deadbeef
    ");
    let identifier = PeIdentifier(0xdead_beef);
    let granted = RegistrationResponse { rejected: false, pool_handle: echo(), identifier, error: None };
    check_asap(&bytes, granted.clone());

    let bytes = hex("
        03 01 0028                  ; ASAP_REGISTRATION_RESPONSE, R = 1
        0009 0008 65 63 68 6f
        000e 0008 deadbeef
        000c 0014                   ; Operation Error
            0005 0010               ;   Inconsistent Pooling Policy
                0008 000c 00000002 00000001 ; the pool's policy
    ");
    let error = Some(ErrorCause::inconsistent_policy(&Policy::WeightedRoundRobin { weight: 1 }).into());
    check_asap(&bytes, RegistrationResponse { rejected: true, error, ..granted });
}

#[test]
fn deregistration_response() {
    let bytes = hex("
        04 00 0014                  ; ASAP_DEREGISTRATION_RESPONSE
        0009 0008 65 63 68 6f
        000e 0008 deadbeef
    ");
    let identifier = PeIdentifier(0xdead_beef);
    let granted = DeregistrationResponse { pool_handle: echo(), identifier, error: None };
    check_asap(&bytes, granted.clone());

    let bytes = hex("
        04 00 001c
        0009 0008 65 63 68 6f
        000e 0008 deadbeef
        000c 0008 000a 0004         ; Operation Error: Rejected due to security considerations
    ");
    let error = Some(ErrorCause::new(CauseCode::REJECTED_FOR_SECURITY).into());
    check_asap(&bytes, DeregistrationResponse { error, ..granted });
}

#[test]
fn handle_resolution() {
    let bytes = hex("
        05 00 000f                  ; ASAP_HANDLE_RESOLUTION, S = 0; final padding not counted (5354-4-02)
        0009 000b 65 63 68 6f 2d 76 32 00 ; Pool Handle: echo-v2, padded (5354-3-02)
    ");
    let once = HandleResolution { pool_handle: "echo-v2".into(), subscribe: false, items: None };
    check_asap(&bytes, once.clone());

    let bytes = hex("
        05 01 0018                  ; S = 1
        0009 000b 65 63 68 6f 2d 76 32 00
        803f 0008 ffffffff          ; Handle Resolution option: all items
    ");
    let items = Some(HandleResolution::ALL_ITEMS);
    check_asap(&bytes, HandleResolution { subscribe: true, items, ..once });
}

#[test]
fn handle_resolution_in_the_rsplib_dialect_counts_the_padding() {
    let bytes = hex("05 00 0010 0009 000b 65 63 68 6f 2d 76 32 00");
    let message = HandleResolution { pool_handle: "echo-v2".into(), subscribe: false, items: None };
    check_in::<Message<'_>>(Dialect::Rsplib, &bytes, message);
}

/// 5352-2.2.6-02: a positive response has elements.
#[test]
fn handle_resolution_response() {
    let bytes = hex("
        06 01 0064                  ; ASAP_HANDLE_RESOLUTION_RESPONSE, A = 1
        0009 0008 65 63 68 6f
        0008 0008 00000003          ; Policy: Random
        000a 0028 00000001 00000000 0000001e
            0005 0010 0050 0000 0001 0008 c0000201
            0008 0008 00000003
        000a 0028 00000002 00000000 0000001e
            0005 0010 0050 0000 0001 0008 c0000201
            0008 0008 00000003
    ");
    let message = HandleResolutionResponse {
        accept_updates: true,
        pool_handle: echo(),
        policy: Some(Policy::Random),
        elements: vec![element(1, Policy::Random), element(2, Policy::Random)],
        error: None,
    };
    check_asap(&bytes, message);
}

#[test]
fn handle_resolution_response_of_an_unknown_pool() {
    let bytes = hex("
        06 00 0014
        0009 0008 65 63 68 6f
        000c 0008 0009 0004         ; Operation Error: Unknown Pool Handle
    ");
    let message = HandleResolutionResponse {
        accept_updates: false,
        pool_handle: echo(),
        policy: None,
        elements: vec![],
        error: Some(ErrorCause::new(CauseCode::UNKNOWN_POOL_HANDLE).into()),
    };
    check_asap(&bytes, message);
}

#[test]
fn endpoint_keep_alive() {
    let bytes = hex("
        07 00 0010                  ; ASAP_ENDPOINT_KEEP_ALIVE, H = 0
        12345678                    ; Server Identifier
        0009 0008 65 63 68 6f
    ");
    let server = ServerId(0x1234_5678);
    let probe = EndpointKeepAlive { home: false, server, pool_handle: echo(), identifier: None };
    check_asap(&bytes, probe.clone());

    let bytes = hex("
        07 01 0018 12345678         ; H = 1
        0009 0008 65 63 68 6f
        000e 0008 deadbeef          ; PE Identifier: an extension
    ");
    let identifier = Some(PeIdentifier(0xdead_beef));
    check_asap(&bytes, EndpointKeepAlive { home: true, identifier, ..probe });
}

#[test]
fn endpoint_keep_alive_ack() {
    let bytes = hex("08 00 0014 0009 0008 65 63 68 6f 000e 0008 deadbeef");
    check_asap(&bytes, EndpointKeepAliveAck { pool_handle: echo(), identifier: PeIdentifier(0xdead_beef) });
}

#[test]
fn endpoint_unreachable() {
    let bytes = hex("09 00 0014 0009 0008 65 63 68 6f 000e 0008 deadbeef");
    check_asap(&bytes, EndpointUnreachable { pool_handle: echo(), identifier: PeIdentifier(0xdead_beef) });
}

/// "Only SCTP and TCP Transport parameters are allowed" (§2.2.10).
#[test]
fn server_announce() {
    let bytes = hex("
        0a 00 0034                  ; ASAP_SERVER_ANNOUNCE
        12345678                    ; Server Identifier
        0005 001c 0f17 0000         ; TCP Transport, port 3863
            0002 0014 20010db8 00000000 00000000 00000001
        0004 0010 0f17 0000         ; SCTP Transport, port 3863
            0001 0008 c0000201
    ");
    let v6 = "[2001:db8::1]:3863".parse().expect("an address");
    let sctp = Transport::Sctp {
        port: 3863,
        transport_use: TransportUse::DataOnly,
        addresses: vec![[192, 0, 2, 1].into()],
    };
    let server = ServerId(0x1234_5678);
    check_asap(&bytes, ServerAnnounce { server, transports: vec![Transport::Tcp(v6), sctp] });

    check_asap(&hex("0a 00 0008 12345678"), ServerAnnounce { server, transports: vec![] });
}

#[test]
fn cookie_and_cookie_echo() {
    let bytes = hex("
        0b 00 000d                  ; ASAP_COOKIE, 13 bytes and padding
        000d 0009 73 74 61 74 65 00 00 00
    ");
    check_asap(&bytes, Cookie { cookie: b"state" });
    let bytes = hex("
        0c 00 0008                  ; ASAP_COOKIE_ECHO
        000d 0004                   ; an empty cookie
    ");
    check_asap(&bytes, CookieEcho { cookie: b"" });
}

#[test]
fn business_card() {
    let bytes = hex("
        0d 00 005c                  ; ASAP_BUSINESS_CARD
        0009 0004                   ; Pool Handle: empty
        000a 002c 00000002 00000000 0000001e
            0005 0010 0050 0000 0001 0008 c0000201
            0008 000c 00000005 00000009 ; Priority 9
        000a 0028 00000001 00000000 0000001e
            0005 0010 0050 0000 0001 0008 c0000201
            0008 0008 00000001
    ");
    let elements = vec![element(2, Policy::Priority { priority: 9 }), element(1, Policy::RoundRobin)];
    check_asap(&bytes, BusinessCard { pool_handle: "".into(), elements });
}

/// 5352-2.2.14-02; "If a message contains multiple unrecognized parameters, multiple error causes are used" (5354 §3.12.2).
#[test]
fn error() {
    let bytes = hex("
        0e 00 0021                  ; ASAP_ERROR, 33 bytes and padding
        000c 001d                   ; Operation Error, 29 bytes and padding
            0001 000c c0ff 0008 01020304 ; Unrecognized Parameter: the whole of it
            0001 000d c0fe 0009 01020304 05 000000
    ");
    let causes = vec![
        ErrorCause::unrecognized_parameter(b"\xc0\xff\x00\x08\x01\x02\x03\x04"),
        ErrorCause::unrecognized_parameter(b"\xc0\xfe\x00\x09\x01\x02\x03\x04\x05"),
    ];
    check_asap(&bytes, ErrorReport { error: causes.into() });
}
