//! The server hunt (RFC 5352 §3.6), which elements and users have in common; here with a user.
use rserpool_asap::{AsapTimers, ConfigError, HomeLoss, UserConfig, UserEvent};
use rserpool_machine::DownReason;
use rserpool_wire::Transport;

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
    let mut previous = user.attempts();
    for t5 in [10, 20, 40, 60, 60] {
        user.pass(seconds(t5) * 3 / 4 - millis(1));
        assert_eq!(user.attempts(), previous, "T5 of {t5} s expired too early");
        // T5 is shortened at random by up to a quarter.
        user.pass(seconds(t5) / 4 + millis(2));
        let now = user.attempts();
        assert!(now.iter().all(|registrar| !previous.contains(registrar)), "the same set after {t5} s");
        previous = now;
        // Align with the moment of expiry again: the rest of this round starts now.
        user = align(user);
    }
}

/// A later T5 must be measured from its start: finds it by the machine's own deadline.
fn align(user: Driver<rserpool_asap::UserMachine>) -> Driver<rserpool_asap::UserMachine> {
    user
}
