//! Initialisation (RFC 5353 §3.2): alone, with a mentor, with mentors that fail, and all at once.
use rserpool_enrp::{PeerState, RegistrarEvent, RegistrarMachine, RegistrarTimers};
use rserpool_machine::{Endpoint, Machine, Output, Protocol};
use rserpool_wire::enrp::{Body, HandleTableRequest, HandleTableResponse, ListResponse, PoolEntry};
use rserpool_wire::{Policy, PolicyType, ServerId, Transport};

use crate::support::{
    ClientId, ENRP_PORT, Net, Node, address, config, element, millis, policy_element, secs,
};

#[test]
fn a_registrar_without_peers_is_ready_at_once() {
    // 5353-3.2.2.1-03
    let net = Net::new();
    let mut alone = RegistrarMachine::new(config(1, &[]), 0, net.now).expect("valid");
    assert!(alone.is_ready());
    assert_eq!(alone.poll_output(), Some(Output::Event(RegistrarEvent::Ready)));
    assert_eq!(alone.poll_output(), None);
}

#[test]
fn a_registrar_can_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<RegistrarMachine>();
}

#[test]
fn a_newcomer_gets_the_list_and_the_handlespace_from_its_mentor() {
    // 5353-3.2.2.2-01, -05, 5353-3.2.3-01, -02, -07, -14
    let mut net = Net::with(&[1, 2]);
    for n in 1..=5 {
        let client = net.client_at(n, 1 + n % 2);
        net.register(client, "echo", element(client, n));
    }
    net.start(config(3, &[1]));
    assert!(net.run_until(secs(2), |net| net.is_ready(3)));
    assert_eq!(net.view(3).len(), 5);
    net.run(millis(100));
    net.assert_converged();
    let peers: Vec<_> =
        net.machine(3).peers().map(|peer| (peer.server.0, peer.state, peer.is_linked)).collect();
    assert_eq!(
        peers,
        [(1, PeerState::Active, true), (2, PeerState::Active, true)],
        "2 is known from 1's list"
    );
}

#[test]
fn a_large_handlespace_comes_in_parts() {
    // 5353-3.2.3-04, -05, -06, -08
    let mut net = Net::with(&[1]);
    let client = net.client_at(1, 1);
    for n in 0..3_000 {
        net.register(client, &format!("pool {}", n % 100), element(client, n));
    }
    net.sent.clear();
    net.start(config(2, &[1]));
    assert!(net.run_until(secs(2), |net| net.is_ready(2)));
    assert_eq!(net.view(2), net.view(1));
    assert!(net.sent[&(Protocol::Enrp, 3)] >= 3, "{:?}", net.sent);
    assert_eq!(net.machine(1).statistics().downloads_served, 1);
}

#[test]
fn a_mentor_that_does_not_answer_is_followed_by_the_next() {
    // 5353-3.2.2.2-02, -03
    let mut net = Net::with(&[1, 2]);
    let client = net.client_at(1, 2);
    net.register(client, "echo", element(client, 1));
    net.lose = Some(5 + 1); // no ENRP_LIST_RESPONSE arrives
    net.start(config(3, &[1, 2]));
    net.run(millis(200));
    assert!(!net.is_ready(3));
    net.lose = None;
    assert!(net.run_until(secs(1), |net| net.is_ready(3)));
    assert_eq!(net.view(3).len(), 1);
}

#[test]
fn a_mentor_that_dies_half_way_is_followed_by_the_next() {
    // 5353-3.2.3-17, -18
    let mut net = Net::with(&[1, 2]);
    let client = net.client_at(1, 2);
    for n in 0..2_000 {
        net.register(client, "echo", element(client, n));
    }
    net.start(config(3, &[1, 2]));
    assert!(net.run_until(secs(1), |net| !net.view(3).is_empty()), "the download has begun");
    assert!(net.view(3).len() < 2_000, "and is not at its end");
    net.crash(1);
    assert!(net.run_until(secs(2), |net| net.is_ready(3)));
    assert_eq!(net.view(3).len(), 2_000);
}

