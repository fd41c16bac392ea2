//! Selection on the pool user's side (RFC 5356, "Pool User Considerations"): from the list that a registrar returned.
use rand::{Rng, RngExt as _};
use rserpool_wire::{Load, PeIdentifier, Policy, PolicyType, PoolElement};

/// The elements that a registrar returned for a pool, in its order, and how to go through them.
///
/// ```
/// use rserpool_handlespace::UserPool;
/// use rserpool_wire::Policy;
///
/// let mut pool = UserPool::new(Policy::RoundRobin, Vec::new());
/// # use rand::SeedableRng;
/// # let mut rng = rand::rngs::SmallRng::seed_from_u64(1);
/// assert!(pool.select(&mut rng, &[]).is_none());
/// ```
#[derive(Clone, Debug)]
pub struct UserPool {
    policy: Policy,
    elements: Vec<PoolElement>,
    /// Where Round Robin goes on.
    next: usize,
}

impl UserPool {
    /// A pool as it was resolved. Of `policy`, the type alone counts.
    #[must_use]
    pub const fn new(policy: Policy, elements: Vec<PoolElement>) -> Self {
        Self { policy, elements, next: 0 }
    }

    /// Takes a new list for the same pool.
    ///
    /// Round Robin starts with the first element of the list (§4.1.3). But a registrar that has not advanced its list
    /// since, and so returns the same first element, is no reason to use that one again: then it goes on behind the
    /// element that it used last.
    pub fn replace(&mut self, policy: Policy, elements: Vec<PoolElement>) {
        let same_start =
            self.elements.first().map(|e| e.identifier) == elements.first().map(|e| e.identifier);
        let last_used = self.next.checked_sub(1).and_then(|last| self.elements.get(last));
        self.next = last_used
            .filter(|_| same_start)
            .and_then(|last| elements.iter().position(|element| element.identifier == last.identifier))
            .map_or(0, |last| last + 1);
        (self.policy, self.elements) = (policy, elements);
    }

    /// The elements, in the registrar's order.
    #[must_use]
    pub fn elements(&self) -> &[PoolElement] {
        &self.elements
    }

    /// The policy of the pool.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Drops an element, such as one that cannot be reached. `false` if it is not there.
    pub fn remove(&mut self, identifier: PeIdentifier) -> bool {
        let Some(place) = self.elements.iter().position(|element| element.identifier == identifier) else {
            return false;
        };
        self.elements.remove(place);
        if place < self.next {
            self.next -= 1;
        }
        true
    }

    /// Selects the element to use next, by the policy of the pool, from those that are not `excluded`.
    ///
    /// * Round Robin and Weighted Round Robin, and policies that are not known: one after the other, from the first
    ///   (§4.1.3, §4.2.3).
    /// * Random, Weighted Random and Randomized Least Used: any (§4.3.3, §4.4.3, §5.4.3); where there are weights, with a
    ///   chance in proportion, for a list may well be the whole pool.
    /// * Priority: the highest one (§4.5.3).
    /// * The other Least Used policies: the first, as registrars return them in ascending order of load (§5.1.3); those
    ///   behind it are for when it fails.
    pub fn select(
        &mut self,
        rng: &mut (impl Rng + ?Sized),
        excluded: &[PeIdentifier],
    ) -> Option<&PoolElement> {
        let active = |element: &PoolElement| !excluded.contains(&element.identifier);
        let place = match self.policy.policy_type().standard() {
            PolicyType::RANDOM | PolicyType::WEIGHTED_RANDOM | PolicyType::RANDOMIZED_LEAST_USED => {
                random_place(&self.elements, active, rng)?
            }
            PolicyType::PRIORITY => highest_priority(&self.elements, active)?,
            PolicyType::LEAST_USED | PolicyType::LEAST_USED_DEGRADATION | PolicyType::PRIORITY_LEAST_USED => {
                self.elements.iter().position(active)?
            }
            _ => {
                let (before, behind) =
                    self.elements.split_at_checked(self.next).unwrap_or((&self.elements, &[]));
                let place = match behind.iter().position(active) {
                    Some(place) => before.len() + place,
                    None => before.iter().position(active)?,
                };
                self.next = place + 1;
                place
            }
        };
        self.elements.get(place)
    }
}

fn random_place(
    elements: &[PoolElement],
    active: impl Fn(&PoolElement) -> bool,
    rng: &mut (impl Rng + ?Sized),
) -> Option<usize> {
    let total: u64 = elements.iter().filter(|e| active(e)).map(weight).sum();
    // Elements that provide no service are better than none: without any weight, all have the same.
    let weight = |element: &PoolElement| if total == 0 { 1 } else { weight(element) };
    let total = if total == 0 { elements.iter().filter(|e| active(e)).count() as u64 } else { total };
    if total == 0 {
        return None;
    }
    let mut point = rng.random_range(0..total);
    elements.iter().position(|element| {
        let weight = if active(element) { weight(element) } else { 0 };
        let found = point < weight;
        point = point.saturating_sub(weight);
        found
    })
}

fn weight(element: &PoolElement) -> u64 {
    match *element.policy.standard() {
        Policy::WeightedRandom { weight } => weight.into(),
        Policy::RandomizedLeastUsed { load } => (Load::FULL.0 - load.0).into(),
        _ => 1,
    }
}

/// Of several with the highest priority, the first.
fn highest_priority(elements: &[PoolElement], active: impl Fn(&PoolElement) -> bool) -> Option<usize> {
    let priority = |element: &PoolElement| match element.policy {
        Policy::Priority { priority } => priority,
        _ => 0,
    };
    let candidates = elements.iter().enumerate().filter(|(_, element)| active(element));
    candidates.rev().max_by_key(|(_, element)| priority(element)).map(|(place, _)| place)
}
