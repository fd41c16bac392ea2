//! The home registrar of an element: its death, its keep-alives, and its successors (RFC 5352 §3.4).
use rserpool_asap::{AsapTimers, ElementConfig, ElementEvent, HomeLoss};
use rserpool_machine::{DownReason, PeerIdentity};
use rserpool_wire::asap::EndpointKeepAlive;
use rserpool_wire::{PeIdentifier, PoolHandle, ServerId};

use crate::support::*;

#[test]
fn when_the_home_dies_the_element_hunts_at_once_and_registers_again() {
    let (mut pe, link, id) = Driver::registered();
    pe.machine.add_registrar(endpoint(R2)).expect("no secured scope");
    pe.cut(link);
    let lost =
        ElementEvent::HomeLost { endpoint: Some(endpoint(R1)), reason: HomeLoss::Link(DownReason::Closed) };
    assert_eq!(pe.take_events(), [lost]);
    assert_eq!(pe.attempts(), [R1, R2]);
    let link = pe.up(R2);
    pe.pass(seconds(2));
    pe.grant(link);
    let registered = ElementEvent::Registered { id, home: None, endpoint: Some(endpoint(R2)) };
    assert_eq!(pe.take_events(), [ElementEvent::HomeFound { endpoint: endpoint(R2) }, registered]);
}

#[test]
fn after_an_outage_registrations_are_spread_over_time() {
    let mut pe = Driver::element_of(&[R1]);
    let link = pe.up(R1);
    for identifier in 1..=100 {
        pe.register(registration(identifier));
        pe.grant(link);
    }
    pe.cut(link);
    pe.clear();
    pe.up(R1);
    let mut sent = Vec::new();
    for _ in 0..4 {
        pe.pass(millis(500));
        sent.push(std::iter::from_fn(|| pe.next_sent()).count());
    }
    assert_eq!(sent.iter().sum::<usize>(), 100);
    assert!(sent.iter().all(|sent| (10..=45).contains(sent)), "{sent:?}");
}

#[test]
fn an_outage_of_a_day_is_survived() {
    let (mut pe, link, id) = Driver::registered();
    pe.cut(link);
    for _ in 0..24 * 60 {
        pe.refuse_all();
        pe.pass(seconds(60));
    }
    let link = pe.up(R1);
    pe.pass(seconds(2));
    pe.grant(link);
    assert!(pe.machine.is_registered(id));
}

#[test]
fn keep_alives_are_acknowledged_on_their_link_5352_3_4_01() {
    let (mut pe, link, _) = Driver::registered();
    pe.keep_alive(link, 9, false);
    assert_eq!(pe.acknowledged(link), PeIdentifier(1));
    assert_eq!(pe.machine.home(), Some(ServerId(9)));
    let other = pe.inbound(PeerIdentity::Anonymous);
    pe.keep_alive(other, 8, false);
    assert_eq!(pe.acknowledged(other), PeIdentifier(1));
    assert_eq!(pe.machine.home(), Some(ServerId(9)), "without the H flag, the home stays");
    assert_eq!(pe.take_events(), []);
}

#[test]
fn keep_alives_for_others_are_silently_discarded_5352_3_4_02() {
    let (mut pe, link, _) = Driver::registered();
    let keep_alive =
        EndpointKeepAlive { home: true, server: ServerId(9), pool_handle: echo(), identifier: None };
    pe.say(link, EndpointKeepAlive { pool_handle: PoolHandle::from("other"), ..keep_alive.clone() });
    pe.say(link, EndpointKeepAlive { identifier: Some(PeIdentifier(7)), ..keep_alive });
    assert!(pe.nothing_sent());
    assert_eq!(pe.take_events(), []);
}

#[test]
fn an_element_that_was_never_registered_answers_no_keep_alive() {
    let mut pe = Driver::element_of(&[]);
    pe.register(registration(1));
    let link = pe.inbound(PeerIdentity::Anonymous);
    pe.keep_alive(link, 9, true);
    assert!(pe.nothing_sent() && !pe.machine.has_home());
}

