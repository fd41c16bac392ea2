//! The server hunt (RFC 5352 §3.6), which elements and users have in common; here with a user.
use rserpool_asap::{AsapTimers, ConfigError, HomeLoss, UserConfig, UserEvent};
use rserpool_machine::{DownReason, Machine, Output};
use rserpool_wire::{Transport, TransportUse};

use crate::support::*;

const MANY: [&str; 6] = [R1, R2, R3, "tcp://10.0.0.4:3863", "tcp://10.0.0.5:3863", "tcp://10.0.0.6:3863"];

#[test]
fn at_its_startup_a_user_tries_no_more_than_three_registrars_5352_3_6_05_08() {
    assert_eq!(Driver::user_of(&MANY).connecting.len(), 3);
    assert_eq!(Driver::user_of(&[R1, R2]).attempts(), [R1, R2]);
}

#[test]
fn the_first_link_that_is_up_wins_and_the_others_are_closed_5352_3_6_09() {
    let mut user = Driver::user_of(&[R1, R2, R3]);
    let link = user.up(R2);
    assert!(user.is_up(link));
    assert!(user.connecting.is_empty());
    assert_eq!(user.take_events(), [UserEvent::HomeFound { endpoint: endpoint(R2) }]);
    assert!(user.machine.has_home());
    user.pass(seconds(100));
    assert!(user.connecting.is_empty(), "T5 is stopped");
}

#[test]
fn a_failed_attempt_is_followed_by_one_at_another_registrar_5352_3_6_11() {
    let mut user = Driver::user_of(&MANY);
    let mut tried = user.attempts();
    while let Some((_, registrar)) = user.connecting.first().cloned() {
        user.refuse(&registrar.to_string());
        tried.extend(user.attempts());
    }
    tried.sort();
    tried.dedup();
    assert_eq!(tried.len(), MANY.len());
}

#[test]
fn t5_doubles_up_to_retran_max_and_another_set_is_tried_5352_3_6_12_15() {
    let mut user = Driver::user_of(&MANY);
    for t5 in [10, 20, 40, 60, 60] {
        let before = user.attempts();
        let wait = user.machine.poll_timeout().expect("T5") - user.now;
        assert!(wait <= seconds(t5) && wait >= seconds(t5) * 3 / 4, "{wait:?} for a T5 of {t5} s");
        user.pass(wait);
        let after = user.attempts();
        assert_eq!(after.len(), 3);
        assert!(after.iter().all(|registrar| !before.contains(registrar)), "the same set after {t5} s");
    }
}

#[test]
fn t5_is_back_at_its_initial_value_after_a_home_was_found_5352_3_6_10() {
    let mut user = Driver::user_of(&[R1]);
    user.pass(seconds(100));
    let link = user.up(R1);
    user.pass(seconds(100));
    user.cut(link);
    let wait = user.machine.poll_timeout().expect("T5") - user.now;
    assert!(wait <= seconds(10), "{wait:?}");
}

#[test]
fn the_hunt_never_ends_and_says_once_that_no_registrar_can_be_reached() {
    let mut user = Driver::user_of(&[R1, R2]);
    let exhausted = UserEvent::RegistrarsExhausted { known: 2 };
    user.refuse(R1);
    assert_eq!(user.take_events(), []);
    user.refuse_all();
    assert_eq!(user.next_event(), Some(exhausted.clone()));
    for _ in 0..50 {
        user.pass(seconds(60));
        assert!(!user.connecting.is_empty());
        user.refuse_all();
    }
    assert_eq!(user.take_events(), []);
    user.pass(seconds(60));
    let link = user.up(R2);
    user.pass(seconds(60));
    user.clear();
    user.cut(link);
    user.refuse(R2);
    let told = user.take_events();
    assert!(!told.contains(&exhausted), "what failed before the home was found counts no more");
    user.refuse(R1);
    let lost =
        UserEvent::HomeLost { endpoint: Some(endpoint(R2)), reason: HomeLoss::Link(DownReason::Closed) };
    assert_eq!((told, user.take_events()), (vec![lost], vec![exhausted]));
}

