//! Registration and deregistration (RFC 5352 §3.1, §3.2).
use std::sync::Arc;

use rserpool_enrp::{Action, Authorization, Refusal, RegistrarEvent, RemovalReason, Requester};
use rserpool_machine::Protocol;
use rserpool_wire::asap::{Deregistration, Message};
use rserpool_wire::{
    CauseCode, Dialect, PeIdentifier, Policy, PoolElement, PoolHandle, RegistrationLife, ServerId, Transport,
    TransportUse,
};

use crate::support::{ClientId, Net, Node, address, config, element, millis, policy_element, secs};

/// Registers, and returns the code of the cause of the rejection.
fn rejection(net: &mut Net, client: ClientId, pool: &str, element: PoolElement) -> CauseCode {
    let identifier = element.identifier;
    net.send_registration(client, pool, element);
    net.answer(client, |message| match message {
        Message::RegistrationResponse(response) if response.rejected => {
            assert!(response.pool_handle == pool && response.identifier == identifier);
            response.error.expect("5352-3.1-32").causes.first().expect("a cause").code
        }
        other => panic!("{other:?}"),
    })
}

fn deregister(net: &mut Net, client: ClientId, pool: &str, identifier: u32) -> Option<CauseCode> {
    let pool_handle = PoolHandle::from(pool);
    net.send(client, Deregistration { pool_handle, identifier: PeIdentifier(identifier) });
    net.answer(client, |message| match message {
        Message::DeregistrationResponse(response) => {
            response.error.map(|error| error.causes.first().expect("a cause").code)
        }
        other => panic!("{other:?}"),
    })
}

#[test]
fn the_first_element_makes_the_pool_and_the_registrar_its_home() {
    // 5352-3.1-19, -20, -26, -29, -30, -33
    let mut net = Net::with(&[1]);
    let client = net.client_at(1, 1);
    net.register(client, "echo", policy_element(client, 7, Policy::Random));
    let pool = net.machine(1).handlespace().pool(b"echo").expect("the pool");
    assert_eq!(pool.policy(), &Policy::Random);
    assert_eq!(net.view(1), [("echo".into(), PeIdentifier(7), ServerId(1))]);
    let (pool_handle, identifier) = (PoolHandle::from("echo"), PeIdentifier(7));
    assert_eq!(net.events(1).last(), Some(&RegistrarEvent::ElementRegistered { pool_handle, identifier }));
}

#[test]
fn what_does_not_fit_the_pool_is_rejected_with_its_cause_and_peers_hear_nothing() {
    // 5352-3.1-21, -22, -31, -32
    let mut net = Net::with(&[1, 2]);
    let client = net.client_at(1, 1);
    net.register(client, "echo", element(client, 1));
    net.sent.clear();
    let other_policy = policy_element(client, 2, Policy::Random);
    assert_eq!(rejection(&mut net, client, "echo", other_policy), CauseCode::INCONSISTENT_POOLING_POLICY);
    let mut other_transport = element(client, 2);
    other_transport.user_transport = Transport::Udp(address(Node::Client(client), 80));
    assert_eq!(rejection(&mut net, client, "echo", other_transport), CauseCode::INCONSISTENT_TRANSPORT_TYPE);
    assert_eq!(net.sent.get(&(Protocol::Enrp, 4)), None, "no ENRP_HANDLE_UPDATE: 5352-3.1-34");

    let sctp =
        |transport_use| Transport::Sctp { port: 80, transport_use, addresses: vec![[10, 0, 0, 9].into()] };
    let mut data_only = element(client, 1);
    data_only.user_transport = sctp(TransportUse::DataOnly);
    net.register(client, "sctp", data_only);
    let mut with_control = element(client, 2);
    with_control.user_transport = sctp(TransportUse::DataAndControl);
    assert_eq!(rejection(&mut net, client, "sctp", with_control), CauseCode::INCONSISTENT_DATA_CONTROL);
    assert_eq!(net.machine(1).statistics().registrations_rejected, 3);
}

#[test]
fn a_reregistration_replaces_the_attributes() {
    // 5352-3.1-23, -24, -25
    let mut net = Net::with(&[1]);
    let client = net.client_at(1, 1);
    net.register(client, "echo", policy_element(client, 1, Policy::WeightedRandom { weight: 1 }));
    net.register(client, "echo", policy_element(client, 1, Policy::WeightedRandom { weight: 9 }));
    let key = net.machine(1).handlespace().find(b"echo", PeIdentifier(1)).expect("the element");
    let stored =
        net.machine(1).handlespace().element(key).and_then(|view| view.decode()).expect("an element");
    assert_eq!(stored.policy, Policy::WeightedRandom { weight: 9 });
    let statistics = net.machine(1).statistics();
    assert_eq!((statistics.registrations, statistics.reregistrations), (1, 1));
}

