//! A few registrar machines and the links between them, driven step by step: what [`explore`](crate::Arbitration::explore)
//! runs. Each machine has a clock of its own, which only its timers move: nothing is said about how fast anybody is.
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rserpool_enrp::{PeerState, RegistrarConfig, RegistrarEvent, RegistrarMachine, RegistrarTimers};
use rserpool_machine::{
    DownReason, Endpoint, Input, LinkId, LinkKind, Machine, Output, PeerIdentity, Protocol, Scheme,
};
use rserpool_wire::asap::{Message, Registration};
use rserpool_wire::{
    Dialect, PeIdentifier, Policy, PoolElement, PoolHandle, RegistrationLife, ServerId, Transport,
};

use crate::explore::Step;
use crate::fault::NodeId;
use crate::node::{ENRP_PORT, address, node_at};
use crate::wire::messages;
use crate::world::origin;

/// Timers further ahead than this are of no interest: heartbeats, and looking for the dead.
const HORIZON: Duration = Duration::from_secs(100);
/// A heartbeat: three of them are enough for the audit to put everything right.
const HEARTBEAT: Duration = Duration::from_secs(500);

/// What is on its way.
#[derive(Clone, Debug)]
enum Item {
    Up,
    Messages(Bytes),
    Down(DownReason),
}

/// A link: at each end a registrar, its name for the link, and what is on its way there.
#[derive(Debug)]
struct Link {
    ends: [(usize, LinkId); 2],
    inbound: [VecDeque<Item>; 2],
    open: bool,
}

pub(crate) struct Registrars {
    machines: Vec<Option<RegistrarMachine>>,
    clocks: Vec<Instant>,
    links: Vec<Link>,
    accepted: u64,
    /// What each has seen, in order, as a number.
    histories: Vec<u64>,
    /// Who has completed which take-over.
    completed: BTreeMap<ServerId, Vec<usize>>,
    /// Whether two of them have the same identifier: these do not talk to each other, so not all hold the same.
    twins: bool,
}

impl Registrars {
    /// The survivors, linked and ready, and a target that owned an element and has just died: nobody knows yet.
    pub(crate) fn with_a_dead_target(
        survivors: &[ServerId],
        target: ServerId,
        dialect: Dialect,
    ) -> Result<Self, String> {
        let count = survivors.len() + 1;
        let mut all = Self {
            machines: Vec::new(),
            clocks: vec![origin(); count],
            links: Vec::new(),
            accepted: 0,
            histories: vec![0; count],
            completed: BTreeMap::new(),
            twins: false,
        };
        for (n, id) in survivors.iter().copied().chain([target]).enumerate() {
            let machine = RegistrarMachine::new(config(n, id, dialect), n as u64, origin());
            all.machines.push(Some(machine.map_err(|error| error.to_string())?));
            all.perform(n);
            all.settle(Duration::from_secs(30));
        }
        all.register(count - 1, dialect)?;
        all.settle(Duration::from_secs(30));
        all.twins =
            (1..survivors.len()).any(|n| survivors.iter().take(n).any(|id| Some(id) == survivors.get(n)));
        if let Some(n) = (0..count).find(|n| !all.twins && all.listed(*n).len() != 1) {
            return Err(format!("registrar {n} is not ready, or does not know the element"));
        }
        all.take(Step::Crash(count - 1));
        Ok(all)
    }

    /// An element without an ASAP transport registers: whoever takes it over waits for it to come back.
    fn register(&mut self, n: usize, dialect: Dialect) -> Result<(), String> {
        let element = PoolElement {
            identifier: PeIdentifier(1),
            home: ServerId::NONE,
            life: RegistrationLife::Infinite,
            user_transport: Transport::Tcp(([10, 1, 0, 1], 7).into()),
            policy: Policy::RoundRobin,
            asap_transport: None,
        };
        let registration = Registration { pool_handle: PoolHandle::from("echo"), element };
        let mut bytes = BytesMut::new();
        Message::from(registration).encode(dialect, &mut bytes).map_err(|error| error.to_string())?;
        let (now, link) = (self.now(n), LinkId::accepted(1_000_000));
        let Some(machine) = self.machine(n) else { return Ok(()) };
        up(machine, now, link, Protocol::Asap, ([10, 1, 0, 1], 40_000).into());
        machine.handle_input(now, Input::Message { link, bytes: &bytes });
        self.perform(n);
        Ok(())
    }

