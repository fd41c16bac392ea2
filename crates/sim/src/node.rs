//! A node: a host with one process on it, which is a registrar, an element or a user; it can stop, stand still, and start
//! anew.
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rserpool_asap::session::ElementSession;
use rserpool_asap::{ElementEvent, ElementMachine, ElementRegistration, RegistrationId, UserEvent};
use rserpool_enrp::{RegistrarEvent, RegistrarMachine};
use rserpool_machine::{DownReason, Input, LinkId, Machine, Output, Protocol};
use rserpool_wire::{PeIdentifier, PoolHandle, ServerId};

use crate::clock::Clock;
use crate::fault::NodeId;
use crate::user::{CallId, User};
use crate::wire::{Side, WireId};

pub(crate) const ASAP_PORT: u16 = 3863;
pub(crate) const ENRP_PORT: u16 = 9901;
/// Where users reach elements.
pub(crate) const SERVICE_PORT: u16 = 7;
/// From where nodes connect over TCP.
pub(crate) const EPHEMERAL_PORT: u16 = 40_000;

/// The address of a node: one each.
pub(crate) fn address(node: NodeId, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0001 + node.0)), port)
}

/// The node at an address.
pub(crate) fn node_at(address: SocketAddr) -> Option<NodeId> {
    match address.ip() {
        IpAddr::V4(ip) => ip.to_bits().checked_sub(0x0a00_0001).map(NodeId),
        IpAddr::V6(_) => None,
    }
}

/// What a node is, and starts as again.
#[derive(Clone, Debug)]
pub(crate) enum Blueprint {
    Registrar { server: ServerId },
    Element { registrations: Vec<ElementRegistration> },
    User { pool_handle: PoolHandle<'static> },
}

/// The process on a node.
pub(crate) enum Process {
    Registrar(Box<RegistrarMachine>),
    Element(Box<Element>),
    User(Box<User>),
}

/// A pool element, and the service that it is.
pub(crate) struct Element {
    pub(crate) machine: ElementMachine,
    pub(crate) registrations: Vec<(RegistrationId, ElementRegistration)>,
    pub(crate) session: ElementSession,
    /// The registrar that it takes for its home.
    pub(crate) home: Option<Home>,
}

/// How an element knows its home: by where it connected to, or by the keep-alive of the one that adopted it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Home {
    At(NodeId),
    Named(ServerId),
}

/// What a process tells of itself.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Registrar(RegistrarEvent),
    Element(ElementEvent),
    User(UserEvent),
}

/// What arrives at a process.
#[derive(Clone, Debug)]
pub(crate) enum Delivery {
    Up {
        link: LinkId,
        protocol: Protocol,
        remote: SocketAddr,
    },
    Down {
        link: LinkId,
        reason: DownReason,
    },
    Messages {
        link: LinkId,
        bytes: Bytes,
    },
    Announcement {
        protocol: Protocol,
        source: SocketAddr,
        bytes: Bytes,
    },
    /// A user wants something of an element.
    Call {
        from: NodeId,
        call: CallId,
        identifier: PeIdentifier,
        opening: Vec<Bytes>,
        expected: Option<Bytes>,
    },
    /// The element's answer, with a cookie; `None`: nobody is there.
    Answer {
        call: CallId,
        cookie: Option<Bytes>,
    },
}

/// A host and its process.
pub(crate) struct Node {
    pub(crate) blueprint: Blueprint,
    /// `None`: the process does not run.
    pub(crate) process: Option<Process>,
    /// How often it was started.
    pub(crate) starts: u32,
    /// Since when it runs, or does not.
    pub(crate) since: Duration,
    /// It is on its way out in good order.
    pub(crate) leaving: bool,
    /// It will never start again.
    pub(crate) dead: bool,
    pub(crate) clock: Clock,
    /// How many faults keep it from running.
    pub(crate) pauses: u32,
    /// How long it takes for everything that it is told.
    pub(crate) slowness: Duration,
    pub(crate) busy_until: Duration,
    /// What has arrived and was not taken yet.
    pub(crate) inbox: VecDeque<Delivery>,
    pub(crate) links: BTreeMap<LinkId, (WireId, Side)>,
    pub(crate) groups: BTreeMap<LinkId, Protocol>,
    pub(crate) accepted: u64,
    /// When it is to be woken.
    pub(crate) wake: Option<Duration>,
    pub(crate) traffic: Traffic,
}