#[test]
fn a_registrar_that_drops_every_link_is_not_connected_to_in_a_tight_loop() {
    let mut user = Driver::user_of(&[R1]);
    let mut connections = 0;
    for _ in 0..6_000 {
        if !user.connecting.is_empty() {
            connections += 1;
            let link = user.up(R1);
            user.cut(link);
        }
        user.pass(millis(100));
    }
    // 10 min at T5 of 10, 20, 40, 60, 60 s …
    assert!((5..20).contains(&connections), "{connections} connections in 10 min");
}

#[test]
fn an_announced_registrar_is_tried_at_once_and_forgotten_when_t7_expires_5352_3_6_02_03() {
    let mut user = Driver::user_of(&[]);
    assert!(user.connecting.is_empty());
    let tcp = Transport::Tcp(([10, 0, 0, 7], 3863).into());
    let (port, transport_use) = (3863, TransportUse::DataOnly);
    let addresses = vec![[10, 0, 0, 7].into(), [10, 1, 0, 7].into()];
    let sctp = Transport::Sctp { port, transport_use, addresses };
    user.announce(vec![tcp.clone(), sctp.clone()]);
    assert_eq!(user.attempts(), ["sctp://10.0.0.7:3863,10.1.0.7:3863", "tcp://10.0.0.7:3863"]);
    user.pass(seconds(4));
    user.announce(vec![tcp]);
    user.pass(seconds(2));
    let left: Vec<_> = user.machine.registrars().map(ToString::to_string).collect();
    assert_eq!(left, ["tcp://10.0.0.7:3863"], "its T7 was restarted, that of the other one was not");
    user.pass(seconds(4));
    assert_eq!(user.machine.registrars().count(), 0);
}

#[test]
fn a_configured_registrar_is_never_forgotten_even_if_it_announces_itself() {
    let mut user = Driver::user_of(&[R1]);
    user.announce(vec![Transport::Tcp(([10, 0, 0, 1], 3863).into())]);
    user.pass(seconds(60));
    assert_eq!(user.machine.registrars().count(), 1);
}

#[test]
fn an_announcement_without_transports_means_sctp_at_its_source() {
    let mut user = Driver::user_of(&[]);
    user.announce(Vec::new());
    assert_eq!(user.attempts(), ["sctp://10.9.9.9:3863"]);
}

#[test]
fn in_a_secured_scope_registrars_are_reached_over_tls_only() {
    let config = UserConfig { secured: true, ..UserConfig::default() };
    let mut user = Driver::user(config);
    user.announce(vec![Transport::Tcp(([10, 0, 0, 7], 3864).into())]);
    assert_eq!(user.attempts(), ["tls://10.0.0.7:3864"]);
    let refused = user.machine.add_registrar(endpoint(R1));
    assert_eq!(refused, Err(ConfigError::UnsecuredRegistrar(endpoint(R1))));
}

#[test]
fn forged_announcements_are_remembered_in_a_bounded_number() {
    let mut user = Driver::user(UserConfig { max_announced: 8, ..UserConfig::default() });
    for host in 0..200 {
        user.announce(vec![Transport::Tcp(([10, 0, 1, host], 3863).into())]);
    }
    assert_eq!(user.machine.registrars().count(), 8);
}

#[test]
fn a_registrar_can_be_added_later() {
    let mut user = Driver::user_of(&[]);
    user.machine.add_registrar(endpoint(R1)).expect("no secured scope");
    user.drain();
    assert_eq!(user.attempts(), [R1]);
}

#[test]
fn the_load_of_many_users_is_spread_over_the_registrars() {
    let mut first = std::collections::BTreeMap::<String, u32>::new();
    for seed in 0..300 {
        let config = UserConfig { registrars: endpoints(&[R1, R2, R3]), ..UserConfig::default() };
        let now = Driver::user_of(&[]).now;
        let mut machine = rserpool_asap::UserMachine::new(config, seed, now).expect("a configuration");
        if let Some(Output::Connect { remote, .. }) = machine.poll_output() {
            *first.entry(remote.to_string()).or_default() += 1;
        }
    }
    assert_eq!(first.len(), 3);
    assert!(first.values().all(|count| (60..140).contains(count)), "{first:?}");
}

#[test]
fn the_fast_profile_hunts_in_fractions_of_a_second() {
    let timers = AsapTimers::fast();
    let mut user = Driver::user(UserConfig { registrars: endpoints(&MANY), timers, ..UserConfig::default() });
    let before = user.attempts();
    user.pass(millis(200));
    assert_ne!(user.attempts(), before);
}
