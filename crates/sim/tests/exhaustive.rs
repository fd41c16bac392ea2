//! Take-over arbitration and ownership in every order of events (RFC 5353 §3.5): `RSERPOOL_STATES` says how many states to
//! look at, and `RSERPOOL_DEPTH` how long runs may become, where there are too many for a test of every day.
use rserpool_sim::{Arbitration, Explored};
use rserpool_wire::Dialect;

fn explore(arbitration: &Arbitration) -> Explored {
    match arbitration.explore() {
        Ok(explored) => {
            println!("{arbitration:?}: {explored:?}");
            assert!(explored.leaves > 0);
            explored
        }
        Err((run, what)) => panic!("{what}\nafter {run:?}\nof {arbitration:?}"),
    }
}

fn states(default: usize) -> usize {
    std::env::var("RSERPOOL_STATES").ok().and_then(|states| states.parse().ok()).unwrap_or(default)
}

fn depth(default: usize) -> usize {
    std::env::var("RSERPOOL_DEPTH").ok().and_then(|depth| depth.parse().ok()).unwrap_or(default)
}

#[test]
fn two_survivors_in_any_order_have_one_heir() {
    for dialect in [Dialect::Rfc, Dialect::Rsplib] {
        for survivors in [[1, 2], [2, 1]] {
            let explored = explore(&Arbitration { dialect, ..Arbitration::of(&survivors, 9) });
            assert!(explored.complete, "every run was followed to its end");
            assert_eq!(explored.completions, [1].into(), "in each of them, one takes over");
        }
    }
}

#[test]
fn two_survivors_come_right_however_slow_messages_are() {
    let explored = explore(&Arbitration { timely: false, ..Arbitration::of(&[1, 2], 9) });
    assert!(explored.complete);
    assert!(
        explored.completions.contains(&2),
        "a timer cannot know: then both do, and come to terms afterwards"
    );
}

#[test]
fn two_survivors_come_right_after_a_broken_link_and_a_crash() {
    for timely in [true, false] {
        let states = states(2_000);
        explore(&Arbitration { timely, breaks: 1, crashes: 1, states, ..Arbitration::of(&[1, 2], 9) });
    }
}

#[test]
fn three_survivors_have_one_heir() {
    // All of the 3,404 states of the first; the other, in which the largest identifier is the oldest, begins alike.
    let explored = explore(&Arbitration::of(&[1, 2, 3], 9));
    assert!(explored.complete);
    assert_eq!(explored.completions, [1].into());
    explore(&Arbitration { states: states(500), depth: depth(6), ..Arbitration::of(&[3, 1, 2], 9) });
}

#[test]
fn three_survivors_come_right_after_a_broken_link_and_a_crash() {
    let states = states(4_000);
    for (breaks, crashes) in [(0, 1), (1, 0), (1, 1)] {
        explore(&Arbitration { breaks, crashes, depth: depth(4), states, ..Arbitration::of(&[1, 2, 3], 9) });
    }
}

#[test]
fn twins_leave_nothing_with_a_dead_home() {
    // They do not talk to each other; a third one talks to both.
    explore(&Arbitration::of(&[5, 5], 9));
    explore(&Arbitration { states: states(4_000), depth: depth(6), ..Arbitration::of(&[7, 5, 5], 9) });
}
