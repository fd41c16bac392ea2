//! Registration and re-registration (RFC 5352 §3.1).
use rserpool_asap::{ElementConfig, ElementEvent, HomeLoss, RegisterError, SetPolicyError};
use rserpool_wire::asap::{DeregistrationResponse, RegistrationResponse};
use rserpool_wire::{
    CauseCode, ErrorCause, Load, PeIdentifier, Policy, RegistrationLife, ServerId, Transport,
};

use crate::support::*;

#[test]
fn a_registration_goes_out_as_soon_as_there_is_a_home_5352_3_1_03_06() {
    let mut pe = Driver::element_of(&[R1]);
    let id = pe.register(registration(1));
    assert!(pe.nothing_sent());
    let link = pe.up(R1);
    let sent = pe.registration_sent(link);
    assert_eq!(sent.identifier, PeIdentifier(1));
    assert_eq!(sent.home, ServerId::NONE);
    assert_eq!(sent.life, RegistrationLife::Finite(seconds(300)));
    assert_eq!(sent.asap_transport, None);
    assert!(!pe.machine.is_registered(id));
    pe.answer_registration(link, PeIdentifier(1), None);
    let registered = ElementEvent::Registered { id, home: None, endpoint: Some(endpoint(R1)) };
    assert_eq!(pe.take_events(), [ElementEvent::HomeFound { endpoint: endpoint(R1) }, registered]);
    assert!(pe.machine.is_registered(id));
    pe.pass(seconds(100));
    assert!(pe.nothing_sent(), "T2 is stopped (5352-3.1-11)");
}

#[test]
fn over_tcp_the_element_says_where_registrars_reach_it() {
    let transport = Transport::Tcp(([10, 1, 0, 1], 4000).into());
    let mut pe = Driver::element(ElementConfig {
        registrars: endpoints(&[R1]),
        asap_transport: Some(transport.clone()),
        ..ElementConfig::default()
    });
    let link = pe.up(R1);
    pe.register(registration(1));
    assert_eq!(pe.registration_sent(link).asap_transport, Some(transport));
}

#[test]
fn t4_registers_again_in_silence_with_the_same_identifier_5352_3_1_14_16() {
    let (mut pe, link, _) = Driver::registered();
    for _ in 0..5 {
        pe.pass(seconds(279));
        assert!(pe.nothing_sent());
        pe.pass(seconds(1));
        assert_eq!(pe.grant(link).identifier, PeIdentifier(1));
    }
    assert_eq!(pe.take_events(), []);
}

#[test]
fn an_unanswered_registration_is_sent_again_and_then_the_registrar_left_5352_3_1_17_18() {
    let mut pe = Driver::element_of(&[R1, R2]);
    let link = pe.up(R1);
    let id = pe.register(registration(1));
    pe.clear();
    pe.pass(seconds(29));
    assert!(pe.nothing_sent());
    pe.pass(seconds(1));
    pe.registration_sent(link);
    // T2 has doubled.
    pe.pass(seconds(59));
    assert!(pe.nothing_sent() && pe.is_up(link));
    pe.pass(seconds(1));
    assert!(!pe.is_up(link), "MAX-REG-ATTEMPT is 2");
    let lost = ElementEvent::HomeLost { endpoint: Some(endpoint(R1)), reason: HomeLoss::Silent };
    assert_eq!(pe.take_events(), [lost]);
    // 5352-3.1-10: the procedure is restarted at a different registrar.
    let link = pe.up(R2);
    pe.pass(seconds(2));
    pe.grant(link);
    assert!(pe.machine.is_registered(id));
}

#[test]
fn attempts_at_one_registrar_do_not_count_at_the_next_5352_3_1_17() {
    let mut pe = Driver::element_of(&[R1, R2]);
    let link = pe.up(R1);
    pe.register(registration(1));
    pe.registration_sent(link);
    pe.cut(link);
    let link = pe.up(R2);
    pe.pass(seconds(2));
    pe.registration_sent(link);
    pe.pass(seconds(60));
    assert!(pe.is_up(link));
    pe.registration_sent(link);
}

#[test]
fn an_answer_that_comes_twice_counts_once() {
    let (mut pe, link, id) = Driver::registered();
    pe.answer_registration(link, PeIdentifier(1), None);
    pe.answer_registration(link, PeIdentifier(1), Some(CauseCode::INVALID_VALUES));
    assert_eq!(pe.take_events(), []);
    assert!(pe.machine.is_registered(id));
}