#[test]
fn a_keep_alive_that_names_an_element_is_for_that_one_alone() {
    let (mut pe, link, _) = Driver::registered();
    pe.register(registration(2));
    pe.grant(link);
    let identifier = Some(PeIdentifier(2));
    let server = ServerId(9);
    pe.say(link, EndpointKeepAlive { home: false, server, pool_handle: echo(), identifier });
    assert_eq!(pe.acknowledged(link), PeIdentifier(2));
    assert!(pe.nothing_sent());
    pe.keep_alive(link, 9, false);
    assert_eq!([pe.acknowledged(link), pe.acknowledged(link)], [PeIdentifier(1), PeIdentifier(2)]);
}

#[test]
fn a_keep_alive_with_the_h_flag_makes_its_sender_home_5352_3_4_ka2_4() {
    let (mut pe, old, id) = Driver::registered();
    pe.keep_alive(old, 9, true);
    pe.clear();
    let new = pe.inbound(PeerIdentity::Anonymous);
    pe.keep_alive(new, 8, true);
    assert_eq!(pe.acknowledged(new), PeIdentifier(1));
    let adopted = ElementEvent::HomeAdopted { server: ServerId(8), previous: Some(ServerId(9)) };
    assert_eq!(pe.take_events(), [adopted]);
    assert!(!pe.is_up(old), "an element has one home (5352-1.1-01)");
    assert!(pe.machine.is_registered(id));
    // T4 goes on at the new home.
    pe.pass(seconds(279));
    assert!(pe.nothing_sent());
    pe.pass(seconds(1));
    pe.grant(new);
    assert_eq!(pe.take_events(), []);
}

#[test]
fn an_element_without_a_home_adopts_the_one_that_comes() {
    let (mut pe, old, id) = Driver::registered();
    pe.cut(old);
    assert_eq!(pe.attempts(), [R1]);
    let new = pe.inbound(PeerIdentity::Anonymous);
    pe.keep_alive(new, 8, true);
    assert!(pe.connecting.is_empty(), "the hunt is over");
    assert_eq!(pe.acknowledged(new), PeIdentifier(1));
    pe.pass(seconds(5));
    assert!(pe.nothing_sent() && pe.machine.is_registered(id), "it is listed there already");
    pe.clear();
    pe.cut(new);
    assert_eq!(pe.attempts(), [R1], "and hunts when that one is gone, too");
}

#[test]
fn what_the_new_home_does_not_name_is_registered_there() {
    let (mut pe, _, _) = Driver::registered();
    let link = pe.inbound(PeerIdentity::Anonymous);
    let mut other = registration(2);
    other.pool_handle = PoolHandle::from("other");
    pe.register(other);
    pe.clear();
    pe.keep_alive(link, 8, true);
    pe.acknowledged(link);
    pe.pass(seconds(2));
    assert_eq!(pe.registration_sent(link).identifier, PeIdentifier(2));
    assert!(pe.nothing_sent());
}

#[test]
fn each_keep_alive_of_a_new_home_names_one_more() {
    let (mut pe, old, _) = Driver::registered();
    pe.register(registration(2));
    pe.grant(old);
    let link = pe.inbound(PeerIdentity::Anonymous);
    for identifier in [1, 2] {
        let (server, identifier) = (ServerId(8), Some(PeIdentifier(identifier)));
        pe.say(link, EndpointKeepAlive { home: true, server, pool_handle: echo(), identifier });
    }
    pe.acknowledged(link);
    pe.acknowledged(link);
    pe.pass(seconds(10));
    assert!(pe.nothing_sent());
}

#[test]
fn values_that_the_old_home_never_got_are_registered_at_the_new_one() {
    let (mut pe, _, id) = Driver::registered();
    pe.set_policy(id, "lu:0.5");
    let link = pe.inbound(PeerIdentity::Anonymous);
    pe.clear();
    pe.keep_alive(link, 8, true);
    pe.acknowledged(link);
    pe.pass(seconds(2));
    assert_eq!(pe.grant(link).policy.to_string(), "lu:0.5");
}

