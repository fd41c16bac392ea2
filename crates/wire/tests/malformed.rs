//! Messages that are wrong: each must fail at the right offset, for the right reason, and with the cause that RFC 5354
//! wants answered. What is merely odd must be accepted.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed step of the scaffolding fails the test"
)]
mod support;

use std::ops::Range;

use bytes::BytesMut;
use rserpool_wire::DecodeReason as Reason;
use rserpool_wire::{
    CauseCode, Dialect, EncodeError, MAX_MESSAGE_LENGTH, ParameterType, PeIdentifier, PoolHandle,
    TransportKind, asap, enrp, frame_length,
};
use support::{Protocol, encoded, hex};

/// What the answer quotes: a cause, and which bytes of the message.
type Quote = Option<(CauseCode, Range<usize>)>;

#[track_caller]
fn fails<'a, M: Protocol<'a>>(bytes: &'a [u8], offset: usize, reason: Reason, quote: Quote) {
    let error = M::decode(bytes, Dialect::Rfc).expect_err("a malformed message");
    assert_eq!((error.offset, &error.reason), (offset, &reason), "{error}");
    let cause = error.cause(bytes);
    let expected = quote.map(|(code, range)| (code, bytes[range].to_vec()));
    assert_eq!(cause.map(|cause| (cause.code, cause.information.into_owned())), expected);
}

#[track_caller]
fn asap_fails(text: &str, offset: usize, reason: Reason, quote: Quote) {
    fails::<asap::Message<'_>>(&hex(text), offset, reason, quote);
}

#[track_caller]
fn enrp_fails(text: &str, offset: usize, reason: Reason, quote: Quote) {
    fails::<enrp::Message<'_>>(&hex(text), offset, reason, quote);
}

fn invalid(range: Range<usize>) -> Quote {
    Some((CauseCode::INVALID_VALUES, range))
}

/// A registration, 52 bytes: handle at 4, element at 12 with TCP transport at 28 and policy at 44.
const REGISTRATION: &str = "01 00 0034 0009 0008 6563686f
    000a 0028 00000001 00000000 0000001e
        0005 0010 0050 0000 0001 0008 c0000201
        0008 0008 00000001";

/// The registration with `bytes` written over it at `offset`.
fn registration_with(offset: usize, bytes: &str) -> Vec<u8> {
    let (mut message, bytes) = (hex(REGISTRATION), hex(bytes));
    message[offset..offset + bytes.len()].copy_from_slice(&bytes);
    message
}

#[test]
fn lengths_that_do_not_fit_the_bytes() {
    for (text, field) in [
        ("05 00 0000 0009 0008 6563686f", 0),
        ("05 00 0003 0009 0008 6563686f", 3),
        ("05 00 0008 0009 0008 6563686f", 8),  // four bytes too many
        ("05 00 0010 0009 0008 6563686f", 16), // four bytes too few
        ("05 00 ffff 0009 0008 6563686f", 65_535),
    ] {
        let reason = Reason::MessageLength { field, received: 12 };
        asap_fails(text, 2, reason.clone(), None);
        enrp_fails(text, 2, reason, None);
    }
}

#[test]
fn lengths_that_no_stream_can_have() {
    for length in 0u16..4 {
        assert_eq!(frame_length([5, 0, 0, length as u8]), None);
    }
    assert_eq!(frame_length([5, 0, 0xff, 0xff]), Some(MAX_MESSAGE_LENGTH));
}

#[test]
fn a_message_cut_anywhere_is_refused() {
    let whole = hex(REGISTRATION);
    for end in 0..whole.len() {
        assert!(asap::decode(&whole[..end], Dialect::Rfc).is_err(), "cut at {end}, length field as it was");
        let mut cut = whole[..end].to_vec();
        if end >= 4 {
            cut[3] = end as u8;
        }
        assert!(asap::decode(&cut, Dialect::Rfc).is_err(), "cut at {end}, length field right");
    }
    asap_fails("", 0, Reason::Truncated { needed: 1, available: 0 }, None);
    asap_fails("05 00 00", 2, Reason::Truncated { needed: 2, available: 1 }, None);
    asap_fails("07 00 0006 1234 0000", 4, Reason::Truncated { needed: 4, available: 2 }, None);
    enrp_fails("05 00 0008 11111111", 8, Reason::Truncated { needed: 4, available: 0 }, None);
}

