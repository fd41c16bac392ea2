//! What registrars and strangers get wrong: answered where the RFC wants it, reported, and otherwise without effect.
use rserpool_asap::{ElementEvent, Fault, UserEvent};
use rserpool_wire::asap::{Deregistration, ErrorReport, Message, RegistrationResponse};
use rserpool_wire::{CauseCode, ErrorCause, PeIdentifier};

use crate::support::*;

#[test]
fn an_unknown_message_is_answered_by_its_action_bits_5352_2_2_14() {
    let (mut pu, link) = Driver::at_home();
    pu.say_bytes(link, &[0x7f, 0, 0, 4]);
    match pu.next_sent() {
        Some((_, Message::Error(ErrorReport { error }))) => {
            assert!(error.has(CauseCode::UNRECOGNIZED_MESSAGE));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(pu.next_event(), Some(UserEvent::ProtocolFault { fault: Fault::Malformed(_), .. })));
    pu.say_bytes(link, &[0x3f, 0, 0, 4]);
    assert!(pu.nothing_sent(), "00 means silence");
    assert_eq!(pu.machine.statistics().malformed, 2);
}

#[test]
fn an_unknown_parameter_is_reported_and_the_message_handled() {
    let (mut pe, link, _) = Driver::registered();
    // ASAP_ENDPOINT_KEEP_ALIVE with a parameter of type 0xff00: skip and report.
    let bytes = b"\x07\0\0\x18\0\0\0\x09\0\x09\0\x08echo\xff\0\0\x08\0\0\0\0";
    pe.say_bytes(link, bytes);
    let sent: Vec<_> = std::iter::from_fn(|| pe.next_sent()).map(|(_, message)| message.name()).collect();
    assert_eq!(sent, ["ASAP_ERROR", "ASAP_ENDPOINT_KEEP_ALIVE_ACK"]);
    assert!(matches!(
        pe.next_event(),
        Some(ElementEvent::ProtocolFault { fault: Fault::UnrecognizedParameters { count: 1 }, .. })
    ));
}

#[test]
fn an_error_is_reported_and_never_answered() {
    let (mut pu, link) = Driver::at_home();
    let error = ErrorCause::new(CauseCode::INVALID_VALUES);
    pu.say(link, ErrorReport { error: error.clone().into() });
    assert_eq!(pu.take_events(), [UserEvent::ErrorReported { link, error: error.into() }]);
    // A malformed one: an unknown parameter that asks to be reported.
    pu.say_bytes(link, b"\x0e\0\0\x0c\x7f\0\0\x08\0\0\0\0");
    assert!(pu.nothing_sent());
    assert!(matches!(pu.next_event(), Some(UserEvent::ProtocolFault { .. })));

    let (mut pe, link, id) = Driver::registered();
    let error = ErrorCause::new(CauseCode::INVALID_VALUES);
    pe.say(link, ErrorReport { error: error.clone().into() });
    assert_eq!(pe.take_events(), [ElementEvent::ErrorReported { link, error: error.into() }]);
    assert!(pe.nothing_sent() && pe.machine.is_registered(id));
}

#[test]
fn messages_for_other_roles_are_reported_and_ignored() {
    let (mut pe, link, id) = Driver::registered();
    pe.say(link, Deregistration { pool_handle: echo(), identifier: PeIdentifier(1) });
    assert!(pe.machine.is_registered(id) && pe.nothing_sent());
    let fault = Fault::Unexpected { message: "ASAP_DEREGISTRATION" };
    assert_eq!(pe.take_events(), [ElementEvent::ProtocolFault { link, fault }]);
}

#[test]
fn a_flood_of_faults_is_counted_but_neither_answered_nor_reported() {
    let (mut pu, link) = Driver::at_home();
    for _ in 0..1_000 {
        pu.say_bytes(link, &[0x7f, 0, 0, 4]);
    }
    assert_eq!(pu.take_events().len(), 10);
    assert_eq!(std::iter::from_fn(|| pu.next_sent()).count(), 10);
    let statistics = *pu.machine.statistics();
    assert_eq!((statistics.malformed, statistics.suppressed, statistics.errors_sent), (1_000, 990, 10));
    pu.pass(seconds(1));
    pu.say_bytes(link, &[0x7f, 0, 0, 4]);
    assert_eq!(pu.take_events().len(), 1);
}

#[test]
fn only_the_home_answers_registrations() {
    let mut pe = Driver::element_of(&[R1]);
    pe.up(R1);
    let id = pe.register(registration(1));
    let stranger = pe.inbound(rserpool_machine::PeerIdentity::Anonymous);
    let identifier = PeIdentifier(1);
    pe.say(stranger, RegistrationResponse { rejected: false, pool_handle: echo(), identifier, error: None });
    assert!(!pe.machine.is_registered(id));
}

#[test]
fn nobody_has_reason_to_connect_to_a_user() {
    let (mut pu, link) = Driver::at_home();
    let stranger = rserpool_machine::LinkId::accepted(0);
    let remote = [([10, 6, 6, 6], 666).into()];
    rserpool_machine::Machine::handle_input(
        &mut pu.machine,
        pu.now,
        rserpool_machine::Input::LinkUp {
            link: stranger,
            protocol: rserpool_machine::Protocol::Asap,
            kind: rserpool_machine::LinkKind::PointToPoint(rserpool_machine::Scheme::Tcp),
            remote: &remote,
            identity: rserpool_machine::PeerIdentity::Anonymous,
        },
    );
    let output = rserpool_machine::Machine::poll_output(&mut pu.machine);
    assert_eq!(output, Some(rserpool_machine::Output::Disconnect { link: stranger }));
    assert!(pu.is_up(link));
}

#[test]
fn an_element_takes_a_bounded_number_of_connections() {
    let (mut pe, _, _) = Driver::registered();
    let links: Vec<_> = (0..100).map(|_| pe.inbound(rserpool_machine::PeerIdentity::Anonymous)).collect();
    assert_eq!(links.iter().filter(|link| pe.is_up(**link)).count(), 64);
}
