//! Registrars that have proved to each other who they are tell whose elements are: nobody else gets them, on whatever way they
//! have come to another registrar (RFC 5355 §2.3). Everybody may register everything here, so that nothing else decides.
use std::sync::Arc;

use rserpool_enrp::{AccessPolicy, AllowAll, AuthenticatedOnly, Grant, Quota, Refusal, RegistrarEvent};
use rserpool_machine::Protocol;
use rserpool_wire::enrp::{
    Body, HandleTableRequest, HandleTableResponse, HandleUpdate, PoolEntry, Presence, TableElement,
    UpdateAction,
};
use rserpool_wire::{CauseCode, ElementOwner, ServerId};

use crate::ownership::{FORBIDDEN, deregister, join, named, net, register};
use crate::support::{ClientId, Net, Node, element, millis, secs};

const HANDLE_UPDATE: u8 = 4;

/// Somebody else tries to get element 7 from a registrar, and does not.
fn assert_protected(net: &mut Net, registrar: u32) {
    let before = net.view(registrar);
    assert!(before.iter().any(|(_, identifier, _)| identifier.0 == 7), "{before:?}");
    let thief = named(net, 900 + registrar, "pe-b", registrar);
    assert_eq!(deregister(net, thief, 7), FORBIDDEN);
    assert_eq!(register(net, thief, element(thief, 7)), FORBIDDEN);
    assert_eq!(net.view(registrar), before);
    net.hang_up(thief);
}

/// Two registrars, and element 7 of pe-a at the first one.
fn scope() -> (Net, ClientId) {
    let mut net = net(&[1, 2], AuthenticatedOnly);
    let owner = named(&mut net, 1, "pe-a", 1);
    net.register(owner, "echo", element(owner, 7));
    (net, owner)
}

fn restart(net: &mut Net, id: u32, peers: &[u32]) {
    join(net, id, peers, Arc::new(AuthenticatedOnly));
}

#[test]
fn an_update_tells_whose_the_element_is() {
    let (mut net, owner) = scope();
    net.run(millis(5));
    assert_protected(&mut net, 2);
    net.connect(owner, 2, Protocol::Asap);
    assert_eq!(register(&mut net, owner, element(owner, 7)), Ok(()), "its owner goes where it pleases");
}

#[test]
fn a_registrar_that_joins_is_told_with_the_table() {
    let (mut net, _) = scope();
    restart(&mut net, 3, &[2]);
    assert_protected(&mut net, 3);
}

#[test]
fn right_after_a_take_over_nobody_else_gets_the_element_though_it_is_silent() {
    let (mut net, owner) = scope();
    net.run(millis(50));
    net.clients.get_mut(&owner).expect("a client").answers = false;
    net.crash(1);
    let taken_over = |event: &RegistrarEvent| matches!(event, RegistrarEvent::TakeoverCompleted { .. });
    assert!(net.run_until(secs(5), |net| net.events(2).iter().any(taken_over)));
    assert_protected(&mut net, 2);
    // Its owner is taken back from another address.
    let moved = named(&mut net, 2, "pe-a", 2);
    assert_eq!(register(&mut net, moved, element(moved, 7)), Ok(()));
}

/// RFC 5355 §2.3: else the owner of the one, who is not there, would have the other one removed.
#[test]
fn whoever_names_the_place_of_somebody_else_s_element_shares_no_link_with_it() {
    let (mut net, owner) = scope();
    let other = named(&mut net, 2, "pe-b", 1);
    net.register(owner, "echo", element(owner, 8));
    net.register(other, "echo", element(owner, 9));
    net.run(millis(50));
    net.crash(1);
    let taken_over = |event: &RegistrarEvent| matches!(event, RegistrarEvent::TakeoverCompleted { .. });
    assert!(net.run_until(secs(5), |net| net.events(2).iter().any(taken_over)));
    net.run(millis(3));
    let links = net.wire_count(Node::Registrar(ServerId(2)), Node::Client(owner));
    assert_eq!(links, 2, "one to the two elements of pe-a, one to that of pe-b");
}

#[test]
fn right_after_a_resynchronization_nobody_else_gets_the_element() {
    let mut net = net(&[1, 2], AuthenticatedOnly);
    let owner = named(&mut net, 1, "pe-a", 1);
    net.lose = Some(HANDLE_UPDATE);
    net.register(owner, "echo", element(owner, 7));
    net.lose = None;
    assert_eq!(net.view(2), []);
    let resynchronized = |event: &RegistrarEvent| matches!(event, RegistrarEvent::Resynchronized { .. });
    assert!(net.run_until(secs(5), |net| net.events(2).iter().any(resynchronized)));
    assert_protected(&mut net, 2);
}