#[test]
fn parameter_lengths_below_four_or_beyond_the_message() {
    for (text, field) in [
        ("05 00 000c 0009 0000 6563686f", 0),
        ("05 00 000c 0009 0003 6563686f", 3),
        ("05 00 000c 0009 0009 6563686f", 9),
        ("05 00 000c 0009 ffff 6563686f", 65_535),
        ("05 00 000c 8009 0000 6563686f", 0), // unknown: it cannot be skipped all the same
    ] {
        asap_fails(text, 4, Reason::ParameterLength { field, available: 8 }, None);
    }
    let reason = Reason::Truncated { needed: 2, available: 0 };
    asap_fails("05 00 000e 0009 0008 6563686f 0009 0000", 14, reason, None);
}

/// A parameter inside another ends before the other does; the answer quotes the innermost parameter that is whole.
#[test]
fn nested_lengths_stay_inside_what_encloses_them() {
    let reason = Reason::ParameterLength { field: 0x20, available: 8 };
    let bytes = registration_with(46, "0020"); // the policy's length
    fails::<asap::Message<'_>>(&bytes, 44, reason, invalid(12..52));

    let reason = Reason::ParameterLength { field: 0x10, available: 8 };
    let bytes = registration_with(38, "0010"); // the address's length
    fails::<asap::Message<'_>>(&bytes, 36, reason, invalid(28..44));

    let element = Reason::UnexpectedParameter(ParameterType::POOL_ELEMENT);
    let bytes = registration_with(44, "000a"); // an element in an element
    fails::<asap::Message<'_>>(&bytes, 44, element, invalid(44..52));
}

#[test]
fn fixed_sizes_are_exact() {
    let short = Reason::Truncated { needed: 4, available: 3 };
    asap_fails("02 00 0014 0009 0008 6563686f 000e 0007 00000001", 16, short, invalid(12..19));
    let long = Reason::TrailingBytes(4);
    asap_fails("02 00 0018 0009 0008 6563686f 000e 000c 00000001 00000002", 20, long, invalid(12..24));

    let bytes = registration_with(38, "0007"); // an IPv4 address of 3 bytes
    fails::<asap::Message<'_>>(&bytes, 40, Reason::Truncated { needed: 4, available: 3 }, invalid(36..43));
    let bytes = registration_with(48, "00000002"); // Weighted Round Robin without a weight
    fails::<asap::Message<'_>>(&bytes, 52, Reason::Truncated { needed: 4, available: 0 }, invalid(44..52));

    let text = "01 00 0014 11111111 00000000 000f 0008 ffff 0000"; // a checksum of 32 bits
    enrp_fails(text, 18, Reason::TrailingBytes(2), invalid(12..20));
    let text = "07 00 0014 11111111 22222222 33333333 0009 0004"; // nothing may follow the target
    let handle = Reason::UnexpectedParameter(ParameterType::POOL_HANDLE);
    enrp_fails(text, 16, handle, invalid(16..20));
}

#[test]
fn parameters_that_may_occur_once_occur_twice() {
    use ParameterType as P;
    let twice = Reason::DuplicateParameter;
    asap_fails("05 00 000c 0009 0004 0009 0004", 8, twice(P::POOL_HANDLE), invalid(8..12));
    asap_fails("0b 00 000c 000d 0004 000d 0004", 8, twice(P::COOKIE), invalid(8..12));
    asap_fails("0e 00 000c 000c 0004 000c 0004", 8, twice(P::OPERATION_ERROR), invalid(8..12));
    let text = "02 00 0018 0009 0004 000e 0008 00000001 000e 0008 00000001";
    asap_fails(text, 16, twice(P::PE_IDENTIFIER), invalid(16..24));

    let mut bytes = hex(REGISTRATION);
    bytes.extend_from_within(12..52);
    bytes[3] = 92;
    fails::<asap::Message<'_>>(&bytes, 52, twice(P::POOL_ELEMENT), invalid(52..92));

    // 5354-3.10-01: one user transport. A second transport is the ASAP transport, a third is one too many.
    let mut bytes = hex(REGISTRATION);
    bytes.extend_from_within(28..44);
    (bytes[3], bytes[15]) = (68, 56);
    assert!(asap::decode(&bytes, Dialect::Rfc).is_ok());
    bytes.extend_from_within(28..44);
    (bytes[3], bytes[15]) = (84, 72);
    fails::<asap::Message<'_>>(&bytes, 68, twice(P::TCP_TRANSPORT), invalid(68..84));

    let text = "01 00 001c 11111111 00000000 000f 0006 ffff 0000 000f 0006 ffff 0000";
    enrp_fails(text, 20, twice(P::PE_CHECKSUM), invalid(20..26));
}