    /// The same for runs that lead to the same: what each has seen, in its order, and what is on its way, which differs where
    /// a link broke.
    pub(crate) fn fingerprint(&self) -> Vec<u64> {
        let mut on_its_way = 0_u64;
        for link in &self.links {
            for (end, (queue, (n, _))) in link.inbound.iter().zip(&link.ends).enumerate() {
                let other = link.ends.get(1 - end).map_or(0, |(other, _)| *other);
                let of_queue =
                    queue.iter().fold(hash(0, &[*n as u8, other as u8]), |so_far, item| match item {
                        Item::Up => hash(so_far, b"up"),
                        Item::Messages(bytes) => hash(so_far, bytes),
                        Item::Down(_) => hash(so_far, b"down"),
                    });
                on_its_way = on_its_way.wrapping_add(if queue.is_empty() { 0 } else { of_queue });
            }
        }
        self.histories.iter().copied().chain([on_its_way]).collect()
    }

    /// Who has completed a take-over of `target`.
    pub(crate) fn completions(&self, target: ServerId) -> &[usize] {
        self.completed.get(&target).map_or(&[], Vec::as_slice)
    }

    /// Whether two of them have the same identifier.
    pub(crate) const fn has_twins(&self) -> bool {
        self.twins
    }

    pub(crate) fn runs(&self, n: usize) -> bool {
        self.machines.get(n).is_some_and(Option::is_some)
    }

    /// Everything that may arrive next.
    pub(crate) fn arrivals(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (index, link) in self.links.iter().enumerate() {
            for (end, (queue, (n, _))) in link.inbound.iter().zip(&link.ends).enumerate() {
                if !queue.is_empty() && self.runs(*n) {
                    steps.push(Step::Receive(index, end));
                }
            }
        }
        steps
    }

    pub(crate) fn has_timer(&self, n: usize) -> bool {
        let machine = self.machines.get(n).and_then(Option::as_ref);
        let at = machine.and_then(RegistrarMachine::poll_timeout);
        at.is_some_and(|at| at.saturating_duration_since(self.now(n)) < HORIZON)
    }

    pub(crate) fn breakable(&self) -> Vec<usize> {
        let breakable = |link: &Link| link.open && link.ends.iter().all(|(n, _)| self.runs(*n));
        self.links.iter().enumerate().filter(|(_, link)| breakable(link)).map(|(index, _)| index).collect()
    }

    /// Lets a step happen.
    pub(crate) fn take(&mut self, step: Step) {
        match step {
            Step::Receive(link, end) => self.receive(link, end),
            Step::Timer(n) => self.fire(n),
            Step::Break(index) => {
                let Some(link) = self.links.get_mut(index) else { return };
                link.open = false;
                for queue in &mut link.inbound {
                    *queue = VecDeque::from([Item::Down(DownReason::Failed("broken".into()))]);
                }
            }
            Step::Crash(n) => {
                if let Some(machine) = self.machines.get_mut(n) {
                    *machine = None;
                }
                self.saw(n, b"crash");
                for link in self.links.iter_mut().filter(|link| link.open) {
                    for end in 0..2 {
                        if link.ends.get(1 - end).is_some_and(|(other, _)| *other == n)
                            && let Some(queue) = link.inbound.get_mut(end)
                        {
                            link.open = false;
                            queue.push_back(Item::Down(DownReason::Failed("reset".into())));
                        }
                    }
                }
            }
        }
    }

    fn now(&self, n: usize) -> Instant {
        self.clocks.get(n).copied().unwrap_or_else(origin)
    }

    fn machine(&mut self, n: usize) -> Option<&mut RegistrarMachine> {
        self.machines.get_mut(n)?.as_mut()
    }

    fn saw(&mut self, n: usize, what: &[u8]) {
        if let Some(history) = self.histories.get_mut(n) {
            *history = hash(*history, what);
        }
    }

