//! Taking over a dead registrar (RFC 5353 §3.5).
use rserpool_enrp::{PeerState, RegistrarEvent, TakeoverAbortReason};
use rserpool_machine::Protocol;
use rserpool_wire::enrp::{
    self, Body, HandleUpdate, InitTakeover, InitTakeoverAck, Presence, TakeoverServer, UpdateAction,
};
use rserpool_wire::{Dialect, ServerId};

use crate::support::{ClientId, Net, Node, config, element, millis, secs};

/// Registrars with `elements` elements each, all reachable for take-over.
fn scope(ids: &[u32], elements: u32) -> Net {
    let mut net = Net::with(ids);
    for id in ids {
        for n in 0..elements {
            let client = net.client_at(id * 1_000 + n, *id);
            net.register(client, "echo", element(client, client.0));
        }
    }
    net.run(millis(20));
    net
}

fn completed_by(net: &Net, target: u32) -> Vec<u32> {
    let is_own = |id: &ServerId, event: &RegistrarEvent| {
        matches!(event, RegistrarEvent::TakeoverCompleted { target: t, home, .. }
            if *t == ServerId(target) && home == id)
    };
    let by = net.registrars.iter().filter(|(id, r)| r.events.iter().any(|event| is_own(id, event)));
    by.map(|(id, _)| id.0).collect()
}

fn homes(net: &Net, id: u32) -> Vec<u32> {
    let mut homes: Vec<u32> = net.view(id).into_iter().map(|(_, _, home)| home.0).collect();
    homes.sort_unstable();
    homes.dedup();
    homes
}

#[test]
fn one_registrar_takes_over_and_every_element_adopts_it() {
    // 5353-3.5.1-01, -12, 5353-3.5.2-01, -03, -04, -05
    let mut net = scope(&[1, 2, 3], 5);
    net.crash(3);
    net.run(secs(2));
    net.assert_converged();
    assert_eq!(net.view(1).len(), 15, "nobody is lost");
    assert_eq!(completed_by(&net, 3).len(), 1);
    let heir = completed_by(&net, 3)[0];
    for n in 0..5 {
        assert_eq!(net.clients[&ClientId(3_000 + n)].home, Some(ServerId(heir)));
    }
    for id in [1, 2] {
        assert_eq!(net.machine(id).peers().count(), 1, "the target is in no peer list any more");
    }
    net.run(secs(10));
    assert_eq!(net.view(1).len(), 15, "and they are watched on");
}

#[test]
fn of_two_that_notice_at_once_the_larger_identifier_goes_first() {
    // 5353-3.5.1-07, -08, -09, -10
    let mut net = scope(&[1, 2, 3], 2);
    net.crash(3);
    net.run(secs(2));
    assert_eq!(completed_by(&net, 3), [2]);
    let yielded = RegistrarEvent::TakeoverAborted {
        target: ServerId(3),
        reason: TakeoverAbortReason::Yielded(ServerId(2)),
    };
    assert!(net.events(1).contains(&yielded));
}

#[test]
fn in_the_rsplib_dialect_the_smaller_identifier_goes_first() {
    let mut net = Net::new();
    for (n, id) in [1, 2, 3].into_iter().enumerate() {
        let mut rsplib = config(id, &[1, 2, 3][..n]);
        rsplib.dialect = Dialect::Rsplib;
        net.start(rsplib);
        net.run(secs(1));
    }
    net.crash(3);
    net.run(secs(2));
    assert_eq!(completed_by(&net, 3), [1]);
}

#[test]
fn the_last_survivor_is_done_at_once() {
    let mut net = scope(&[1, 2], 3);
    net.crash(2);
    net.run(millis(20));
    assert_eq!(completed_by(&net, 2), [1]);
    net.run(secs(1));
    assert_eq!((net.view(1).len(), homes(&net, 1)), (6, vec![1]));
}

#[test]
fn a_hung_registrar_is_taken_over_though_its_links_stay_up() {
    let mut net = scope(&[1, 2, 3], 2);
    net.silent.insert(Node::Registrar(ServerId(3)));
    net.run(secs(2));
    assert_eq!(completed_by(&net, 3).len(), 1);
    assert_eq!(net.view(1).len(), 6);
    assert!(!homes(&net, 1).contains(&3));
}