/// What a node has sent and received so far, and what of it in the second that runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Messages sent on links and to groups.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Messages received.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// The most messages sent in any one second.
    pub peak: u64,
    second: u64,
    in_second: u64,
}

impl Traffic {
    /// What two nodes have sent and received together; the peak is the higher one.
    #[must_use]
    pub fn sum(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            sent_bytes: self.sent_bytes + other.sent_bytes,
            received: self.received + other.received,
            received_bytes: self.received_bytes + other.received_bytes,
            peak: self.peak.max(other.peak),
            ..Self::default()
        }
    }

    pub(crate) fn count_sent(&mut self, now: Duration, bytes: usize) {
        self.sent += 1;
        self.sent_bytes += bytes as u64;
        if self.second != now.as_secs() {
            (self.second, self.in_second) = (now.as_secs(), 0);
        }
        self.in_second += 1;
        self.peak = self.peak.max(self.in_second);
    }

    pub(crate) const fn count_received(&mut self, bytes: usize) {
        self.received += 1;
        self.received_bytes += bytes as u64;
    }
}

impl Node {
    pub(crate) fn new(blueprint: Blueprint, origin: Instant) -> Self {
        Self {
            blueprint,
            process: None,
            starts: 0,
            since: Duration::ZERO,
            leaving: false,
            dead: false,
            clock: Clock::new(Duration::ZERO, origin),
            pauses: 0,
            slowness: Duration::ZERO,
            busy_until: Duration::ZERO,
            inbox: VecDeque::new(),
            links: BTreeMap::new(),
            groups: BTreeMap::new(),
            accepted: 0,
            wake: None,
            traffic: Traffic::default(),
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.process.is_some()
    }

    pub(crate) fn registrar(&self) -> Option<&RegistrarMachine> {
        match &self.process {
            Some(Process::Registrar(machine)) => Some(machine),
            _ => None,
        }
    }

    pub(crate) fn element(&self) -> Option<&Element> {
        match &self.process {
            Some(Process::Element(element)) => Some(element),
            _ => None,
        }
    }

    pub(crate) fn user(&self) -> Option<&User> {
        match &self.process {
            Some(Process::User(user)) => Some(user),
            _ => None,
        }
    }

    pub(crate) fn user_mut(&mut self) -> Option<&mut User> {
        match &mut self.process {
            Some(Process::User(user)) => Some(user),
            _ => None,
        }
    }

    /// Names a link that somebody opened to it.
    pub(crate) fn accept(&mut self) -> LinkId {
        self.accepted += 1;
        LinkId::accepted(self.accepted)
    }
}

impl Process {
    pub(crate) fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match self {
            Self::Registrar(machine) => machine.handle_input(now, input),
            Self::Element(element) => element.machine.handle_input(now, input),
            Self::User(user) => user.machine.handle_input(now, input),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Registrar(machine) => machine.handle_timeout(now),
            Self::Element(element) => element.machine.handle_timeout(now),
            Self::User(user) => user.machine.handle_timeout(now),
        }
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output<Happening>> {
        match self {
            Self::Registrar(machine) => {
                machine.poll_output().map(|output| mapped(output, Happening::Registrar))
            }
            Self::Element(element) => {
                element.machine.poll_output().map(|output| mapped(output, Happening::Element))
            }
            Self::User(user) => user.machine.poll_output().map(|output| mapped(output, Happening::User)),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Registrar(machine) => machine.poll_timeout(),
            Self::Element(element) => element.machine.poll_timeout(),
            Self::User(user) => user.machine.poll_timeout(),
        }
    }
}

impl Element {
    /// Notes what the machine says of its home.
    pub(crate) fn note(&mut self, event: &ElementEvent) {
        match event {
            ElementEvent::HomeFound { endpoint } => {
                let at = endpoint.socket_addresses().next().flatten().and_then(node_at);
                self.home = at.map(Home::At);
            }
            ElementEvent::HomeAdopted { server, .. } => self.home = Some(Home::Named(*server)),
            ElementEvent::HomeLost { .. } => self.home = None,
            _ => {}
        }
    }
}

fn mapped<E>(output: Output<E>, wrap: impl FnOnce(E) -> Happening) -> Output<Happening> {
    match output {
        Output::Connect { link, protocol, remote, expected } => {
            Output::Connect { link, protocol, remote, expected }
        }
        Output::Transmit { link, bytes } => Output::Transmit { link, bytes },
        Output::Disconnect { link } => Output::Disconnect { link },
        Output::Event(event) => Output::Event(wrap(event)),
    }
}
