//! The world: virtual time, one queue of everything that is going to happen, and the nodes that it happens to.
//!
//! One seed decides everything: the delays and losses of the network, the random choices of applications, and the seeds of
//! the machines. Events at the same instant happen in the order in which they were planned.
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rserpool_asap::{ElementRegistration, UserEvent};
use rserpool_enrp::RegistrarMachine;
use rserpool_machine::{Endpoint, Output, Protocol, Scheme};
use rserpool_wire::{Dialect, Policy, PoolHandle, ServerId};

use crate::fault::{Fault, NodeId};
use crate::history::History;
use crate::invariants::{self, Violation};
use crate::network::{Network, Weather};
use crate::node::{Blueprint, Delivery, Happening, Node, Process, Traffic};
use crate::pace::Pace;
use crate::wire::{Parcel, Side, Wire, WireId};

/// How a world is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The timers of everybody.
    pub pace: Pace,
    /// The dialect of everybody.
    pub dialect: Dialect,
    /// The transport of all links.
    pub scheme: Scheme,
    /// The network when nothing is wrong.
    pub weather: Weather,
    /// Whether nodes find each other by announcements alone, instead of lists of addresses.
    pub multicast: bool,
    /// The policy of pools.
    pub policy: Policy,
    /// Whether to keep what everybody tells, to be shown when something turns out wrong.
    pub log: bool,
}

impl Settings {
    /// The values of the RFCs over TCP, on a local network.
    #[must_use]
    pub const fn rfc() -> Self {
        Self {
            pace: Pace::rfc(Dialect::Rfc),
            dialect: Dialect::Rfc,
            scheme: Scheme::Tcp,
            weather: Weather::local(),
            multicast: false,
            policy: Policy::RoundRobin,
            log: false,
        }
    }

    /// The same, in less than a second.
    #[must_use]
    pub fn fast() -> Self {
        Self { pace: Pace::fast(), ..Self::rfc() }
    }

    /// The dialect of the reference implementation, over SCTP.
    #[must_use]
    pub fn rsplib() -> Self {
        Self {
            pace: Pace::rfc(Dialect::Rsplib),
            dialect: Dialect::Rsplib,
            scheme: Scheme::Sctp,
            ..Self::rfc()
        }
    }
}

/// Something that is going to happen.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A machine wants to be called.
    Wake(NodeId),
    /// A node that takes its time takes the next thing from its inbox.
    Serve(NodeId),
    Deliver(NodeId, Delivery),
    /// Something arrives at this end of a wire.
    Arrive(WireId, Side, Parcel),
    /// The first packet of a connection arrives; sent again after this long if it does not get through.
    Syn(WireId, Duration),
    /// Its answer does.
    Connected(WireId),
    ConnectTimeout(WireId),
    /// What this end sent at that time should have been acknowledged.
    Unacknowledged(WireId, Side, Duration),
    /// The kernel looks whether the other end is still there.
    Probe(WireId, Side, u32),
    /// What was held up on the way from this end goes on.
    Release(WireId, Side),
    /// This end learns that the link is no more.
    Fail(WireId, Side, &'static str),
    FaultBegins(usize),
    FaultEnds(usize),
    /// A user wants something.
    Want(NodeId),
    /// An element has not answered a user.
    CallTimeout(NodeId, crate::user::CallId),
}

struct Planned {
    at: Duration,
    sequence: u64,
    event: Event,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}
impl Eq for Planned {}
impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Planned {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// A world.
pub struct World {
    pub(crate) settings: Settings,
    pub(crate) now: Duration,
    origin: Instant,
    pub(crate) rng: SmallRng,
    queue: BinaryHeap<Reverse<Planned>>,
    sequence: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) wires: BTreeMap<WireId, Wire>,
    pub(crate) next_wire: WireId,
    pub(crate) next_call: u64,
    pub(crate) members: BTreeMap<Protocol, BTreeSet<NodeId>>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) history: History,
    violations: Vec<Violation>,
    log: Vec<String>,
    /// How much happened in the second that runs.
    in_second: (u64, u64),
    events: u64,
    digest: u64,
}

/// What may happen in one second for each node and element, and among each two nodes, at the fastest pace, while everybody
/// is busy with a failure. More is a storm, or a loop.
const IN_A_SECOND: u64 = 500;

impl World {
    /// An empty world.
    #[must_use]
    pub fn new(settings: Settings, seed: u64) -> Self {
        Self {
            now: Duration::ZERO,
            origin: origin(),
            rng: SmallRng::seed_from_u64(seed),
            queue: BinaryHeap::new(),
            sequence: 0,
            nodes: Vec::new(),
            network: Network::new(settings.weather),
            wires: BTreeMap::new(),
            next_wire: 0,
            next_call: 0,
            members: BTreeMap::new(),
            faults: Vec::new(),
            history: History::default(),
            violations: Vec::new(),
            log: Vec::new(),
            in_second: (0, 0),
            events: 0,
            digest: 0,
            settings,
        }
    }