#[test]
fn peers_that_do_not_answer_do_not_hold_a_takeover_up() {
    let mut net = scope(&[1, 2, 3], 2);
    let mute = net.client(9);
    net.connect(mute, 1, Protocol::Enrp);
    let presence = Presence { reply_required: false, checksum: None, information: None };
    net.send_enrp(mute, 77, Body::Presence(presence));
    net.crash(3);
    net.crash(2);
    net.run(secs(1));
    assert_eq!((completed_by(&net, 3), completed_by(&net, 2)), (vec![1], vec![1]));
    assert_eq!(homes(&net, 1), [1]);
}

#[test]
fn a_target_that_lives_says_so_and_the_takeover_ends() {
    // 5353-3.5.1-05
    let mut net = scope(&[1, 2], 1);
    let fool = net.client(9);
    net.connect(fool, 1, Protocol::Enrp);
    net.send_enrp(fool, 77, Body::InitTakeover(InitTakeover { target: ServerId(2) }));
    net.run(millis(500));
    assert!(net.machine(1).peers().any(|peer| peer.server == ServerId(2)), "its next heartbeat clears it");

    let witness = net.peer_at(10, 1);
    [fool, witness].into_iter().for_each(|peer| drop(net.answers(peer)));
    net.send_enrp(fool, 77, Body::InitTakeover(InitTakeover { target: ServerId(1) }));
    for peer in [fool, witness] {
        let told = net.look_at_enrp(peer, |message| Some(matches!(message.body, Body::Presence(_))));
        assert_eq!(told, [true], "all peers are told at once, and nobody agrees");
    }
    net.run(secs(3));
    assert_eq!(homes(&net, 1), [1, 2]);
}

/// Lets a peer that a test speaks for fall silent, while others stay alive, until `registrar` wants to take it over.
fn begins_to_take_over(net: &mut Net, registrar: u32, target: u32, others: &[ClientId]) {
    let started = RegistrarEvent::TakeoverStarted { target: ServerId(target) };
    for _ in 0..100 {
        others.iter().for_each(|other| net.send_presence(*other));
        net.run(millis(10));
        if net.events(registrar).contains(&started) {
            // What it sends is on its way.
            return net.run(millis(3));
        }
    }
    panic!("{registrar} did not notice");
}

/// The sender, receiver and target of each message of a take-over that a client has received, and its kind.
fn about_takeovers(net: &mut Net, client: ClientId) -> Vec<(&'static str, u32, u32, u32)> {
    net.look_at_enrp(client, |message| {
        let (kind, target) = match message.body {
            Body::InitTakeover(InitTakeover { target }) => ("init", target),
            Body::InitTakeoverAck(InitTakeoverAck { target }) => ("ack", target),
            Body::TakeoverServer(TakeoverServer { target }) => ("done", target),
            _ => return None,
        };
        Some((kind, message.sender.0, message.receiver.0, target.0))
    })
}

fn agree(net: &mut Net, peer: ClientId, target: u32) {
    net.send_enrp(peer, peer.0, Body::InitTakeoverAck(InitTakeoverAck { target: ServerId(target) }));
}

#[test]
fn all_are_asked_the_target_too_and_all_others_must_agree() {
    // 5353-3.5.1-01, -02, -03, -12, 5353-3.5.2-01, -02
    let mut net = Net::with(&[1]);
    let [target, a, b] = [88, 90, 91].map(|id| net.peer_at(id, 1));
    begins_to_take_over(&mut net, 1, 88, &[a, b]);
    for peer in [target, a, b] {
        assert_eq!(about_takeovers(&mut net, peer), [("init", 1, 0, 88)], "{peer:?}");
    }
    agree(&mut net, a, 88);
    net.run(millis(100));
    assert_eq!(about_takeovers(&mut net, a), [], "it waits for the other one");
    agree(&mut net, b, 88);
    for peer in [a, b] {
        assert_eq!(about_takeovers(&mut net, peer), [("done", 1, 0, 88)], "{peer:?}");
    }
    assert_eq!(completed_by(&net, 88), [1]);
}