#[test]
fn a_second_link_of_the_home_changes_nothing() {
    let (mut pe, link, _) = Driver::registered();
    pe.keep_alive(link, 9, false);
    pe.clear();
    let second = pe.inbound(PeerIdentity::Anonymous);
    pe.keep_alive(second, 9, true);
    assert_eq!(pe.acknowledged(second), PeIdentifier(1));
    assert!(pe.is_up(link));
    assert_eq!(pe.take_events(), []);
}

#[test]
fn in_a_secured_scope_only_authenticated_registrars_are_listened_to() {
    let config = ElementConfig {
        registrars: endpoints(&["tls://10.0.0.1:3864"]),
        secured: true,
        ..ElementConfig::default()
    };
    let mut pe = Driver::element(config);
    let home = pe.up("tls://10.0.0.1:3864");
    pe.register(registration(1));
    pe.grant(home);
    for identity in [PeerIdentity::Anonymous, PeerIdentity::Encrypted] {
        pe.clear();
        let link = pe.inbound(identity);
        assert!(!pe.is_up(link));
        assert!(matches!(pe.next_event(), Some(ElementEvent::ProtocolFault { .. })));
        pe.keep_alive(link, 8, true);
        assert!(pe.is_up(home) && pe.nothing_sent());
    }
    let link = pe.inbound(PeerIdentity::Authenticated("registrar-2".into()));
    pe.keep_alive(link, 8, true);
    assert_eq!(pe.machine.home(), Some(ServerId(8)));
}

#[test]
fn an_element_that_knows_its_registrars_by_name_listens_to_no_others() {
    // 5355-2.6.3-01
    let config = ElementConfig {
        registrars: endpoints(&["tls://10.0.0.1:3864"]),
        secured: true,
        registrar_names: vec!["registrar-1".into(), "registrar-2".into()],
        ..ElementConfig::default()
    };
    let mut pe = Driver::element(config);
    let home = pe.up("tls://10.0.0.1:3864");
    pe.register(registration(1));
    pe.grant(home);
    let other = pe.inbound(PeerIdentity::Authenticated("pe-b".into()));
    pe.keep_alive(other, 8, true);
    assert!(!pe.is_up(other) && pe.is_up(home));
    // Whoever has the element's key has no name.
    let keyed = pe.inbound(PeerIdentity::Keyed("pe-a".into()));
    assert!(!pe.is_up(keyed));
    let link = pe.inbound(PeerIdentity::Authenticated("registrar-2".into()));
    pe.keep_alive(link, 8, true);
    assert_eq!(pe.machine.home(), Some(ServerId(8)));
}

#[test]
fn a_flood_of_keep_alives_is_answered_up_to_the_limit_and_life_goes_on() {
    // 5355-2.14.3-01
    let registrars = endpoints(&[R1]);
    let config = ElementConfig { registrars, keep_alives_per_second: 10, ..ElementConfig::default() };
    let mut pe = Driver::element(config);
    let home = pe.up(R1);
    pe.register(registration(1));
    pe.grant(home);
    for _ in 0..1_000 {
        pe.keep_alive(home, 1, false);
    }
    assert_eq!(pe.machine.statistics().keep_alives_shed, 990);
    pe.clear();
    pe.pass(millis(1_000));
    pe.clear();
    pe.keep_alive(home, 1, false);
    assert!(!pe.nothing_sent(), "it is acknowledged again");
}

#[test]
fn the_fast_profile_is_registered_elsewhere_within_a_second_of_silence() {
    let timers = AsapTimers::fast();
    let registrars = endpoints(&[R1, R2]);
    let mut pe = Driver::element(ElementConfig { registrars, timers, ..ElementConfig::default() });
    let silent = pe.up(R1);
    let id = pe.register(registration(1));
    pe.clear();
    pe.pass(millis(300));
    assert!(!pe.is_up(silent));
    let link = pe.up(R2);
    pe.pass(millis(50));
    pe.grant(link);
    assert!(pe.machine.is_registered(id));
}
