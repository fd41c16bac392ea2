//! Registrars that lose sight of each other, go on with what they reach, and come together again.
use std::time::Duration;

use rserpool_interop::{Scenario, until};

use crate::members::{OUR_POOL, THEIR_POOL, our_element, ours, their_element, theirs};
use crate::table::At::{Ours, Theirs};
use crate::table::{OBSERVER, Table, agreed};
use crate::users::{Users, homes};

/// How long it may take to see that the other side is gone: the registrar, and then its elements, which cannot be reached to
/// be taken over.
const NOTICED: Duration = Duration::from_secs(60);

#[test]
fn each_side_of_a_partition_serves_and_after_it_all_elements_are_back() {
    const TEST: &str = "partition::each_side_of_a_partition_serves_and_after_it_all_elements_are_back";
    Scenario::new(TEST).hosts(6).run(|hosts| {
        let first = ours(hosts, 1);
        let second = theirs(hosts, 2, &[]);
        let _on_this_side = (their_element(hosts, 4, &[1]), our_element(hosts, 4, &[1]));
        let pools = [OUR_POOL, THEIR_POOL];
        let all_at = |user, registrar, home: &[u8]| {
            pools.iter().all(|pool| homes(hosts, user, &[registrar], pool) == home)
        };
        until("elements of both pools", NOTICED, || all_at(OBSERVER, 1, &[1]) && all_at(OBSERVER, 2, &[1]));
        // With elements on this side of the cut to come.
        let mut users = Users::start(hosts, &[1, 2]);
        let _on_the_other_side = (their_element(hosts, 5, &[2]), our_element(hosts, 5, &[2]));
        let whole =
            |table: &Table| pools.iter().all(|pool| [1, 2].iter().all(|home| table.count(pool, *home) == 1));
        agreed(hosts, &[Ours(1), Theirs(2)], "two elements at each", whole);

        hosts.partition(&[2, 5], 1).unwrap();
        until("this side has its own elements only", NOTICED, || {
            users.ask();
            all_at(OBSERVER, 1, &[1])
        });
        // With nobody there to agree it does not get to the end of that; so it keeps the elements of both sides.
        second.prints("Initiating takeover of dead peer $00000001");
        assert!(all_at(5, 2, &[1, 2]), "the other side serves too");
        hosts.heal(2, 1).unwrap();
        hosts.heal(5, 1).unwrap();
        agreed(hosts, &[Ours(1), Theirs(2)], "two elements at each again", whole);
        users.ask_for(Duration::from_secs(2));
        users.end();
        assert!(first.printed().contains("peer down peer=0x00000002"), "there was no partition");
    });
}
