//! Leaving in good order: the elements are handed to peers before the registrar goes.
use rserpool_enrp::RegistrarEvent;
use rserpool_wire::asap::Message;
use rserpool_wire::{CauseCode, ServerId};

use crate::support::{Net, Node, element, millis, secs};

#[test]
fn elements_are_handed_over_and_adopt_their_new_homes() {
    let mut net = Net::with(&[1, 2, 3]);
    for n in 0..20 {
        let client = net.client_at(n + 1, 1);
        net.register(client, "echo", element(client, n));
    }
    net.shutdown(1);
    net.run(millis(100));
    assert_eq!(net.events(1).last(), Some(&RegistrarEvent::Drained { left: 0 }));
    assert_eq!(net.wire_count(Node::Registrar(ServerId(1)), Node::Registrar(ServerId(2))), 0);
    net.crash(1);
    net.run(secs(3));
    net.assert_converged();
    assert_eq!(net.view(2).len(), 20);
    for id in [2, 3] {
        assert_eq!(net.machine(id).statistics().handovers_taken, 10, "they take turns");
    }
    assert!(net.clients.values().all(|client| client.home.is_some()));
}

#[test]
fn handovers_are_paced() {
    let mut net = Net::new();
    let mut first = crate::support::config(1, &[]);
    first.limits.handovers = 8;
    net.start(first);
    net.start(crate::support::config(2, &[1]));
    net.run(secs(1));
    let client = net.client_at(1, 1);
    for n in 0..100 {
        net.register(client, "echo", element(client, n));
    }
    net.shutdown(1);
    net.run(millis(2));
    assert_eq!(net.machine(2).statistics().handovers_taken, 8);
    net.run(millis(200));
    assert_eq!(net.machine(2).statistics().handovers_taken, 100);
    assert_eq!(net.events(1).last(), Some(&RegistrarEvent::Drained { left: 0 }));
}

#[test]
fn without_peers_it_is_over_at_once() {
    let mut net = Net::with(&[1]);
    let client = net.client_at(1, 1);
    net.register(client, "echo", element(client, 1));
    net.shutdown(1);
    assert_eq!(net.events(1).last(), Some(&RegistrarEvent::Drained { left: 1 }));
    assert!(!net.is_ready(1));
    net.run(secs(1));
    assert!(net.clients[&client].links.is_empty(), "the element can look for another registrar");
}

#[test]
fn peers_that_take_nothing_do_not_hold_it_up_for_ever() {
    let mut net = Net::with(&[1, 2]);
    let client = net.client_at(1, 1);
    net.register(client, "echo", element(client, 1));
    net.lose = Some(4); // ENRP_HANDLE_UPDATE
    net.shutdown(1);
    net.run(millis(1_900));
    assert!(net.is_ready(1));
    net.run(millis(200));
    assert_eq!(net.events(1).last(), Some(&RegistrarEvent::Drained { left: 1 }));
}

#[test]
fn a_leaving_registrar_resolves_but_registers_no_more() {
    let mut net = Net::with(&[1, 2]);
    let client = net.client_at(1, 1);
    net.register(client, "echo", element(client, 1));
    net.lose = Some(4);
    net.shutdown(1);
    net.send_registration(client, "echo", element(client, 2));
    net.answer(client, |message| match message {
        Message::RegistrationResponse(response) => {
            assert!(response.rejected);
            assert!(response.error.expect("a cause").has(CauseCode::LACK_OF_RESOURCES));
        }
        other => panic!("{other:?}"),
    });
    net.resolve(client, "echo", false);
    net.answer(client, |message| match message {
        Message::HandleResolutionResponse(response) => assert_eq!(response.elements.len(), 1),
        other => panic!("{other:?}"),
    });
}
