//! Pool member selection policies on the registrar's side (RFC 5356): one file each, behind [`Selection`].
//!
//! What the RFC leaves open is decided like this:
//! * An element of weight 0, and with Randomized Least Used one of full load, provides no service (§3.2): it is not
//!   selected while its pool has others. A pool that has no others is treated as if all had the same weight.
//! * Policies that extend a standard one are selected by that one, others that are not known as Round Robin.
//! * Where several elements are asked for and equal ones must take turns, the first of the equals goes to the end of
//!   their line, just as the head of Round Robin's list advances by one per resolution.
mod extended;
mod least_used;
mod least_used_degradation;
mod priority;
mod priority_least_used;
mod random;
mod randomized_least_used;
mod ranking;
mod round_robin;
mod weight_tree;
mod weighted_random;
mod weighted_round_robin;

use rand::rngs::SmallRng;
use rserpool_wire::{Policy, PolicyType};

/// How the elements of one pool are selected: all state that a policy needs for the pool.
///
/// Implement it to plug in a policy of one's own, with [`Handlespace::with_policy`](crate::Handlespace::with_policy).
pub trait Selection: Send {
    /// An element has joined the pool, with these values.
    fn insert(&mut self, member: Member, values: &Policy, places: &mut Places);

    /// An element has registered again, perhaps with other values.
    fn update(&mut self, member: Member, values: &Policy, places: &mut Places);

    /// An element has left the pool.
    fn remove(&mut self, member: Member, places: &mut Places);

    /// Offers elements, none twice, in the order in which to use them, until the draw is done or none are left.
    fn select(&mut self, draw: &mut Draw<'_>);
}

/// An element of the pool, as policies see it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Member(pub(crate) u32);

/// One number per element, that belongs to the policy of the element's pool: usually the place at which the policy keeps
/// the element in a table of its own.
#[derive(Clone, Debug, Default)]
pub struct Places(Vec<u32>);

impl Places {
    /// The number that was set last for the element; 0 before the first time, and anything for one that has just joined.
    #[must_use]
    pub fn of(&self, member: Member) -> usize {
        self.0.get(member.0 as usize).map_or(0, |place| *place as usize)
    }

    /// Sets the number; at most `u32::MAX`.
    pub fn set(&mut self, member: Member, place: usize) {
        match self.0.get_mut(member.0 as usize) {
            Some(slot) => *slot = place as u32,
            None => self.append(member, place),
        }
    }

    #[cold]
    fn append(&mut self, member: Member, place: usize) {
        self.0.resize(member.0 as usize, 0);
        self.0.push(place as u32);
    }
}

/// One selection: what is asked for, and where the selected elements go.
pub struct Draw<'a> {
    wanted: usize,
    taken: usize,
    rng: &'a mut SmallRng,
    places: &'a mut Places,
    visit: &'a mut dyn FnMut(Member) -> bool,
}

impl<'a> Draw<'a> {
    pub(crate) fn new(
        wanted: usize,
        rng: &'a mut SmallRng,
        places: &'a mut Places,
        visit: &'a mut dyn FnMut(Member) -> bool,
    ) -> Self {
        Self { wanted, taken: 0, rng, places, visit }
    }

    /// Offers the next element. `true` if it was taken, that is, selected.
    pub fn offer(&mut self, member: Member) -> bool {
        let taken = !self.is_done() && (self.visit)(member);
        if taken {
            self.taken += 1;
        } else {
            self.wanted = self.taken;
        }
        taken
    }

    /// Whether no more elements are wanted.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.taken >= self.wanted
    }

    /// How many elements were taken so far.
    #[must_use]
    pub const fn taken(&self) -> usize {
        self.taken
    }

    /// The source of randomness.
    pub const fn rng(&mut self) -> &mut SmallRng {
        self.rng
    }

    /// The numbers that the policy has set for its elements.
    pub const fn places(&mut self) -> &mut Places {
        self.places
    }
}

/// Makes the selection of one pool.
type NewSelection = Box<dyn Fn() -> Box<dyn Selection> + Send>;

/// The policies that are known by type.
#[derive(Default)]
pub(crate) struct Policies {
    plugged_in: Vec<(PolicyType, NewSelection)>,
}

impl Policies {
    pub(crate) fn plug_in(&mut self, policy_type: PolicyType, new: NewSelection) {
        self.plugged_in.retain(|(plugged_in, _)| *plugged_in != policy_type);
        self.plugged_in.push((policy_type, new));
    }

    /// The selection for a new pool of this type.
    pub(crate) fn selection(&self, policy_type: PolicyType) -> Box<dyn Selection> {
        if let Some((_, new)) = self.plugged_in.iter().find(|(plugged_in, _)| *plugged_in == policy_type) {
            return new();
        }
        match policy_type {
            PolicyType::WEIGHTED_ROUND_ROBIN => Box::<weighted_round_robin::WeightedRoundRobin>::default(),
            PolicyType::RANDOM => Box::<random::Random>::default(),
            PolicyType::WEIGHTED_RANDOM => Box::<weighted_random::WeightedRandom>::default(),
            PolicyType::PRIORITY => Box::<priority::Priority>::default(),
            PolicyType::LEAST_USED => Box::<least_used::LeastUsed>::default(),
            PolicyType::LEAST_USED_DEGRADATION => {
                Box::<least_used_degradation::LeastUsedDegradation>::default()
            }
            PolicyType::PRIORITY_LEAST_USED => Box::<priority_least_used::PriorityLeastUsed>::default(),
            PolicyType::RANDOMIZED_LEAST_USED => Box::<randomized_least_used::RandomizedLeastUsed>::default(),
            other if other.standard() != other => {
                Box::new(extended::Extended(self.selection(other.standard())))
            }
            // Round Robin is the default policy (§4.1.1), and what unknown ones are handled as.
            _ => Box::<round_robin::RoundRobin>::default(),
        }
    }
}