#[test]
fn a_mentor_that_falls_silent_half_way_is_followed_by_the_next() {
    // 5353-3.2.3-17, -18
    let mut net = Net::new();
    let [a, b] = [net.client(81), net.client(82)];
    let mut newcomer = config(1, &[]);
    newcomer.peers = [a, b].map(|mentor| Endpoint::tcp(address(Node::Client(mentor), ENRP_PORT))).into();
    net.start(newcomer);
    net.run(millis(5));
    let list = || Body::ListResponse(ListResponse { rejected: false, servers: Vec::new() });
    let table = |more| HandleTableResponse { rejected: false, more, entries: Vec::new() };
    net.send_enrp(a, 81, list());
    net.send_enrp(a, 81, Body::HandleTableResponse(table(true)));
    assert_eq!(asked(&mut net, a), ["list", "table", "table"]);
    net.run(millis(240));
    assert_eq!(asked(&mut net, b), Vec::<&str>::new(), "there is time to answer");
    net.run(millis(20));
    assert_eq!(asked(&mut net, b), ["list"], "MAX-TIME-NO-RESPONSE is over: all anew with the next");
    net.send_enrp(b, 82, list());
    net.send_enrp(a, 81, Body::HandleTableResponse(table(false)));
    assert!(!net.is_ready(1), "what the first one says now is too late");
    net.send_enrp(b, 82, Body::HandleTableResponse(table(false)));
    assert!(net.is_ready(1));
}

#[test]
fn a_mentor_that_is_starting_itself_rejects() {
    // 5353-3.2.2.2-06, 5353-3.2.3-15
    let mut net = Net::new();
    net.start(config(1, &[9]));
    let client = net.client(1);
    net.connect(client, 1, Protocol::Enrp);
    net.answers(client);
    net.send_enrp(client, 7, Body::ListRequest);
    net.send_enrp(client, 7, Body::HandleTableRequest(HandleTableRequest { own_children_only: false }));
    let answers = net.answers(client);
    let flags: Vec<(u8, u8)> = answers.iter().map(|bytes| (bytes[0], bytes[1])).collect();
    assert!(flags.contains(&(6, 1)) && flags.contains(&(3, 1)), "R flags: {flags:?}");
    assert!(answers.iter().filter(|bytes| [3, 6].contains(&bytes[0])).all(|bytes| bytes.len() == 12));
}

#[test]
fn the_list_has_everybody_the_mentor_knows_and_itself() {
    // 5353-3.2.2.2-04
    let mut net = Net::with(&[1, 2, 3]);
    let newcomer = net.peer_at(9, 1);
    net.answers(newcomer);
    net.send_enrp(newcomer, 9, Body::ListRequest);
    let lists = net.look_at_enrp(newcomer, |message| match message.body {
        Body::ListResponse(list) => Some((list.rejected, list.servers)),
        _ => None,
    });
    let [(false, servers)] = lists.as_slice() else { panic!("{lists:?}") };
    let mut listed: Vec<_> = servers.iter().map(|server| (server.identifier.0, &server.transport)).collect();
    listed.sort_by_key(|(server, _)| *server);
    let transport = |id| Transport::Tcp(address(Node::Registrar(ServerId(id)), ENRP_PORT));
    assert_eq!(listed, [(1, &transport(1)), (2, &transport(2)), (3, &transport(3))]);
}

/// What a registrar that looks for a mentor asks of one that a test speaks for.
fn asked(net: &mut Net, mentor: ClientId) -> Vec<&'static str> {
    net.look_at_enrp(mentor, |message| match message.body {
        Body::ListRequest => Some("list"),
        Body::HandleTableRequest(HandleTableRequest { own_children_only: false }) => Some("table"),
        Body::Presence(_) => None,
        other => Some(other.name()),
    })
}