#[test]
fn a_home_that_was_restarted_is_told_by_its_peers() {
    let (mut net, _) = scope();
    net.run(millis(50));
    net.crash(1);
    restart(&mut net, 1, &[2]);
    assert_protected(&mut net, 1);
    assert_protected(&mut net, 2);
}

#[test]
fn a_registrar_that_leaves_tells_its_heir() {
    let (mut net, owner) = scope();
    net.run(millis(50));
    net.lose = Some(HANDLE_UPDATE);
    net.register(owner, "echo", element(owner, 8));
    net.lose = None;
    // It does not answer, so that its answer is not what tells.
    net.clients.get_mut(&owner).expect("a client").answers = false;
    // The heir hears of this element by the offer alone.
    net.shutdown(1);
    let taken = |net: &Net| net.view(2).iter().filter(|(_, _, home)| *home == ServerId(2)).count();
    assert!(net.run_until(secs(5), |net| taken(net) == 2));
    assert_protected(&mut net, 2);
    let thief = named(&mut net, 5, "pe-b", 2);
    assert_eq!(register(&mut net, thief, element(thief, 8)), FORBIDDEN);
}

#[test]
fn among_old_registrars_the_new_ones_keep_what_they_know() {
    let mut net = net(&[1, 2, 3], AuthenticatedOnly);
    net.old.insert(ServerId(3));
    let owner = named(&mut net, 1, "pe-a", 1);
    net.register(owner, "echo", element(owner, 7));
    net.run(millis(50));
    // An old registrar becomes the home, and tells nothing: what was known stays.
    net.connect(owner, 3, Protocol::Asap);
    net.register(owner, "echo", element(owner, 7));
    net.run(millis(50));
    assert_eq!(net.view(2)[0].2, ServerId(3), "it has moved");
    assert_protected(&mut net, 1);
    assert_protected(&mut net, 2);
    // One that knows the scope from the old registrar alone does as it did before: whoever might register it may.
    restart(&mut net, 4, &[3]);
    let other = named(&mut net, 2, "pe-b", 4);
    assert_eq!(register(&mut net, other, element(other, 7)), Ok(()));
    net.run(millis(50));
    for id in [1, 2] {
        assert_eq!(net.view(id)[0].2, ServerId(3), "registrar {id} does not follow");
        assert_protected(&mut net, id);
    }
}

#[test]
fn nobody_gets_an_element_by_registering_it_where_it_is_not_known() {
    let mut net = net(&[1, 2, 3], AuthenticatedOnly);
    let owner = named(&mut net, 1, "pe-a", 1);
    net.register(owner, "echo", element(owner, 7));
    net.run(millis(50));
    let registrars = [1, 2].map(|id| Node::Registrar(ServerId(id)));
    // Registrar 3 has lost the others, and its copy with a restart.
    net.crash(3);
    registrars.into_iter().for_each(|node| net.cut(Node::Registrar(ServerId(3)), node));
    restart(&mut net, 3, &[1, 2]);
    let thief = named(&mut net, 2, "pe-b", 3);
    net.register(thief, "echo", element(thief, 7));
    assert_eq!(net.view(3).len(), 1);
    net.heal();
    net.run(secs(5));
    assert_eq!(net.machine(3).peers().count(), 2);
    for id in [1, 2] {
        assert_eq!(net.view(id)[0].2, ServerId(1), "registrar {id} does not follow");
        assert_protected(&mut net, id);
    }
    // It keeps what it has at the registrar that took it, until it goes.
    assert_eq!(deregister(&mut net, thief, 7), Ok(()));
    net.run(secs(2));
    net.assert_converged();
    assert_eq!(net.view(3)[0].2, ServerId(1));
    assert_protected(&mut net, 3);
}

#[test]
fn an_element_that_has_gone_is_nobody_s_and_its_successor_has_another_owner() {
    let (mut net, owner) = scope();
    net.run(millis(5));
    assert_eq!(deregister(&mut net, owner, 7), Ok(()));
    net.run(millis(5));
    let other = named(&mut net, 2, "pe-b", 2);
    net.register(other, "echo", element(other, 7));
    net.run(millis(5));
    assert_eq!(register(&mut net, owner, element(owner, 7)), FORBIDDEN, "told where it was before, too");
    // The same where the news of both was lost, and comes with the next audit.
    net.lose = Some(HANDLE_UPDATE);
    assert_eq!(deregister(&mut net, other, 7), Ok(()));
    let third = named(&mut net, 3, "pe-c", 2);
    net.register(third, "echo", element(third, 7));
    net.register(third, "echo", element(third, 8));
    net.lose = None;
    assert!(net.run_until(secs(5), |net| net.view(1).len() == 2));
    assert_eq!(register(&mut net, other, element(other, 7)), FORBIDDEN);
    net.connect(third, 1, Protocol::Asap);
    assert_eq!(register(&mut net, third, element(third, 7)), Ok(()));
}

