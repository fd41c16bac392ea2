//! Every ENRP message, byte for byte as the figures of RFC 5353 §2 draw it, decoded and encoded. Worked out by hand;
//! covers 5353-2-01 (network byte order) throughout.
mod support;

use std::time::Duration;

use rserpool_wire::enrp::{
    Body, ErrorReport, HandleTableRequest, HandleTableResponse, HandleUpdate, InitTakeover, InitTakeoverAck,
    ListResponse, PoolEntry, Presence, TableElement, TakeoverServer, UpdateAction, decode,
};
use rserpool_wire::{
    CauseCode, Dialect, ElementOwner, ErrorCause, ParameterType, PeIdentifier, Policy, PoolElement,
    RegistrationLife, ServerId, ServerInformation, Transport, TransportUse, UnknownAction,
};
use support::{check_enrp, hex};

const SENDER: u32 = 0x1a2b_3c4d;
const RECEIVER: u32 = 0x5e6f_7081;

/// A pool element of the sender's at 192.0.2.1, TCP port 80, for 30 s.
fn element(identifier: u32) -> PoolElement {
    PoolElement {
        identifier: PeIdentifier(identifier),
        home: ServerId(SENDER),
        life: RegistrationLife::Finite(Duration::from_secs(30)),
        user_transport: Transport::Tcp(([192, 0, 2, 1], 80).into()),
        policy: Policy::RoundRobin,
        asap_transport: None,
    }
}

fn server(identifier: u32) -> ServerInformation {
    let transport = Transport::Sctp {
        port: 9901,
        transport_use: TransportUse::DataOnly,
        addresses: vec![[192, 0, 2, 9].into()],
    };
    ServerInformation { identifier: ServerId(identifier), transport }
}

