//! What must be so: at every step, and at rest. Each invariant says which rule it holds the machines to, and where its
//! bound comes from.
//!
//! | invariant | rule | when |
//! |---|---|---|
//! | Convergence | all registrars hold the same handlespace (RFC 5353 §1, §3.6) | [`Pace::settling`](crate::Pace::settling) after the last fault |
//! | Peers | every registrar lists and is linked to every other one (§3.4) | the same |
//! | No lost element | a live element is registered everywhere (RFC 5352 §3.1) | the same |
//! | No ghost | a dead element is gone everywhere (RFC 5352 §3.4) | the same |
//! | One owner | each element has one home, which lives, and which the element agrees on (RFC 5353 §3.5.2) | the same |
//! | No false eviction | an element that can answer is not removed as silent, detached or expired (RFC 5352 §3.4) | at each removal |
//! | No false take-over | a registrar that can be heard is not taken over (RFC 5353 §3.5.1) | at each take-over |
//! | One take-over | at most one of those that hear each other takes a dead registrar over (§3.5.1) | at each take-over |
//! | Fresh answers | no answer names an element that is long gone | at each resolution |
//! | Users | who can reach a registrar and an element is served within [`Pace::service`](crate::Pace::service) | at each attempt |
//! | Bounded | links and outputs of a node stay in proportion to how many others there are | at each call |
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rserpool_asap::UserEvent;
use rserpool_enrp::{PeerState, RegistrarEvent, RegistrarMachine, RemovalReason};
use rserpool_wire::{PeIdentifier, PoolElement, PoolHandle, ServerId};

use crate::fault::NodeId;
use crate::history::Completed;
use crate::node::{Happening, Home};
use crate::world::World;

/// Something that is not as it must be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// When it was found.
    pub at: Duration,
    /// Which invariant does not hold.
    pub invariant: &'static str,
    /// How.
    pub what: String,
}

impl Violation {
    pub(crate) const fn new(at: Duration, invariant: &'static str, what: String) -> Self {
        Self { at, invariant, what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:.3} s: {}", self.invariant, self.at.as_secs_f64(), self.what)
    }
}

/// Losses up to this, in percent, do not keep an answer from coming in time; more may.
const BEARABLE_LOSS: u8 = 5;

