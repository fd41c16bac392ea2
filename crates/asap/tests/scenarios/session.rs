//! The session between user and element: frames, cookies and business cards (RFC 5352 §3.8, §3.9).
use bytes::BytesMut;
use proptest::prelude::*;
use rserpool_asap::session::{
    ElementControl, ElementSession, FrameCodec, FrameError, PayloadProtocol, UserControl, UserSession,
};
use rserpool_wire::asap::{self, Message};
use rserpool_wire::{CauseCode, Dialect, PeIdentifier};

use crate::support::*;

fn names(messages: &[bytes::Bytes]) -> Vec<&'static str> {
    let name = |bytes| asap::decode(bytes, Dialect::Rfc).expect("a message").message.name();
    messages.iter().map(|bytes| name(bytes)).collect()
}

#[test]
fn the_last_cookie_is_the_first_message_to_a_new_element_5352_3_8_01() {
    let element = ElementSession::new(Dialect::Rfc, echo());
    let mut user = UserSession::new(Dialect::Rfc);
    assert!(user.opening().is_empty());
    for cookie in [b"one", b"two"] {
        let cookie = element.cookie(cookie).expect("a short cookie");
        assert_eq!(user.handle_control(&cookie), UserControl::CookieStored);
    }
    assert_eq!(user.cookie(), Some(&b"two"[..]));
    let opening = user.opening();
    assert_eq!(names(&opening), ["ASAP_COOKIE_ECHO"]);
    assert_eq!(element.handle_control(&opening[0]), ElementControl::CookieEchoed("two".into()));
}

#[test]
fn business_cards_give_the_order_of_fail_over_5352_3_9_02() {
    let session = ElementSession::new(Dialect::Rfc, echo());
    let mut user = UserSession::new(Dialect::Rfc);
    assert_eq!(user.fail_over(&[]), None);
    let card = session.business_card(vec![element(3), element(1)]).expect("a short card");
    assert_eq!(user.handle_control(&card), UserControl::BusinessCard { pool_handle: echo() });
    assert_eq!(user.preferred().len(), 2);
    let next = |excluded: &[u32]| {
        let excluded: Vec<_> = excluded.iter().copied().map(PeIdentifier).collect();
        user.fail_over(&excluded).map(|element| element.identifier.0)
    };
    assert_eq!([next(&[]), next(&[3]), next(&[3, 1])], [Some(3), Some(1), None]);
}

#[test]
fn a_user_that_is_an_element_too_presents_itself_after_the_cookie() {
    let element_session = ElementSession::new(Dialect::Rfc, echo());
    let mut user = UserSession::new(Dialect::Rfc);
    user.present(&"front".into(), vec![element(9)]).expect("a short card");
    assert_eq!(names(&user.opening()), ["ASAP_BUSINESS_CARD"]);
    user.handle_control(&element_session.cookie(b"state").expect("a short cookie"));
    let opening = user.opening();
    assert_eq!(names(&opening), ["ASAP_COOKIE_ECHO", "ASAP_BUSINESS_CARD"]);
    match element_session.handle_control(&opening[1]) {
        ElementControl::BusinessCard { pool_handle, elements } => {
            assert!(pool_handle == "front" && elements == [element(9)]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_does_not_belong_on_a_control_channel_changes_nothing() {
    let element = ElementSession::new(Dialect::Rfc, echo());
    let mut user = UserSession::new(Dialect::Rfc);
    let cookie = element.cookie(b"state").expect("a short cookie");
    user.handle_control(&cookie);
    let echoed = user.opening().remove(0);
    for wrong in [&echoed[..], b"\x7f\0\0\x04", b"garbage", b""] {
        assert!(matches!(user.handle_control(wrong), UserControl::Fault(_)), "{wrong:?}");
    }
    assert_eq!(user.cookie(), Some(&b"state"[..]));
    assert!(matches!(element.handle_control(&cookie), ElementControl::Fault(_)));
    let UserControl::Fault(fault) = user.handle_control(b"\x7f\0\0\x04") else { panic!("no fault") };
    let answer = fault.answer.expect("an unrecognized message is answered");
    assert!(matches!(asap::decode(&answer, Dialect::Rfc).expect("a message").message, Message::Error(_)));
    assert!(matches!(element.handle_control(&answer), ElementControl::ErrorReported(_)));
}

#[test]
fn an_unknown_parameter_is_reported_on_the_control_channel_too_5352_2_2_14_01() {
    let element = ElementSession::new(Dialect::Rfc, echo());
    let mut user = UserSession::new(Dialect::Rfc);
    // ASAP_COOKIE and ASAP_COOKIE_ECHO with a parameter of type 0xc123 (skip and report) or 0x8123 (skip).
    let message =
        |kind, unknown: &[u8]| [&[kind, 0, 0, 16, 0, 13, 0, 8][..], b"data", unknown, &[0, 4]].concat();
    let (reported, skipped) = (message(0x0b, &[0xc1, 0x23]), message(0x0b, &[0x81, 0x23]));
    for cookie in [&reported, &skipped] {
        assert_eq!(user.handle_control(cookie), UserControl::CookieStored);
    }
    assert_eq!(user.report(&skipped), None);
    let echoed = message(0x0c, &[0xc1, 0x23]);
    assert_eq!(element.handle_control(&echoed), ElementControl::CookieEchoed("data".into()));
    for report in [user.report(&reported), element.report(&echoed)] {
        let report = report.expect("an answer");
        match asap::decode(&report, Dialect::Rfc).expect("a message").message {
            Message::Error(report) => assert!(report.error.has(CauseCode::UNRECOGNIZED_PARAMETER)),
            other => panic!("{other:?}"),
        }
        assert_eq!(user.report(&report), None, "an error is never answered");
    }
}

#[test]
fn an_overlong_cookie_is_the_callers_mistake() {
    let element = ElementSession::new(Dialect::Rfc, echo());
    assert!(element.cookie(&[0; 65_527]).is_ok());
    assert!(element.cookie(&[0; 65_528]).is_err());
}

#[test]
fn frames_over_the_limit_are_refused_in_both_directions() {
    let mut buffer = BytesMut::new();
    let too_large = Err(FrameError::TooLarge { length: 9, limit: 8 });
    assert_eq!(FrameCodec::new(8).encode(PayloadProtocol::DATA, &[0; 9], &mut buffer), too_large);
    assert!(buffer.is_empty());
    FrameCodec::new(9).encode(PayloadProtocol::DATA, &[0; 9], &mut buffer).expect("within the limit");
    assert!(FrameCodec::new(8).decode(&mut buffer).is_err());
    let mut header_alone = BytesMut::from(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff][..]);
    assert!(FrameCodec::default().decode(&mut header_alone).is_err());
}

proptest! {
    #[test]
    fn frames_survive_any_split(
        frames in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..50)), 0..8),
        chunk in 1_usize..20,
    ) {
        let codec = FrameCodec::default();
        let mut wire = BytesMut::new();
        for (protocol, payload) in &frames {
            codec.encode(PayloadProtocol(*protocol), payload, &mut wire).expect("within the limit");
        }
        let (mut arrived, mut decoded) = (BytesMut::new(), Vec::new());
        for chunk in wire.chunks(chunk) {
            arrived.extend_from_slice(chunk);
            while let Some(frame) = codec.decode(&mut arrived).expect("within the limit") {
                decoded.push((frame.protocol.0, frame.payload.to_vec()));
            }
        }
        prop_assert_eq!(decoded, frames);
        prop_assert!(arrived.is_empty());
    }
}
