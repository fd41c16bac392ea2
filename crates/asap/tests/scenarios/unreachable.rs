//! Reports of unreachable elements (RFC 5352 §3.5).
use rserpool_wire::PeIdentifier;
use rserpool_wire::asap::{EndpointUnreachable, Message};

use crate::support::*;

fn report(identifier: u32) -> Message<'static> {
    EndpointUnreachable { pool_handle: echo(), identifier: PeIdentifier(identifier) }.into()
}

#[test]
fn an_event_is_reported_once_5352_3_5_01_03() {
    let (mut pu, link) = Driver::at_home();
    for _ in 0..10 {
        pu.machine.report_unreachable(pu.now, &echo(), PeIdentifier(1));
        pu.drain();
    }
    assert_eq!(pu.next_sent(), Some((link, report(1))));
    assert!(pu.nothing_sent());
    pu.pass(seconds(5));
    pu.machine.report_unreachable(pu.now, &echo(), PeIdentifier(1));
    pu.drain();
    assert_eq!(pu.next_sent(), Some((link, report(1))), "a new event");
    pu.pass(seconds(4));
    pu.machine.report_unreachable(pu.now, &echo(), PeIdentifier(1));
    pu.drain();
    assert!(pu.nothing_sent());
}

#[test]
fn reports_wait_for_a_home() {
    let mut pu = Driver::user_of(&[R1]);
    pu.machine.report_unreachable(pu.now, &echo(), PeIdentifier(1));
    pu.drain();
    let link = pu.up(R1);
    assert_eq!(pu.next_sent(), Some((link, report(1))));
}

#[test]
fn reports_are_limited_in_number() {
    let (mut pu, _) = Driver::at_home();
    for identifier in 0..5_000 {
        pu.machine.report_unreachable(pu.now, &echo(), PeIdentifier(identifier));
        pu.drain();
    }
    let sent = std::iter::from_fn(|| pu.next_sent()).count();
    assert_eq!(sent, 16);
    pu.pass(seconds(40));
    pu.machine.report_unreachable(pu.now, &echo(), PeIdentifier(4_999));
    pu.drain();
    assert!(!pu.nothing_sent(), "room again");
}
