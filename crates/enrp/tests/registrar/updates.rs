//! Handle updates, and who is right when two registrars claim the same element (RFC 5353 §3.3).
use rserpool_machine::Protocol;
use rserpool_wire::enrp::{Body, HandleUpdate, UpdateAction};
use rserpool_wire::{PeIdentifier, Policy, PolicyType, PoolElement, ServerId};

use crate::support::{ClientId, Net, Node, config, element, millis, policy_element, secs};

/// A stranger that speaks ENRP with registrar 1.
fn stranger(net: &mut Net, id: u32) -> ClientId {
    net.peer_at(id, 1)
}

fn update(net: &mut Net, peer: ClientId, sender: u32, action: UpdateAction, element: PoolElement) {
    let pool_handle = "echo".into();
    let update = HandleUpdate { action, takeover_suggested: false, pool_handle, element, owner: None };
    net.send_enrp(peer, sender, Body::HandleUpdate(update));
}

fn owned_by(mut element: PoolElement, home: u32) -> PoolElement {
    element.home = ServerId(home);
    element
}

#[test]
fn additions_changes_and_removals_reach_every_peer() {
    // 5353-3.3.1-01, -05, -08, -09, 5353-3.3.2-05
    let mut net = Net::with(&[1, 2, 3]);
    let clients: Vec<ClientId> = (1..=6).map(|n| net.client_at(n, 1 + n % 3)).collect();
    for client in &clients {
        net.register(*client, "echo", policy_element(*client, client.0, Policy::Priority { priority: 1 }));
    }
    net.run(millis(10));
    net.assert_converged();
    assert_eq!(net.view(1).len(), 6);
    net.register(clients[0], "echo", policy_element(clients[0], 1, Policy::Priority { priority: 9 }));
    net.kill(clients[1]);
    net.run(secs(1));
    net.assert_converged();
    assert_eq!(net.view(3).len(), 5);
    let handlespace = net.machine(3).handlespace();
    let policy = handlespace.pool(b"echo").expect("the pool").policy().policy_type();
    assert_eq!(policy, PolicyType::PRIORITY, "5353-3.3.1-07");
    let changed =
        handlespace.find(b"echo", PeIdentifier(1)).and_then(|key| handlespace.element(key)?.decode());
    assert_eq!(changed.expect("an element").policy, Policy::Priority { priority: 9 });
}

#[test]
fn an_update_goes_to_all_and_has_the_whole_element() {
    // 5353-3.3.1-01, -02, -03, 5353-3.3.2-01, -02, -03, -04
    let mut net = Net::with(&[1]);
    let peers = [stranger(&mut net, 50), stranger(&mut net, 60)];
    let host = net.client_at(7, 1);
    let (first, changed) = (Policy::Priority { priority: 1 }, Policy::Priority { priority: 2 });
    let of = |policy: &Policy| policy_element(host, 1, policy.clone());
    let told = |net: &mut Net, action: UpdateAction, policy: &Policy| {
        for peer in peers {
            let updates = net.look_at_enrp(peer, |message| match message.body {
                Body::HandleUpdate(update) => {
                    let pool = update.pool_handle.to_string();
                    Some((message.sender.0, message.receiver.0, update.action, pool, update.element))
                }
                _ => None,
            });
            assert_eq!(updates, [(1, 0, action, "echo".to_owned(), owned_by(of(policy), 1))]);
        }
    };
    peers.into_iter().for_each(|peer| drop(net.answers(peer)));
    net.register(host, "echo", of(&first));
    told(&mut net, UpdateAction::Add, &first);
    net.register(host, "echo", of(&changed));
    told(&mut net, UpdateAction::Add, &changed);
    net.kill(host);
    net.run(millis(5));
    told(&mut net, UpdateAction::Delete, &changed);
}