#[test]
fn a_rejected_registration_is_not_attempted_again_without_correction_5352_3_1_12() {
    let mut pe = Driver::element_of(&[R1]);
    let link = pe.up(R1);
    let id = pe.register(registration(1));
    pe.registration_sent(link);
    pe.clear();
    pe.answer_registration(link, PeIdentifier(1), Some(CauseCode::INCONSISTENT_POOLING_POLICY));
    match pe.next_event() {
        Some(ElementEvent::Rejected { id: rejected, error, will_retry: false }) => {
            assert!(rejected == id && error.has(CauseCode::INCONSISTENT_POOLING_POLICY));
        }
        other => panic!("{other:?}"),
    }
    pe.pass(seconds(3600));
    assert!(pe.nothing_sent());
    pe.cut(link);
    let link = pe.up(R1);
    pe.pass(seconds(3600));
    assert!(pe.nothing_sent(), "another link corrects nothing");

    pe.set_policy(id, "rr");
    assert_eq!(pe.grant(link).policy, Policy::RoundRobin);
    assert!(pe.machine.is_registered(id));
}

#[test]
fn registering_again_corrects_what_was_rejected() {
    let mut pe = Driver::element_of(&[R1]);
    let link = pe.up(R1);
    let id = pe.register(registration(1));
    pe.registration_sent(link);
    pe.answer_registration(link, PeIdentifier(1), Some(CauseCode::INCONSISTENT_TRANSPORT_TYPE));
    pe.pass(seconds(10));
    let corrected = Transport::Udp(([10, 1, 0, 1], 7).into());
    let again = pe.register(rserpool_asap::ElementRegistration {
        user_transport: corrected.clone(),
        ..registration(1)
    });
    assert_eq!(again, id);
    assert_eq!(pe.grant(link).user_transport, corrected);
}

#[test]
fn a_duplicate_identifier_is_reported() {
    let mut pe = Driver::element_of(&[R1]);
    let link = pe.up(R1);
    pe.register(registration(1));
    pe.clear();
    pe.answer_registration(link, PeIdentifier(1), Some(CauseCode::NON_UNIQUE_PE_IDENTIFIER));
    assert!(matches!(
        pe.next_event(),
        Some(ElementEvent::Rejected { error, will_retry: false, .. })
            if error.has(CauseCode::NON_UNIQUE_PE_IDENTIFIER)
    ));
}

#[test]
fn an_element_whose_own_old_link_has_its_identifier_tries_again() {
    let (mut pe, link, id) = Driver::registered();
    pe.cut(link);
    let link = pe.up(R1);
    pe.pass(seconds(2));
    pe.registration_sent(link);
    pe.clear();
    pe.answer_registration(link, PeIdentifier(1), Some(CauseCode::NON_UNIQUE_PE_IDENTIFIER));
    assert!(matches!(pe.next_event(), Some(ElementEvent::Rejected { will_retry: true, .. })));
    pe.pass(seconds(29));
    assert!(pe.nothing_sent(), "not at once");
    pe.pass(seconds(31));
    pe.grant(link);
    assert!(pe.machine.is_registered(id));
}

#[test]
fn an_element_whose_address_changes_registers_at_once_with_the_new_one() {
    let (mut pe, link, id) = Driver::registered();
    let moved = Transport::Tcp(([10, 1, 0, 99], 7).into());
    pe.pass(seconds(10));
    pe.set_transports(id, &moved);
    let registered = pe.grant(link);
    assert_eq!((registered.user_transport, registered.asap_transport), (moved.clone(), Some(moved.clone())));
    pe.set_transports(id, &moved);
    assert!(pe.nothing_sent(), "nothing changed");
}

#[test]
fn where_resources_lack_the_element_tries_later_and_elsewhere() {
    let mut pe = Driver::element_of(&[R1, R2]);
    let link = pe.up(R1);
    let id = pe.register(registration(1));
    pe.clear();
    pe.answer_registration(link, PeIdentifier(1), Some(CauseCode::LACK_OF_RESOURCES));
    assert!(matches!(pe.next_event(), Some(ElementEvent::Rejected { will_retry: true, .. })));
    pe.pass(seconds(29));
    assert!(pe.nothing_sent(), "not at once");
    pe.pass(seconds(31));
    let lost = ElementEvent::HomeLost { endpoint: Some(endpoint(R1)), reason: HomeLoss::Refused };
    assert_eq!(pe.take_events(), [lost]);
    let link = pe.up(R2);
    pe.grant(link);
    assert!(pe.machine.is_registered(id));
}

#[test]
fn where_resources_lack_for_one_of_two_the_home_is_kept() {
    let (mut pe, link, _) = Driver::registered();
    pe.register(registration(2));
    pe.clear();
    pe.answer_registration(link, PeIdentifier(2), Some(CauseCode::LACK_OF_RESOURCES));
    pe.pass(seconds(60));
    assert!(pe.is_up(link));
    assert_eq!(pe.grant(link).identifier, PeIdentifier(2));
}

