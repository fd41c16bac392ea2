//! The handlespace against a naive model of it, over random sequences of operations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]
mod support;

use std::time::{Duration, Instant};

use proptest::prelude::*;
use rserpool_handlespace::{Change, Cursor, ElementKey, Handlespace};
use rserpool_wire::{Dialect, Load, PeIdentifier, Policy, PoolElement, PoolHandle, ServerId};
use support::{element, lu, lud, plu};

/// The pools of the model, each with its policy; those from `RANDOM` on are checked for plausibility alone.
const POOLS: [&str; 9] = ["rr", "prio", "lu", "lud", "plu", "wrr", "rand", "wrand", "rlu"];
const RANDOM: usize = 5;

fn policy(pool: usize, value: u32, step: u32) -> Policy {
    match POOLS[pool] {
        "prio" => Policy::Priority { priority: value },
        "lu" => lu(value),
        "lud" => lud(value, step),
        "plu" => plu(value, step),
        "wrr" => Policy::WeightedRoundRobin { weight: value },
        "rand" => Policy::Random,
        "wrand" => Policy::WeightedRandom { weight: value },
        "rlu" => Policy::RandomizedLeastUsed { load: Load(u32::MAX - value) },
        _ => Policy::RoundRobin,
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Register { pool: usize, identifier: u32, home: u32, value: u32, step: u32 },
    RegisterOtherPolicy { pool: usize, identifier: u32 },
    Remove { pool: usize, identifier: u32 },
    SetHome { pool: usize, identifier: u32, home: u32 },
    Transfer { from: u32, to: u32 },
    Resolve { pool: usize, items: usize, room: usize },
    SetExpiry { pool: usize, identifier: u32, at: Option<u64> },
    PopExpired { now: u64 },
    Mark { owner: u32 },
    Unmark { owner: u32 },
    Sweep { owner: u32 },
    Download { owner: Option<u32>, size: usize },
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let name = || (0..POOLS.len(), 0..12_u32);
    prop_oneof![
        8 => (name(), 1..4_u32, 0..4_u32, 0..3_u32).prop_map(|((pool, identifier), home, value, step)| {
            Register { pool, identifier, home, value, step }
        }),
        1 => name().prop_map(|(pool, identifier)| RegisterOtherPolicy { pool, identifier }),
        3 => name().prop_map(|(pool, identifier)| Remove { pool, identifier }),
        2 => (name(), 1..4_u32).prop_map(|((pool, identifier), home)| SetHome { pool, identifier, home }),
        1 => (1..4_u32, 1..4_u32).prop_map(|(from, to)| Transfer { from, to }),
        8 => (0..POOLS.len(), 0..8_usize, 0..9_usize)
            .prop_map(|(pool, items, room)| Resolve { pool, items, room }),
        2 => (name(), prop::option::of(0..50_u64))
            .prop_map(|((pool, identifier), at)| SetExpiry { pool, identifier, at }),
        1 => (0..50_u64).prop_map(|now| PopExpired { now }),
        1 => (1..4_u32).prop_map(|owner| Mark { owner }),
        1 => (1..4_u32).prop_map(|owner| Unmark { owner }),
        1 => (1..4_u32).prop_map(|owner| Sweep { owner }),
        1 => (prop::option::of(1..4_u32), 1..9_usize).prop_map(|(owner, size)| Download { owner, size }),
    ]
}

struct Known {
    pool: usize,
    element: PoolElement,
    key: ElementKey,
    /// What the policy ranks by, and what a selection adds to it.
    rank: (u64, u64),
    /// Which comes first to its owner.
    arrival: usize,
    marked: bool,
    expiry: Option<Instant>,
}

/// All elements; those of one pool in the order of their turns.
struct Model {
    known: Vec<Known>,
    arrivals: usize,
    start: Instant,
}

impl Model {
    fn place(&self, pool: usize, identifier: u32) -> Option<usize> {
        self.known.iter().position(|e| e.pool == pool && e.element.identifier.0 == identifier)
    }

    fn arrive(&mut self, place: usize, home: u32) {
        self.arrivals += 1;
        let known = &mut self.known[place];
        (known.element.home, known.arrival, known.marked) = (ServerId(home), self.arrivals, false);
    }

    fn line_up_again(&mut self, place: usize) {
        let known = self.known.remove(place);
        self.known.push(known);
    }

    fn owned(&self, owner: u32) -> Vec<&Known> {
        let mut owned: Vec<_> = self.known.iter().filter(|e| e.element.home.0 == owner).collect();
        owned.sort_by_key(|known| known.arrival);
        owned
    }

    /// The elements that a ranking policy selects, in order.
    fn select(&mut self, pool: usize, count: usize) -> Vec<PeIdentifier> {
        let mut line: Vec<_> =
            self.known.iter().filter(|e| e.pool == pool).map(|e| (e.rank, e.element.identifier)).collect();
        line.sort_by_key(|((value, _), _)| *value);
        line.truncate(count);
        let mut previous = None;
        for ((value, step), identifier) in &line {
            let first_of_equals = previous.replace(*value) != Some(*value);
            if *step > 0 || first_of_equals {
                let place = self.place(pool, identifier.0).unwrap();
                self.known[place].rank.0 += step;
                self.line_up_again(place);
            }
        }
        line.into_iter().map(|(_, identifier)| identifier).collect()
    }
}

fn rank(policy: &Policy) -> (u64, u64) {
    match *policy {
        Policy::Priority { priority } => (u64::from(100 - priority), 0),
        Policy::LeastUsed { load } => (load.0.into(), 0),
        Policy::LeastUsedDegradation { load, degradation } => (load.0.into(), degradation.0.into()),
        Policy::PriorityLeastUsed { load, degradation } => (u64::from(load.0 + degradation.0), 0),
        _ => (0, 0),
    }
}

/// RFC 5353 §3.6.2, to the letter.
fn checksum(owned: &[&Known]) -> u16 {
    let mut sum = 0_u32;
    for known in owned {
        let mut block = POOLS[known.pool].as_bytes().to_vec();
        block.resize(block.len().next_multiple_of(4), 0);
        block.extend(known.element.identifier.0.to_be_bytes());
        for word in block.chunks(2) {
            sum += u32::from(u16::from_be_bytes([word[0], word[1]]));
            sum = (sum >> 16) + (sum & 0xffff);
        }
    }
    !(sum as u16)
}

fn apply(model: &mut Model, real: &mut Handlespace, operation: Operation) {
    let at = |seconds| model.start + Duration::from_secs(seconds);
    match operation {
        Operation::Register { pool, identifier, home, value, step } => {
            let mut new = element(identifier, policy(pool, value, step));
            new.home = ServerId(home);
            let registered = real.register(&PoolHandle::from(POOLS[pool]), &new).unwrap();
            let Some(place) = model.place(pool, identifier) else {
                assert_eq!(registered.change, Change::Added);
                model.arrivals += 1;
                model.known.push(Known {
                    pool,
                    rank: rank(&new.policy),
                    element: new,
                    key: registered.key,
                    arrival: model.arrivals,
                    marked: false,
                    expiry: None,
                });
                return;
            };
            let known = &mut model.known[place];
            let previous_home = known.element.home;
            assert_eq!((registered.key, registered.change), (known.key, Change::Updated { previous_home }));
            let moved = std::mem::replace(&mut known.rank, rank(&new.policy)).0 != known.rank.0;
            (known.element, known.marked) = (new, false);
            if previous_home.0 != home {
                model.arrive(place, home);
            }
            if moved {
                model.line_up_again(place);
            }
        }
        Operation::RegisterOtherPolicy { pool, identifier } => {
            if model.known.iter().any(|known| known.pool == pool) {
                let other = element(identifier, policy((pool + 1) % POOLS.len(), 1, 1));
                real.register(&PoolHandle::from(POOLS[pool]), &other).unwrap_err();
            }
        }
        Operation::Remove { pool, identifier } => {
            let key = real.find(POOLS[pool].as_bytes(), PeIdentifier(identifier));
            let place = model.place(pool, identifier);
            assert_eq!(key, place.map(|place| model.known.remove(place).key));
            assert!(key.is_none_or(|key| real.remove(key) && real.element(key).is_none()));
        }
        Operation::SetHome { pool, identifier, home } => {
            if let Some(place) = model.place(pool, identifier) {
                assert!(real.set_home(model.known[place].key, ServerId(home)));
                if model.known[place].element.home.0 != home {
                    model.arrive(place, home);
                }
            }
        }
        Operation::Transfer { from, to } => {
            let moved: Vec<_> = model.owned(from).iter().map(|known| known.key).collect();
            let moved = if from == to { vec![] } else { moved };
            assert_eq!(real.transfer(ServerId(from), ServerId(to)), moved.len());
            for key in moved {
                let place = model.known.iter().position(|known| known.key == key).unwrap();
                model.arrive(place, to);
            }
        }
        Operation::Resolve { pool, items, room } => {
            let mut selected = Vec::new();
            let count = real.resolve(POOLS[pool].as_bytes(), items, |element| {
                let fits = selected.len() < room;
                selected.extend(fits.then(|| element.decode(Dialect::Rfc).unwrap().identifier));
                fits
            });
            let members: Vec<_> = model.known.iter().filter(|known| known.pool == pool).collect();
            assert_eq!(count, (!members.is_empty()).then_some(selected.len()));
            if pool < RANDOM {
                assert_eq!(selected, model.select(pool, items.min(room)));
            } else {
                let serves = |known: &Known| match known.element.policy {
                    Policy::WeightedRoundRobin { weight } | Policy::WeightedRandom { weight } => weight > 0,
                    Policy::RandomizedLeastUsed { load } => load != Load::FULL,
                    _ => true,
                };
                let serving = members.iter().filter(|known| serves(known)).count();
                let eligible = if serving == 0 { members.len() } else { serving };
                assert_eq!(selected.len(), eligible.min(items).min(room));
                let chosen =
                    |known: &Known| selected.iter().filter(|id| **id == known.element.identifier).count();
                assert!(
                    members.iter().all(|known| chosen(known) <= usize::from(serving == 0 || serves(known)))
                );
            }
        }
        Operation::SetExpiry { pool, identifier, at: seconds } => {
            if let Some(place) = model.place(pool, identifier) {
                model.known[place].expiry = seconds.map(at);
                real.set_expiry(model.known[place].key, model.known[place].expiry);
            }
        }
        Operation::PopExpired { now } => {
            let earliest = model.known.iter().filter_map(|known| known.expiry).min();
            let due = earliest.filter(|earliest| *earliest <= at(now));
            let popped = real.pop_expired(at(now));
            let known = model.known.iter_mut().find(|known| Some(known.key) == popped);
            assert_eq!(known.and_then(|known| known.expiry.take()), due);
        }
        Operation::Mark { owner } => {
            real.mark(ServerId(owner));
            model.known.iter_mut().filter(|e| e.element.home.0 == owner).for_each(|e| e.marked = true);
        }
        Operation::Unmark { owner } => {
            real.unmark(ServerId(owner));
            model.known.iter_mut().filter(|e| e.element.home.0 == owner).for_each(|e| e.marked = false);
        }
        Operation::Sweep { owner } => {
            let marked = real.marked(ServerId(owner));
            let expected: Vec<_> = model.owned(owner).iter().filter(|e| e.marked).map(|e| e.key).collect();
            assert_eq!(marked, expected);
            assert!(marked.into_iter().all(|key| real.remove(key)));
            model.known.retain(|known| !expected.contains(&known.key));
        }
        Operation::Download { owner, size } => {
            let mut expected: Vec<_> =
                model.known.iter().filter(|e| owner.is_none_or(|owner| owner == e.element.home.0)).collect();
            expected.sort_by_key(|known| (POOLS[known.pool], known.element.identifier));
            let (mut cursor, mut downloaded, mut more) = (Cursor::default(), Vec::new(), true);
            while more {
                let end = downloaded.len() + size;
                more = real.next_part(&mut cursor, owner.map(ServerId), |_, view| {
                    let fits = downloaded.len() < end;
                    downloaded.extend(fits.then(|| view.key()));
                    fits
                });
            }
            assert_eq!(downloaded, expected.iter().map(|known| known.key).collect::<Vec<_>>());
        }
    }
}

fn check(model: &Model, real: &Handlespace) {
    assert_eq!(real.len(), model.known.len());
    for known in &model.known {
        let view = real.element(known.key).unwrap();
        assert_eq!((view.decode().as_ref(), view.home()), (Some(&known.element), known.element.home));
        assert_eq!(view.pool_handle(), POOLS[known.pool]);
    }
    let mut owners = Vec::new();
    for owner in 1..4 {
        let owned = model.owned(owner);
        assert_eq!(real.checksum(ServerId(owner)), checksum(&owned));
        assert_eq!(real.owned_count(ServerId(owner)), owned.len());
        assert!(real.owned(ServerId(owner)).eq(owned.iter().map(|known| known.key)));
        owners.extend((!owned.is_empty()).then_some(ServerId(owner)));
    }
    assert!(real.owners().eq(owners));
    let mut pools: Vec<_> = model.known.iter().map(|known| POOLS[known.pool]).collect();
    pools.sort_unstable();
    pools.dedup();
    assert!(real.pools().map(|pool| pool.pool_handle()).eq(pools.iter().map(|pool| PoolHandle::from(*pool))));
    assert_eq!(real.next_expiry(), model.known.iter().filter_map(|known| known.expiry).min());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // 5352-3.1-25, 5353-3.6.2-01, 5353-3.6.2-03, 5353-3.6.2-04, 5353-3.6.3-02, 5353-3.6.3-06, 5353-3.6.3-07
    #[test]
    fn it_does_what_the_model_does(operations in prop::collection::vec(operation(), 0..200)) {
        let mut model =
            Model { known: Vec::new(), arrivals: 0, start: support::any_instant() };
        let mut real = Handlespace::new(Dialect::Rfc, 1);
        for operation in operations {
            apply(&mut model, &mut real, operation);
            check(&model, &real);
        }
    }
}