#[test]
fn a_registration_elsewhere_moves_the_element() {
    // 5352-3.1-27, 5353-1.1-01
    let mut net = Net::with(&[1, 2]);
    let client = net.client_at(1, 1);
    net.register(client, "echo", element(client, 1));
    net.run(secs(1));
    net.hang_up(client);
    net.connect(client, 2, Protocol::Asap);
    net.register(client, "echo", element(client, 1));
    net.run(secs(3));
    net.assert_converged();
    assert_eq!(net.view(1), [("echo".into(), PeIdentifier(1), ServerId(2))]);
    let moved = |e: &RegistrarEvent| matches!(e, RegistrarEvent::ElementMoved { home: ServerId(2), .. });
    assert!(net.events(1).iter().any(moved));
}

#[test]
fn over_sctp_the_address_of_the_link_is_recorded_and_over_tcp_what_the_element_says() {
    // 5352-3.1-28
    let mut net = Net::new();
    net.over_sctp.insert(ServerId(1));
    net.start(config(1, &[]));
    net.start(config(2, &[]));
    for id in [1, 2] {
        let client = net.client_at(id, id);
        net.register(client, "echo", element(client, 1));
    }
    let recorded = |id: u32| {
        let handlespace = net.machine(id).handlespace();
        let key = handlespace.find(b"echo", PeIdentifier(1)).expect("the element");
        handlespace.element(key).and_then(|view| view.decode()).and_then(|element| element.asap_transport)
    };
    let addresses = vec![address(Node::Client(ClientId(1)), 0).ip()];
    let link = Transport::Sctp { port: 40_000, transport_use: TransportUse::DataOnly, addresses };
    assert_eq!(recorded(1), Some(link));
    assert_eq!(recorded(2), Some(Transport::Tcp(address(Node::Client(ClientId(2)), 5_000))));
}

#[test]
fn a_life_that_is_over_at_once_is_an_invalid_value() {
    let mut net = Net::with(&[1]);
    let client = net.client_at(1, 1);
    let mut dead = element(client, 1);
    dead.life = RegistrationLife::Finite(secs(0));
    assert_eq!(rejection(&mut net, client, "echo", dead), CauseCode::INVALID_VALUES);
}

#[test]
fn an_identifier_that_somebody_else_holds_is_not_unique() {
    let mut net = Net::with(&[1]);
    let (owner, other) = (net.client_at(1, 1), net.client_at(2, 1));
    net.register(owner, "echo", element(owner, 1));
    let taken = rejection(&mut net, other, "echo", element(other, 1));
    assert_eq!(taken, CauseCode::NON_UNIQUE_PE_IDENTIFIER);
    net.connect(owner, 1, Protocol::Asap);
    net.register(owner, "echo", element(owner, 1));
    net.kill(owner);
    net.run(millis(5));
    net.connect(other, 1, Protocol::Asap);
    net.register(other, "echo", element(other, 1));
}

#[test]
fn a_silent_holder_of_an_identifier_that_somebody_claims_is_missed_at_once() {
    let mut net = Net::with(&[1]);
    let (before, after) = (net.client_at(1, 1), net.client_at(2, 1));
    net.register(before, "echo", element(before, 1));
    // The host has another address now: nobody answers on the old link, and nobody ends it.
    net.clients.get_mut(&before).expect("a client").answers = false;
    assert_eq!(rejection(&mut net, after, "echo", element(after, 1)), CauseCode::NON_UNIQUE_PE_IDENTIFIER);
    // Sooner than its next keep-alive would have been missed.
    net.run(millis(510));
    net.register(after, "echo", element(after, 1));
}

#[test]
fn limits_are_a_lack_of_resources() {
    let mut net = Net::new();
    let mut limited = config(1, &[]);
    limited.limits.pools = 2;
    limited.limits.elements = 3;
    limited.limits.elements_per_link = 2;
    limited.limits.handle_length = 8;
    net.start(limited);
    let (a, b) = (net.client_at(1, 1), net.client_at(2, 1));
    let lack = CauseCode::LACK_OF_RESOURCES;
    assert_eq!(rejection(&mut net, a, "far too long", element(a, 1)), lack);
    net.register(a, "one", element(a, 1));
    net.register(a, "two", element(a, 2));
    assert_eq!(rejection(&mut net, a, "one", element(a, 3)), lack, "of one link");
    assert_eq!(rejection(&mut net, b, "three", element(b, 3)), lack, "pools");
    net.register(b, "one", element(b, 3));
    assert_eq!(rejection(&mut net, b, "one", element(b, 4)), lack, "elements");
    net.register(a, "one", element(a, 1));
}