#[test]
fn mandatory_parameters_are_missed_where_the_list_ends() {
    use ParameterType as P;
    let missing = Reason::MissingParameter;
    asap_fails("05 00 0004", 4, missing(P::POOL_HANDLE), None);
    asap_fails("01 00 0008 0009 0004", 8, missing(P::POOL_ELEMENT), None);
    asap_fails("02 00 0008 0009 0004", 8, missing(P::PE_IDENTIFIER), None);
    asap_fails("0b 00 0004", 4, missing(P::COOKIE), None);
    asap_fails("0e 00 0004", 4, missing(P::OPERATION_ERROR), None);
    enrp_fails("04 00 0010 11111111 00000000 00000000", 16, missing(P::POOL_HANDLE), None);
    enrp_fails("0a 00 000c 11111111 22222222", 12, missing(P::OPERATION_ERROR), None);

    let text = "01 00 0018 0009 0004 000a 0010 00000001 00000000 0000001e";
    asap_fails(text, 24, missing(P::SCTP_TRANSPORT), invalid(8..24));
    // 5354-3.4-02: at least one address.
    let text = "0a 00 0010 12345678 0004 0008 0f17 0000";
    asap_fails(text, 16, missing(P::IPV4_ADDRESS), invalid(8..16));
}

#[test]
fn values_that_the_rfcs_do_not_allow() {
    // 5354-3.4-01: Transport Use is 0 or 1.
    let text = "0a 00 0018 12345678 0004 0010 0f17 0002 0001 0008 c0000201";
    let reason = Reason::InvalidValue("Transport Use is neither 0 nor 1");
    asap_fails(text, 14, reason, invalid(8..24));
    // RFC 5354 §3.5: one address.
    let text = "0a 00 0020 12345678 0005 0018 0f17 0000 0001 0008 c0000201 0001 0008 c0000202";
    asap_fails(text, 16, Reason::InvalidValue("more than one address"), invalid(8..32));
    // RFC 5352 §2.2.10: TCP and SCTP alone.
    let text = "0a 00 0018 12345678 0006 0010 0f17 0000 0001 0008 c0000201";
    asap_fails(text, 8, Reason::UnexpectedParameter(ParameterType::UDP_TRANSPORT), invalid(8..24));
    // 5353-2.4-02: Update Action is 0 or 1.
    let text = "04 00 0010 11111111 00000000 0002 0000";
    enrp_fails(text, 12, Reason::InvalidValue("update action is neither 0 nor 1"), None);
    // 5353-2.3-04: a pool entry starts with its handle.
    let mut bytes = hex("03 00 0034 11111111 22222222");
    bytes.extend(&hex(REGISTRATION)[12..]);
    let element = Reason::UnexpectedParameter(ParameterType::POOL_ELEMENT);
    fails::<enrp::Message<'_>>(&bytes, 12, element, invalid(12..52));
}

