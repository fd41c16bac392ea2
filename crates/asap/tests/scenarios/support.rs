//! A driver for one machine: links that come up, break and carry messages as the script says, and time that passes
//! when the script says so.
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rserpool_asap::{
    ElementConfig, ElementMachine, ElementRegistration, RegistrationId, UserConfig, UserMachine,
};
use rserpool_machine::{
    DownReason, Endpoint, Input, LinkId, LinkKind, Machine, Output, PeerIdentity, Protocol, Scheme,
};
use rserpool_wire::asap::{self, HandleResolutionResponse, Message};
use rserpool_wire::{
    Dialect, PeIdentifier, Policy, PoolElement, PoolHandle, RegistrationLife, ServerId, Transport,
};

pub(crate) const R1: &str = "tcp://10.0.0.1:3863";
pub(crate) const R2: &str = "tcp://10.0.0.2:3863";
pub(crate) const R3: &str = "tcp://10.0.0.3:3863";

/// The other end of links that the machine did not open.
const INBOUND: &str = "inbound";

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn endpoint(text: &str) -> Endpoint {
    text.parse().expect("an endpoint")
}

pub(crate) fn endpoints(texts: &[&str]) -> Vec<Endpoint> {
    texts.iter().map(|text| endpoint(text)).collect()
}

pub(crate) fn echo() -> PoolHandle<'static> {
    PoolHandle::from("echo")
}

pub(crate) struct Driver<M: Machine> {
    pub(crate) machine: M,
    pub(crate) now: Instant,
    /// Links that the machine asked for and that are not up yet, in order.
    pub(crate) connecting: Vec<(LinkId, Endpoint)>,
    up: BTreeMap<LinkId, String>,
    sent: VecDeque<(LinkId, Message<'static>)>,
    events: VecDeque<M::Event>,
    accepted: u64,
}

impl Driver<ElementMachine> {
    pub(crate) fn element(config: ElementConfig) -> Self {
        let now = start();
        Self::new(ElementMachine::new(config, 7, now).expect("a configuration"), now)
    }

    /// An element with these registrars.
    pub(crate) fn element_of(registrars: &[&str]) -> Self {
        Self::element(ElementConfig { registrars: endpoints(registrars), ..ElementConfig::default() })
    }

    /// An element that is registered in the pool `echo` at [`R1`].
    pub(crate) fn registered() -> (Self, LinkId, RegistrationId) {
        let mut driver = Self::element_of(&[R1]);
        let link = driver.up(R1);
        let id = driver.register(registration(1));
        driver.grant(link);
        driver.clear();
        (driver, link, id)
    }

    pub(crate) fn register(&mut self, registration: ElementRegistration) -> RegistrationId {
        let id = self.machine.register(self.now, registration).expect("a registration");
        self.drain();
        id
    }

    pub(crate) fn set_policy(&mut self, id: RegistrationId, policy: &str) {
        let policy = policy.parse().expect("a policy");
        self.machine.set_policy(self.now, id, policy).expect("a policy that fits");
        self.drain();
    }

    /// To the same transport for users and registrars.
    pub(crate) fn set_transports(&mut self, id: RegistrationId, transport: &Transport) {
        let (user, asap) = (transport.clone(), Some(transport.clone()));
        self.machine.set_transports(self.now, id, user, asap).expect("transports that fit");
        self.drain();
    }

    pub(crate) fn deregister(&mut self, id: RegistrationId) {
        self.machine.deregister(self.now, id);
        self.drain();
    }

    /// Takes the registration that was sent on `link`.
    pub(crate) fn registration_sent(&mut self, link: LinkId) -> PoolElement {
        match self.next_sent() {
            Some((on, Message::Registration(asap::Registration { element, .. }))) if on == link => element,
            other => panic!("no registration on {link:?}, but {other:?}"),
        }
    }

    /// Takes the registration that was sent on `link`, and grants it.
    pub(crate) fn grant(&mut self, link: LinkId) -> PoolElement {
        let element = self.registration_sent(link);
        self.answer_registration(link, element.identifier, None);
        element
    }

    pub(crate) fn answer_registration(
        &mut self,
        link: LinkId,
        identifier: PeIdentifier,
        rejection: Option<rserpool_wire::CauseCode>,
    ) {
        let error = rejection.map(|code| rserpool_wire::ErrorCause::new(code).into());
        let rejected = rejection.is_some();
        self.say(link, asap::RegistrationResponse { rejected, pool_handle: echo(), identifier, error });
    }

    /// A registrar connects to the element.
    pub(crate) fn inbound(&mut self, identity: PeerIdentity) -> LinkId {
        let link = LinkId::accepted(self.accepted);
        self.accepted += 1;
        self.up.insert(link, INBOUND.to_owned());
        self.link_up(link, identity);
        link
    }

    pub(crate) fn keep_alive(&mut self, link: LinkId, server: u32, home: bool) {
        let server = ServerId(server);
        self.say(link, asap::EndpointKeepAlive { home, server, pool_handle: echo(), identifier: None });
    }

