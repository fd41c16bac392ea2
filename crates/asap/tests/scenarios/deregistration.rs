//! Deregistration (RFC 5352 §3.2).
use rserpool_asap::{DeregistrationOutcome, ElementEvent, RegistrationId};
use rserpool_machine::LinkId;
use rserpool_wire::asap::{Deregistration, DeregistrationResponse, Message};
use rserpool_wire::{CauseCode, ErrorCause, PeIdentifier};

use crate::support::*;

fn deregistration_sent(pe: &mut Driver<rserpool_asap::ElementMachine>, link: LinkId) {
    let sent = Message::Deregistration(Deregistration { pool_handle: echo(), identifier: PeIdentifier(1) });
    assert_eq!(pe.next_sent(), Some((link, sent)));
}

fn confirmed(id: RegistrationId) -> ElementEvent {
    ElementEvent::Deregistered { id, outcome: DeregistrationOutcome::Confirmed }
}

const GRANTED: DeregistrationResponse<'static> = DeregistrationResponse {
    pool_handle: rserpool_wire::PoolHandle::new(b"echo"),
    identifier: PeIdentifier(1),
    error: None,
};

#[test]
fn a_deregistration_goes_to_the_home_and_is_confirmed_5352_3_2_02_06() {
    let (mut pe, link, id) = Driver::registered();
    pe.deregister(id);
    deregistration_sent(&mut pe, link);
    assert_eq!(pe.take_events(), []);
    assert!(!pe.machine.is_registered(id));
    pe.say(link, GRANTED);
    assert_eq!(pe.take_events(), [confirmed(id)]);
    pe.pass(seconds(3600));
    assert!(pe.nothing_sent() && pe.is_up(link), "T3 and T4 are stopped");
}

#[test]
fn what_no_registrar_can_have_is_gone_at_once() {
    let mut pe = Driver::element_of(&[R1]);
    let id = pe.register(registration(1));
    pe.clear();
    pe.deregister(id);
    assert_eq!(pe.take_events(), [confirmed(id)]);
    pe.up(R1);
    assert!(pe.nothing_sent());
}

#[test]
fn when_t3_expires_another_registrar_is_asked_once_5352_3_2_05() {
    let (mut pe, link, id) = Driver::registered();
    pe.machine.add_registrar(endpoint(R2)).expect("no secured scope");
    pe.deregister(id);
    deregistration_sent(&mut pe, link);
    pe.pass(seconds(30));
    assert!(!pe.is_up(link));
    let link = pe.up(R2);
    deregistration_sent(&mut pe, link);
    pe.clear();
    pe.pass(seconds(30));
    assert_eq!(
        pe.take_events(),
        [ElementEvent::Deregistered { id, outcome: DeregistrationOutcome::TimedOut }]
    );
    assert!(pe.nothing_sent() && pe.is_up(link));
}

#[test]
fn without_any_registrar_it_is_given_up_after_two_t3() {
    let (mut pe, link, id) = Driver::registered();
    pe.cut(link);
    pe.clear();
    pe.deregister(id);
    pe.pass(seconds(59));
    assert!(!pe.take_events().iter().any(|event| matches!(event, ElementEvent::Deregistered { .. })));
    pe.pass(seconds(1));
    let timed_out = ElementEvent::Deregistered { id, outcome: DeregistrationOutcome::TimedOut };
    assert!(pe.take_events().contains(&timed_out));
}

#[test]
fn a_deregistration_follows_the_home() {
    let (mut pe, link, id) = Driver::registered();
    pe.deregister(id);
    pe.cut(link);
    pe.clear();
    let link = pe.up(R1);
    deregistration_sent(&mut pe, link);
    pe.say(link, GRANTED);
    assert!(pe.take_events().contains(&confirmed(id)));
}

#[test]
fn a_refusal_is_reported_5352_3_2_12() {
    let (mut pe, link, id) = Driver::registered();
    pe.deregister(id);
    let error = Some(ErrorCause::new(CauseCode::REJECTED_FOR_SECURITY).into());
    pe.say(link, DeregistrationResponse { error, ..GRANTED });
    assert!(matches!(
        pe.next_event(),
        Some(ElementEvent::Deregistered { outcome: DeregistrationOutcome::Refused(error), .. })
            if error.has(CauseCode::REJECTED_FOR_SECURITY)
    ));
}

#[test]
fn registering_again_calls_a_deregistration_off() {
    let (mut pe, link, id) = Driver::registered();
    pe.pass(seconds(10));
    pe.deregister(id);
    pe.clear();
    assert_eq!(pe.register(registration(1)), id);
    pe.grant(link);
    assert!(pe.machine.is_registered(id));
}

#[test]
fn others_stay_registered() {
    let (mut pe, link, first) = Driver::registered();
    let second = pe.register(registration(2));
    pe.grant(link);
    pe.deregister(first);
    pe.say(link, GRANTED);
    assert!(pe.machine.is_registered(second));
    pe.clear();
    pe.keep_alive(link, 9, false);
    assert_eq!(pe.acknowledged(link), PeIdentifier(2));
    assert!(pe.nothing_sent());
}