/// 5354-3.10-02, RFC 5354 §3.11: registrars, and elements for registrars, are reached over SCTP (or TCP, an extension), and not
/// where control messages have no place (5354-3.3-01, 5354-3.6-01, 5354-3.7-01).
#[test]
fn asap_and_enrp_run_over_sctp_or_tcp_alone() {
    for (parameter, kind, transport) in [
        (
            "0003 0014 0050 0000 4563686f 0001 0008 c0000201",
            ParameterType::DCCP_TRANSPORT,
            TransportKind::Dccp,
        ),
        ("0006 0010 0050 0000 0001 0008 c0000201", ParameterType::UDP_TRANSPORT, TransportKind::Udp),
        ("0007 0010 0050 0000 0001 0008 c0000201", ParameterType::UDP_LITE_TRANSPORT, TransportKind::UdpLite),
        ("0010 0008 73746174", ParameterType::OPAQUE_TRANSPORT, TransportKind::Opaque),
    ] {
        let (parameter, unexpected) = (hex(parameter), Reason::UnexpectedParameter(kind));
        // As the ASAP transport, behind the policy; as the user transport it is welcome.
        let mut bytes = hex(REGISTRATION);
        bytes.extend(&parameter);
        (bytes[3], bytes[15]) = (bytes.len() as u8, bytes.len() as u8 - 12);
        fails::<asap::Message<'_>>(&bytes, 52, unexpected.clone(), invalid(52..bytes.len()));
        let mut bytes = registration_with(0, "");
        bytes.splice(28..44, parameter.clone());
        (bytes[3], bytes[15]) = (bytes.len() as u8, bytes.len() as u8 - 12);
        let good = asap::decode(&bytes, Dialect::Rfc).expect("a good user transport").message;
        let asap::Message::Registration(mut good) = good else { panic!("{good:?}") };
        assert_eq!(good.element.user_transport.kind(), transport);
        // In a Server Information.
        let mut bytes = hex("06 00 0000 11111111 22222222 000b 0000 33333333");
        bytes.extend(&parameter);
        (bytes[3], bytes[15]) = (bytes.len() as u8, bytes.len() as u8 - 12);
        fails::<enrp::Message<'_>>(&bytes, 20, unexpected, invalid(20..bytes.len()));
        // Nor is it sent.
        good.element.asap_transport = Some(good.element.user_transport.clone());
        let error = asap::Message::from(good).encode(Dialect::Rfc, &mut BytesMut::new());
        assert_eq!(error, Err(EncodeError::NotForRegistrars(transport)));
    }
}

#[test]
fn unknown_parameters_are_treated_by_their_action_bits() {
    let unknown = |code| Reason::UnknownParameter(ParameterType(code));
    let quoted = |range| Some((CauseCode::UNRECOGNIZED_PARAMETER, range));
    // 00: discard. 01: discard and report. Wherever they are; the padding is not quoted.
    asap_fails("05 00 000e 0009 0004 0123 0006 abcd 0000", 8, unknown(0x0123), None);
    asap_fails("05 00 000e 0009 0004 4123 0006 abcd 0000", 8, unknown(0x4123), quoted(8..14));
    enrp_fails("05 00 0010 11111111 22222222 0123 0004", 12, unknown(0x0123), None);
    enrp_fails("05 00 0010 11111111 22222222 4123 0004", 12, unknown(0x4123), quoted(12..16));
    let in_element = registration_with(44, "4123");
    fails::<asap::Message<'_>>(&in_element, 44, unknown(0x4123), quoted(44..52));
    let in_element = registration_with(44, "0123");
    fails::<asap::Message<'_>>(&in_element, 44, unknown(0x0123), None);
    let in_transport = registration_with(36, "4123");
    fails::<asap::Message<'_>>(&in_transport, 36, unknown(0x4123), quoted(36..44));

    // 10: skip. 11: skip and report: one cause for each (RFC 5354 §3.12.2).
    let bytes = hex("05 00 0022 8123 0004 0009 0008 6563686f c123 0006 abcd 0000 8123 0004 ffff 0006 abcd");
    let decoded = asap::decode(&bytes, Dialect::Rfc).expect("nothing that matters is unknown");
    assert!(matches!(decoded.message, asap::Message::HandleResolution(m) if m.pool_handle == "echo"));
    let reported: Vec<_> =
        decoded.unrecognized.iter().map(|cause| (cause.code, &*cause.information)).collect();
    let code = CauseCode::UNRECOGNIZED_PARAMETER;
    assert_eq!(reported, [(code, &bytes[16..22]), (code, &bytes[28..34])]);

    let mut nested = hex(REGISTRATION);
    nested.extend(hex("c123 0004")); // the last of the element
    (nested[3], nested[15]) = (56, 44);
    let decoded = asap::decode(&nested, Dialect::Rfc).expect("nothing that matters is unknown");
    assert_eq!(decoded.unrecognized.len(), 1);
    let bytes = hex("05 00 0010 11111111 22222222 c123 0004");
    assert_eq!(enrp::decode(&bytes, Dialect::Rfc).expect("skipped").unrecognized.len(), 1);
}

