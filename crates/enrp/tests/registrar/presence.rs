//! The peer list: discovery, heartbeats, failure detection (RFC 5353 §3.4), and server announcements (RFC 5352 §3.6).
use rserpool_enrp::{PeerDownReason, PeerState, RegistrarEvent, RegistrarMachine};
use rserpool_machine::{Endpoint, Input, LinkId, LinkKind, Machine, Output, PeerIdentity, Protocol};
use rserpool_wire::enrp::{self, Body, Presence};
use rserpool_wire::{Dialect, ServerId, asap};

use crate::support::{ClientId, Net, Node, config, element, millis, secs};

fn presence(reply_required: bool) -> Body<'static> {
    Body::Presence(Presence { reply_required, checksum: None, information: None })
}

fn decode_all(net: &mut Net, client: ClientId) -> Vec<(u8, Option<Presence>)> {
    let answers = net.answers(client);
    let decode = |bytes: &bytes::Bytes| {
        let message = enrp::decode(bytes, Dialect::Rfc).expect("well-formed").message;
        assert_eq!(message.sender, ServerId(1));
        match message.body {
            Body::Presence(presence) => (bytes[0], Some(presence)),
            _ => (bytes[0], None),
        }
    };
    answers.iter().map(decode).collect()
}

#[test]
fn a_stranger_is_asked_for_its_presence_and_becomes_a_peer() {
    // 5353-3.4.1-01, -02
    let mut net = Net::with(&[1]);
    let stranger = net.client(9);
    net.connect(stranger, 1, Protocol::Enrp);
    let greeting = decode_all(&mut net, stranger);
    let [(1, Some(greeting))] = greeting.as_slice() else { panic!("{greeting:?}") };
    assert!(greeting.reply_required);
    assert_eq!(greeting.checksum, Some(0xffff), "5353-3.6.1-02");
    assert!(greeting.information.is_some());
    assert_eq!(net.machine(1).peers().count(), 0);
    net.send_enrp(stranger, 77, Body::ListRequest);
    let peers: Vec<_> = net.machine(1).peers().map(|peer| peer.server).collect();
    assert_eq!(peers, [ServerId(77)], "any message makes it a peer");
    assert!(net.events(1).contains(&RegistrarEvent::PeerUp { server: ServerId(77), endpoint: None }));
}

#[test]
fn a_required_reply_carries_the_server_information() {
    // 5353-2.1-04
    let mut net = Net::with(&[1]);
    let peer = net.client(9);
    net.connect(peer, 1, Protocol::Enrp);
    net.send_enrp(peer, 77, presence(false));
    net.answers(peer);
    net.send_enrp(peer, 77, presence(true));
    let replies = decode_all(&mut net, peer);
    let [(1, Some(reply))] = replies.as_slice() else { panic!("{replies:?}") };
    assert!(!reply.reply_required);
    assert_eq!(reply.information.as_ref().expect("where it is").identifier, ServerId(1));
}

#[test]
fn heartbeats_come_every_cycle_and_require_no_reply() {
    // 5353-3.4.2-01, -02
    let mut net = Net::with(&[1]);
    let peer = net.client(9);
    net.connect(peer, 1, Protocol::Enrp);
    net.send_enrp(peer, 77, presence(false));
    net.answers(peer);
    net.run(millis(400));
    let beats = decode_all(&mut net, peer);
    assert_eq!(beats.len(), 2, "every 200 ms: {beats:?}");
    assert!(beats.iter().all(|(_, beat)| beat.as_ref().is_some_and(|beat| !beat.reply_required)));

    let client = net.client_at(1, 1);
    net.register(client, "echo", element(client, 1));
    net.send_enrp(peer, 77, presence(false));
    net.answers(peer);
    net.run(millis(200));
    let checksum = net.machine(1).handlespace().checksum(ServerId(1));
    let beats = net.look_at_enrp(peer, |message| match message.body {
        Body::Presence(beat) => Some((message.receiver, beat.checksum)),
        _ => None,
    });
    assert_eq!(beats, [(ServerId::NONE, Some(checksum))], "5353-2.1-01, 5353-3.6.1-02");
    assert_ne!(checksum, 0xffff);
}

#[test]
fn a_silent_peer_is_asked_and_then_dead() {
    // 5353-3.4.3-01, -02, -03
    let mut net = Net::with(&[1]);
    let peer = net.client(9);
    net.connect(peer, 1, Protocol::Enrp);
    net.send_enrp(peer, 77, presence(false));
    let state = |net: &Net| net.machine(1).peers().next().map(|peer| peer.state);
    net.run(millis(490));
    assert_eq!(state(&net), Some(PeerState::Active));
    net.answers(peer);
    net.run(millis(20));
    assert_eq!(state(&net), Some(PeerState::Probed));
    let asked = decode_all(&mut net, peer);
    assert!(asked.iter().any(|(_, asked)| asked.as_ref().is_some_and(|asked| asked.reply_required)));
    net.send_enrp(peer, 77, presence(false));
    assert_eq!(state(&net), Some(PeerState::Active), "it answered");
    net.run(millis(500 + 250 + 10));
    assert_eq!(state(&net), None);
    let down = RegistrarEvent::PeerDown { server: ServerId(77), reason: PeerDownReason::Silent };
    assert!(net.events(1).contains(&down));
}

