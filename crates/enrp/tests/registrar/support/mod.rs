//! A network in memory: registrars, and clients that a test scripts, joined by links that take a millisecond. Time is virtual,
//! so a run takes no time and repeats exactly.

mod client;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rserpool_enrp::{RegistrarConfig, RegistrarEvent, RegistrarMachine, RegistrarTimers};
use rserpool_machine::{
    DownReason, Endpoint, Input, LinkId, LinkKind, Machine, Output, PeerIdentity, Protocol, Scheme,
};
use rserpool_wire::enrp::{self, Body};
use rserpool_wire::{Dialect, PeIdentifier, ServerId};

pub(crate) use client::{Client, ClientId, element, policy_element};

pub(crate) const ASAP_PORT: u16 = 3863;
pub(crate) const ENRP_PORT: u16 = 9901;
const LATENCY: Duration = Duration::from_millis(1);

/// Whoever has links.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Node {
    Registrar(ServerId),
    Client(ClientId),
}

type End = (Node, LinkId);

enum Happening {
    Up { end: End, protocol: Protocol, remote: SocketAddr },
    Down { end: End, reason: DownReason },
    Message { end: End, bytes: Bytes },
    Announcement { end: End, source: SocketAddr, bytes: Bytes },
}

pub(crate) struct Registrar {
    pub(crate) machine: RegistrarMachine,
    pub(crate) events: Vec<RegistrarEvent>,
    /// Whether it was told to shut down.
    leaving: bool,
    /// Links whose end it asked for.
    closed: BTreeSet<LinkId>,
}

/// The network.
pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) registrars: BTreeMap<ServerId, Registrar>,
    pub(crate) clients: BTreeMap<ClientId, Client>,
    /// The other end of each link that is up or coming up.
    wires: BTreeMap<End, End>,
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    /// Multicast groups by protocol.
    groups: Vec<(Protocol, End)>,
    /// Nodes that neither send nor receive, though their links stay up.
    pub(crate) silent: BTreeSet<Node>,
    /// Registrars that are linked over SCTP; the others are over TCP.
    pub(crate) over_sctp: BTreeSet<ServerId>,
    /// Who proves to be what on links; the others prove nothing.
    identities: BTreeMap<Node, PeerIdentity>,
    /// Pairs that cannot reach each other.
    cuts: BTreeSet<(Node, Node)>,
    sequence: u64,
    accepted: u64,
    /// Messages that registrars have sent, by the type byte and protocol.
    pub(crate) sent: BTreeMap<(Protocol, u8), usize>,
    /// ENRP messages of this type are lost.
    pub(crate) lose: Option<u8>,
    /// Registrars that know nothing of owners: they neither tell them nor understand what they are told.
    pub(crate) old: BTreeSet<ServerId>,
}

pub(crate) fn address(node: Node, port: u16) -> SocketAddr {
    let ip = match node {
        // Identifiers that differ in the upper half only are at the same address, one after the other.
        Node::Registrar(id) => Ipv4Addr::from_bits(0x0a00_0000 | id.0 & 0xffff),
        Node::Client(ClientId(n)) => Ipv4Addr::from_bits(0x0a80_0000 | n),
    };
    SocketAddr::new(IpAddr::V4(ip), port)
}

pub(crate) fn config(id: u32, peers: &[u32]) -> RegistrarConfig {
    let endpoint = |id, port| Endpoint::tcp(address(Node::Registrar(ServerId(id)), port));
    let mut config = RegistrarConfig::new(ServerId(id));
    config.asap = vec![endpoint(id, ASAP_PORT)];
    config.enrp = Some(endpoint(id, ENRP_PORT));
    config.peers = peers.iter().map(|peer| endpoint(*peer, ENRP_PORT)).collect();
    config.timers = RegistrarTimers::fast();
    config
}

impl Net {
    #[allow(clippy::disallowed_methods, reason = "a starting point for virtual time")]
    pub(crate) fn new() -> Self {
        Self {
            now: Instant::now(),
            registrars: BTreeMap::new(),
            clients: BTreeMap::new(),
            wires: BTreeMap::new(),
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            groups: Vec::new(),
            silent: BTreeSet::new(),
            over_sctp: BTreeSet::new(),
            identities: BTreeMap::new(),
            cuts: BTreeSet::new(),
            sequence: 0,
            accepted: 0,
            sent: BTreeMap::new(),
            lose: None,
            old: BTreeSet::new(),
        }
    }

