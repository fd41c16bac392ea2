//! A scripted other end: an element, a user, or somebody who speaks ENRP badly. It answers keep-alives by itself if told to.
use bytes::{Bytes, BytesMut};
use rserpool_machine::{LinkId, Protocol};
use rserpool_wire::asap::{self, Message};
use rserpool_wire::enrp;
use rserpool_wire::{
    Dialect, PeIdentifier, Policy, PoolElement, PoolHandle, RegistrationLife, ServerId, Transport,
};

use super::{ASAP_PORT, ENRP_PORT, Inbox, Net, Node, address};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct ClientId(pub(crate) u32);

/// A scripted node.
#[derive(Default)]
pub(crate) struct Client {
    /// The link that it sends on: the last that came up.
    pub(crate) link: Option<LinkId>,
    pub(crate) links: Vec<LinkId>,
    /// Messages received and not yet looked at, but for keep-alives that were acknowledged.
    pub(crate) inbox: Inbox,
    /// Whether it accepts connections.
    pub(crate) listens: bool,
    /// Whether it acknowledges keep-alives.
    pub(crate) answers: bool,
    /// The elements that it is: pools and identifiers.
    pub(crate) elements: Vec<(PoolHandle<'static>, PeIdentifier)>,
    /// The registrar that it adopted by the H bit.
    pub(crate) home: Option<ServerId>,
    pub(crate) keep_alives: usize,
}

/// An element that serves its users over TCP and is reached by registrars at the same host.
pub(crate) fn element(client: ClientId, identifier: u32) -> PoolElement {
    policy_element(client, identifier, Policy::RoundRobin)
}

pub(crate) fn policy_element(client: ClientId, identifier: u32, policy: Policy) -> PoolElement {
    let node = Node::Client(client);
    PoolElement {
        identifier: PeIdentifier(identifier),
        home: ServerId::NONE,
        life: RegistrationLife::Finite(super::secs(600)),
        user_transport: Transport::Tcp(address(node, 80)),
        policy,
        asap_transport: Some(Transport::Tcp(address(node, 5_000))),
    }
}

impl Net {
    /// A client that listens for registrars and answers them.
    pub(crate) fn client(&mut self, n: u32) -> ClientId {
        let id = ClientId(n);
        self.clients.insert(id, Client { listens: true, answers: true, ..Client::default() });
        id
    }

    /// A client with an ASAP link to a registrar.
    pub(crate) fn client_at(&mut self, n: u32, registrar: u32) -> ClientId {
        let id = self.client(n);
        self.connect(id, registrar, Protocol::Asap);
        id
    }

    /// A client that speaks for the registrar of the same number, linked to another one and known to it.
    pub(crate) fn peer_at(&mut self, n: u32, registrar: u32) -> ClientId {
        let id = self.client(n);
        self.connect(id, registrar, Protocol::Enrp);
        self.send_presence(id);
        id
    }

    pub(crate) fn send_presence(&mut self, peer: ClientId) {
        let presence = enrp::Presence { reply_required: false, checksum: None, information: None };
        self.send_enrp(peer, peer.0, enrp::Body::Presence(presence));
    }

    /// Takes what a client has received: of the ENRP messages, what `look` makes of them.
    pub(crate) fn look_at_enrp<T>(
        &mut self,
        client: ClientId,
        mut look: impl FnMut(enrp::Message<'_>) -> Option<T>,
    ) -> Vec<T> {
        let answers = self.answers(client);
        let decoded = answers.iter().map(|bytes| enrp::decode(bytes, Dialect::Rfc).expect("well-formed"));
        decoded.filter_map(|decoded| look(decoded.message)).collect()
    }

    pub(crate) fn connect(&mut self, client: ClientId, registrar: u32, protocol: Protocol) {
        let link = self.accept();
        let port = if protocol == Protocol::Asap { ASAP_PORT } else { ENRP_PORT };
        self.open(
            (Node::Client(client), link),
            protocol,
            address(Node::Registrar(ServerId(registrar)), port),
        );
        self.run(super::millis(3));
        self.clients.get_mut(&client).expect("a client").link = Some(link);
    }

    pub(crate) fn hang_up(&mut self, client: ClientId) {
        if let Some(link) = self.clients.get_mut(&client).and_then(|client| client.link.take()) {
            self.close((Node::Client(client), link));
        }
    }

    /// A client's host dies: its links break, and nothing listens there any more.
    pub(crate) fn kill(&mut self, client: ClientId) {
        self.clients.remove(&client);
        self.break_links(|node| node == Node::Client(client), |_| true);
    }

    pub(crate) fn send<'a>(&mut self, client: ClientId, message: impl Into<Message<'a>>) {
        let mut buffer = BytesMut::new();
        message.into().encode(Dialect::Rfc, &mut buffer).expect("it fits");
        self.send_bytes(client, buffer.freeze());
    }

