//! Whose an element is, where links prove who is there (RFC 5355 §2.3): also after it has come to another registrar.
use std::sync::Arc;

use rserpool_enrp::{AccessPolicy, AuthenticatedOnly, Authorization, Grant, Quota, Refusal};
use rserpool_wire::asap::{Deregistration, Message};
use rserpool_wire::{CauseCode, PeIdentifier, PoolElement, PoolHandle, ServerId};

use crate::support::{ClientId, Net, Node, config, element, millis, secs};

pub(crate) const FORBIDDEN: Result<(), CauseCode> = Err(CauseCode::REJECTED_FOR_SECURITY);

/// Registrars that know each other, and this policy.
pub(crate) fn net(ids: &[u32], authorization: impl Authorization + 'static) -> Net {
    let authorization: Arc<dyn Authorization> = Arc::new(authorization);
    let mut net = Net::new();
    for (n, id) in ids.iter().enumerate() {
        join(&mut net, *id, &ids[..n], Arc::clone(&authorization));
    }
    net.run(millis(100));
    net
}

/// Starts a registrar that knows these, and lets it become ready.
pub(crate) fn join(net: &mut Net, id: u32, peers: &[u32], authorization: Arc<dyn Authorization>) {
    net.identify(Node::Registrar(ServerId(id)), &format!("registrar-{id}"));
    let mut secured = config(id, peers);
    secured.authorization = authorization;
    net.start(secured);
    assert!(net.run_until(secs(5), |net| net.is_ready(id)));
}

/// A client that proves to be this.
pub(crate) fn named(net: &mut Net, n: u32, name: &str, registrar: u32) -> ClientId {
    net.identify(Node::Client(ClientId(n)), name);
    net.client_at(n, registrar)
}

pub(crate) fn register(net: &mut Net, client: ClientId, element: PoolElement) -> Result<(), CauseCode> {
    net.send_registration(client, "echo", element);
    net.answer(client, |message| match message {
        Message::RegistrationResponse(response) if response.rejected => {
            Err(response.error.expect("a cause").causes[0].code)
        }
        Message::RegistrationResponse(_) => Ok(()),
        other => panic!("{other:?}"),
    })
}

pub(crate) fn deregister(net: &mut Net, client: ClientId, identifier: u32) -> Result<(), CauseCode> {
    let identifier = PeIdentifier(identifier);
    net.send(client, Deregistration { pool_handle: PoolHandle::from("echo"), identifier });
    net.answer(client, |message| match message {
        Message::DeregistrationResponse(response) => {
            response.error.map_or(Ok(()), |error| Err(error.causes[0].code))
        }
        other => panic!("{other:?}"),
    })
}

#[test]
fn an_element_is_changed_and_removed_by_its_owner_alone_whether_its_link_is_up_or_not() {
    // 5355-2.3.3-01
    let mut net = net(&[1], AuthenticatedOnly);
    let (owner, other) = (named(&mut net, 1, "pe-a", 1), named(&mut net, 2, "pe-b", 1));
    net.register(owner, "echo", element(owner, 7));
    for _ in 0..2 {
        assert_eq!(register(&mut net, other, element(other, 7)), FORBIDDEN);
        assert_eq!(deregister(&mut net, other, 7), FORBIDDEN);
        net.hang_up(owner);
        net.run(millis(100));
    }
    assert_eq!(net.machine(1).statistics().refusals.of(Refusal::Owner), 4);
    // The same identity from elsewhere is the owner all the same.
    let moved = named(&mut net, 3, "pe-a", 1);
    assert_eq!(register(&mut net, moved, element(moved, 7)), Ok(()));
    assert_eq!(deregister(&mut net, moved, 7), Ok(()));
    assert_eq!(register(&mut net, other, element(other, 7)), Ok(()), "nobody's now");
}

#[test]
fn a_registrar_that_takes_an_element_over_learns_whose_it_is_from_its_answer() {
    let mut net = net(&[1, 2], AuthenticatedOnly);
    net.old.insert(ServerId(1));
    let (owner, other) = (named(&mut net, 1, "pe-a", 1), named(&mut net, 2, "pe-b", 2));
    net.register(owner, "echo", element(owner, 7));
    net.run(millis(50));
    net.crash(1);
    assert!(net.run_until(secs(5), |net| net.clients[&owner].home == Some(ServerId(2))));
    net.run(millis(50));
    assert_eq!(deregister(&mut net, other, 7), FORBIDDEN);
    assert_eq!(register(&mut net, other, element(other, 7)), FORBIDDEN);
    assert_eq!(net.view(2).len(), 1);
}