/// RFC 5354 §4: 00 discards, 01 discards and reports, 10 and 11 are reserved.
#[test]
fn unknown_messages_are_treated_by_their_action_bits() {
    for (text, message_type) in [
        ("00 00 0008 00000000", 0x00),
        ("0f 00 0008 00000000", 0x0f),
        ("80 00 0008 00000000", 0x80),
        ("ff 00 0008 00000000", 0xff),
    ] {
        asap_fails(text, 0, Reason::UnknownMessage(message_type), None);
        enrp_fails(text, 0, Reason::UnknownMessage(message_type), None);
    }
    let text = "4f 00 0005 00 000000";
    let quote = Some((CauseCode::UNRECOGNIZED_MESSAGE, 0..8));
    asap_fails(text, 0, Reason::UnknownMessage(0x4f), quote.clone());
    enrp_fails(text, 0, Reason::UnknownMessage(0x4f), quote);
    enrp_fails("0b 00 0004", 0, Reason::UnknownMessage(0x0b), None); // ASAP knows it
}

/// An answer must fit a message itself: what is too long to be quoted is named without being quoted.
#[test]
fn the_answer_to_the_longest_unknown_message_can_be_sent() {
    let mut longest = vec![0x40, 0, 0xff, 0xff];
    longest.resize(MAX_MESSAGE_LENGTH, 0);
    let error = asap::decode(&longest, Dialect::Rfc).expect_err("unknown");
    let cause = error.cause(&longest).expect("it wants a report");
    assert_eq!(cause.code, CauseCode::UNRECOGNIZED_MESSAGE);
    let body = enrp::Body::Error(enrp::ErrorReport { error: cause.into() });
    encoded(&enrp::Message { sender: 1.into(), receiver: 2.into(), body }, Dialect::Rsplib);
}

/// 5354-3-04, 5354-4-03: padding is ignored, whatever it holds; flags and reserved fields are, too.
#[test]
fn what_is_merely_odd_is_accepted() {
    for text in [
        "05 00 000d 0009 0009 6563686f21",                  // final padding left out
        "05 00 000d 0009 0009 6563686f21 abcdef",           // padding that is not zero
        "05 00 0010 0009 0009 6563686f21 000000",           // final padding counted
        "05 fe 000d 0009 0009 6563686f21 000000",           // flags without meaning
        "05 00 0014 803f 0008 00000003 0009 0008 6563686f", // another order
    ] {
        let bytes = hex(text);
        let decoded = asap::decode(&bytes, Dialect::Rfc).expect(text);
        assert!(matches!(decoded.message, asap::Message::HandleResolution(m) if !m.subscribe));
    }
    let bytes = registration_with(34, "ffff"); // the reserved field behind a TCP port
    assert!(asap::decode(&bytes, Dialect::Rfc).is_ok());
    // 5353-2.4-03
    let mut bytes = hex("04 00 003c 11111111 00000000 0000 ffff 0009 0004");
    bytes.extend(&hex(REGISTRATION)[12..]);
    assert!(enrp::decode(&bytes, Dialect::Rfc).is_ok());
}

/// 5354-3-03: nobody pads with more than 3 bytes; a fourth is a parameter of type 0 without a length.
#[test]
fn more_than_three_bytes_of_padding_are_a_bad_parameter() {
    let reason = Reason::ParameterLength { field: 0, available: 4 };
    asap_fails("05 00 0010 0009 0008 6563686f 00000000", 12, reason, None);
}

#[test]
fn handles_of_any_length_that_fits() {
    for length in [0, 1, 65_000, PoolHandle::MAX_LENGTH - 4] {
        let pool_handle = PoolHandle::from(vec![b'x'; length]);
        let message = asap::HandleResolution { pool_handle, subscribe: false, items: None }.into();
        let bytes = encoded::<asap::Message<'_>>(&message, Dialect::Rfc);
        assert_eq!(asap::decode(&bytes, Dialect::Rfc).expect("a good message").message, message);
        assert_eq!(bytes.len(), frame_length([bytes[0], bytes[1], bytes[2], bytes[3]]).expect("a length"));
    }
}

#[test]
fn what_does_not_fit_a_message_leaves_the_buffer_as_it_was() {
    for length in [PoolHandle::MAX_LENGTH - 3, PoolHandle::MAX_LENGTH, PoolHandle::MAX_LENGTH + 1, 200_000] {
        let pool_handle = PoolHandle::from(vec![b'x'; length]);
        let message: asap::Message<'_> =
            asap::EndpointUnreachable { pool_handle, identifier: PeIdentifier(1) }.into();
        let mut buffer = BytesMut::from(&b"before"[..]);
        let error = message.encode(Dialect::Rfc, &mut buffer).expect_err("too long");
        assert!(matches!(error, EncodeError::TooLong { length: 65_536.. }), "{error}");
        assert_eq!(&buffer[..], b"before");
    }
}
