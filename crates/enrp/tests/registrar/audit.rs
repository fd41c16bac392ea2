//! Audit and resynchronisation (RFC 5353 §3.6).
use rserpool_enrp::RegistrarEvent;
use rserpool_machine::Protocol;
use rserpool_wire::enrp::{Body, HandleTableResponse, HandleUpdate, PoolEntry, Presence, UpdateAction};
use rserpool_wire::{Policy, ServerId};

use crate::support::{ClientId, Net, element, millis, policy_element, secs};

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
fn a_peer_that_is_out_of_step_is_asked_for_what_it_owns() {
    // 5353-3.6.3-01 to -08
    let mut net = Net::with(&[1]);
    let (peer, witness) = (net.peer_at(77, 1), net.peer_at(78, 1));
    let owned = |identifier, priority| {
        let mut element = policy_element(ClientId(5), identifier, Policy::Priority { priority });
        element.home = ServerId(77);
        element
    };
    for identifier in [1, 2] {
        let (action, takeover_suggested, pool_handle) = (UpdateAction::Add, false, "echo".into());
        let element = owned(identifier, 1);
        let update = HandleUpdate { action, takeover_suggested, pool_handle, element, owner: None };
        net.send_enrp(peer, 77, Body::HandleUpdate(update));
    }
    assert_eq!(net.view(1).len(), 2);
    [peer, witness].into_iter().for_each(|peer| drop(net.answers(peer)));

    let presence = Presence { reply_required: false, checksum: Some(0x1234), information: None };
    net.send_enrp(peer, 77, Body::Presence(presence));
    let requests = net.look_at_enrp(peer, |message| match message.body {
        Body::HandleTableRequest(request) => Some((message.receiver, request.own_children_only)),
        _ => None,
    });
    assert_eq!(requests, [(ServerId(77), true)], "at once, and with the W flag");
    // It has 1, with another value, and 3, but 2 no more; in two parts.
    for (element, more) in [(owned(1, 9), true), (owned(3, 1), false)] {
        assert_eq!(net.view(1).len(), 2, "nothing is removed before the end");
        let entries = vec![PoolEntry { pool_handle: "echo".into(), elements: vec![element.into()] }];
        let table = HandleTableResponse { rejected: false, more, entries };
        net.send_enrp(peer, 77, Body::HandleTableResponse(table));
    }
    let pool = net.machine(1).handlespace().pool(b"echo").expect("the pool");
    let known: Vec<_> = pool.elements().map(|e| (e.identifier().0, e.decode().map(|e| e.policy))).collect();
    let priority = |priority| Some(Policy::Priority { priority });
    assert_eq!(known, [(1, priority(9)), (3, priority(1))]);
    assert!(net.answers(witness).iter().all(|bytes| bytes[0] != HANDLE_UPDATE), "silently");
}

#[test]
fn a_download_that_is_complete_leaves_room_for_the_next() {
    // 5353-3.2.3-06
    let mut net = Net::new();
    let mut limited = crate::support::config(1, &[]);
    limited.limits.download_sessions = 1;
    net.start(limited);
    let client = net.client_at(1, 1);
    for n in 0..2_000 {
        net.register(client, "echo", element(client, n));
    }
    for peer in [net.peer_at(8, 1), net.peer_at(9, 1)] {
        let mut listed = 0;
        for more in [true, false] {
            net.answers(peer);
            let request = rserpool_wire::enrp::HandleTableRequest { own_children_only: false };
            net.send_enrp(peer, peer.0, Body::HandleTableRequest(request));
            let parts = net.look_at_enrp(peer, |message| match message.body {
                Body::HandleTableResponse(part) => {
                    let elements: usize = part.entries.iter().map(|entry| entry.elements.len()).sum();
                    Some((part.rejected, part.more, elements))
                }
                _ => None,
            });
            let [(false, m_flag, elements)] = parts.as_slice() else { panic!("{parts:?}") };
            assert_eq!(*m_flag, more);
            listed += elements;
        }
        assert_eq!(listed, 2_000, "{peer:?}");
    }
}

#[test]
fn a_table_that_nobody_asked_for_is_ignored() {
    let mut net = Net::with(&[1]);
    let peer = net.client(9);
    net.connect(peer, 1, Protocol::Enrp);
    let mut owned = element(ClientId(1), 1);
    owned.home = ServerId(77);
    let entries = vec![PoolEntry { pool_handle: "echo".into(), elements: vec![owned.into()] }];
    net.send_enrp(
        peer,
        77,
        Body::HandleTableResponse(HandleTableResponse { rejected: false, more: false, entries }),
    );
    assert_eq!(net.view(1), []);
    assert_eq!(net.machine(1).statistics().unsolicited, 1);
}

#[test]
fn the_w_flag_asks_for_what_the_registrar_owns_and_its_absence_for_everything() {
    // 5353-2.3-03, 5353-3.2.3-03, 5353-3.6.3-03, -04
    let mut net = Net::with(&[1, 2]);
    for id in [1, 2] {
        let client = net.client_at(id, id);
        net.register(client, "echo", element(client, id));
    }
    net.run(millis(5));
    let peer = net.peer_at(9, 1);
    for (own_children_only, expected) in [(true, vec![1]), (false, vec![1, 2])] {
        net.answers(peer);
        let request = rserpool_wire::enrp::HandleTableRequest { own_children_only };
        net.send_enrp(peer, 9, Body::HandleTableRequest(request));
        let tables = net.look_at_enrp(peer, |message| match message.body {
            Body::HandleTableResponse(table) => {
                let elements = table.entries.iter().flat_map(|entry| &entry.elements);
                let homes: Vec<u32> = elements.map(|listed| listed.element.home.0).collect();
                Some((table.rejected, table.more, homes))
            }
            _ => None,
        });
        assert_eq!(tables, [(false, false, expected)]);
    }
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