#[test]
fn whatever_a_peer_says_shows_that_it_lives() {
    // 5353-3.4.3-01: "every time a message of any type"
    let mut net = Net::with(&[1]);
    let peer = net.peer_at(77, 1);
    let unknown = |net: &mut Net| net.send_bytes(peer, bytes::Bytes::from_static(&[0x3f, 0, 0, 4]));
    let known = |net: &mut Net| net.send_enrp(peer, 77, Body::ListRequest);
    for say in [&known as &dyn Fn(&mut Net), &unknown] {
        for _ in 0..5 {
            net.run(millis(400));
            say(&mut net);
            let states: Vec<_> = net.machine(1).peers().map(|peer| peer.state).collect();
            assert_eq!(states, [PeerState::Active]);
        }
    }
    assert_eq!(net.machine(1).statistics().peers_failed, 0);
}

#[test]
fn a_broken_link_is_opened_again_at_once_and_nobody_dies() {
    let mut net = Net::with(&[1, 2]);
    for _ in 0..5 {
        net.break_links(|node| node == Node::Registrar(ServerId(1)), |_| true);
        net.run(secs(2));
    }
    for id in [1, 2] {
        let states: Vec<_> = net.machine(id).peers().map(|peer| (peer.state, peer.is_linked)).collect();
        assert_eq!(states, [(PeerState::Active, true)]);
        assert_eq!(net.machine(id).statistics().peers_failed, 0);
    }
}

#[test]
fn a_peer_that_cannot_be_connected_to_again_is_dead_within_milliseconds() {
    // 5353-3.4.3-03: the send fails
    let mut net = Net::with(&[1, 2]);
    net.crash(2);
    net.run(millis(10));
    let down = |e: &RegistrarEvent| {
        matches!(e, RegistrarEvent::PeerDown { reason: PeerDownReason::Unreachable(_), .. })
    };
    assert!(net.events(1).iter().any(down));
    assert_eq!(net.machine(1).peers().count(), 0);
}

#[test]
fn a_registrar_that_restarts_with_another_identifier_replaces_the_old_one() {
    let mut net = Net::with(&[1, 2]);
    let client = net.client_at(1, 2);
    net.register(client, "echo", element(client, 1));
    net.crash(2);
    let mut successor = config(2, &[1]);
    successor.server_id = ServerId(0x1_0002);
    net.start(successor);
    net.run(secs(3));
    let replaced = PeerDownReason::Replaced(ServerId(0x1_0002));
    let down = RegistrarEvent::PeerDown { server: ServerId(2), reason: replaced };
    assert!(net.events(1).contains(&down), "at once, when another one answers at its address");
    let peers: Vec<_> = net.machine(1).peers().map(|peer| peer.server).collect();
    assert_eq!(peers, [ServerId(0x1_0002)]);
    net.assert_converged();
}

#[test]
fn peers_that_lost_each_other_meet_again() {
    let mut net = Net::with(&[1, 2, 3]);
    net.cut(Node::Registrar(ServerId(1)), Node::Registrar(ServerId(2)));
    net.run(secs(5));
    net.heal();
    net.run(secs(5));
    for id in 1..=3 {
        assert_eq!(net.machine(id).peers().filter(|peer| peer.state == PeerState::Active).count(), 2, "{id}");
    }
}

#[test]
fn too_many_peers_are_turned_away() {
    let mut net = Net::new();
    let mut limited = config(1, &[]);
    limited.limits.peers = 3;
    net.start(limited);
    for n in 0..10 {
        let peer = net.client(100 + n);
        net.connect(peer, 1, Protocol::Enrp);
        net.send_enrp(peer, 1_000 + n, presence(false));
    }
    assert_eq!(net.machine(1).peers().count(), 3);
}

#[test]
fn announcements_share_the_rate_among_the_registrars() {
    // 5352-3.6-01
    let mut net = Net::new();
    for id in 1..=4 {
        net.start(config(id, &[]));
        net.join(id, Protocol::Asap);
    }
    net.run(secs(10));
    net.sent.clear();
    net.run(secs(40));
    // The network counts what goes to groups as ENRP; type 0x0a is the announcement.
    let announcements = net.sent[&(Protocol::Enrp, 0x0a)];
    assert!((36..=44).contains(&announcements), "about one a second: {announcements}");
}

#[test]
fn an_announcement_lists_all_transports_for_asap() {
    // 5352-3.6-01
    let mut two_homed = config(1, &[]);
    let tcp: Endpoint = "tcp://10.0.0.1:3863".parse().expect("a URL");
    let sctp: Endpoint = "sctp://10.0.0.1:3863,10.1.0.1:3863".parse().expect("a URL");
    two_homed.asap = vec![tcp.clone(), sctp.clone()];
    let now = Net::new().now;
    let mut machine = RegistrarMachine::new(two_homed, 0, now).expect("valid");
    let (link, remote) = (LinkId::accepted(1), ["224.0.1.185:3863".parse().expect("an address")]);
    let (kind, identity) = (LinkKind::Multicast, PeerIdentity::Anonymous);
    let joined = Input::LinkUp { link, protocol: Protocol::Asap, kind, remote: &remote, identity };
    machine.handle_input(now, joined);
    machine.handle_timeout(now);
    let sent = std::iter::from_fn(|| machine.poll_output()).find_map(|output| match output {
        Output::Transmit { link: on, bytes } if on == link => Some(bytes),
        _ => None,
    });
    let sent = sent.expect("an announcement at once");
    let announced = asap::decode(&sent, Dialect::Rfc).expect("well-formed").message;
    let transports = [tcp, sctp].map(|endpoint| endpoint.to_transport().expect("addresses")).into();
    assert_eq!(announced, asap::ServerAnnounce { server: ServerId(1), transports }.into());
}