#[test]
fn where_no_peer_tells_an_owner_those_count_who_might_register_the_element_as_it_stands() {
    let policy = AccessPolicy::default()
        .identity("pe-a", Grant::pools(["echo"]))
        .identity("pe-b", Grant::pools(["echo"]))
        .identity("pe-c", Grant::pools(["chat"]))
        .peer("registrar-1")
        .peer("registrar-2");
    let mut net = net(&[1, 2], policy);
    net.old.insert(ServerId(1));
    let owner = named(&mut net, 1, "pe-a", 1);
    net.register(owner, "echo", element(owner, 7));
    net.run(millis(50));
    // It is at another address, or may not be in the pool.
    for (n, name) in [(2, "pe-b"), (3, "pe-c")] {
        let other = named(&mut net, n, name, 2);
        assert_eq!(deregister(&mut net, other, 7), FORBIDDEN, "{name}");
        assert_eq!(register(&mut net, other, element(other, 7)), FORBIDDEN, "{name}");
    }
    net.connect(owner, 2, rserpool_machine::Protocol::Asap);
    assert_eq!(register(&mut net, owner, element(owner, 7)), Ok(()));
}

#[test]
fn the_owner_is_remembered_where_the_element_was_before() {
    let mut net = net(&[1, 2], AuthenticatedOnly);
    let owner = named(&mut net, 1, "pe-a", 1);
    net.register(owner, "echo", element(owner, 7));
    net.connect(owner, 2, rserpool_machine::Protocol::Asap);
    net.register(owner, "echo", element(owner, 7));
    net.run(millis(50));
    assert_eq!(net.view(1)[0].2, ServerId(2), "it has moved");
    let other = named(&mut net, 2, "pe-b", 1);
    assert_eq!(register(&mut net, other, element(other, 7)), FORBIDDEN);
}

#[test]
fn an_identity_has_as_many_elements_as_its_quota_says_over_all_its_links() {
    let quota = Quota { elements: Some(2), registrations_per_second: None };
    let policy = AccessPolicy::default().identity("pe-a", Grant::pools(["*"]).quota(quota));
    let mut net = net(&[1], policy);
    let (one, two) = (named(&mut net, 1, "pe-a", 1), named(&mut net, 2, "pe-a", 1));
    assert_eq!(register(&mut net, one, element(one, 1)), Ok(()));
    assert_eq!(register(&mut net, two, element(two, 2)), Ok(()));
    assert_eq!(register(&mut net, two, element(two, 3)), Err(CauseCode::LACK_OF_RESOURCES));
    assert_eq!(register(&mut net, one, element(one, 1)), Ok(()), "to renew is no further one");
    assert_eq!(deregister(&mut net, one, 1), Ok(()));
    assert_eq!(register(&mut net, two, element(two, 3)), Ok(()));
    assert_eq!(net.machine(1).statistics().refusals.of(Refusal::ElementsOfIdentity), 1);
}

#[test]
fn another_registrar_does_not_come_under_an_identifier_that_is_taken() {
    // 5355-2.17
    let mut net = net(&[1], AuthenticatedOnly);
    let presence = || {
        let presence =
            rserpool_wire::enrp::Presence { reply_required: true, checksum: None, information: None };
        rserpool_wire::enrp::Body::Presence(presence)
    };
    for (n, name) in [(1, "registrar-b"), (2, "registrar-b"), (3, "registrar-c")] {
        net.identify(Node::Client(ClientId(n)), name);
        let client = net.client(n);
        net.connect(client, 1, rserpool_machine::Protocol::Enrp);
        net.send_enrp(client, 9, presence());
    }
    assert_eq!(net.machine(1).statistics().refusals.of(Refusal::Peer), 1);
    assert!(net.clients[&ClientId(2)].link.is_some() && net.clients[&ClientId(3)].link.is_none());
}