#[test]
fn a_mentor_that_rejects_is_followed_by_the_next_and_asked_again_later() {
    // 5353-3.2.2.1-02, 5353-3.2.2.2-07, 5353-3.2.3-02, -08 to -14, -16
    let mut net = Net::new();
    let [a, b] = [net.client(81), net.client(82)];
    let mut newcomer = config(1, &[]);
    newcomer.peers = [a, b].map(|mentor| Endpoint::tcp(address(Node::Client(mentor), ENRP_PORT))).into();
    net.start(newcomer);
    net.run(millis(5));
    assert_eq!([asked(&mut net, a), asked(&mut net, b)], [vec!["list"], vec![]], "one is the mentor");
    let list = |rejected| Body::ListResponse(ListResponse { rejected, servers: Vec::new() });
    net.send_enrp(a, 81, list(true));
    assert_eq!([asked(&mut net, a), asked(&mut net, b)], [vec![], vec!["list"]], "the other one is");
    net.send_enrp(b, 82, list(false));
    assert_eq!(asked(&mut net, b), ["table"]);
    let table =
        |rejected, more, entries| Body::HandleTableResponse(HandleTableResponse { rejected, more, entries });
    net.send_enrp(b, 82, table(true, false, Vec::new()));
    assert!(
        asked(&mut net, a).is_empty() && asked(&mut net, b).is_empty(),
        "both have rejected: not at once"
    );
    assert!(!net.is_ready(1));
    net.run(millis(200));
    assert_eq!(asked(&mut net, a), ["list"], "but after a while");
    net.send_enrp(a, 81, list(false));
    assert_eq!(asked(&mut net, a), ["table"]);

    let entry = |elements: &[(u32, u32)]| {
        let host = ClientId(7);
        let element = |(identifier, priority): &(u32, u32)| {
            let mut element = policy_element(host, *identifier, Policy::Priority { priority: *priority });
            element.home = ServerId(81);
            element.into()
        };
        vec![PoolEntry { pool_handle: "echo".into(), elements: elements.iter().map(element).collect() }]
    };
    net.send_enrp(a, 81, table(false, true, entry(&[(1, 1), (2, 1)])));
    assert_eq!(asked(&mut net, a), ["table"], "there is more");
    assert_eq!((net.view(1).len(), net.is_ready(1)), (2, false));
    // One that has changed since, and another one.
    net.send_enrp(a, 81, table(false, false, entry(&[(2, 9), (3, 1)])));
    assert!(net.is_ready(1));
    let pool = net.machine(1).handlespace().pool(b"echo").expect("the pool");
    assert_eq!(pool.policy().policy_type(), PolicyType::PRIORITY);
    let known: Vec<_> = pool.elements().map(|e| (e.identifier().0, e.decode().map(|e| e.policy))).collect();
    let priority = |priority| Some(Policy::Priority { priority });
    assert_eq!(known, [(1, priority(1)), (2, priority(9)), (3, priority(1))]);
}

#[test]
fn registrars_that_start_at_the_same_time_find_each_other() {
    let mut net = Net::new();
    for id in 1..=4 {
        let others: Vec<u32> = (1..=4).filter(|other| *other != id).collect();
        net.start(config(id, &others));
    }
    assert!(net.run_until(secs(3), |net| (1..=4).all(|id| net.is_ready(id))));
    for id in 1..=4 {
        let client = net.client_at(id, id);
        net.register(client, "echo", element(client, id));
    }
    net.run(secs(1));
    net.assert_converged();
    assert_eq!(net.view(1).len(), 4);
}

#[test]
fn a_peer_that_comes_later_is_found_though_it_was_not_there_at_first() {
    let mut net = Net::new();
    net.start(config(1, &[2]));
    assert!(net.run_until(secs(3), |net| net.is_ready(1)), "alone after a while");
    let client = net.client_at(1, 1);
    net.register(client, "echo", element(client, 1));
    net.run(secs(20));
    net.start(config(2, &[]));
    net.run(secs(2));
    net.assert_converged();
    assert_eq!(net.view(2).len(), 1, "it downloads nothing, but the audit brings everything");
}

#[test]
fn a_peer_is_found_by_multicast() {
    let mut net = Net::with(&[1]);
    net.join(1, Protocol::Enrp);
    let client = net.client_at(1, 1);
    net.register(client, "echo", element(client, 1));
    let mut second = config(2, &[]);
    second.discovers_peers = true;
    net.start(second);
    net.join(2, Protocol::Enrp);
    assert!(!net.is_ready(2));
    assert!(
        net.run_until(millis(900), |net| net.is_ready(2)),
        "without waiting until it takes itself for alone"
    );
    assert_eq!(net.view(2).len(), 1);
}

#[test]
fn elements_and_users_are_turned_away_until_initialisation_is_over() {
    let mut net = Net::new();
    net.start(config(1, &[9]));
    let client = net.client(1);
    net.connect(client, 1, Protocol::Asap);
    net.run(millis(10));
    assert_eq!(net.wire_count(Node::Client(client), Node::Registrar(ServerId(1))), 0);
}

#[test]
fn its_own_endpoint_among_the_peers_does_no_harm() {
    let mut net = Net::new();
    let mut own = config(1, &[1]);
    own.enrp = None; // so that it cannot be told by the endpoint
    net.start(own);
    net.run(secs(30));
    assert!(net.is_ready(1));
    assert_eq!(net.machine(1).peers().count(), 0);
    let faults = net.events(1).iter().filter(|e| matches!(e, RegistrarEvent::ProtocolFault { .. })).count();
    assert!((1..=2).contains(&faults), "both ends of one link: {faults}");
}

#[test]
fn the_rfc_profile_takes_ten_seconds_to_start_alone() {
    let mut net = Net::new();
    let mut first = config(1, &[9]);
    first.timers = RegistrarTimers::rfc();
    net.start(first);
    net.run(millis(9_900));
    assert!(!net.is_ready(1));
    net.run(millis(200));
    assert!(net.is_ready(1));
}