    /// Takes the acknowledgement that was sent on `link`, and says for which element.
    pub(crate) fn acknowledged(&mut self, link: LinkId) -> PeIdentifier {
        match self.next_sent() {
            Some((on, Message::EndpointKeepAliveAck(ack))) if on == link => ack.identifier,
            other => panic!("no acknowledgement on {link:?}, but {other:?}"),
        }
    }
}

impl Driver<UserMachine> {
    pub(crate) fn user(config: UserConfig) -> Self {
        let now = start();
        Self::new(UserMachine::new(config, 7, now).expect("a configuration"), now)
    }

    pub(crate) fn user_of(registrars: &[&str]) -> Self {
        Self::user(UserConfig { registrars: endpoints(registrars), ..UserConfig::default() })
    }

    /// A user whose home is [`R1`].
    pub(crate) fn at_home() -> (Self, LinkId) {
        let mut driver = Self::user_of(&[R1]);
        let link = driver.up(R1);
        driver.clear();
        (driver, link)
    }

    pub(crate) fn resolve(
        &mut self,
        items: Option<u32>,
        freshness: rserpool_asap::Freshness,
    ) -> rserpool_asap::RequestId {
        let request = self.machine.resolve(self.now, &echo(), items, freshness);
        self.drain();
        request
    }

    pub(crate) fn select(&mut self, excluded: &[u32]) -> Option<u32> {
        let excluded: Vec<_> = excluded.iter().copied().map(PeIdentifier).collect();
        let selected = self.machine.select(self.now, &echo(), &excluded);
        self.drain();
        selected.map(|element| element.identifier.0)
    }

    /// Takes the resolution that was sent on `link`: its S bit and its number of elements.
    pub(crate) fn resolution_sent(&mut self, link: LinkId) -> (bool, Option<u32>) {
        match self.next_sent() {
            Some((on, Message::HandleResolution(m))) if on == link && m.pool_handle == echo() => {
                (m.subscribe, m.items)
            }
            other => panic!("no resolution on {link:?}, but {other:?}"),
        }
    }

    /// A registrar lists elements of the pool `echo`, of the policy Round Robin.
    pub(crate) fn list(&mut self, link: LinkId, identifiers: &[u32], accept_updates: bool) {
        let elements = identifiers.iter().map(|identifier| element(*identifier)).collect();
        self.say(
            link,
            HandleResolutionResponse {
                accept_updates,
                pool_handle: echo(),
                policy: None,
                elements,
                error: None,
            },
        );
    }

    /// A registrar knows no pool `echo`, or says what else is wrong.
    pub(crate) fn refuse_resolution(&mut self, link: LinkId, code: rserpool_wire::CauseCode) {
        self.say(
            link,
            HandleResolutionResponse {
                accept_updates: false,
                pool_handle: echo(),
                policy: None,
                elements: Vec::new(),
                error: Some(rserpool_wire::ErrorCause::new(code).into()),
            },
        );
    }
}

impl<M: Machine<Event: Debug>> Driver<M> {
    fn new(machine: M, now: Instant) -> Self {
        let mut driver = Self {
            machine,
            now,
            connecting: Vec::new(),
            up: BTreeMap::new(),
            sent: VecDeque::new(),
            events: VecDeque::new(),
            accepted: 0,
        };
        driver.drain();
        driver
    }

    /// Lets the connection to `registrar`, which the machine asked for, succeed.
    pub(crate) fn up(&mut self, registrar: &str) -> LinkId {
        let link = self.take_connecting(registrar);
        self.up.insert(link, registrar.to_owned());
        self.link_up(link, PeerIdentity::Anonymous);
        link
    }

    /// Lets it fail.
    pub(crate) fn refuse(&mut self, registrar: &str) {
        let link = self.take_connecting(registrar);
        self.link_down(link, DownReason::ConnectFailed("refused".into()));
    }

    /// Lets every connection that the machine asks for fail, until it asks for none.
    pub(crate) fn refuse_all(&mut self) {
        while let Some((link, _)) = self.connecting.pop() {
            self.link_down(link, DownReason::ConnectFailed("refused".into()));
        }
    }

    /// Breaks a link.
    pub(crate) fn cut(&mut self, link: LinkId) {
        assert!(self.up.remove(&link).is_some(), "{link:?} is not up");
        self.link_down(link, DownReason::Closed);
    }

    pub(crate) fn is_up(&self, link: LinkId) -> bool {
        self.up.contains_key(&link)
    }

    /// Where the machine is connecting to, sorted.
    pub(crate) fn attempts(&self) -> Vec<String> {
        let mut attempts: Vec<_> = self.connecting.iter().map(|(_, remote)| remote.to_string()).collect();
        attempts.sort();
        attempts
    }