#[test]
fn what_peers_of_the_dialect_cannot_bear_is_not_taken() {
    let mut net = Net::new();
    let mut rsplib = config(1, &[]);
    rsplib.dialect = Dialect::Rsplib;
    net.start(rsplib);
    let client = net.client_at(1, 1);
    let mut large = element(client, 1);
    large.policy =
        Policy::Other { policy_type: rserpool_wire::PolicyType(0x9000_0000), data: vec![0; 1_400].into() };
    assert_eq!(rejection(&mut net, client, "echo", large), CauseCode::LACK_OF_RESOURCES);
    let long = "a handle of more than 32 characters";
    assert_eq!(rejection(&mut net, client, long, element(client, 1)), CauseCode::LACK_OF_RESOURCES);
}

#[test]
fn deregistration_removes_the_element_and_an_empty_pool_everywhere() {
    // 5352-3.2-09, -11, -13, 5353-3.3.2-05, -06
    let mut net = Net::with(&[1, 2]);
    let client = net.client_at(1, 1);
    net.register(client, "echo", element(client, 1));
    assert_eq!(deregister(&mut net, client, "echo", 1), None);
    net.run(millis(5));
    assert_eq!((net.view(1).len(), net.view(2).len()), (0, 0));
    assert_eq!(net.machine(2).handlespace().pool_count(), 0);
    let removed = RegistrarEvent::ElementRemoved {
        pool_handle: "echo".into(),
        identifier: PeIdentifier(1),
        reason: RemovalReason::Deregistered,
    };
    assert!(net.events(1).contains(&removed));
}

#[test]
fn deregistering_what_is_not_there_is_granted_and_peers_hear_nothing() {
    // 5352-3.2-10, -14
    let mut net = Net::with(&[1, 2]);
    let client = net.client_at(1, 1);
    net.sent.clear();
    assert_eq!(deregister(&mut net, client, "echo", 1), None);
    assert_eq!(net.sent.get(&(Protocol::Enrp, 4)), None);
}

#[test]
fn only_the_owner_may_deregister() {
    // 5352-3.2-12, -14
    let mut net = Net::with(&[1, 2]);
    let (owner, other) = (net.client_at(1, 1), net.client_at(2, 1));
    net.register(owner, "echo", element(owner, 1));
    net.sent.clear();
    assert_eq!(deregister(&mut net, other, "echo", 1), Some(CauseCode::REJECTED_FOR_SECURITY));
    assert_eq!(net.view(1).len(), 1);
    assert_eq!(net.sent.get(&(Protocol::Enrp, 4)), None, "peers hear nothing of it");
    net.connect(owner, 1, Protocol::Asap);
    assert_eq!(deregister(&mut net, owner, "echo", 1), None, "the same host over another link");
}

#[test]
fn an_element_may_deregister_at_a_registrar_that_is_not_its_home() {
    let mut net = Net::with(&[1, 2, 3]);
    let client = net.client_at(1, 1);
    net.register(client, "echo", element(client, 1));
    net.run(secs(1));
    net.hang_up(client);
    net.connect(client, 2, Protocol::Asap);
    assert_eq!(deregister(&mut net, client, "echo", 1), None);
    net.run(millis(10));
    for id in 1..=3 {
        assert_eq!(net.view(id), []);
    }
}

#[derive(Debug)]
struct NobodyButResolvers;

impl Authorization for NobodyButResolvers {
    fn authorize(&self, _: Requester<'_>, action: Action<'_>) -> Result<(), Refusal> {
        if matches!(action, Action::Resolve { .. }) { Ok(()) } else { Err(Refusal::Unidentified) }
    }
}

#[test]
fn what_is_not_permitted_is_rejected_for_security() {
    let mut net = Net::new();
    let mut strict = config(1, &[]);
    strict.authorization = Arc::new(NobodyButResolvers);
    net.start(strict);
    let client = net.client_at(1, 1);
    let forbidden = CauseCode::REJECTED_FOR_SECURITY;
    assert_eq!(rejection(&mut net, client, "echo", element(client, 1)), forbidden);
    assert_eq!(deregister(&mut net, client, "echo", 1), Some(forbidden));
    net.start(config(2, &[1]));
    net.run(secs(2));
    assert_eq!((net.machine(1).peers().count(), net.machine(2).peers().count()), (0, 0), "no peer either");
    assert!(net.machine(1).statistics().not_permitted >= 3);
}