    fn receive(&mut self, index: usize, end: usize) {
        let Some(link) = self.links.get_mut(index) else { return };
        let Some(item) = link.inbound.get_mut(end).and_then(VecDeque::pop_front) else { return };
        let (Some((n, name)), Some((other, _))) =
            (link.ends.get(end).copied(), link.ends.get(1 - end).copied())
        else {
            return;
        };
        let now = self.now(n);
        let content: &[u8] = match &item {
            Item::Up => b"up",
            Item::Messages(bytes) => bytes,
            Item::Down(_) => b"down",
        };
        self.saw(n, &[other as u8, end as u8]);
        self.saw(n, content);
        let Some(machine) = self.machine(n) else { return };
        match item {
            Item::Up => up(machine, now, name, Protocol::Enrp, address(NodeId(other as u32), ENRP_PORT)),
            Item::Messages(bytes) => {
                for message in messages(&bytes) {
                    machine.handle_input(now, Input::Message { link: name, bytes: message });
                }
            }
            Item::Down(reason) => machine.handle_input(now, Input::LinkDown { link: name, reason }),
        }
        self.perform(n);
    }

    /// Fires timers until one does something: looking for the dead is of no interest.
    fn fire(&mut self, n: usize) {
        self.saw(n, b"timer");
        for _ in 0..64 {
            let now = self.now(n);
            let Some(at) = self.machine(n).and_then(|machine| machine.poll_timeout()) else { return };
            if at.saturating_duration_since(now) >= HORIZON || self.fire_at(n, at.max(now)) {
                return;
            }
        }
    }

    fn fire_at(&mut self, n: usize, at: Instant) -> bool {
        if let Some(clock) = self.clocks.get_mut(n) {
            *clock = at;
        }
        if let Some(machine) = self.machine(n) {
            machine.handle_timeout(at);
        }
        self.perform(n)
    }

    /// Takes what a machine wants done; `false` if that is nothing but to look for the dead.
    fn perform(&mut self, n: usize) -> bool {
        let mut matters = false;
        while let Some(output) = self.machine(n).and_then(Machine::poll_output) {
            match output {
                Output::Connect { link, remote, .. } => matters |= self.connect(n, link, &remote),
                Output::Transmit { link, bytes } => {
                    matters = true;
                    self.send(n, link, Item::Messages(bytes));
                }
                Output::Disconnect { link } => {
                    matters = true;
                    self.disconnect(n, link);
                }
                Output::Event(RegistrarEvent::TakeoverCompleted { target, home, .. })
                    if self.machine(n).is_some_and(|machine| machine.id() == home) =>
                {
                    self.completed.entry(target).or_default().push(n);
                }
                Output::Event(_) => {}
            }
        }
        matters
    }

    fn connect(&mut self, n: usize, link: LinkId, remote: &Endpoint) -> bool {
        let to = remote.socket_addresses().next().flatten().and_then(node_at).map(|node| node.0 as usize);
        let Some(to) = to.filter(|to| self.runs(*to)) else {
            let now = self.now(n);
            if let Some(machine) = self.machine(n) {
                let reason = DownReason::ConnectFailed("refused".into());
                machine.handle_input(now, Input::LinkDown { link, reason });
            }
            return false;
        };
        self.accepted += 1;
        let ends = [(n, link), (to, LinkId::accepted(self.accepted))];
        let inbound = [VecDeque::from([Item::Up]), VecDeque::from([Item::Up])];
        self.links.push(Link { ends, inbound, open: true });
        true
    }

    fn send(&mut self, n: usize, name: LinkId, item: Item) {
        for link in self.links.iter_mut().filter(|link| link.open) {
            for end in 0..2 {
                if link.ends.get(end) == Some(&(n, name))
                    && let Some(queue) = link.inbound.get_mut(1 - end)
                {
                    queue.push_back(item);
                    return;
                }
            }
        }
    }

    fn disconnect(&mut self, n: usize, name: LinkId) {
        self.send(n, name, Item::Down(DownReason::Closed));
        for link in &mut self.links {
            for end in 0..2 {
                if link.open
                    && link.ends.get(end) == Some(&(n, name))
                    && let Some(queue) = link.inbound.get_mut(end)
                {
                    link.open = false;
                    *queue = VecDeque::from([Item::Down(DownReason::Requested)]);
                }
            }
        }
    }