    pub(crate) fn say<'a>(&mut self, link: LinkId, message: impl Into<Message<'a>>) {
        let mut bytes = BytesMut::new();
        message.into().encode(Dialect::Rfc, &mut bytes).expect("a message that fits");
        self.say_bytes(link, &bytes);
    }

    pub(crate) fn say_bytes(&mut self, link: LinkId, bytes: &[u8]) {
        self.machine.handle_input(self.now, Input::Message { link, bytes });
        self.drain();
    }

    /// Somebody announces a registrar by multicast, from 10.9.9.9:5000.
    pub(crate) fn announce(&mut self, transports: Vec<Transport>) {
        let mut bytes = BytesMut::new();
        let announce = asap::ServerAnnounce { server: ServerId(9), transports };
        Message::from(announce).encode(Dialect::Rfc, &mut bytes).expect("a message that fits");
        let source = ([10, 9, 9, 9], 5000).into();
        let link = LinkId::accepted(1_000_000);
        self.machine.handle_input(self.now, Input::Announcement { link, source, bytes: &bytes });
        self.drain();
    }

    /// Lets time pass, and calls the machine whenever it wants to be called.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut calls = 0;
        while let Some(at) = self.machine.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now);
            self.drain();
            calls += 1;
            assert!(calls < 10_000, "the machine wants to be called again and again at {:?}", self.now);
        }
        self.now = end;
    }

    pub(crate) fn next_sent(&mut self) -> Option<(LinkId, Message<'static>)> {
        self.sent.pop_front()
    }

    pub(crate) fn nothing_sent(&self) -> bool {
        self.sent.is_empty()
    }

    pub(crate) fn next_event(&mut self) -> Option<M::Event> {
        self.events.pop_front()
    }

    pub(crate) fn take_events(&mut self) -> Vec<M::Event> {
        self.events.drain(..).collect()
    }

    /// Forgets what was sent and told so far.
    pub(crate) fn clear(&mut self) {
        self.sent.clear();
        self.events.clear();
    }

    fn take_connecting(&mut self, registrar: &str) -> LinkId {
        let wanted = endpoint(registrar);
        let index = self.connecting.iter().position(|(_, remote)| *remote == wanted);
        let index = index.unwrap_or_else(|| panic!("no connection to {registrar} in {:?}", self.connecting));
        self.connecting.remove(index).0
    }

    fn link_up(&mut self, link: LinkId, identity: PeerIdentity) {
        let remote = [([10, 0, 0, 1], 3863).into()];
        let (protocol, kind) = (Protocol::Asap, LinkKind::PointToPoint(Scheme::Tcp));
        self.machine
            .handle_input(self.now, Input::LinkUp { link, protocol, kind, remote: &remote, identity });
        self.drain();
    }

    fn link_down(&mut self, link: LinkId, reason: DownReason) {
        self.machine.handle_input(self.now, Input::LinkDown { link, reason });
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Connect { link, protocol, remote, .. } => {
                    assert_eq!(protocol, Protocol::Asap);
                    self.connecting.push((link, remote));
                }
                Output::Transmit { link, bytes } => {
                    if self.up.contains_key(&link) {
                        let bytes: &'static [u8] = Box::leak(bytes.to_vec().into_boxed_slice());
                        let decoded = asap::decode(bytes, Dialect::Rfc).expect("a well-formed message");
                        self.sent.push_back((link, decoded.message));
                    }
                }
                Output::Disconnect { link } => {
                    self.connecting.retain(|(connecting, _)| *connecting != link);
                    self.up.remove(&link);
                    let reason = DownReason::Requested;
                    self.machine.handle_input(self.now, Input::LinkDown { link, reason });
                }
                Output::Event(event) => self.events.push_back(event),
            }
        }
        let opened = self.up.values().filter(|remote| *remote != INBOUND).count();
        assert!(opened + self.connecting.len() <= 3, "more than three links (5352-3.6-08)");
    }
}

#[allow(clippy::disallowed_methods, reason = "a starting point for the tests' own time")]
fn start() -> Instant {
    Instant::now()
}

/// What to register as element `identifier` in the pool `echo`, for a life of 300 s.
pub(crate) fn registration(identifier: u32) -> ElementRegistration {
    ElementRegistration {
        pool_handle: echo(),
        identifier: PeIdentifier(identifier),
        user_transport: Transport::Tcp(([10, 1, 0, 1], 7).into()),
        policy: Policy::LeastUsed { load: rserpool_wire::Load(0) },
        life: RegistrationLife::Finite(seconds(300)),
    }
}

/// The element `identifier` as registrars list it.
pub(crate) fn element(identifier: u32) -> PoolElement {
    PoolElement {
        identifier: PeIdentifier(identifier),
        home: ServerId(1),
        life: RegistrationLife::Finite(seconds(300)),
        user_transport: Transport::Tcp(([10, 1, 0, 1], 7).into()),
        policy: Policy::RoundRobin,
        asap_transport: None,
    }
}
