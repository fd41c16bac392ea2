//! Properties: what is encoded decodes to the same, in both dialects, and no bytes whatsoever make a decoder panic.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed step of the scaffolding fails the test"
)]
mod support;

use std::time::Duration;

use bytes::BytesMut;
use proptest::prelude::*;
use proptest::sample::Index;
use rserpool_wire::{
    DecodeError, Decoded, Dialect, EncodedElement, PeIdentifier, Policy, PoolElement, RegistrationLife, asap,
    enrp,
};
use support::{Hex, Protocol, encoded, strategies};

/// Decodes what `message` encodes to, with and without its final padding.
fn comes_back<'a, M: Protocol<'a>>(
    message: &M,
    bytes: &'a [u8],
    dialect: Dialect,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(bytes.len() % 4, 0, "5354-4-01");
    let decoded = M::decode(bytes, dialect).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(&decoded.message, message);
    prop_assert_eq!(decoded.unrecognized, []);
    let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    let unpadded = M::decode(&bytes[..length], dialect);
    prop_assert_eq!(&unpadded.expect("5354-4-03").message, message);
    Ok(())
}

proptest! {
    #[test]
    fn any_asap_message_comes_back(
        (dialect, message) in strategies::dialect().prop_flat_map(|d| (Just(d), strategies::asap(d))),
    ) {
        comes_back(&message, &encoded(&message, dialect), dialect)?;
    }

    #[test]
    fn any_enrp_message_comes_back(
        (dialect, message) in strategies::dialect().prop_flat_map(|d| (Just(d), strategies::enrp(d))),
    ) {
        comes_back(&message, &encoded(&message, dialect), dialect)?;
    }

    #[test]
    fn any_cookie_comes_back(dialect in strategies::dialect(), cookie in strategies::cookie(), echo: bool) {
        let message: asap::Message<'_> = match echo {
            true => asap::CookieEcho { cookie: &cookie }.into(),
            false => asap::Cookie { cookie: &cookie }.into(),
        };
        comes_back(&message, &encoded(&message, dialect), dialect)?;
    }

    #[test]
    fn an_encoded_element_is_the_element_and_takes_another_home(
        (dialect, element) in strategies::dialect().prop_flat_map(|d| (Just(d), strategies::element(d))),
        home: u32,
    ) {
        let mut buffer = BytesMut::new();
        element.encode(dialect, &mut buffer).expect("it fits");
        prop_assert_eq!(EncodedElement::new(&buffer).decode(dialect), Ok(element.clone()));
        EncodedElement::set_home(&mut buffer, home.into());
        let moved = PoolElement { home: home.into(), ..element };
        prop_assert_eq!(EncodedElement::new(&buffer).decode(dialect), Ok(moved));
    }

    /// The registrar's hot paths copy elements that are encoded already; the receiver must not see a difference.
    #[test]
    fn copied_elements_are_the_same_as_encoded_ones(
        (dialect, elements) in strategies::dialect()
            .prop_flat_map(|d| (Just(d), prop::collection::vec(strategies::element(d), 1..4))),
        handle in strategies::pool_handle(),
        policy in strategies::policy(),
        owners in prop::collection::vec(strategies::owner(), 4),
        flag: bool,
    ) {
        // A dialect without owners leaves them out.
        let told = |i: usize| owners[i].clone().filter(|_| dialect.tells_owners());
        let elements_encoded: Vec<_> = elements.iter().map(|element| {
            let mut buffer = BytesMut::new();
            element.encode(dialect, &mut buffer).expect("it fits");
            buffer
        }).collect();

        let mut buffer = BytesMut::new();
        let mut response = asap::ResolutionResponseWriter::start(dialect, &mut buffer, &handle, &policy, flag)
            .expect("it fits");
        for element in &elements_encoded {
            prop_assert!(response.element(EncodedElement::new(element)));
        }
        response.finish().expect("it fits");
        let named = dialect.always_names_policy() || policy != Policy::RoundRobin;
        let message = asap::Message::from(asap::HandleResolutionResponse {
            accept_updates: flag,
            pool_handle: handle.clone(),
            policy: named.then_some(policy),
            elements: elements.iter().map(|e| PoolElement { asap_transport: None, ..e.clone() }).collect(),
            error: None,
        });
        prop_assert_eq!(Hex(&buffer), Hex(&encoded(&message, dialect)));

        let mut buffer = BytesMut::new();
        let mut response = enrp::TableResponseWriter::start(dialect, &mut buffer, 1.into(), 2.into());
        for (i, element) in elements_encoded.iter().enumerate() {
            let element = EncodedElement::new(element);
            let owner = owners[i].as_ref();
            let added = if i == 0 { response.pool(&handle, element, owner) } else { response.element(element, owner) };
            prop_assert!(added);
        }
        response.finish(flag).expect("it fits");
        let listed = elements.iter().enumerate();
        let listed = listed.map(|(i, element)| enrp::TableElement { element: element.clone(), owner: told(i) });
        let entry = enrp::PoolEntry { pool_handle: handle.clone(), elements: listed.collect() };
        let body = enrp::HandleTableResponse { rejected: false, more: flag, entries: vec![entry] };
        let body = enrp::Body::HandleTableResponse(body);
        let message = enrp::Message { sender: 1.into(), receiver: 2.into(), body };
        prop_assert_eq!(Hex(&buffer), Hex(&encoded(&message, dialect)));

        let (mut buffer, action) = (BytesMut::new(), enrp::UpdateAction::Delete);
        let element = EncodedElement::new(&elements_encoded[0]);
        enrp::encode_handle_update(dialect, &mut buffer, 1.into(), action, &handle, element, owners[0].as_ref())
            .expect("it fits");
        let body = enrp::Body::HandleUpdate(enrp::HandleUpdate {
            action,
            takeover_suggested: false,
            pool_handle: handle,
            element: elements[0].clone(),
            owner: told(0),
        });
        let message = enrp::Message { sender: 1.into(), receiver: 0.into(), body };
        prop_assert_eq!(Hex(&buffer), Hex(&encoded(&message, dialect)));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survives(&bytes);
    }

    /// Of a known type and with the right length, so that the parameters are looked at.
    #[test]
    fn no_parameters_make_a_decoder_panic(
        message_type in 1u8..15,
        parameters in prop::collection::vec(
            (prop_oneof![0u16..0x12, Just(0x803f), Just(0x8040), any::<u16>()], prop::collection::vec(any::<u8>(), 0..40)), 0..6),
    ) {
        let mut bytes = vec![message_type, 0, 0, 0];
        for (kind, value) in parameters {
            bytes.extend(kind.to_be_bytes());
            bytes.extend((value.len() as u16 + 4).to_be_bytes());
            bytes.extend(&value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        let length = (bytes.len() as u16).to_be_bytes();
        bytes[2..4].copy_from_slice(&length);
        survives(&bytes);
    }

    #[test]
    fn no_change_of_a_good_message_makes_a_decoder_panic(
        asap in strategies::asap(Dialect::Rfc),
        enrp in strategies::enrp(Dialect::Rfc),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4),
        cut in any::<Index>(),
    ) {
        for mut bytes in [encoded(&asap, Dialect::Rfc), encoded(&enrp, Dialect::Rfc)] {
            survives(&bytes[..cut.index(bytes.len())]);
            for (at, value) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *value;
                survives(&bytes);
            }
        }
    }
}