    /// A network with these registrars, each knowing those before it, all ready.
    pub(crate) fn with(ids: &[u32]) -> Self {
        let mut net = Self::new();
        for (n, id) in ids.iter().enumerate() {
            net.start(config(*id, &ids[..n]));
            assert!(net.run_until(secs(5), |net| net.is_ready(*id)), "registrar {id} is ready");
        }
        net.run(millis(100));
        net
    }

    pub(crate) fn start(&mut self, config: RegistrarConfig) -> ServerId {
        let id = config.server_id;
        let machine =
            RegistrarMachine::new(config, u64::from(id.0), self.now).expect("a valid configuration");
        self.registrars
            .insert(id, Registrar { machine, events: Vec::new(), leaving: false, closed: BTreeSet::new() });
        self.perform(id);
        id
    }

    pub(crate) fn machine(&self, id: u32) -> &RegistrarMachine {
        &self.registrars[&ServerId(id)].machine
    }

    pub(crate) fn events(&self, id: u32) -> &[RegistrarEvent] {
        &self.registrars[&ServerId(id)].events
    }

    pub(crate) fn is_ready(&self, id: u32) -> bool {
        self.machine(id).is_ready()
    }

    pub(crate) fn shutdown(&mut self, id: u32) {
        let now = self.now;
        let registrar = self.registrars.get_mut(&ServerId(id)).expect("a registrar");
        registrar.machine.shutdown(now);
        registrar.leaving = true;
        self.perform(ServerId(id));
    }

    /// Whether a registrar has been shut down, or is not there.
    pub(crate) fn has_left(&self, id: u32) -> bool {
        self.registrars.get(&ServerId(id)).is_none_or(|registrar| registrar.leaving)
    }

    /// Ends a registrar without notice; its links break.
    pub(crate) fn crash(&mut self, id: u32) {
        self.registrars.remove(&ServerId(id));
        self.break_links(|node| node == Node::Registrar(ServerId(id)), |_| true);
    }

    /// Lets a node prove from now on that it is this.
    pub(crate) fn identify(&mut self, node: Node, name: &str) {
        self.identities.insert(node, PeerIdentity::Authenticated(name.into()));
    }