#[test]
fn a_presence_of_the_target_stops_who_wants_to_take_it_over() {
    // 5353-3.5.1-06, -13
    let mut net = Net::with(&[1]);
    let [target, a, b] = [88, 90, 91].map(|id| net.peer_at(id, 1));
    begins_to_take_over(&mut net, 1, 88, &[a, b]);
    agree(&mut net, a, 88);
    net.send_presence(target);
    let aborted =
        RegistrarEvent::TakeoverAborted { target: ServerId(88), reason: TakeoverAbortReason::TargetHeard };
    assert!(net.events(1).contains(&aborted));
    let state = net.machine(1).peers().find(|peer| peer.server == ServerId(88)).map(|peer| peer.state);
    assert_eq!(state, Some(PeerState::Active));
    agree(&mut net, b, 88);
    net.run(millis(300));
    assert_eq!(completed_by(&net, 88), Vec::<u32>::new(), "late agreement changes nothing");
    about_takeovers(&mut net, a).iter().for_each(|(kind, ..)| assert_eq!(*kind, "init"));
}

#[test]
fn who_wants_to_take_over_ignores_a_smaller_identifier_and_yields_to_a_larger_one() {
    // 5353-3.5.1-07, -08, -09, -10
    let mut net = Net::with(&[50]);
    let [_target, smaller, larger] = [88, 40, 60].map(|id| net.peer_at(id, 50));
    begins_to_take_over(&mut net, 50, 88, &[smaller, larger]);
    let state = |net: &Net| net.machine(50).peers().find(|peer| peer.server == ServerId(88)).map(|p| p.state);
    [smaller, larger].into_iter().for_each(|peer| drop(net.answers(peer)));

    net.send_enrp(smaller, 40, Body::InitTakeover(InitTakeover { target: ServerId(88) }));
    assert_eq!(about_takeovers(&mut net, smaller), []);
    let aborted = |e: &RegistrarEvent| matches!(e, RegistrarEvent::TakeoverAborted { .. });
    assert!(!net.events(50).iter().any(aborted));

    net.send_enrp(larger, 60, Body::InitTakeover(InitTakeover { target: ServerId(88) }));
    assert_eq!(about_takeovers(&mut net, larger), [("ack", 50, 60, 88)]);
    assert!(net.events(50).iter().any(aborted));
    assert_eq!(state(&net), Some(PeerState::Inactive), "and it is monitored no longer");
    [smaller, larger].into_iter().for_each(|peer| agree(&mut net, peer, 88));
    assert_eq!(completed_by(&net, 88), Vec::<u32>::new(), "it has no take-over of its own any more");
}

#[test]
fn a_peer_agrees_and_waits_and_steps_in_if_the_initiator_dies() {
    // 5353-3.5.1-11
    let mut net = scope(&[1], 1);
    let (target, initiator) = (net.client(8), net.client(9));
    for (client, id) in [(target, 88), (initiator, 99)] {
        net.connect(client, 1, Protocol::Enrp);
        let presence = Presence { reply_required: false, checksum: None, information: None };
        net.send_enrp(client, id, Body::Presence(presence));
    }
    net.answers(initiator);
    net.send_enrp(initiator, 99, Body::InitTakeover(InitTakeover { target: ServerId(88) }));
    let acknowledged = net.answers(initiator).iter().any(|bytes| {
        let body = enrp::decode(bytes, Dialect::Rfc).expect("well-formed").message.body;
        body == Body::InitTakeoverAck(InitTakeoverAck { target: ServerId(88) })
    });
    assert!(acknowledged);
    let state = net.machine(1).peers().find(|peer| peer.server == ServerId(88)).map(|peer| peer.state);
    assert_eq!(state, Some(PeerState::Inactive));
    net.kill(initiator);
    net.silent.insert(Node::Client(target));
    net.run(millis(900));
    assert_eq!(completed_by(&net, 88), Vec::<u32>::new());
    net.run(millis(600));
    assert_eq!(completed_by(&net, 88), [1]);
}

