//! Registrars that join a scope, in any order, get its handlespace; changes at one reach all.
use rserpool_interop::Scenario;
use rustix::process::Signal;

use crate::members::{OUR_POOL, THEIR_POOL, our_element, ours, their_element, theirs};
use crate::table::At::{Ours, Theirs};
use crate::table::agreed;

#[test]
fn ours_joins_two_of_theirs() {
    Scenario::new("joining::ours_joins_two_of_theirs").hosts(6).run(|hosts| {
        let _first = theirs(hosts, 1, &[]);
        let _second = theirs(hosts, 2, &[]);
        let at_theirs = their_element(hosts, 4, &[1]);
        agreed(hosts, &[Theirs(1), Theirs(2)], "an element at theirs", |table| {
            table.count(THEIR_POOL, 1) == 1
        });
        let _third = ours(hosts, 3);
        let all = [Theirs(1), Theirs(2), Ours(3)];
        agreed(hosts, &all, "ours has what was there", |table| table.count(THEIR_POOL, 1) == 1);

        let at_ours = our_element(hosts, 5, &[3]);
        let _late = our_element(hosts, 4, &[2]);
        let both =
            |table: &crate::table::Table| table.count(OUR_POOL, 3) == 1 && table.count(OUR_POOL, 2) == 1;
        agreed(hosts, &all, "new elements on either side", |table| both(table) && table.elements.len() == 3);

        at_ours.end(Signal::TERM);
        at_theirs.end(Signal::INT);
        agreed(hosts, &all, "elements that left on either side", |table| {
            table.elements.len() == 1 && table.count(OUR_POOL, 2) == 1
        });
    });
}