    /// Adds a host for a registrar with this identifier.
    pub fn add_registrar(&mut self, server: ServerId) -> NodeId {
        self.add(Blueprint::Registrar { server })
    }

    /// Adds a host for elements.
    pub fn add_element(&mut self, registrations: Vec<ElementRegistration>) -> NodeId {
        self.add(Blueprint::Element { registrations })
    }

    /// Adds a host for a user of this pool.
    pub fn add_user(&mut self, pool_handle: PoolHandle<'static>) -> NodeId {
        self.add(Blueprint::User { pool_handle })
    }

    /// Lets a registrar go by this identifier from its next start on.
    pub fn set_identifier(&mut self, node: NodeId, identifier: ServerId) {
        if let Some(Blueprint::Registrar { server }) = self.node_mut(node).map(|node| &mut node.blueprint) {
            *server = identifier;
        }
    }

    fn add(&mut self, blueprint: Blueprint) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node::new(blueprint, self.origin));
        self.history.add_node();
        id
    }

    /// Plans faults; they begin at their times, or at once where these are past.
    pub fn plan(&mut self, faults: impl IntoIterator<Item = Fault>) {
        for fault in faults {
            let (index, at) = (self.faults.len(), fault.at.max(self.now));
            self.faults.push(fault);
            self.happens_at(at, Event::FaultBegins(index));
        }
    }

    /// The time since the start of the world.
    #[must_use]
    pub const fn now(&self) -> Duration {
        self.now
    }

    /// What turned out wrong so far.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// What everybody told, if that is kept.
    #[must_use]
    pub fn log(&self) -> &[String] {
        &self.log
    }

    /// How many things have happened.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// A number that differs between two runs in which not everything happened alike.
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// The machine of a registrar, if it runs.
    #[must_use]
    pub fn registrar(&self, node: NodeId) -> Option<&RegistrarMachine> {
        self.node(node)?.registrar()
    }

    /// What a node has sent and received.
    #[must_use]
    pub fn traffic(&self, node: NodeId) -> Traffic {
        self.node(node).map_or_else(Traffic::default, |node| node.traffic)
    }

    /// How often a user got what it wanted, and the longest that took.
    #[must_use]
    pub fn served(&self, node: NodeId) -> (u64, Duration) {
        self.node(node).and_then(Node::user).map_or((0, Duration::ZERO), |user| (user.served, user.slowest))
    }

    /// Whether the process of a node runs.
    #[must_use]
    pub fn is_up(&self, node: NodeId) -> bool {
        self.node(node).is_some_and(Node::is_up)
    }

    /// All nodes.
    pub fn node_ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)).map(NodeId)
    }

    pub(crate) fn node(&self, node: NodeId) -> Option<&Node> {
        self.nodes.get(node.0 as usize)
    }

    pub(crate) fn node_mut(&mut self, node: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(node.0 as usize)
    }

    /// What a node's clock shows.
    pub(crate) fn local_time(&self, node: NodeId) -> Instant {
        self.node(node).map_or(self.origin, |node| node.clock.read(self.now))
    }

    pub(crate) fn endpoint(&self, node: NodeId, port: u16) -> Endpoint {
        Endpoint::new(self.settings.scheme, crate::node::address(node, port))
    }

    pub(crate) fn happens_in(&mut self, time: Duration, event: Event) {
        self.happens_at(self.now + time, event);
    }

    pub(crate) fn happens_at(&mut self, at: Duration, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse(Planned { at, sequence: self.sequence, event }));
    }

    /// Something is not as it must be.
    pub(crate) fn violated(&mut self, violation: Violation) {
        if self.violations.is_empty() {
            self.note(|| format!("VIOLATION {violation}"));
        }
        self.violations.push(violation);
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if self.settings.log {
            self.log.push(format!("{:>10.4} {}", self.now.as_secs_f64(), line()));
        }
    }

    /// Lets this much time pass, or less if something turns out wrong; `false` then.
    pub fn run(&mut self, time: Duration) -> bool {
        let end = self.now + time;
        while self.violations.is_empty() && self.step(end) {}
        if self.violations.is_empty() {
            self.now = end;
        }
        self.violations.is_empty()
    }

    /// Lets time pass until all is at rest, looking every `interval`. Says how long that took.
    ///
    /// # Errors
    /// What is not as it must be after `bound`, or what turned out wrong before.
    pub fn settle(&mut self, bound: Duration, interval: Duration) -> Result<Duration, Violation> {
        let start = self.now;
        loop {
            let unsettled = invariants::at_rest(self).err();
            match (self.violations.first(), unsettled) {
                (Some(violation), _) => return Err(violation.clone()),
                (None, None) => return Ok(self.now - start),
                (None, Some(violation)) if self.now - start >= bound => {
                    self.note(|| format!("VIOLATION {violation}"));
                    return Err(violation);
                }
                (None, Some(_)) => {}
            }
            self.run(interval);
        }
    }

    /// Does the next thing that is due until `end`; `false` if there is none.
    fn step(&mut self, end: Duration) -> bool {
        if self.queue.peek().is_none_or(|Reverse(planned)| planned.at > end) {
            return false;
        }
        let Some(Reverse(Planned { at, event, .. })) = self.queue.pop() else { return false };
        self.now = self.now.max(at);
        self.count_event();
        self.perform_event(event);
        true
    }

    fn perform_event(&mut self, event: Event) {
        match event {
            Event::Wake(node) => self.wake(node),
            Event::Serve(node) => self.serve(node),
            Event::Deliver(node, delivery) => self.deliver(node, delivery),
            Event::Arrive(wire, side, parcel) => self.arrive(wire, side, parcel),
            Event::Syn(wire, again) => self.syn(wire, again),
            Event::Connected(wire) => self.connected(wire),
            Event::ConnectTimeout(wire) => self.connect_timeout(wire),
            Event::Unacknowledged(wire, side, since) => self.unacknowledged(wire, side, since),
            Event::Probe(wire, side, tries) => self.probe(wire, side, tries),
            Event::Release(wire, side) => self.release(wire, side),
            Event::Fail(wire, side, why) => self.fail(wire, side, why),
            Event::FaultBegins(index) => self.fault_begins(index),
            Event::FaultEnds(index) => self.fault_ends(index),
            Event::Want(node) => self.want(node),
            Event::CallTimeout(node, call) => self.call_timeout(node, call),
        }
    }

    fn wake(&mut self, id: NodeId) {
        let now = self.now;
        let Some(node) = self.node_mut(id) else { return };
        // One that was moved to an earlier time has another event.
        if node.wake.is_none_or(|at| at > now) || node.pauses > 0 {
            return;
        }
        node.wake = None;
        let time = node.clock.read(now);
        let Some(process) = &mut node.process else { return };
        if process.poll_timeout().is_some_and(|at| at <= time) {
            process.handle_timeout(time);
        }
        self.perform(id);
    }

    /// Bounded: no storm, and no loop in which no time passes.
    fn count_event(&mut self) {
        self.events += 1;
        let (second, events) = &mut self.in_second;
        if *second != self.now.as_secs() {
            (*second, *events) = (self.now.as_secs(), 0);
        }
        *events += 1;
        let (nodes, elements) = (self.nodes.len() as u64, self.history.lives.len() as u64);
        let most = IN_A_SECOND * (nodes + elements + 10);
        if *events == most {
            let what = format!("more than {most} things happen in one second");
            self.violated(Violation::new(self.now, "Bounded", what));
        }
    }

    /// Takes what a machine wants done, and plans its next call.
    pub(crate) fn perform(&mut self, id: NodeId) {
        let mut outputs = 0_usize;
        loop {
            let Some(output) =
                self.node_mut(id).and_then(|node| node.process.as_mut()).and_then(Process::poll_output)
            else {
                break;
            };
            outputs += 1;
            match output {
                Output::Connect { link, protocol, remote, .. } => self.connect(id, link, protocol, &remote),
                Output::Transmit { link, bytes } => {
                    self.digest_of(id, &bytes);
                    self.transmit(id, link, bytes);
                }
                Output::Disconnect { link } => self.disconnect(id, link),
                Output::Event(happening) => self.happened(id, &happening),
            }
        }
        invariants::after_call(self, id, outputs);
        self.plan_wake(id);
    }

    fn plan_wake(&mut self, id: NodeId) {
        let now = self.now;
        let Some(node) = self.node_mut(id) else { return };
        let Some(at) = node.process.as_ref().and_then(Process::poll_timeout) else { return };
        let at = node.clock.when(at).max(now).max(node.busy_until);
        if node.wake.is_none_or(|planned| planned > at) {
            node.wake = Some(at);
            self.happens_at(at, Event::Wake(id));
        }
    }

    fn happened(&mut self, id: NodeId, happening: &Happening) {
        match happening {
            Happening::Registrar(event) => self.note(|| format!("{id} {event:?}")),
            Happening::Element(event) => self.note(|| format!("{id} {event:?}")),
            // Of these there are too many.
            Happening::User(UserEvent::Resolved { .. }) => {}
            Happening::User(event) => self.note(|| format!("{id} {event:?}")),
        }
        invariants::happened(self, id, happening);
        match happening {
            Happening::Registrar(event) => self.registrar_told(id, event),
            Happening::Element(event) => self.element_told(id, event),
            Happening::User(event) => self.user_told(id, event),
        }
    }

    fn digest_of(&mut self, id: NodeId, bytes: &[u8]) {
        let mut digest = self.digest ^ u64::from(id.0) ^ self.now.as_nanos() as u64;
        for chunk in bytes.chunks(8) {
            let word = chunk.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
            digest = (digest ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
        self.digest = digest;
    }

    /// A time from half to one and a half of `mean`.
    pub(crate) fn around(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(self.rng.random_range(0.5..1.5))
    }
}

#[allow(clippy::disallowed_methods, reason = "a starting point for virtual time: nothing depends on which")]
pub(crate) fn origin() -> Instant {
    Instant::now()
}