#[test]
fn a_takeover_that_updates_alone_tell_of_is_not_repeated() {
    let mut net = scope(&[1, 2], 1);
    let initiator = net.client(9);
    net.connect(initiator, 1, Protocol::Enrp);
    let presence = Presence { reply_required: false, checksum: None, information: None };
    net.send_enrp(initiator, 99, Body::Presence(presence));
    net.silent.insert(Node::Registrar(ServerId(2)));
    net.send_enrp(initiator, 99, Body::InitTakeover(InitTakeover { target: ServerId(2) }));
    let mut moved = element(ClientId(2_000), 2_000);
    moved.home = ServerId(99);
    net.send_enrp(
        initiator,
        99,
        Body::HandleUpdate(HandleUpdate {
            action: UpdateAction::Add,
            takeover_suggested: false,
            pool_handle: "echo".into(),
            element: moved,
            owner: None,
        }),
    );
    assert_eq!(homes(&net, 1), [1, 99]);
    net.run(millis(1_500));
    let started = RegistrarEvent::TakeoverStarted { target: ServerId(2) };
    assert!(!net.events(1).contains(&started));
    assert!(net.machine(1).peers().all(|peer| peer.server != ServerId(2)), "the target is forgotten");
}

#[test]
fn a_registrar_that_was_taken_over_is_not_told_so_later() {
    let mut net = scope(&[1, 2], 1);
    net.silent.insert(Node::Registrar(ServerId(2)));
    net.sent.clear();
    net.run(secs(2));
    assert_eq!(completed_by(&net, 2), [1]);
    let told = [4, 9].map(|kind| net.sent.get(&(Protocol::Enrp, kind)));
    assert_eq!(told, [None, None], "neither ENRP_HANDLE_UPDATE nor ENRP_TAKEOVER_SERVER waits for it");
}

#[test]
fn a_chain_of_deaths_leaves_nobody_behind() {
    let mut net = scope(&[1, 2, 3, 4], 3);
    for victim in [4, 3, 2] {
        net.crash(victim);
        net.run(millis(30));
    }
    net.run(secs(5));
    assert_eq!((net.view(1).len(), homes(&net, 1)), (12, vec![1]));
    for (id, client) in &net.clients {
        assert!(client.home == Some(ServerId(1)) || id.0 < 2_000, "{id:?}");
    }
}

#[test]
fn an_element_that_died_with_its_home_is_removed() {
    let mut net = scope(&[1, 2], 3);
    net.kill(ClientId(2_000));
    net.clients.get_mut(&ClientId(2_001)).expect("a client").answers = false;
    net.crash(2);
    net.run(secs(1));
    assert_eq!(net.view(1).len(), 4);
}

#[test]
fn a_registrar_taken_over_in_error_comes_to_terms_with_its_heir() {
    // Both directions of identifiers: the elements keep their links to the old home, and are adopted by the new one.
    for (old, heir) in [(1, 2), (2, 1)] {
        let mut net = scope(&[1, 2, 3], 4);
        net.cut(Node::Registrar(ServerId(old)), Node::Registrar(ServerId(heir)));
        net.cut(Node::Registrar(ServerId(old)), Node::Registrar(ServerId(3)));
        net.run(secs(3));
        assert!(!homes(&net, heir).contains(&old), "{old} was taken over");
        net.heal();
        net.run(secs(10));
        net.assert_converged();
        assert_eq!(net.view(3).len(), 12, "and nobody was lost");
    }
}

#[test]
fn a_takeover_by_another_is_followed() {
    // 5353-3.5.2-05
    let mut net = scope(&[1, 2], 2);
    let heir = net.client(9);
    net.connect(heir, 1, Protocol::Enrp);
    net.send_enrp(heir, 77, Body::TakeoverServer(TakeoverServer { target: ServerId(2) }));
    assert!(homes(&net, 1).contains(&77));
    assert!(!homes(&net, 1).contains(&2));
}

#[test]
fn a_registrar_that_restarts_with_its_old_identifier_takes_its_elements_up_again() {
    let mut net = scope(&[1, 2], 3);
    net.crash(2);
    net.start(config(2, &[1]));
    net.run(secs(5));
    net.assert_converged();
    assert_eq!(net.view(1).len(), 6, "whoever owns them now, all are there");
}