    pub(crate) fn send_enrp(&mut self, client: ClientId, sender: u32, body: enrp::Body<'_>) {
        let mut buffer = BytesMut::new();
        let message = enrp::Message { sender: ServerId(sender), receiver: ServerId::NONE, body };
        message.encode(Dialect::Rfc, &mut buffer).expect("it fits");
        self.send_bytes(client, buffer.freeze());
    }

    /// Sends on the client's latest link, and lets the answer come.
    pub(crate) fn send_bytes(&mut self, client: ClientId, bytes: Bytes) {
        let link = self.clients[&client].link.expect("a link");
        self.transmit((Node::Client(client), link), bytes);
        self.run(super::millis(3));
    }

    /// Registers, and asserts that it was granted.
    pub(crate) fn register(&mut self, client: ClientId, pool: &str, element: PoolElement) {
        let identifier = element.identifier;
        self.send_registration(client, pool, element);
        let granted = self.answers(client).into_iter().any(|bytes| {
            let decoded = asap::decode(&bytes, Dialect::Rfc).expect("a well-formed answer");
            matches!(decoded.message, Message::RegistrationResponse(r)
                if !r.rejected && r.identifier == identifier && r.pool_handle == pool)
        });
        assert!(granted, "the registration of {identifier} in {pool} is granted");
        let owner = self.clients.get_mut(&client).expect("a client");
        owner.elements.push((PoolHandle::from(pool.to_owned()), identifier));
    }

    pub(crate) fn send_registration(&mut self, client: ClientId, pool: &str, element: PoolElement) {
        self.send(client, asap::Registration { pool_handle: PoolHandle::from(pool), element });
    }

    pub(crate) fn resolve(&mut self, client: ClientId, pool: &str, subscribe: bool) {
        let pool_handle = PoolHandle::from(pool);
        self.send(client, asap::HandleResolution { pool_handle, subscribe, items: None });
    }

    /// Takes what a client has received.
    pub(crate) fn answers(&mut self, client: ClientId) -> Vec<Bytes> {
        self.clients.get_mut(&client).expect("a client").inbox.drain(..).collect()
    }

    /// Takes what a client has received: exactly one ASAP message, which `look` looks at.
    pub(crate) fn answer<T>(&mut self, client: ClientId, look: impl FnOnce(Message<'_>) -> T) -> T {
        let answers = self.answers(client);
        let [bytes] = answers.as_slice() else { panic!("{} answers: {answers:x?}", answers.len()) };
        look(asap::decode(bytes, Dialect::Rfc).expect("a well-formed answer").message)
    }

    pub(super) fn client_link_up(&mut self, id: ClientId, link: LinkId, _remote: std::net::SocketAddr) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.link = Some(link);
            client.links.push(link);
        }
    }

    pub(super) fn client_link_down(&mut self, id: ClientId, link: LinkId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.links.retain(|other| *other != link);
            client.link = client.links.last().copied();
        }
    }

    pub(super) fn client_message(&mut self, id: ClientId, link: LinkId, bytes: Bytes) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let decoded = asap::decode(&bytes, Dialect::Rfc);
        if let Ok(decoded) = &decoded
            && let Message::EndpointKeepAlive(ask) = &decoded.message
            && !client.elements.is_empty()
        {
            client.keep_alives += 1;
            if ask.home {
                client.home = Some(ask.server);
            }
            let named = |identifier| ask.identifier.is_none_or(|wanted| wanted == identifier);
            let asked: Vec<PeIdentifier> = client
                .elements
                .iter()
                .filter(|(pool_handle, identifier)| *pool_handle == ask.pool_handle && named(*identifier))
                .map(|(_, identifier)| *identifier)
                .collect();
            if client.answers {
                for identifier in asked {
                    let pool_handle = ask.pool_handle.borrowed();
                    let ack = Message::from(asap::EndpointKeepAliveAck { pool_handle, identifier });
                    let mut buffer = BytesMut::new();
                    ack.encode(Dialect::Rfc, &mut buffer).expect("it fits");
                    self.transmit((Node::Client(id), link), buffer.freeze());
                }
            }
            return;
        }
        drop(decoded);
        client.inbox.push_back(bytes);
    }
}