#[test]
fn an_update_counts_from_the_home_of_the_element_only() {
    let mut net = Net::with(&[1]);
    let (a, b) = (stranger(&mut net, 50), stranger(&mut net, 60));
    let host = ClientId(7);
    update(&mut net, a, 50, UpdateAction::Add, owned_by(element(host, 1), 50));
    assert_eq!(net.view(1).len(), 1);
    update(&mut net, b, 60, UpdateAction::Add, owned_by(element(host, 2), 50));
    update(&mut net, b, 60, UpdateAction::Add, element(host, 3));
    update(&mut net, b, 60, UpdateAction::Delete, owned_by(element(host, 1), 50));
    assert_eq!(net.view(1), [("echo".into(), PeIdentifier(1), ServerId(50))]);
    assert_eq!(net.machine(1).statistics().updates_refused, 3);
    update(&mut net, b, 60, UpdateAction::Add, owned_by(element(host, 1), 60));
    assert_eq!(net.view(1), [("echo".into(), PeIdentifier(1), ServerId(60))], "it went to another home");
    update(&mut net, a, 50, UpdateAction::Delete, owned_by(element(host, 1), 50));
    assert_eq!(net.view(1).len(), 1, "the old home has nothing to say any more");
    update(&mut net, b, 60, UpdateAction::Delete, owned_by(element(host, 1), 60));
    assert_eq!(net.view(1), []);
}

#[test]
fn removing_what_is_not_there_does_nothing() {
    // 5353-3.3.2-07
    let mut net = Net::with(&[1]);
    let peer = stranger(&mut net, 50);
    net.answers(peer);
    update(&mut net, peer, 50, UpdateAction::Delete, owned_by(element(ClientId(7), 1), 50));
    assert!(net.answers(peer).is_empty());
    assert_eq!(net.machine(1).statistics().updates_refused, 0);
}

#[test]
fn an_update_that_is_inconsistent_with_the_pool_is_refused() {
    let mut net = Net::with(&[1]);
    let peer = stranger(&mut net, 50);
    let host = ClientId(7);
    update(&mut net, peer, 50, UpdateAction::Add, owned_by(element(host, 1), 50));
    update(&mut net, peer, 50, UpdateAction::Add, owned_by(policy_element(host, 2, Policy::Random), 50));
    assert_eq!(net.view(1).len(), 1);
    assert_eq!(net.machine(1).statistics().updates_refused, 1);
}

#[test]
fn peers_cannot_make_the_handlespace_grow_beyond_its_limits() {
    let mut net = Net::new();
    let mut limited = config(1, &[]);
    limited.limits.elements = 10;
    net.start(limited);
    let peer = stranger(&mut net, 50);
    for n in 0..20 {
        update(&mut net, peer, 50, UpdateAction::Add, owned_by(element(ClientId(7), n), 50));
    }
    assert_eq!(net.view(1).len(), 10);
}

#[test]
fn a_newly_registered_element_is_claimed_again_when_announcements_cross() {
    // An element registers at 1 and at once at 2; each hears of the other after its own registration.
    for (first, second) in [(1, 2), (2, 1)] {
        let mut net = Net::with(&[1, 2, 3]);
        let host = net.client_at(1, first);
        let old_link = net.clients[&host].link.expect("a link");
        net.connect(host, second, Protocol::Asap);
        let new_link = net.clients[&host].link.expect("a link");
        for link in [old_link, new_link] {
            let message = rserpool_wire::asap::Message::from(rserpool_wire::asap::Registration {
                pool_handle: "echo".into(),
                element: element(host, 1),
            });
            let mut buffer = bytes::BytesMut::new();
            message.encode(rserpool_wire::Dialect::Rfc, &mut buffer).expect("it fits");
            net.transmit((Node::Client(host), link), buffer.freeze());
        }
        net.clients.get_mut(&host).expect("a client").elements.push(("echo".into(), PeIdentifier(1)));
        net.run(secs(5));
        net.assert_converged();
        assert_eq!(
            net.view(3),
            [("echo".into(), PeIdentifier(1), ServerId(2))],
            "the larger identifier wins"
        );
        let claims: u64 = (1..=2).map(|id| net.machine(id).statistics().claims).sum();
        assert!((1..=4).contains(&claims), "it comes to an end: {claims}");
        assert_eq!(net.clients[&host].home, Some(ServerId(2)), "and the element knows");
    }
}