#[test]
fn a_quota_counts_the_elements_of_an_identity_wherever_they_registered() {
    let quota = Quota { elements: Some(2), registrations_per_second: None };
    let policy = AccessPolicy::default()
        .identity("pe-a", Grant::pools(["*"]).quota(quota))
        .peer("registrar-1")
        .peer("registrar-2");
    let mut net = net(&[1, 2], policy);
    let (here, there) = (named(&mut net, 1, "pe-a", 1), named(&mut net, 2, "pe-a", 2));
    assert_eq!(register(&mut net, here, element(here, 1)), Ok(()));
    assert_eq!(register(&mut net, here, element(here, 2)), Ok(()));
    net.run(millis(5));
    assert_eq!(register(&mut net, there, element(there, 3)), Err(CauseCode::LACK_OF_RESOURCES));
    assert_eq!(deregister(&mut net, here, 2), Ok(()));
    net.run(millis(5));
    assert_eq!(register(&mut net, there, element(there, 3)), Ok(()));
    assert_eq!(net.machine(2).statistics().refusals.of(Refusal::ElementsOfIdentity), 1);
}

/// What an ENRP peer is told of the owners of all elements, by updates and by a table.
fn told(net: &mut Net, peer: ClientId, registrant: ClientId) -> Vec<Option<String>> {
    net.answers(peer);
    net.register(registrant, "echo", element(registrant, 7));
    net.send_enrp(peer, peer.0, Body::HandleTableRequest(HandleTableRequest { own_children_only: false }));
    let name = |owner: Option<ElementOwner<'_>>| owner.map(|owner| owner.to_string());
    let told = net.look_at_enrp(peer, |message| match message.body {
        Body::HandleUpdate(update) => Some(vec![name(update.owner)]),
        Body::HandleTableResponse(table) => {
            let listed = table.entries.into_iter().flat_map(|entry| entry.elements);
            Some(listed.map(|listed| name(listed.owner)).collect())
        }
        _ => None,
    });
    told.concat()
}

#[test]
fn those_who_have_proved_nothing_are_neither_told_nor_believed() {
    let mut net = net(&[1], AllowAll);
    let owner = named(&mut net, 1, "pe-a", 1);
    net.identify(Node::Client(ClientId(78)), "registrar-78");
    let (unproven, proven) = (net.peer_at(77, 1), net.peer_at(78, 1));
    let named_owner = Some("pe-a".to_owned());
    assert_eq!(told(&mut net, proven, owner), [named_owner.clone(), named_owner]);
    assert_eq!(told(&mut net, unproven, owner), [None, None]);
    // Nor are users told.
    net.resolve(owner, "echo", false);
    let answers = net.answers(owner).concat();
    assert!(!answers.is_empty() && !answers.windows(4).any(|bytes| bytes == b"pe-a"));

    let mut foreign = element(ClientId(5), 5);
    let mut owned = |home: u32, identifier: u32| {
        foreign.home = ServerId(home);
        foreign.identifier.0 = identifier;
        TableElement { element: foreign.clone(), owner: ElementOwner::new("pe-a") }
    };
    for (peer, identifier, expected) in [(unproven, 5, Ok(())), (proven, 6, FORBIDDEN)] {
        let TableElement { element, owner } = owned(peer.0, identifier);
        let (action, takeover_suggested, pool_handle) = (UpdateAction::Add, false, "echo".into());
        let update = HandleUpdate { action, takeover_suggested, pool_handle, element, owner };
        net.send_enrp(peer, peer.0, Body::HandleUpdate(update));
        let other = named(&mut net, 20 + identifier, "pe-b", 1);
        let mut claimed = crate::support::element(other, identifier);
        claimed.asap_transport = None;
        assert_eq!(register(&mut net, other, claimed), expected, "an update of {peer:?}");
    }
    for (peer, identifier, expected) in [(unproven, 15, Ok(())), (proven, 16, FORBIDDEN)] {
        let presence = Presence { reply_required: false, checksum: Some(0x1234), information: None };
        net.send_enrp(peer, peer.0, Body::Presence(presence));
        let entries =
            vec![PoolEntry { pool_handle: "echo".into(), elements: vec![owned(peer.0, identifier)] }];
        let table = HandleTableResponse { rejected: false, more: false, entries };
        net.send_enrp(peer, peer.0, Body::HandleTableResponse(table));
        let other = named(&mut net, 20 + identifier, "pe-b", 1);
        assert_eq!(register(&mut net, other, element(other, identifier)), expected, "a table of {peer:?}");
    }
}