/// Decodes `bytes` as everything that they might be: what decodes must come back the same when it is encoded.
fn survives(bytes: &[u8]) {
    for dialect in [Dialect::Rfc, Dialect::Rsplib] {
        match asap::decode(bytes, dialect) {
            Ok(Decoded { message, .. }) => {
                let again = encoded(&message, dialect);
                assert_eq!(asap::decode(&again, dialect).map(|decoded| decoded.message), Ok(message));
            }
            Err(error) => can_be_answered(&error, bytes),
        }
        match enrp::decode(bytes, dialect) {
            Ok(Decoded { message, .. }) => {
                let again = encoded(&message, dialect);
                assert_eq!(enrp::decode(&again, dialect).map(|decoded| decoded.message), Ok(message));
            }
            Err(error) => can_be_answered(&error, bytes),
        }
    }
}

/// The error must point into the message, and its cause be no longer than the message and its own header.
fn can_be_answered(error: &DecodeError, bytes: &[u8]) {
    assert!(error.offset <= bytes.len(), "{error}");
    if let Some(cause) = error.cause(bytes) {
        let report = asap::Message::from(asap::ErrorReport { error: cause.into() });
        assert!(encoded(&report, Dialect::Rfc).len() <= (bytes.len() + 12).next_multiple_of(4));
    }
}

/// RFC 5354 §3.10: whole seconds, signed. An element must not expire early, so lives are rounded up.
#[test]
fn registration_lives_are_rounded_up_and_never_become_infinite() {
    let element = |life| PoolElement {
        identifier: PeIdentifier(1),
        home: 0.into(),
        life: RegistrationLife::Finite(life),
        user_transport: rserpool_wire::Transport::Opaque([].into()),
        policy: Policy::RoundRobin,
        asap_transport: None,
    };
    let read_back = |life, dialect| {
        let mut buffer = BytesMut::new();
        element(life).encode(dialect, &mut buffer).expect("it fits");
        EncodedElement::new(&buffer).decode(dialect).expect("a good element").life.duration().expect("finite")
    };
    let (s, ms) = (Duration::from_secs, Duration::from_millis);
    let longest = i32::MAX.unsigned_abs().into();
    for (life, rfc, rsplib) in [
        (Duration::ZERO, s(0), s(0)),
        (Duration::from_nanos(1), s(1), ms(1)),
        (ms(1500), s(2), ms(1500)),
        (s(30), s(30), s(30)),
        (Duration::MAX, s(longest), ms(longest)),
    ] {
        assert_eq!(read_back(life, Dialect::Rfc), rfc);
        assert_eq!(read_back(life, Dialect::Rsplib), rsplib);
    }
}
