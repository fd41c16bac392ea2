//! Supervision of owned elements (RFC 5352 §3.4): keep-alives, broken links, expiry.
use std::collections::BTreeSet;

use rserpool_enrp::{RegistrarEvent, RemovalReason};
use rserpool_machine::Protocol;
use rserpool_wire::asap::{self, Message};
use rserpool_wire::{Dialect, PeIdentifier, RegistrationLife};

use crate::support::{ClientId, Net, Node, config, element, millis, secs};

fn removals(net: &Net, id: u32) -> Vec<RemovalReason> {
    let reasons = net.events(id).iter().filter_map(|event| match event {
        RegistrarEvent::ElementRemoved { reason, .. } => Some(*reason),
        _ => None,
    });
    reasons.collect()
}

fn set_answers(net: &mut Net, client: ClientId, answers: bool) {
    net.clients.get_mut(&client).expect("a client").answers = answers;
}

#[test]
fn an_element_that_acknowledges_stays_and_one_that_does_not_is_removed_everywhere() {
    // 5352-3.5-10, 5353-3.3.2-01
    let mut net = Net::with(&[1, 2]);
    let (good, bad) = (net.client_at(1, 1), net.client_at(2, 1));
    net.register(good, "echo", element(good, 1));
    net.register(bad, "echo", element(bad, 2));
    net.run(secs(10));
    assert_eq!(net.view(1).len(), 2);
    assert!(net.clients[&good].keep_alives >= 10, "about every half second");
    set_answers(&mut net, bad, false);
    net.run(millis(750 + 300 + 10));
    assert_eq!(net.view(1).len(), 1);
    assert_eq!(net.view(2), net.view(1));
    assert_eq!(removals(&net, 1), [RemovalReason::Silent]);
}

#[test]
fn keep_alives_are_spread_over_time() {
    // 5352-3.5-11: also those of elements that register at the same moment, as after an outage.
    let mut net = Net::with(&[1]);
    let client = net.client_at(1, 1);
    let link = net.clients[&client].link.expect("a link");
    for n in 0..200 {
        let registration = asap::Registration { pool_handle: "echo".into(), element: element(client, n) };
        let mut buffer = bytes::BytesMut::new();
        Message::from(registration).encode(Dialect::Rfc, &mut buffer).expect("it fits");
        net.transmit((Node::Client(client), link), buffer.freeze());
        net.clients.get_mut(&client).expect("a client").elements.push(("echo".into(), PeIdentifier(n)));
    }
    // Half an interval after the registration the first ones are due, one and a half after it the last ones.
    net.run(millis(250));
    assert!(net.clients[&client].keep_alives <= 4, "none before half the interval");
    let mut per_tick = Vec::new();
    for _ in 0..50 {
        let before = net.clients[&client].keep_alives;
        net.run(millis(10));
        per_tick.push(net.clients[&client].keep_alives - before);
    }
    assert!(per_tick.iter().all(|n| *n <= 16), "200 in half a second are 4 in 10 ms: {per_tick:?}");
    assert!((180..=260).contains(&per_tick.iter().sum::<usize>()), "each once, some twice: {per_tick:?}");
}

#[test]
fn elements_that_share_a_link_are_told_apart() {
    let mut net = Net::with(&[1]);
    let client = net.client_at(1, 1);
    for n in 1..=3 {
        net.register(client, "echo", element(client, n));
    }
    net.clients.get_mut(&client).expect("a client").elements.remove(1);
    net.run(secs(3));
    let left: Vec<PeIdentifier> = net.view(1).into_iter().map(|(_, identifier, _)| identifier).collect();
    assert_eq!(left, [PeIdentifier(1), PeIdentifier(3)]);
}

#[test]
fn an_element_whose_link_broke_is_connected_to_and_kept_if_it_lives() {
    let mut net = Net::with(&[1]);
    let client = net.client_at(1, 1);
    net.register(client, "echo", element(client, 1));
    net.register(client, "echo", element(client, 2));
    net.hang_up(client);
    net.run(secs(5));
    assert_eq!(net.view(1).len(), 2);
    assert_eq!(net.wire_count(Node::Client(client), Node::Registrar(1.into())), 1, "one link for both");
    assert_eq!(net.clients[&client].home, None, "we are its home already: the H bit is not set");
}

#[test]
fn an_element_that_is_removed_as_silent_while_its_link_is_up_is_told() {
    let mut net = Net::with(&[1]);
    let client = net.client_at(1, 1);
    net.register(client, "echo", element(client, 1));
    set_answers(&mut net, client, false);
    net.run(secs(2));
    assert_eq!(removals(&net, 1), [RemovalReason::Silent]);
    net.answer(client, |message| {
        let Message::DeregistrationResponse(news) = message else { panic!("{message:?}") };
        assert_eq!((news.identifier, news.error), (PeIdentifier(1), None));
    });
}

