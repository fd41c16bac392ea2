//! Table download in parts (RFC 5353 §3.2.3) while the handlespace changes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]
mod support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rserpool_handlespace::{Cursor, Handlespace};
use rserpool_wire::{Dialect, PeIdentifier, Policy, ServerId};
use support::{HOME, element, register};

const OTHER: ServerId = ServerId(5);

/// The names of one part of at most `size` elements, and whether there is more.
fn part(
    handlespace: &Handlespace,
    cursor: &mut Cursor,
    owner: Option<ServerId>,
    size: usize,
) -> (Vec<(String, u32)>, bool) {
    let mut names = Vec::new();
    let mut pool = None;
    let more = handlespace.next_part(cursor, owner, |first, view| {
        if names.len() == size {
            return false;
        }
        assert_eq!(first, pool != Some(view.pool_handle()), "the first of its pool in this part");
        pool = Some(view.pool_handle());
        names.push((view.pool_handle().to_string(), view.identifier().0));
        true
    });
    (names, more)
}

#[test]
fn a_part_goes_on_where_the_last_one_ended() {
    let mut handlespace = Handlespace::new(Dialect::Rfc, 1);
    for (pool, identifier) in [("a", 1), ("b", 2), ("b", 1), ("b", 3)] {
        register(&mut handlespace, pool, &element(identifier, Policy::RoundRobin));
    }
    let mut cursor = Cursor::default();
    let name = |pool: &str, identifier| (pool.to_owned(), identifier);
    assert_eq!(part(&handlespace, &mut cursor, None, 2), (vec![name("a", 1), name("b", 1)], true));
    // The same cursor again is the same part again, should its message be lost.
    let mut again = cursor.clone();
    assert_eq!(part(&handlespace, &mut cursor, None, 2), (vec![name("b", 2), name("b", 3)], false));
    assert_eq!(part(&handlespace, &mut again, None, 1), (vec![name("b", 2)], true));
    assert_eq!(part(&handlespace, &mut cursor, None, 2), (vec![], false));
}

// 5353-3.6.3-04: the W flag
#[test]
fn the_elements_of_one_owner_alone() {
    let mut handlespace = Handlespace::new(Dialect::Rfc, 1);
    for identifier in 1..=9 {
        let mut element = element(identifier, Policy::RoundRobin);
        element.home = if identifier % 3 == 0 { OTHER } else { HOME };
        register(&mut handlespace, "pool", &element);
    }
    let (names, more) = part(&handlespace, &mut Cursor::default(), Some(OTHER), 3);
    assert_eq!((names.iter().map(|name| name.1).collect::<Vec<_>>(), more), (vec![3, 6, 9], false));
    assert_eq!(part(&handlespace, &mut Cursor::default(), Some(ServerId(1)), 3), (vec![], false));
}

proptest! {
    #[test]
    fn no_element_that_is_there_throughout_is_missed_or_doubled(
        lasting in prop::collection::btree_set((0..6_u8, 0..40_u32), 0..60),
        changes in prop::collection::vec((any::<bool>(), 0..6_u8, 0..40_u32, 1..6_usize), 0..60),
        owner in prop::option::of(Just(HOME)),
    ) {
        let mut handlespace = Handlespace::new(Dialect::Rfc, 1);
        let pool = |pool: u8| format!("pool{pool}");
        for (number, identifier) in &lasting {
            register(&mut handlespace, &pool(*number), &element(*identifier, Policy::RoundRobin));
        }
        let (mut cursor, mut visited, mut more) = (Cursor::default(), BTreeMap::new(), true);
        let mut changes = changes.into_iter();
        while more {
            let mut size = 7;
            if let Some((add, number, identifier, part_size)) = changes.next() {
                size = part_size;
                let key = handlespace.find(pool(number).as_bytes(), PeIdentifier(identifier));
                match key {
                    _ if lasting.contains(&(number, identifier)) => {}
                    None if add => {
                        register(&mut handlespace, &pool(number), &element(identifier, Policy::RoundRobin));
                    }
                    Some(key) => { handlespace.remove(key); }
                    None => {}
                }
            }
            let names;
            (names, more) = part(&handlespace, &mut cursor, owner, size);
            prop_assert!(!more || names.len() == size);
            for name in names {
                *visited.entry(name).or_insert(0) += 1;
            }
        }
        let missed: BTreeSet<_> = lasting
            .iter()
            .map(|(number, identifier)| (pool(*number), *identifier))
            .filter(|name| visited.get(name) != Some(&1))
            .collect();
        prop_assert!(missed.is_empty(), "{missed:?}");
    }
}