    /// Everything arrives, and timers fire in order, for this long.
    fn settle(&mut self, time: Duration) {
        let end = self.clocks.iter().copied().max().unwrap_or_else(origin) + time;
        loop {
            while let Some(step) = self.arrivals().first().copied() {
                self.take(step);
            }
            let next = (0..self.machines.len())
                .filter_map(|n| Some((self.machines.get(n)?.as_ref()?.poll_timeout()?, n)))
                .min();
            let Some((at, n)) = next.filter(|(at, _)| *at <= end) else { break };
            self.fire_at(n, at.max(self.now(n)));
        }
        self.clocks.iter_mut().for_each(|clock| *clock = end);
    }

    /// From now on all goes as it should: then all that run agree on who there is, and what is there.
    pub(crate) fn let_all_come_right(&mut self) -> Result<(), String> {
        self.settle(HEARTBEAT * 5);
        let running: Vec<usize> = (0..self.machines.len()).filter(|n| self.runs(*n)).collect();
        let Some(first) = running.first().copied() else { return Ok(()) };
        let identifiers: Vec<ServerId> =
            running.iter().filter_map(|n| Some(self.machines.get(*n)?.as_ref()?.id())).collect();
        let expected = self.listed(first);
        for n in &running {
            let listed = self.listed(*n);
            if let Some((identifier, home)) = listed.iter().find(|(_, home)| !identifiers.contains(home)) {
                return Err(format!("{n} holds {identifier} with the home {home}, which is dead"));
            }
            if !self.twins && listed != expected {
                return Err(format!("{first} holds {expected:?}, {n} holds {:?}", self.listed(*n)));
            }
        }
        match expected.is_empty() {
            _ if self.twins => Ok(()),
            true => Err("the element is lost".to_owned()),
            false => self.all_are_peers(&running, &identifiers),
        }
    }

    fn all_are_peers(&self, running: &[usize], identifiers: &[ServerId]) -> Result<(), String> {
        for n in running {
            let Some(machine) = self.machines.get(*n).and_then(Option::as_ref) else { continue };
            let mut known: Vec<ServerId> = machine
                .peers()
                .filter(|peer| peer.state == PeerState::Active && peer.is_linked)
                .map(|peer| peer.server)
                .chain([machine.id()])
                .collect();
            known.sort_unstable();
            let mut expected = identifiers.to_vec();
            expected.sort_unstable();
            expected.dedup();
            known.dedup();
            if known != expected {
                return Err(format!("{n} knows {known:?} of {expected:?}"));
            }
        }
        Ok(())
    }

    /// The elements that a registrar lists, and their homes.
    fn listed(&self, n: usize) -> Vec<(PeIdentifier, ServerId)> {
        let machine = self.machines.get(n).and_then(Option::as_ref);
        let pools = machine.into_iter().flat_map(|machine| machine.handlespace().pools());
        pools
            .flat_map(|pool| pool.elements().map(|e| (e.identifier(), e.home())).collect::<Vec<_>>())
            .collect()
    }
}

fn hash(so_far: u64, what: &[u8]) -> u64 {
    what.iter().fold(so_far ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(5)
    })
}

fn up(
    machine: &mut RegistrarMachine,
    now: Instant,
    link: LinkId,
    protocol: Protocol,
    remote: std::net::SocketAddr,
) {
    let (kind, identity) = (LinkKind::PointToPoint(Scheme::Tcp), PeerIdentity::Anonymous);
    machine.handle_input(now, Input::LinkUp { link, protocol, kind, remote: &[remote], identity });
}

/// Each knows those before it; whatever happens all the time happens rarely.
fn config(n: usize, id: ServerId, dialect: Dialect) -> RegistrarConfig {
    let endpoint = |n: usize| Endpoint::tcp(address(NodeId(n as u32), ENRP_PORT));
    let mut config = RegistrarConfig::new(id);
    config.dialect = dialect;
    config.enrp = Some(endpoint(n));
    config.peers = (0..n).map(endpoint).collect();
    config.timers = RegistrarTimers {
        heartbeat_cycle: HEARTBEAT,
        max_time_last_heard: HEARTBEAT * 2,
        reconnect_max: HEARTBEAT,
        keep_alive_interval: HEARTBEAT * 100,
        detached_grace: HEARTBEAT * 100,
        ..RegistrarTimers::rfc()
    };
    config
}
