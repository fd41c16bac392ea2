//! Registrars that die, and others that take their elements over, while elements and users go on.
use std::time::{Duration, Instant};

use rserpool_interop::{Hosts, Process, Scenario, until};

use crate::members::{OUR_POOL, THEIR_POOL, our_element, ours, their_element, theirs};
use crate::table::At::{Ours, Theirs};
use crate::table::{At, OBSERVER, agreed};
use crate::users::{Users, homes};

/// How long the death of a registrar may go unnoticed: MAX-TIME-LAST-HEARD, MAX-TIME-NO-RESPONSE, and that again for peers
/// that do not agree to the take-over; some more, for the kernel is slow.
const NOTICED: Duration = Duration::from_secs(60);

/// The heir is whoever notices first. With the defaults that is a matter of luck.
const NOTICES_LATE: &str = "-peermaxtimelastheard=9000";
const NOTICES_EARLY: [&str; 2] = ["-peermaxtimelastheard=3500", "-peermaxtimenoresponse=2000"];

/// How a registrar ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Death {
    /// Its host is silent from now on.
    Power,
    /// Its host says that it is gone.
    Process,
}

#[test]
fn theirs_takes_over_when_ours_dies() {
    Scenario::new("takeover::theirs_takes_over_when_ours_dies").hosts(6).run(|hosts| {
        let _first = theirs(hosts, 1, &[]);
        let _second = theirs(hosts, 2, &[NOTICES_LATE]);
        let third = ours(hosts, 3);
        dies(hosts, third, 3, &[Theirs(1), Theirs(2)], 1, Death::Power);
    });
}

#[test]
fn ours_takes_over_when_theirs_dies_and_another_of_theirs_agrees() {
    Scenario::new("takeover::ours_takes_over_when_theirs_dies_and_another_of_theirs_agrees").hosts(6).run(
        |hosts| {
            let second = theirs(hosts, 2, &[]);
            let _third = theirs(hosts, 3, &[NOTICES_LATE]);
            let _first = ours(hosts, 1);
            dies(hosts, second, 2, &[Ours(1), Theirs(3)], 1, Death::Power);
        },
    );
}

#[test]
fn theirs_takes_over_when_another_of_theirs_dies_and_ours_agrees() {
    Scenario::new("takeover::theirs_takes_over_when_another_of_theirs_dies_and_ours_agrees").hosts(6).run(
        |hosts| {
            let second = theirs(hosts, 2, &[]);
            let _third = theirs(hosts, 3, &NOTICES_EARLY);
            let first = ours(hosts, 1);
            dies(hosts, second, 2, &[Ours(1), Theirs(3)], 3, Death::Power);
            assert!(!first.printed().contains("taking over"), "ours has left it to theirs");
        },
    );
}

#[test]
fn ours_takes_over_when_the_only_other_one_dies() {
    Scenario::new("takeover::ours_takes_over_when_the_only_other_one_dies").hosts(6).run(|hosts| {
        let first = theirs(hosts, 1, &[]);
        let _second = ours(hosts, 2);
        dies(hosts, first, 1, &[Ours(2)], 2, Death::Process);
    });
}

/// The registrar on a host, which has elements of both implementations, ends by `how`; one of those left takes both over.
fn dies(hosts: &Hosts<'_>, registrar: Process, host: u8, left: &[At], heir: u8, how: Death) {
    let hosts_left: Vec<u8> = left.iter().map(|at| at.host()).collect();
    let all = [&[host][..], &hosts_left].concat();
    let _their_element = their_element(hosts, 4, &[host]);
    let _our_element = our_element(hosts, 5, &[host]);
    // To be asked this is no burden. `hsdump` says that it is a registrar, and would have to agree to the take-over.
    let all_say = |home: u8| {
        let pools = [OUR_POOL, THEIR_POOL];
        hosts_left.iter().all(|at| pools.iter().all(|pool| homes(hosts, OBSERVER, &[*at], pool) == [home]))
    };
    until("all know both elements", NOTICED, || all_say(host));
    let mut users = Users::start(hosts, &all);

    if how == Death::Power {
        hosts.cut(host, 1).unwrap();
    }
    registrar.kill();
    let dead = Instant::now();
    until("all know that both elements have the heir as home", NOTICED, || {
        users.ask();
        all_say(heir)
    });
    println!("{host} died by {how:?}; {heir} has taken over after {:?} at most", dead.elapsed());
    agreed(hosts, left, "both elements at the heir", |table| {
        (table.elements.len(), table.count(THEIR_POOL, heir), table.count(OUR_POOL, heir)) == (2, 1, 1)
    });
    users.ask_for(Duration::from_secs(2));
    users.end();
}