/// An element as a registrar lists it.
type Listed = BTreeMap<(PoolHandle<'static>, PeIdentifier), (ServerId, Vec<u8>)>;

/// Convergence, Peers, No lost element, No ghost and One owner.
///
/// # Errors
/// The first that does not hold.
pub fn at_rest(world: &World) -> Result<(), Violation> {
    let fails = |invariant, what| Err(Violation::new(world.now, invariant, what));
    let running: Vec<(NodeId, &RegistrarMachine)> =
        world.node_ids().filter_map(|id| Some((id, world.registrar(id)?))).collect();
    let Some((first, reference)) = running.first().copied() else { return Ok(()) };
    if let Some((id, _)) = running.iter().find(|(_, machine)| !machine.is_ready()) {
        return fails("Convergence", format!("registrar {id} is not ready"));
    }
    for (id, machine) in &running {
        peers_are_known(world, *id, machine, &running)?;
    }
    let expected = listed(reference);
    for (id, machine) in running.iter().skip(1) {
        if machine.handlespace().len() != expected.len() || listed(machine) != expected {
            return fails("Convergence", differences(first, &expected, *id, &listed(machine)));
        }
        for owner in reference.handlespace().owners() {
            if !machine.handlespace().checksum_agrees(owner, reference.handlespace().checksum(owner)) {
                return fails("Convergence", format!("{first} and {id} have other checksums of {owner}"));
            }
        }
    }
    elements_are_listed(world, &expected, &running)
}

fn peers_are_known(
    world: &World,
    id: NodeId,
    machine: &RegistrarMachine,
    running: &[(NodeId, &RegistrarMachine)],
) -> Result<(), Violation> {
    let known: BTreeMap<ServerId, bool> = machine
        .peers()
        .filter(|peer| peer.state != PeerState::Inactive)
        .map(|peer| (peer.server, peer.is_linked))
        .collect();
    let fails = |what| Err(Violation::new(world.now, "Peers", what));
    for (other, peer) in running.iter().filter(|(other, _)| *other != id) {
        if known.get(&peer.id()) != Some(&true) {
            return fails(format!("{id} does not know {other} ({}), or has no link to it", peer.id()));
        }
    }
    match known.keys().find(|known| !running.iter().any(|(_, peer)| peer.id() == **known)) {
        Some(ghost) => fails(format!("{id} knows {ghost}, which does not run")),
        None => Ok(()),
    }
}

fn listed(machine: &RegistrarMachine) -> Listed {
    let pools = machine.handlespace().pools();
    pools
        .flat_map(|pool| {
            let handle = pool.pool_handle().into_owned();
            pool.elements().map(move |element| {
                let name = (handle.clone(), element.identifier());
                (name, (element.home(), element.encoded().as_bytes().to_vec()))
            })
        })
        .collect()
}

fn differences(a: NodeId, of_a: &Listed, b: NodeId, of_b: &Listed) -> String {
    let names: std::collections::BTreeSet<_> = of_a.keys().chain(of_b.keys()).collect();
    let home = |listed: &Listed, name| {
        listed.get(name).map_or("nothing".to_owned(), |(home, _)| format!("home {home}"))
    };
    let different = names.into_iter().filter(|name| of_a.get(*name) != of_b.get(*name));
    let lines: Vec<String> = different
        .take(4)
        .map(|name| {
            let (pool, identifier) = name;
            format!("{identifier} in {pool}: {a} has {}, {b} has {}", home(of_a, name), home(of_b, name))
        })
        .collect();
    lines.join("; ")
}

/// Each live element is listed with its values and a home that lives and that it agrees on, and nothing else is.
fn elements_are_listed(
    world: &World,
    listed: &Listed,
    running: &[(NodeId, &RegistrarMachine)],
) -> Result<(), Violation> {
    let fails = |invariant, what| Err(Violation::new(world.now, invariant, what));
    let mut expected = 0_usize;
    for id in world.node_ids() {
        let Some((node, element)) = world.node(id).and_then(|node| Some((node, node.element()?))) else {
            continue;
        };
        if node.leaving {
            continue;
        }
        for (registration, values) in &element.registrations {
            expected += 1;
            let name = (values.pool_handle.clone(), values.identifier);
            let Some((home, encoded)) = listed.get(&name) else {
                return fails("No lost element", format!("{} of {id} is listed nowhere", values.identifier));
            };
            let Some((owner, _)) = running.iter().find(|(_, machine)| machine.id() == *home) else {
                return fails("One owner", format!("{} of {id} has the home {home}, which is dead", name.1));
            };
            let agrees = match element.home {
                Some(Home::At(node)) => node == *owner,
                Some(Home::Named(server)) => server == *home,
                None => false,
            };
            if !agrees || !element.machine.is_registered(*registration) {
                let believes = element.home;
                let what = format!("{} of {id} is listed at {owner}, and believes {believes:?}", name.1);
                return fails("One owner", what);
            }
            let decoded = rserpool_wire::EncodedElement::new(encoded).decode(world.settings.dialect).ok();
            if decoded.is_none_or(|listed: PoolElement| listed.policy != values.policy) {
                return fails("No lost element", format!("{} of {id} is listed with old values", name.1));
            }
        }
    }
    if listed.len() > expected {
        let lives = |name: &(PoolHandle<'static>, PeIdentifier)| {
            world.history.lives.get(name).is_some_and(|life| life.gone.is_none())
        };
        let ghost = listed.keys().find(|name| !lives(name)).map(|(_, identifier)| identifier.to_string());
        return fails("No ghost", format!("{} is listed and dead", ghost.unwrap_or_default()));
    }
    Ok(())
}

/// What is checked as machines tell what they did.
pub(crate) fn happened(world: &mut World, id: NodeId, happening: &Happening) {
    let violation = match happening {
        Happening::Registrar(RegistrarEvent::ElementRemoved { pool_handle, identifier, reason }) => {
            false_eviction(world, id, pool_handle, *identifier, *reason)
        }
        Happening::Registrar(RegistrarEvent::TakeoverCompleted { target, home, .. })
            if world.registrar(id).is_some_and(|machine| machine.id() == *home) =>
        {
            false_takeover(world, id, *target).or_else(|| second_takeover(world, id, *target))
        }
        // Whatever was taken over before, this is another life.
        Happening::Registrar(RegistrarEvent::PeerUp { server, .. }) => {
            world.history.takeovers.remove(server);
            None
        }
        Happening::User(UserEvent::Resolved { pool_handle, .. }) => stale_answer(world, id, pool_handle),
        _ => None,
    };
    if let Some((invariant, what)) = violation {
        let violation = Violation::new(world.now, invariant, what);
        world.violated(violation);
    }
}

/// No false eviction: nothing has disturbed the registrar and the element for as long as it takes to find out that an
/// element is silent, by way of a broken link if it must be; so it could have answered.
fn false_eviction(
    world: &World,
    id: NodeId,
    pool_handle: &PoolHandle<'static>,
    identifier: PeIdentifier,
    reason: RemovalReason,
) -> Option<(&'static str, String)> {
    let pace = &world.settings.pace;
    let life = world.history.lives.get(&(pool_handle.clone(), identifier))?;
    let leaving = world.node(life.node).is_none_or(|node| node.leaving || !node.is_up());
    let window = match reason {
        RemovalReason::Silent | RemovalReason::Detached => {
            (pace.registrar.keep_alive_timeout + pace.connect_timeout + pace.user_timeout) * 2
                + Duration::from_secs(30)
        }
        RemovalReason::Expired => pace.life * 2 + pace.user_timeout,
        // Users may report what they like (RFC 5352 §9, threat 8), and others deregister what they may.
        _ => return None,
    };
    let calm = world.history.calm_since([id, life.node])?.max(life.since);
    let falsely = !leaving
        && life.gone.is_none()
        && world.network.loss() <= BEARABLE_LOSS
        && world.now.saturating_sub(calm) > window;
    falsely.then(|| {
        let what = format!("{id} removes {identifier} of {} as {reason:?}, calm since {calm:?}", life.node);
        ("No false eviction", what)
    })
}

/// No false take-over: the target lives, and nothing has disturbed it or the one that takes it over for as long as it takes
/// to find a registrar dead.
fn false_takeover(world: &World, id: NodeId, target: ServerId) -> Option<(&'static str, String)> {
    let pace = &world.settings.pace;
    let alive = world.node_ids().find(|other| {
        world.registrar(*other).is_some_and(|machine| machine.id() == target && machine.is_ready())
    })?;
    if world.node(alive).is_none_or(|node| node.leaving) {
        return None;
    }
    let calm = world.history.calm_since([id, alive])?;
    let window = pace.detection() + pace.takeover() + pace.reunion();
    let falsely = world.network.loss() <= BEARABLE_LOSS && world.now.saturating_sub(calm) > window;
    falsely.then(|| ("No false take-over", format!("{id} takes over {alive} ({target}), which lives")))
}

/// One take-over: whoever else took the same registrar over did so while nothing disturbed the two.
fn second_takeover(world: &mut World, id: NodeId, target: ServerId) -> Option<(&'static str, String)> {
    let now = world.now;
    let completed = world.history.takeovers.entry(target).or_default();
    let before = completed.iter().rev().find(|completed| completed.by != id).copied();
    completed.push(Completed { by: id, at: now });
    let before = before?;
    let calm = world.history.calm_since([id, before.by])?;
    let pace = &world.settings.pace;
    let window = pace.detection() + pace.takeover() + pace.reunion();
    let twice = before.at.saturating_sub(calm) > window && now - before.at < window;
    twice.then(|| ("One take-over", format!("{id} takes over {target}, which {} did already", before.by)))
}

/// Fresh answers: nothing has happened since the element went, and all registrars have had time to learn of it.
fn stale_answer(
    world: &World,
    id: NodeId,
    pool_handle: &PoolHandle<'static>,
) -> Option<(&'static str, String)> {
    let pace = &world.settings.pace;
    let bound = pace.burial()
        + pace.detection()
        + pace.takeover()
        + pace.audit()
        + pace.propagation()
        + pace.asap.stale_cache
        + pace.asap.request * (pace.asap.max_request_retransmit + 1);
    let calm = world.history.all_calm_since()?;
    let cached = world.node(id)?.user()?.machine.cached(pool_handle)?;
    let gone = cached.elements().iter().find_map(|element| {
        let life = world.history.lives.get(&(pool_handle.clone(), element.identifier))?;
        life.gone.filter(|gone| world.now - (*gone).max(calm) > bound).map(|gone| (element.identifier, gone))
    })?;
    Some(("Fresh answers", format!("{id} is told of {}, which is gone since {:?}", gone.0, gone.1)))
}

/// Users: one has just failed to reach an element.
pub(crate) fn wish_unfulfilled(world: &mut World, id: NodeId) {
    if let Some(violation) = unserved(world, id) {
        world.violated(violation);
    }
}

/// Users: nobody waits for longer than it may take.
///
/// # Errors
/// Who does.
pub fn users_are_served(world: &World) -> Result<(), Violation> {
    world.node_ids().find_map(|id| unserved(world, id)).map_or(Ok(()), Err)
}

/// A user that has waited for too long, from when everything had settled, although there is a registrar and an element.
fn unserved(world: &World, id: NodeId) -> Option<Violation> {
    let pace = &world.settings.pace;
    let user = world.node(id)?.user()?;
    let wish = user.wish.as_ref()?;
    let serves = world.node_ids().any(|id| world.registrar(id).is_some_and(RegistrarMachine::is_ready));
    let of_pool = world.history.lives.iter().filter(|((pool, _), _)| *pool == user.pool_handle);
    let (alive, dead): (Vec<_>, Vec<_>) = of_pool.partition(|(_, life)| life.gone.is_none());
    if !serves || alive.is_empty() || world.network.loss() > BEARABLE_LOSS {
        return None;
    }
    let settled = world.history.all_calm_since()? + pace.settling();
    let waited = world.now.saturating_sub(wish.since.max(settled));
    let bound = pace.service(dead.len() as u32);
    (waited > bound).then(|| {
        Violation::new(world.now, "Users", format!("{id} waits for {waited:?}, which is more than {bound:?}"))
    })
}

/// Bounded: what one call of a machine may lead to, and how many links a node may have.
pub(crate) fn after_call(world: &mut World, id: NodeId, outputs: usize) {
    let others = world.nodes.len() + world.history.lives.len();
    let Some(node) = world.node(id) else { return };
    let links = node.links.len();
    let most_links = 8 + 4 * others;
    let most_outputs = 256 + 64 * others;
    if links > most_links || outputs > most_outputs {
        let what = format!("{id} has {links} links (of {most_links}), and does {outputs} things at once");
        let violation = Violation::new(world.now, "Bounded", what);
        world.violated(violation);
    }
}