/// 5353-2.1-03 (checksum), 5353-2.1-04 (server information).
#[test]
fn presence() {
    let bytes = hex("
        01 00 002c                  ; ENRP_PRESENCE, 44 bytes
        1a2b3c4d                    ; Sending Server's ID
        5e6f7081                    ; Receiving Server's ID
        000f 0006 29a5 0000         ; PE Checksum, padded
        000b 0018 1a2b3c4d          ; Server Information
            0004 0010 26ad 0000     ;   SCTP Transport, port 9901, data only
                0001 0008 c0000209
    ");
    let (checksum, information) = (Some(0x29a5), Some(server(SENDER)));
    let presence = Presence { reply_required: false, checksum, information };
    check_enrp(&bytes, SENDER, RECEIVER, Body::Presence(presence));
}

/// 5353-2.1-01: an announcement has receiver 0. The flag is the bit that implementations use for "reply required".
#[test]
fn presence_that_requires_a_reply() {
    let bytes = hex("
        01 01 0012                  ; 18 bytes: the final padding is not counted
        1a2b3c4d 00000000
        000f 0006 ffff 0000         ; PE Checksum of no elements
    ");
    let presence = Presence { reply_required: true, checksum: Some(0xffff), information: None };
    check_enrp(&bytes, SENDER, 0, Body::Presence(presence));

    let nothing = Presence { reply_required: false, checksum: None, information: None };
    check_enrp(&hex("01 00 000c 1a2b3c4d 00000000"), SENDER, 0, Body::Presence(nothing));
}

#[test]
fn handle_table_request() {
    for (bytes, own_children_only) in [
        ("02 00 000c 1a2b3c4d 5e6f7081", false),
        ("02 01 000c 1a2b3c4d 5e6f7081", true), // W
    ] {
        let body = Body::HandleTableRequest(HandleTableRequest { own_children_only });
        check_enrp(&hex(bytes), SENDER, RECEIVER, body);
    }
}

/// 5353-2.3-04: each entry is a pool handle and its elements.
#[test]
fn handle_table_response() {
    let bytes = hex("
        03 02 0094                  ; ENRP_HANDLE_TABLE_RESPONSE, M = 1, R = 0
        1a2b3c4d 5e6f7081
        0009 0008 65 63 68 6f       ; Pool Handle: echo
        000a 0028 00000001 1a2b3c4d 0000001e
            0005 0010 0050 0000 0001 0008 c0000201
            0008 0008 00000001
        000a 0028 00000002 1a2b3c4d 0000001e
            0005 0010 0050 0000 0001 0008 c0000201
            0008 0008 00000001
        0009 0005 78 000000         ; Pool Handle: x
        000a 0028 00000001 1a2b3c4d 0000001e
            0005 0010 0050 0000 0001 0008 c0000201
            0008 0008 00000001
    ");
    let entries = vec![
        PoolEntry { pool_handle: "echo".into(), elements: vec![element(1).into(), element(2).into()] },
        PoolEntry { pool_handle: "x".into(), elements: vec![element(1).into()] },
    ];
    let response = HandleTableResponse { rejected: false, more: true, entries };
    check_enrp(&bytes, SENDER, RECEIVER, Body::HandleTableResponse(response));
}

/// 5353-2.3-01, 5353-2.3-02.
#[test]
fn handle_table_response_that_rejects() {
    let bytes = hex("03 01 000c 1a2b3c4d 5e6f7081");
    let response = HandleTableResponse { rejected: true, more: false, entries: vec![] };
    check_enrp(&bytes, SENDER, RECEIVER, Body::HandleTableResponse(response));
}

/// 5353-2.4-01, 5353-2.4-03.
#[test]
fn handle_update() {
    for (bytes, action, takeover_suggested) in [
        ("04 00 0040 1a2b3c4d 00000000 0000 0000", UpdateAction::Add, false), // ADD_PE
        ("04 00 0040 1a2b3c4d 00000000 0001 0000", UpdateAction::Delete, false), // DEL_PE
        ("04 01 0040 1a2b3c4d 00000000 0000 0000", UpdateAction::Add, true),  // an extension
    ] {
        let mut bytes = hex(bytes);
        bytes.extend(hex("
            0009 0008 65 63 68 6f
            000a 0028 00000001 1a2b3c4d 0000001e
                0005 0010 0050 0000 0001 0008 c0000201
                0008 0008 00000001
        "));
        let (pool_handle, element) = ("echo".into(), element(1));
        let update = HandleUpdate { action, takeover_suggested, pool_handle, element, owner: None };
        check_enrp(&bytes, SENDER, 0, Body::HandleUpdate(update));
    }
}

const UPDATE_OF_PE_A: &str = "
    04 00 0048 1a2b3c4d 00000000 0000 0000
    0009 0008 65 63 68 6f
    000a 0028 00000001 1a2b3c4d 0000001e
        0005 0010 0050 0000 0001 0008 c0000201
        0008 0008 00000001
    8040 0008 70 65 2d 61       ; Element Owner: pe-a
";

/// An extension: the owner stands behind the element, which is the same with and without it.
#[test]
fn handle_update_with_owner() {
    let (pool_handle, owner) = ("echo".into(), ElementOwner::new("pe-a"));
    let (action, takeover_suggested, element) = (UpdateAction::Add, false, element(1));
    let update = HandleUpdate { action, takeover_suggested, pool_handle, element, owner };
    check_enrp(&hex(UPDATE_OF_PE_A), SENDER, 0, Body::HandleUpdate(update));
}

#[test]
fn handle_table_response_with_owners() {
    let bytes = hex("
        03 00 0071
        1a2b3c4d 5e6f7081
        0009 0008 65 63 68 6f
        000a 0028 00000001 1a2b3c4d 0000001e
            0005 0010 0050 0000 0001 0008 c0000201
            0008 0008 00000001
        8040 0008 70 65 2d 61
        000a 0028 00000002 1a2b3c4d 0000001e
            0005 0010 0050 0000 0001 0008 c0000201
            0008 0008 00000001
        8040 0005 62 000000
    ");
    let listed = |identifier, owner: &'static str| TableElement {
        element: element(identifier),
        owner: ElementOwner::new(owner),
    };
    let elements = vec![listed(1, "pe-a"), listed(2, "b")];
    let entries = vec![PoolEntry { pool_handle: "echo".into(), elements }];
    let response = HandleTableResponse { rejected: false, more: false, entries };
    check_enrp(&bytes, SENDER, RECEIVER, Body::HandleTableResponse(response));
}

/// RFC 5354 §3: whoever does not know the type skips it and says nothing, and so does whoever has no use for it.
#[test]
fn owners_are_skipped_by_those_who_do_not_know_them() {
    assert_eq!(ParameterType::ELEMENT_OWNER.unknown_action(), UnknownAction::Skip);
    let bytes = hex(UPDATE_OF_PE_A);
    let decoded = decode(&bytes, Dialect::Rsplib).expect("well-formed");
    assert_eq!(decoded.unrecognized, []);
    let Body::HandleUpdate(update) = decoded.message.body else { panic!("{:?}", decoded.message) };
    assert_eq!(update.owner, None);
    // In a presence there is no element that it could be of.
    let bytes = hex("01 00 0014 1a2b3c4d 5e6f7081 8040 0008 70 65 2d 61");
    let presence = Presence { reply_required: false, checksum: None, information: None };
    let decoded = decode(&bytes, Dialect::Rfc).expect("well-formed");
    assert_eq!((decoded.message.body, decoded.unrecognized), (Body::Presence(presence), vec![]));
}

#[test]
fn an_owner_is_one_identity_of_one_element() {
    let whole = "04 00 00ff 1a2b3c4d 00000000 0000 0000 0009 0008 65 63 68 6f";
    let element =
        "000a 0028 00000001 1a2b3c4d 0000001e 0005 0010 0050 0000 0001 0008 c0000201 0008 0008 00000001";
    let long = format!("8040 0104 {}", "61".repeat(256));
    for wrong in ["8040 0004", "8040 0005 ff 000000", "8040 0005 61 000000 8040 0005 62 000000", &long] {
        let mut bytes = hex(&format!("{whole} {element} {wrong}"));
        let length = u16::try_from(bytes.len()).expect("short").to_be_bytes();
        bytes[2..4].copy_from_slice(&length);
        let error = decode(&bytes, Dialect::Rfc).expect_err(wrong);
        let cause = error.cause(&bytes).expect("a cause");
        assert_eq!(cause.code, CauseCode::INVALID_VALUES, "{wrong}: {error}");
    }
    let orphan = hex("03 00 0020 1a2b3c4d 5e6f7081 0009 0008 65 63 68 6f 8040 0008 70 65 2d 61");
    assert!(decode(&orphan, Dialect::Rfc).is_err(), "an owner of nothing");
}

#[test]
fn list_request() {
    check_enrp(&hex("05 00 000c 1a2b3c4d 5e6f7081"), SENDER, RECEIVER, Body::ListRequest);
}

#[test]
fn list_response() {
    let bytes = hex("
        06 00 003c                  ; ENRP_LIST_RESPONSE, R = 0
        1a2b3c4d 5e6f7081
        000b 0018 92a3b4c5 0004 0010 26ad 0000 0001 0008 c0000209
        000b 0018 44444444 0004 0010 26ad 0000 0001 0008 c0000209
    ");
    let servers = vec![server(0x92a3_b4c5), server(0x4444_4444)];
    check_enrp(&bytes, SENDER, RECEIVER, Body::ListResponse(ListResponse { rejected: false, servers }));
}

/// 5353-2.6-01, 5353-2.6-02.
#[test]
fn list_response_that_rejects() {
    let body = Body::ListResponse(ListResponse { rejected: true, servers: vec![] });
    check_enrp(&hex("06 01 000c 1a2b3c4d 5e6f7081"), SENDER, RECEIVER, body);
}

#[test]
fn takeover() {
    let target = ServerId(0x92a3_b4c5);
    for (message_type, body) in [
        ("07", Body::InitTakeover(InitTakeover { target })),
        ("08", Body::InitTakeoverAck(InitTakeoverAck { target })),
        ("09", Body::TakeoverServer(TakeoverServer { target })),
    ] {
        let bytes = hex(&format!("{message_type} 00 0010 1a2b3c4d 5e6f7081 92a3b4c5"));
        check_enrp(&bytes, SENDER, RECEIVER, body);
    }
}

#[test]
fn error() {
    let bytes = hex("
        0a 00 001c                  ; ENRP_ERROR
        1a2b3c4d 5e6f7081
        000c 0010                   ; Operation Error
            0002 000c 3f 00 0008 01020304 ; Unrecognized Message: the whole of it
    ");
    let error = ErrorCause::unrecognized_message(b"\x3f\x00\x00\x08\x01\x02\x03\x04").into();
    check_enrp(&bytes, SENDER, RECEIVER, Body::Error(ErrorReport { error }));
}

/// 5354 §3.12: codes that nobody has assigned are kept.
#[test]
fn error_with_an_unknown_cause() {
    let bytes = hex("0a 00 0014 1a2b3c4d 5e6f7081 000c 0008 f008 0004");
    let error = ErrorCause::new(CauseCode(0xf008)).into();
    check_enrp(&bytes, SENDER, RECEIVER, Body::Error(ErrorReport { error }));
}