#[test]
fn new_policy_values_are_registered_merged_and_not_too_often_5352_3_1_13() {
    let (mut pe, link, id) = Driver::registered();
    pe.pass(seconds(5));
    pe.set_policy(id, "lu:0.1");
    assert_eq!(pe.registration_sent(link).policy.load(), Some(Load::from_fraction(0.1)));
    for load in 2..=9 {
        pe.set_policy(id, &format!("lu:0.{load}"));
    }
    assert!(pe.nothing_sent(), "one is on its way");
    pe.answer_registration(link, PeIdentifier(1), None);
    pe.pass(millis(999));
    assert!(pe.nothing_sent(), "not too often");
    pe.pass(millis(1));
    assert_eq!(pe.grant(link).policy.load(), Some(Load::from_fraction(0.9)));
    pe.pass(seconds(100));
    pe.set_policy(id, "lu:0.9");
    assert!(pe.nothing_sent(), "that is no change");
    assert_eq!(pe.take_events(), []);
}

#[test]
fn new_values_do_not_put_off_t4() {
    let (mut pe, link, id) = Driver::registered();
    pe.pass(seconds(100));
    pe.set_policy(id, "lu:0.5");
    pe.grant(link);
    pe.pass(seconds(280));
    pe.grant(link);
}

#[test]
fn an_expired_registration_is_registered_again_5352_3_2() {
    let (mut pe, link, id) = Driver::registered();
    pe.pass(seconds(200));
    pe.say(link, DeregistrationResponse { pool_handle: echo(), identifier: PeIdentifier(1), error: None });
    assert_eq!(pe.take_events(), [ElementEvent::Expired { id }]);
    assert!(!pe.machine.is_registered(id));
    pe.grant(link);
    assert!(matches!(pe.next_event(), Some(ElementEvent::Registered { .. })));
}

#[test]
fn a_registrar_that_expires_everything_at_once_is_not_flooded() {
    let (mut pe, link, _) = Driver::registered();
    let mut registrations = 0;
    for _ in 0..100 {
        pe.say(
            link,
            DeregistrationResponse { pool_handle: echo(), identifier: PeIdentifier(1), error: None },
        );
        while pe.next_sent().is_some() {
            registrations += 1;
            pe.answer_registration(link, PeIdentifier(1), None);
        }
        pe.pass(millis(100));
    }
    assert!((5..=11).contains(&registrations), "{registrations} registrations in 10 s");
}

#[test]
fn a_warning_is_passed_on() {
    let mut pe = Driver::element_of(&[R1]);
    let link = pe.up(R1);
    let id = pe.register(registration(1));
    pe.clear();
    let error = ErrorCause::new(CauseCode::INVALID_VALUES).into();
    let identifier = PeIdentifier(1);
    pe.say(
        link,
        RegistrationResponse { rejected: false, pool_handle: echo(), identifier, error: Some(error) },
    );
    assert!(pe.machine.is_registered(id));
    assert!(matches!(
        pe.take_events().as_slice(),
        [ElementEvent::Registered { .. }, ElementEvent::Warning { error, .. }] if error.has(CauseCode::INVALID_VALUES)
    ));
}

#[test]
fn several_elements_share_the_link() {
    let mut pe = Driver::element_of(&[R1]);
    let link = pe.up(R1);
    let ids: Vec<_> = (1..=3).map(|identifier| pe.register(registration(identifier))).collect();
    for _ in &ids {
        pe.grant(link);
    }
    assert!(ids.iter().all(|id| pe.machine.is_registered(*id)));
    pe.set_policy(ids[1], "lu:0.5");
    pe.pass(seconds(1));
    assert_eq!(pe.registration_sent(link).identifier, PeIdentifier(2));
}

#[test]
fn what_cannot_be_registered_is_refused() {
    let mut pe = Driver::element(ElementConfig { max_registrations: 1, ..ElementConfig::default() });
    let mut wrong = registration(1);
    wrong.life = RegistrationLife::Finite(millis(0));
    assert_eq!(pe.machine.register(pe.now, wrong), Err(RegisterError::LifeIsZero));
    let mut wrong = registration(1);
    wrong.pool_handle = vec![b'x'; 65_531].into();
    assert!(matches!(pe.machine.register(pe.now, wrong), Err(RegisterError::TooLong(_))));
    let id = pe.register(registration(1));
    assert_eq!(pe.machine.register(pe.now, registration(2)), Err(RegisterError::TooMany { limit: 1 }));
    let huge =
        Policy::Other { policy_type: rserpool_wire::PolicyType(0x8000_0000), data: vec![0; 65_530].into() };
    assert!(matches!(pe.machine.set_policy(pe.now, id, huge), Err(SetPolicyError::TooLong(_))));
    pe.deregister(id);
    let gone = pe.machine.set_policy(pe.now, id, Policy::RoundRobin);
    assert_eq!(gone, Err(SetPolicyError::Unknown(id)));
}
