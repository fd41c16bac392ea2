//! Registrars that join a scope, in any order, get its handlespace; changes at one reach all.
use rserpool_interop::{Hosts, Process, Scenario};
use rustix::process::Signal;

use crate::members::{OUR_POOL, THEIR_POOL, our_element, ours, their_element, theirs};
use crate::table::At::{Ours, Theirs};
use crate::table::{At, agreed};

#[test]
fn ours_joins_two_of_theirs() {
    Scenario::new("joining::ours_joins_two_of_theirs").hosts(6).run(|hosts| {
        let _first = theirs(hosts, 1, &[]);
        let _second = theirs(hosts, 2, &[]);
        let old = their_element(hosts, 4, &[1]);
        agreed(hosts, &[Theirs(1), Theirs(2)], "an element", |table| table.count(THEIR_POOL, 1) == 1);

        let third = ours(hosts, 3);
        let all = [Theirs(1), Theirs(2), Ours(3)];
        agreed(hosts, &all, "ours has what was there", |table| table.count(THEIR_POOL, 1) == 1);
        elements_come_and_go(hosts, all, old);
        assert!(!third.printed().contains("resynchronized"), "a checksum has differed");
    });
}

#[test]
fn one_of_theirs_joins_two_of_ours() {
    Scenario::new("joining::one_of_theirs_joins_two_of_ours").hosts(6).run(|hosts| {
        let first = ours(hosts, 1);
        let second = ours(hosts, 2);
        let old = their_element(hosts, 4, &[1]);
        agreed(hosts, &[Ours(1), Ours(2)], "an element", |table| table.count(THEIR_POOL, 1) == 1);

        let _third = theirs(hosts, 3, &[]);
        let all = [Ours(1), Ours(2), Theirs(3)];
        agreed(hosts, &all, "theirs has what was there", |table| table.count(THEIR_POOL, 1) == 1);
        elements_come_and_go(hosts, all, old);
        for ours in [first, second] {
            assert!(!ours.printed().contains("resynchronized"), "a checksum has differed");
        }
    });
}

#[test]
fn registrars_that_know_each_other_by_address_start_at_the_same_time() {
    Scenario::new("joining::registrars_that_know_each_other_by_address_start_at_the_same_time").hosts(6).run(
        |hosts| {
            let peer = |host: u8| format!("-peer={}:9901", hosts.addresses(host, 1)[0]);
            // Announcing where nobody listens: no multicast helps.
            let alone = "-enrpannounce=239.0.0.98:9901";
            let our_peers = [1, 3].map(|host| format!("--peer=sctp://{}:9901", hosts.addresses(host, 1)[0]));
            let _first = theirs(hosts, 1, &[&peer(2), &peer(3), alone]);
            let second = hosts.start_registrar(2, &our_peers.each_ref().map(String::as_str));
            let _third = theirs(hosts, 3, &[&peer(1), &peer(2), alone]);
            second.prints("ready ");
            let old = their_element(hosts, 4, &[1]);
            elements_come_and_go(hosts, [Theirs(1), Ours(2), Theirs(3)], old);
        },
    );
}

/// There is one element, at the first registrar. Others come to the second and the third, and leave, also the old one.
fn elements_come_and_go(hosts: &Hosts<'_>, registrars: [At; 3], old: Process) {
    let at_third = our_element(hosts, 5, &[3]);
    let _stays = our_element(hosts, 4, &[2]);
    agreed(hosts, &registrars, "elements on all sides", |table| {
        (table.count(THEIR_POOL, 1), table.count(OUR_POOL, 2), table.count(OUR_POOL, 3)) == (1, 1, 1)
    });
    at_third.end(Signal::TERM);
    old.end(Signal::INT);
    agreed(hosts, &registrars, "one element is left", |table| {
        table.elements.len() == 1 && table.count(OUR_POOL, 2) == 1
    });
}
