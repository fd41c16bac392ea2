//! Audit and resynchronisation (RFC 5353 §3.6).
use rserpool_enrp::RegistrarEvent;
use rserpool_machine::Protocol;
use rserpool_wire::ServerId;
use rserpool_wire::enrp::{Body, HandleTableResponse, PoolEntry, Presence};

use crate::support::{ClientId, Net, element, millis, secs};

const HANDLE_UPDATE: u8 = 4;
const HANDLE_TABLE_RESPONSE: u8 = 3;

#[test]
fn a_lost_addition_is_found_and_made_good() {
    // 5353-3.6.1-01, -03, -04, 5353-3.6.3-01 to -05
    let mut net = Net::with(&[1, 2]);
    let client = net.client_at(1, 1);
    net.register(client, "echo", element(client, 1));
    net.lose = Some(HANDLE_UPDATE);
    net.register(client, "echo", element(client, 2));
    net.lose = None;
    assert_eq!(net.view(2).len(), 1);
    net.run(millis(300));
    net.assert_converged();
    let event = RegistrarEvent::Resynchronized { server: ServerId(1), received: 2, removed: 0 };
    assert!(net.events(2).contains(&event));
}

#[test]
fn a_lost_removal_is_found_and_made_good() {
    // 5353-3.6.3-07, -08
    let mut net = Net::with(&[1, 2]);
    let (a, b) = (net.client_at(1, 1), net.client_at(2, 1));
    net.register(a, "echo", element(a, 1));
    net.register(b, "echo", element(b, 2));
    net.lose = Some(HANDLE_UPDATE);
    net.kill(b);
    net.run(millis(10));
    net.lose = None;
    assert_eq!((net.view(1).len(), net.view(2).len()), (1, 2));
    net.run(millis(300));
    net.assert_converged();
    let event = RegistrarEvent::Resynchronized { server: ServerId(1), received: 1, removed: 1 };
    assert!(net.events(2).contains(&event));
    assert_eq!(net.machine(1).statistics().elements_failed, 1, "removed silently: no failure at 2");
    assert_eq!(net.machine(2).statistics().elements_failed, 0);
}

#[test]
fn a_lost_move_is_made_good_wherever_it_was_lost() {
    let mut net = Net::with(&[1, 2, 3]);
    let client = net.client_at(1, 1);
    net.register(client, "echo", element(client, 1));
    net.run(secs(1));
    net.lose = Some(HANDLE_UPDATE);
    net.connect(client, 2, Protocol::Asap);
    net.register(client, "echo", element(client, 1));
    net.lose = None;
    net.run(secs(5));
    net.assert_converged();
    assert_eq!(net.view(3).len(), 1);
}

#[test]
fn a_resynchronisation_that_is_not_answered_changes_nothing_and_is_tried_again() {
    let mut net = Net::with(&[1, 2]);
    let client = net.client_at(1, 1);
    net.register(client, "echo", element(client, 1));
    net.lose = Some(HANDLE_UPDATE);
    net.register(client, "echo", element(client, 2));
    net.lose = Some(HANDLE_TABLE_RESPONSE);
    net.run(secs(2));
    assert_eq!(net.view(2).len(), 1, "nothing was swept");
    assert!(net.machine(2).statistics().resynchronizations_failed >= 2);
    net.lose = None;
    net.run(secs(1));
    net.assert_converged();
}

#[test]
fn resynchronisations_with_a_peer_whose_checksum_is_always_wrong_are_limited() {
    let mut net = Net::with(&[1]);
    let peer = net.client(9);
    net.connect(peer, 1, Protocol::Enrp);
    net.answers(peer);
    let presence = Presence { reply_required: false, checksum: Some(0x1234), information: None };
    for _ in 0..40 {
        net.send_enrp(peer, 77, Body::Presence(presence.clone()));
        net.run(millis(47));
    }
    let requests = net.answers(peer).iter().filter(|bytes| bytes[0] == 2).count();
    assert!((3..=5).contains(&requests), "one in half a second, in two seconds: {requests}");
    let response = |entries| HandleTableResponse { rejected: false, more: false, entries };
    net.run(millis(500));
    net.send_enrp(peer, 77, Body::Presence(presence.clone()));
    net.send_enrp(peer, 77, Body::HandleTableResponse(response(Vec::new())));
    net.answers(peer);
    for _ in 0..40 {
        net.send_enrp(peer, 77, Body::Presence(presence.clone()));
        net.run(millis(47));
    }
    let requests = net.answers(peer).iter().filter(|bytes| bytes[0] == 2).count();
    assert_eq!(requests, 0, "once it is known to be of no use, not until something changes");
}

#[test]
fn a_table_that_nobody_asked_for_is_ignored() {
    let mut net = Net::with(&[1]);
    let peer = net.client(9);
    net.connect(peer, 1, Protocol::Enrp);
    let mut owned = element(ClientId(1), 1);
    owned.home = ServerId(77);
    let entries = vec![PoolEntry { pool_handle: "echo".into(), elements: vec![owned] }];
    net.send_enrp(
        peer,
        77,
        Body::HandleTableResponse(HandleTableResponse { rejected: false, more: false, entries }),
    );
    assert_eq!(net.view(1), []);
    assert_eq!(net.machine(1).statistics().unsolicited, 1);
}

#[test]
fn too_many_downloads_are_rejected() {
    // 5353-3.2.3-15, -20
    let mut net = Net::new();
    let mut limited = crate::support::config(1, &[]);
    limited.limits.download_sessions = 1;
    net.start(limited);
    let client = net.client_at(1, 1);
    for n in 0..2_000 {
        net.register(client, "echo", element(client, n));
    }
    let request =
        || Body::HandleTableRequest(rserpool_wire::enrp::HandleTableRequest { own_children_only: true });
    let peers = [net.client(8), net.client(9)];
    let mut flags = Vec::new();
    for peer in peers {
        net.connect(peer, 1, Protocol::Enrp);
        net.answers(peer);
        net.send_enrp(peer, peer.0, request());
        flags.push(net.answers(peer).last().expect("an answer")[1]);
    }
    assert_eq!(flags, [2, 1], "M, then R");
    net.run(millis(510));
    net.send_enrp(peers[1], 9, request());
    assert_eq!(net.answers(peers[1]).last().expect("an answer")[1], 2, "the first session was given up");
}