    /// Makes two nodes unreachable for each other, and breaks their links.
    pub(crate) fn cut(&mut self, a: Node, b: Node) {
        self.cuts.insert((a, b));
        self.cuts.insert((b, a));
        self.break_links(|node| node == a, |node| node == b);
    }

    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
    }

    /// Breaks the links between two sets of nodes.
    pub(crate) fn break_links(&mut self, from: impl Fn(Node) -> bool, to: impl Fn(Node) -> bool) {
        let broken: Vec<End> = self
            .wires
            .iter()
            .filter(|(a, b)| from(a.0) && to(b.0) || from(b.0) && to(a.0))
            .map(|(a, _)| *a)
            .collect();
        for end in broken {
            self.wires.remove(&end);
            self.happens(Happening::Down { end, reason: DownReason::Failed("broken".into()) });
        }
    }

    /// Joins a registrar to the multicast group of a protocol.
    pub(crate) fn join(&mut self, id: u32, protocol: Protocol) {
        let end = (Node::Registrar(ServerId(id)), self.accept());
        self.groups.push((protocol, end));
        let (now, remote) = (self.now, "224.0.1.185:3863".parse().expect("an address"));
        let kind = LinkKind::Multicast;
        let identity = PeerIdentity::Anonymous;
        let input = Input::LinkUp { link: end.1, protocol, kind, remote: &[remote], identity };
        let registrar = self.registrars.get_mut(&ServerId(id)).expect("a registrar");
        registrar.machine.handle_input(now, input);
        self.perform(ServerId(id));
    }

    fn accept(&mut self) -> LinkId {
        self.accepted += 1;
        LinkId::accepted(self.accepted)
    }

    fn happens(&mut self, happening: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse((self.now + LATENCY, self.sequence)));
        self.happenings.insert(self.sequence, happening);
    }

    /// Opens a link from `end` to whoever listens at `to`.
    pub(crate) fn open(&mut self, end: End, protocol: Protocol, to: SocketAddr) {
        let is_at = |node: &Node| address(*node, to.port()) == to;
        let port = if protocol == Protocol::Asap { ASAP_PORT } else { ENRP_PORT };
        let registrars = self.registrars.keys().map(|id| Node::Registrar(*id)).filter(|_| to.port() == port);
        let clients =
            self.clients.iter().filter(|(_, client)| client.listens).map(|(id, _)| Node::Client(*id));
        let found = registrars.chain(clients).find(is_at);
        match found.filter(|node| !self.cuts.contains(&(end.0, *node)) && !self.silent.contains(node)) {
            Some(node) => {
                let other = (node, self.accept());
                self.wires.insert(end, other);
                self.wires.insert(other, end);
                let source = address(end.0, 40_000);
                self.happens(Happening::Up { end: other, protocol, remote: source });
                self.happens(Happening::Up { end, protocol, remote: to });
            }
            None => {
                let reason = DownReason::ConnectFailed("refused".into());
                self.happens(Happening::Down { end, reason });
            }
        }
    }

    /// Ends a link in good order.
    pub(crate) fn close(&mut self, end: End) {
        if let Some(other) = self.wires.remove(&end) {
            self.wires.remove(&other);
            self.happens(Happening::Down { end: other, reason: DownReason::Closed });
        }
        self.happens(Happening::Down { end, reason: DownReason::Requested });
    }

    pub(crate) fn transmit(&mut self, end: End, bytes: Bytes) {
        if let Some((protocol, _)) = self.groups.iter().find(|(_, member)| *member == end).copied() {
            let port = if protocol == Protocol::Asap { ASAP_PORT } else { ENRP_PORT };
            let source = address(end.0, port);
            let members: Vec<End> = self.groups.iter().filter(|g| g.0 == protocol).map(|g| g.1).collect();
            for member in members {
                self.happens(Happening::Announcement { end: member, source, bytes: bytes.clone() });
            }
            return;
        }
        if let Some(other) = self.wires.get(&end).copied()
            && !self.silent.contains(&end.0)
        {
            self.happens(Happening::Message { end: other, bytes });
        }
    }

    /// Takes the outputs of a registrar.
    fn perform(&mut self, id: ServerId) {
        let node = Node::Registrar(id);
        while let Some(output) = self.registrars.get_mut(&id).and_then(|r| r.machine.poll_output()) {
            match output {
                Output::Connect { link, protocol, remote, .. } => {
                    let to = remote.socket_addresses().next().flatten().expect("an address");
                    self.open((node, link), protocol, to);
                }
                Output::Transmit { link, bytes } => {
                    let closed = &self.registrars[&id].closed;
                    assert!(!closed.contains(&link), "{link:?} was closed before: {bytes:x?}");
                    let to_client =
                        self.wires.get(&(node, link)).is_some_and(|end| matches!(end.0, Node::Client(_)));
                    let protocol = if to_client { Protocol::Asap } else { Protocol::Enrp };
                    *self.sent.entry((protocol, bytes[0])).or_default() += 1;
                    if to_client || self.lose != Some(bytes[0]) {
                        let is_old =
                            |node: Node| matches!(node, Node::Registrar(id) if self.old.contains(&id));
                        let to_old = self.wires.get(&(node, link)).is_some_and(|end| is_old(end.0));
                        let bytes = if to_old || is_old(node) { without_owners(bytes) } else { bytes };
                        self.transmit((node, link), bytes);
                    }
                }
                Output::Disconnect { link } => {
                    self.registrars.get_mut(&id).expect("a registrar").closed.insert(link);
                    self.close((node, link));
                }
                Output::Event(event) => {
                    self.registrars.get_mut(&id).expect("a registrar").events.push(event);
                }
            }
        }
    }

    fn deliver(&mut self, happening: Happening) {
        let (Happening::Up { end, .. }
        | Happening::Down { end, .. }
        | Happening::Message { end, .. }
        | Happening::Announcement { end, .. }) = &happening;
        let (node, link) = *end;
        let links = self.wires.contains_key(end);
        match node {
            Node::Client(id) => match happening {
                Happening::Up { remote, .. } => self.client_link_up(id, link, remote),
                Happening::Down { .. } => self.client_link_down(id, link),
                Happening::Message { bytes, .. } if links && !self.silent.contains(&node) => {
                    self.client_message(id, link, bytes);
                }
                _ => {}
            },
            Node::Registrar(id) => {
                let (now, silent) = (self.now, self.silent.contains(&node));
                let Some(registrar) = self.registrars.get_mut(&id) else { return };
                let proven = self.wires.get(end).and_then(|(other, _)| self.identities.get(other));
                let identity = proven.cloned().unwrap_or_default();
                let scheme = if self.over_sctp.contains(&id) { Scheme::Sctp } else { Scheme::Tcp };
                let remote;
                let bytes_held;
                let input = match happening {
                    Happening::Up { protocol, remote: other, .. } => {
                        remote = [other];
                        Input::LinkUp {
                            link,
                            protocol,
                            kind: LinkKind::PointToPoint(scheme),
                            remote: &remote,
                            identity,
                        }
                    }
                    Happening::Down { reason, .. } => Input::LinkDown { link, reason },
                    Happening::Message { bytes, .. } if links && !silent => {
                        bytes_held = bytes;
                        Input::Message { link, bytes: &bytes_held }
                    }
                    Happening::Announcement { source, bytes, .. } if !silent => {
                        bytes_held = bytes;
                        Input::Announcement { link, source, bytes: &bytes_held }
                    }
                    _ => return,
                };
                registrar.machine.handle_input(now, input);
                self.perform(id);
            }
        }
    }

    /// Does the next thing that is due until `end`; `false` if there is none.
    fn step(&mut self, end: Instant) -> bool {
        let timers = self.registrars.iter().filter_map(|(id, r)| Some((r.machine.poll_timeout()?, *id)));
        let timer = timers.min();
        let next = self.queue.peek().map(|Reverse((at, _))| *at);
        let at = timer.map(|(at, _)| at).into_iter().chain(next).min();
        let Some(at) = at.filter(|at| *at <= end) else { return false };
        self.now = self.now.max(at);
        if next == Some(at) {
            let Reverse((_, sequence)) = self.queue.pop().expect("it was there");
            let happening = self.happenings.remove(&sequence).expect("each happens once");
            self.deliver(happening);
        } else if let Some((_, id)) = timer {
            let now = self.now;
            self.registrars.get_mut(&id).expect("it has a timer").machine.handle_timeout(now);
            self.perform(id);
        }
        true
    }

    /// Lets this much time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// Lets time pass until something is so; `false` if it is not so in time.
    pub(crate) fn run_until(&mut self, time: Duration, so: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + time;
        while !so(self) {
            if !self.step(end) {
                self.now = end;
                return so(self);
            }
        }
        true
    }

    /// The clock jumps: nobody got to do anything meanwhile.
    pub(crate) fn jump(&mut self, time: Duration) {
        self.now += time;
    }

    /// The elements that a registrar knows: pool, identifier, home.
    pub(crate) fn view(&self, id: u32) -> Vec<(String, PeIdentifier, ServerId)> {
        let pools = self.machine(id).handlespace().pools();
        pools
            .flat_map(|pool| {
                let handle = pool.pool_handle().to_string();
                pool.elements().map(move |e| (handle.clone(), e.identifier(), e.home())).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Asserts that all registrars that run agree on all elements and their homes.
    pub(crate) fn assert_converged(&self) {
        let mut views = self.registrars.keys().map(|id| (id, self.view(id.0)));
        if let Some((first, expected)) = views.next() {
            views.for_each(|(id, view)| assert_eq!(view, expected, "registrars {id} and {first} differ"));
        }
    }

    pub(crate) fn wire_count(&self, a: Node, b: Node) -> usize {
        self.wires.iter().filter(|(x, y)| x.0 == a && y.0 == b).count()
    }
}

/// What a registrar that does not know owners makes of a message, or sends instead.
fn without_owners(bytes: Bytes) -> Bytes {
    let Ok(mut decoded) = enrp::decode(&bytes, Dialect::Rfc) else { return bytes };
    match &mut decoded.message.body {
        Body::HandleUpdate(update) => update.owner = None,
        Body::HandleTableResponse(table) => {
            table
                .entries
                .iter_mut()
                .flat_map(|entry| &mut entry.elements)
                .for_each(|listed| listed.owner = None);
        }
        _ => return bytes,
    }
    let mut buffer = BytesMut::new();
    decoded.message.encode(Dialect::Rfc, &mut buffer).expect("it was longer before");
    buffer.freeze()
}

pub(crate) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What a client's inbox is.
pub(crate) type Inbox = VecDeque<Bytes>;