/// Nothing is sent on a link whose end was asked for: the network of these tests sees to it.
#[test]
fn an_element_that_subscribed_on_the_link_to_it_is_not_told_of_its_own_removal_there() {
    let mut net = Net::with(&[1]);
    let client = net.client_at(1, 1);
    net.register(client, "echo", element(client, 1));
    net.hang_up(client);
    net.run(secs(1));
    net.resolve(client, "echo", true);
    assert_eq!(net.answers(client).len(), 1);
    set_answers(&mut net, client, false);
    net.run(secs(2));
    assert_eq!(removals(&net, 1), [RemovalReason::Silent]);
    assert_eq!(net.clients[&client].links, [], "nobody is left there");
}

#[test]
fn an_element_whose_host_died_is_removed_at_once() {
    let mut net = Net::with(&[1]);
    let client = net.client_at(1, 1);
    net.register(client, "echo", element(client, 1));
    net.kill(client);
    net.run(millis(5));
    assert_eq!(net.view(1), []);
    assert_eq!(removals(&net, 1), [RemovalReason::Silent]);
}

#[test]
fn an_element_without_asap_transport_may_come_back_for_a_while() {
    let mut net = Net::with(&[1]);
    let client = net.client_at(1, 1);
    let mut unreachable = element(client, 1);
    unreachable.asap_transport = None;
    net.register(client, "echo", unreachable.clone());
    net.hang_up(client);
    net.run(millis(200));
    assert_eq!(net.view(1).len(), 1);
    net.connect(client, 1, Protocol::Asap);
    net.register(client, "echo", unreachable);
    net.run(secs(2));
    assert_eq!(net.view(1).len(), 1);
    net.hang_up(client);
    net.run(millis(310));
    assert_eq!(removals(&net, 1), [RemovalReason::Detached]);
}

#[test]
fn a_registration_that_is_not_renewed_expires_and_the_element_is_told() {
    let mut net = Net::with(&[1, 2]);
    let client = net.client_at(1, 1);
    let mut short = element(client, 1);
    short.life = RegistrationLife::Finite(secs(3));
    let mut for_ever = element(client, 2);
    for_ever.life = RegistrationLife::Infinite;
    net.register(client, "echo", short.clone());
    net.register(client, "echo", for_ever);
    net.run(secs(2));
    net.register(client, "echo", short);
    net.run(millis(2_900));
    assert_eq!(net.view(1).len(), 2, "renewed");
    net.run(millis(200));
    let told = net.answers(client).iter().any(|bytes| {
        let message = asap::decode(bytes, Dialect::Rfc).expect("well-formed").message;
        matches!(message, Message::DeregistrationResponse(r)
            if r.identifier == PeIdentifier(1) && r.error.is_none())
    });
    assert!(told);
    assert_eq!((net.view(1).len(), net.view(2).len()), (1, 1));
    assert_eq!(removals(&net, 1), [RemovalReason::Expired]);
    assert_eq!(net.machine(1).statistics().elements_expired, 1);
}

#[test]
fn after_a_pause_of_the_process_waiting_answers_are_read_first() {
    let mut net = Net::with(&[1, 2]);
    let client = net.client_at(1, 1);
    for n in 0..20 {
        net.register(client, "echo", element(client, n));
    }
    net.run(secs(1));
    for _ in 0..5 {
        net.jump(secs(30));
        net.run(secs(2));
    }
    assert_eq!(net.view(1).len(), 20);
    assert_eq!(removals(&net, 1), []);
    assert!(net.machine(1).statistics().peers_failed == 0);
}

/// Found on a machine so slow that it served every time-out late: nothing expired, and nobody was taken for dead.
#[test]
fn a_registrar_that_is_always_late_still_removes_what_expires_and_who_is_silent() {
    // 5352-3.1-08, 5352-3.5-10
    let mut net = Net::with(&[1]);
    let (good, bad) = (net.client_at(1, 1), net.client_at(2, 1));
    let mut short = element(good, 1);
    short.life = RegistrationLife::Finite(secs(1));
    net.register(good, "echo", short);
    net.register(good, "echo", element(good, 2));
    net.register(bad, "echo", element(bad, 3));
    set_answers(&mut net, bad, false);
    for _ in 0..20 {
        net.jump(millis(600));
        net.run(millis(5));
    }
    assert_eq!(removals(&net, 1), [RemovalReason::Expired, RemovalReason::Silent]);
    assert_eq!(net.view(1).len(), 1, "the element that answers stays");
}

#[test]
fn only_so_many_elements_are_connected_to_at_once() {
    let mut net = Net::new();
    let mut limited = config(1, &[]);
    limited.limits.probes = 4;
    net.start(limited);
    let clients: Vec<ClientId> = (1..=30).map(|n| net.client_at(n, 1)).collect();
    for client in &clients {
        net.register(*client, "echo", element(*client, client.0));
        set_answers(&mut net, *client, false);
    }
    for client in &clients {
        let link = net.clients[client].link.expect("a link");
        net.close((Node::Client(*client), link));
    }
    net.run(millis(10));
    let connected: BTreeSet<ClientId> =
        clients.iter().copied().filter(|client| !net.clients[client].links.is_empty()).collect();
    assert!(connected.len() <= 4, "{connected:?}");
    for client in &clients {
        set_answers(&mut net, *client, true);
    }
    net.run(secs(5));
    assert!(net.view(1).len() >= 26, "all but those who were asked while they did not answer");
}
