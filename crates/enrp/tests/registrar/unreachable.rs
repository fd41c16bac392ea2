//! Reports of unreachable elements (RFC 5352 §3.5).
use rserpool_enrp::{RegistrarEvent, RemovalReason};
use rserpool_wire::asap::EndpointUnreachable;
use rserpool_wire::{PeIdentifier, PoolHandle};

use crate::support::{ClientId, Net, config, element, millis};

fn report(net: &mut Net, user: ClientId, pool: &str, identifier: u32) {
    let pool_handle = PoolHandle::from(pool);
    net.send(user, EndpointUnreachable { pool_handle, identifier: PeIdentifier(identifier) });
}

/// One registrar whose own keep-alives are far between, an element and a user.
fn scene() -> (Net, ClientId, ClientId) {
    let mut net = Net::new();
    let mut slow = config(1, &[]);
    slow.timers.keep_alive_interval = millis(3_600_000);
    net.start(slow);
    let (element_host, user) = (net.client_at(1, 1), net.client_at(100, 1));
    net.register(element_host, "echo", element(element_host, 1));
    (net, element_host, user)
}

#[test]
fn a_reported_element_is_probed_at_once_and_kept_if_it_answers() {
    // 5352-3.5-05, -07
    let (mut net, element_host, user) = scene();
    report(&mut net, user, "echo", 1);
    net.run(millis(2));
    assert_eq!(net.clients[&element_host].keep_alives, 1);
    assert_eq!(net.clients[&element_host].home, None, "the H bit is not set");
    net.run(millis(1_000));
    assert_eq!(net.view(1).len(), 1);
}

#[test]
fn a_reported_element_that_does_not_answer_is_removed() {
    // 5352-3.5-06
    let (mut net, element_host, user) = scene();
    net.clients.get_mut(&element_host).expect("a client").answers = false;
    report(&mut net, user, "echo", 1);
    net.run(millis(510));
    assert_eq!(net.view(1), []);
}

#[test]
fn more_reports_than_max_bad_pe_report_remove_the_element() {
    // 5352-3.5-08, -09
    let (mut net, element_host, user) = scene();
    for _ in 0..3 {
        report(&mut net, user, "echo", 1);
        net.run(millis(200));
    }
    assert_eq!(net.view(1).len(), 1, "the threshold is reached, not exceeded");
    net.register(element_host, "echo", element(element_host, 1));
    for _ in 0..3 {
        report(&mut net, user, "echo", 1);
    }
    assert_eq!(net.view(1).len(), 1, "a registration starts the count anew");
    report(&mut net, user, "echo", 1);
    assert_eq!(net.view(1), []);
    let reported = |e: &RegistrarEvent| {
        matches!(e, RegistrarEvent::ElementRemoved { reason: RemovalReason::Reported, .. })
    };
    assert!(net.events(1).iter().any(reported));
}

#[test]
fn probes_for_reports_are_limited_in_rate() {
    let (mut net, element_host, user) = scene();
    report(&mut net, user, "echo", 1);
    report(&mut net, user, "echo", 1);
    report(&mut net, user, "echo", 1);
    assert_eq!(net.clients[&element_host].keep_alives, 1);
}

#[test]
fn an_element_of_another_registrar_is_probed_but_its_home_decides() {
    let mut net = Net::with(&[1, 2]);
    let element_host = net.client_at(1, 1);
    net.register(element_host, "echo", element(element_host, 1));
    let user = net.client_at(100, 2);
    let before = net.machine(2).statistics().keep_alives;
    report(&mut net, user, "echo", 1);
    net.run(millis(20));
    assert_eq!(net.machine(2).statistics().keep_alives, before + 1);
    assert_eq!(net.machine(2).statistics().keep_alive_acks, 1);
    net.clients.get_mut(&element_host).expect("a client").listens = false;
    for _ in 0..5 {
        net.run(millis(400));
        report(&mut net, user, "echo", 1);
    }
    assert_eq!((net.view(1).len(), net.view(2).len()), (1, 1));
    assert_eq!(net.machine(2).statistics().unreachable_reports, 6);
}

#[test]
fn a_report_of_an_unknown_element_is_counted_only() {
    let (mut net, _, user) = scene();
    report(&mut net, user, "echo", 99);
    report(&mut net, user, "time", 1);
    assert_eq!(net.machine(1).statistics().unreachable_reports, 2);
    assert!(net.answers(user).is_empty());
}
