//! What others do wrong is answered as the RFCs want, counted and reported; nothing panics, and nothing grows without bound.
use bytes::Bytes;
use proptest::prelude::*;
use rserpool_enrp::{Fault, RegistrarEvent, RegistrarMachine};
use rserpool_machine::{DownReason, Input, LinkId, LinkKind, Machine, Output, PeerIdentity, Protocol};
use rserpool_wire::asap::{self, Message};
use rserpool_wire::enrp::{self, Body, Presence};
use rserpool_wire::{CauseCode, Dialect, ServerId};

use crate::support::{Net, config, element, millis, secs};

fn faults(net: &Net) -> Vec<&Fault> {
    let faults = net.events(1).iter().filter_map(|event| match event {
        RegistrarEvent::ProtocolFault { fault, .. } => Some(fault),
        _ => None,
    });
    faults.collect()
}

#[test]
fn unknown_asap_messages_are_treated_by_their_action_bits() {
    // 5352-2.2.14, RFC 5354 §4
    let mut net = Net::with(&[1]);
    let client = net.client_at(1, 1);
    for (message_type, answered) in [(0x3f, false), (0x7f, true), (0xbf, false), (0xff, false)] {
        net.send_bytes(client, Bytes::from(vec![message_type, 0, 0, 4]));
        let answers = net.answers(client);
        assert_eq!(answers.len(), usize::from(answered), "type {message_type:#x}");
        for bytes in answers {
            let decoded = asap::decode(&bytes, Dialect::Rfc).expect("well-formed").message;
            let Message::Error(report) = decoded else { panic!("{decoded:?}") };
            assert!(report.error.has(CauseCode::UNRECOGNIZED_MESSAGE));
        }
    }
    assert_eq!(net.machine(1).statistics().faults, 4);
}

#[test]
fn a_parameter_to_be_reported_is_reported_and_the_message_processed() {
    // 5353-3.7-01, -02; the same for ASAP
    let mut net = Net::with(&[1]);
    let client = net.client_at(1, 1);
    net.register(client, "echo", element(client, 1));
    // ASAP_HANDLE_RESOLUTION with an unknown parameter of type 0xc123
    let request = b"\x05\x00\x00\x10\x00\x09\x00\x08echo\xc1\x23\x00\x04";
    net.send_bytes(client, Bytes::from_static(request));
    let answers = net.answers(client);
    let types: Vec<u8> = answers.iter().map(|bytes| bytes[0]).collect();
    assert_eq!(types, [0x0e, 0x06], "ASAP_ERROR, and the response");

    let peer = net.client(9);
    net.connect(peer, 1, Protocol::Enrp);
    net.answers(peer);
    let presence = b"\x01\x00\x00\x10\x00\x00\x00\x4d\x00\x00\x00\x00\xc1\x23\x00\x04";
    net.send_bytes(peer, Bytes::from_static(presence));
    let answers = net.answers(peer);
    let decoded = enrp::decode(&answers[0], Dialect::Rfc).expect("well-formed").message;
    assert!(
        matches!(&decoded.body, Body::Error(report) if report.error.has(CauseCode::UNRECOGNIZED_PARAMETER))
    );
    assert_eq!(decoded.receiver, ServerId(77));
    assert_eq!(net.machine(1).peers().count(), 1);
}

#[test]
fn an_error_is_never_answered() {
    let mut net = Net::with(&[1]);
    let client = net.client_at(1, 1);
    let peer = net.client(9);
    net.connect(peer, 1, Protocol::Enrp);
    net.answers(peer);
    for (other, error) in [(client, 0x0e), (peer, 0x0a)] {
        // an Operation Error with an invalid length, an unknown parameter to report, and nothing at all
        for tail in [&b"\x00\x0c\x00\x02"[..], b"\x41\x23\x00\x04", b""] {
            let header = if error == 0x0a { &b"\x00\x00\x00\x4d\x00\x00\x00\x00"[..] } else { b"" };
            let mut bytes = vec![error, 0, 0, (4 + header.len() + tail.len()) as u8];
            bytes.extend_from_slice(header);
            bytes.extend_from_slice(tail);
            net.send_bytes(other, bytes.into());
            assert_eq!(net.answers(other), Vec::<Bytes>::new());
        }
    }
}

#[test]
fn messages_that_a_registrar_does_not_take_are_faults() {
    let mut net = Net::with(&[1]);
    let client = net.client_at(1, 1);
    net.send(client, asap::Cookie { cookie: b"x" });
    assert_eq!(faults(&net), [&Fault::Unexpected("ASAP_COOKIE")]);
}

#[test]
fn a_link_with_too_many_faults_is_cut_off() {
    let mut net = Net::with(&[1]);
    let client = net.client_at(1, 1);
    for _ in 0..100 {
        assert!(net.clients[&client].link.is_some());
        net.send_bytes(client, Bytes::from_static(b"\x00\x00\x00\x00"));
    }
    net.run(millis(5));
    assert!(net.clients[&client].links.is_empty());
    assert_eq!(faults(&net).last(), Some(&&Fault::Limit("bad messages on a link")));
}

#[test]
fn another_registrar_with_our_identifier_is_refused() {
    let mut net = Net::with(&[1]);
    let twin = net.client(9);
    net.connect(twin, 1, Protocol::Enrp);
    net.send_enrp(twin, 1, Body::ListRequest);
    net.run(millis(5));
    assert_eq!(faults(&net), [&Fault::ServerId(ServerId(1))]);
    assert!(net.clients[&twin].links.is_empty());
    assert_eq!(net.machine(1).peers().count(), 0);
}

#[test]
fn a_link_belongs_to_one_registrar() {
    let mut net = Net::with(&[1]);
    let peer = net.client(9);
    net.connect(peer, 1, Protocol::Enrp);
    let presence = || Presence { reply_required: false, checksum: None, information: None };
    net.send_enrp(peer, 77, Body::Presence(presence()));
    net.send_enrp(peer, 78, Body::Presence(presence()));
    let fault = Fault::ChangedServer { expected: ServerId(77), found: ServerId(78) };
    assert_eq!(faults(&net), [&fault]);
    assert_eq!(net.machine(1).peers().count(), 1);
}

#[test]
fn answers_that_nobody_asked_for_are_counted() {
    let mut net = Net::with(&[1]);
    let client = net.client_at(1, 1);
    net.send(client, asap::EndpointKeepAliveAck { pool_handle: "echo".into(), identifier: 1.into() });
    let peer = net.client(9);
    net.connect(peer, 1, Protocol::Enrp);
    net.send_enrp(peer, 77, Body::ListResponse(enrp::ListResponse { rejected: false, servers: Vec::new() }));
    net.send_enrp(peer, 77, Body::InitTakeoverAck(enrp::InitTakeoverAck { target: ServerId(5) }));
    assert_eq!(net.machine(1).statistics().unsolicited, 3);
}

#[test]
fn multicast_carries_presences_only() {
    let mut net = Net::with(&[1]);
    net.join(1, Protocol::Enrp);
    net.start(config(2, &[]));
    net.run(secs(1));
    let mut machine = RegistrarMachine::new(config(5, &[]), 5, net.now).expect("valid");
    let (group, source) = (LinkId::accepted(1), "10.0.0.77:9901".parse().expect("an address"));
    let up = Input::LinkUp {
        link: group,
        protocol: Protocol::Enrp,
        kind: LinkKind::Multicast,
        remote: &[source],
        identity: PeerIdentity::Anonymous,
    };
    machine.handle_input(net.now, up);
    let mut buffer = bytes::BytesMut::new();
    let body = Body::TakeoverServer(enrp::TakeoverServer { target: ServerId(2) });
    let message = enrp::Message { sender: ServerId(77), receiver: ServerId::NONE, body };
    message.encode(Dialect::Rfc, &mut buffer).expect("it fits");
    machine.handle_input(net.now, Input::Announcement { link: group, source, bytes: &buffer });
    assert_eq!(machine.statistics().faults, 1);
    assert_eq!(machine.peers().count(), 0);
}

/// One arbitrary input: which link, and what happens.
#[derive(Clone, Debug)]
enum Arbitrary {
    Up(u8, bool, bool),
    Down(u8),
    Bytes(u8, Vec<u8>),
    Asap(u8, u8, u8, u8),
    Enrp(u8, u8, u8, u8),
    Time(u16),
    Shutdown,
}

fn arbitrary() -> impl Strategy<Value = Arbitrary> {
    let link = 0..8_u8;
    prop_oneof![
        3 => (link.clone(), any::<bool>(), prop::bool::weighted(0.1)).prop_map(|(l, e, m)| Arbitrary::Up(l, e, m)),
        2 => link.clone().prop_map(Arbitrary::Down),
        2 => (link.clone(), prop::collection::vec(any::<u8>(), 0..64)).prop_map(|(l, b)| Arbitrary::Bytes(l, b)),
        20 => (link.clone(), 0..8_u8, 0..4_u8, 0..4_u8).prop_map(|(l, k, p, i)| Arbitrary::Asap(l, k, p, i)),
        20 => (link, 0..12_u8, 1..5_u8, 0..5_u8).prop_map(|(l, k, s, t)| Arbitrary::Enrp(l, k, s, t)),
        8 => any::<u16>().prop_map(Arbitrary::Time),
        1 => Just(Arbitrary::Shutdown),
    ]
}

fn asap_bytes(kind: u8, pool: u8, identifier: u8) -> bytes::BytesMut {
    let handle = format!("pool {pool}");
    let pool_handle = || rserpool_wire::PoolHandle::from(handle.as_str());
    let id = rserpool_wire::PeIdentifier(identifier.into());
    let client = crate::support::ClientId(identifier.into());
    let message: Message<'_> = match kind {
        0 | 1 => {
            asap::Registration { pool_handle: pool_handle(), element: element(client, identifier.into()) }
                .into()
        }
        2 => asap::Deregistration { pool_handle: pool_handle(), identifier: id }.into(),
        3 => {
            asap::HandleResolution { pool_handle: pool_handle(), subscribe: identifier % 2 == 0, items: None }
                .into()
        }
        4 => asap::EndpointUnreachable { pool_handle: pool_handle(), identifier: id }.into(),
        5 => asap::ServerAnnounce { server: ServerId(identifier.into()), transports: Vec::new() }.into(),
        _ => asap::EndpointKeepAliveAck { pool_handle: pool_handle(), identifier: id }.into(),
    };
    let mut buffer = bytes::BytesMut::new();
    message.encode(Dialect::Rfc, &mut buffer).expect("it fits");
    buffer
}

fn enrp_bytes(kind: u8, sender: u8, target: u8) -> bytes::BytesMut {
    let (sender, target) = (ServerId(sender.into()), ServerId(target.into()));
    let mut owned = element(crate::support::ClientId(target.0), target.0);
    owned.home = sender;
    let update = |action, takeover_suggested, element| {
        Body::HandleUpdate(enrp::HandleUpdate {
            action,
            takeover_suggested,
            pool_handle: "pool 1".into(),
            element,
        })
    };
    let body = match kind {
        0 => Body::Presence(Presence {
            reply_required: true,
            checksum: Some(target.0 as u16),
            information: None,
        }),
        1 => update(enrp::UpdateAction::Add, false, owned),
        2 => update(enrp::UpdateAction::Add, true, owned),
        3 => update(enrp::UpdateAction::Delete, false, owned),
        4 => Body::HandleTableRequest(enrp::HandleTableRequest { own_children_only: target.0 % 2 == 0 }),
        5 => {
            let entries = vec![enrp::PoolEntry { pool_handle: "pool 1".into(), elements: vec![owned] }];
            let more = target.0 % 2 == 0;
            Body::HandleTableResponse(enrp::HandleTableResponse { rejected: false, more, entries })
        }
        6 => Body::ListRequest,
        7 => Body::ListResponse(enrp::ListResponse { rejected: target.0 == 0, servers: Vec::new() }),
        8 => Body::InitTakeover(enrp::InitTakeover { target }),
        9 => Body::InitTakeoverAck(enrp::InitTakeoverAck { target }),
        10 => Body::TakeoverServer(enrp::TakeoverServer { target }),
        _ => Body::HandleTableResponse(enrp::HandleTableResponse {
            rejected: true,
            more: false,
            entries: Vec::new(),
        }),
    };
    let mut buffer = bytes::BytesMut::new();
    let message = enrp::Message { sender, receiver: ServerId::NONE, body };
    message.encode(Dialect::Rfc, &mut buffer).expect("it fits");
    buffer
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes in whatever order: no panic, time always moves on, everything stays within the limits, and a link
    /// that the machine opened or was given is never used after its end.
    #[test]
    fn no_input_breaks_the_registrar(inputs in prop::collection::vec(arbitrary(), 1..120), mentored in any::<bool>()) {
        let mut now = Net::new().now;
        let mut limited = config(1, if mentored { &[9] } else { &[] });
        limited.limits.elements = 6;
        limited.limits.peers = 3;
        limited.limits.probes = 2;
        let mut machine = RegistrarMachine::new(limited, 7, now).expect("valid");
        let mut ended = std::collections::BTreeSet::new();
        for input in inputs {
            let link = |n: u8| LinkId::accepted(n.into());
            match input {
                Arbitrary::Up(n, enrp, group) => {
                    ended.remove(&link(n));
                    machine.handle_input(now, Input::LinkUp {
                        link: link(n),
                        protocol: if enrp { Protocol::Enrp } else { Protocol::Asap },
                        kind: if group { LinkKind::Multicast } else { LinkKind::PointToPoint },
                        remote: &["192.0.2.1:1".parse().expect("an address")],
                        identity: PeerIdentity::Anonymous,
                    });
                }
                Arbitrary::Down(n) => {
                    ended.insert(link(n));
                    machine.handle_input(now, Input::LinkDown { link: link(n), reason: DownReason::Closed });
                }
                Arbitrary::Bytes(n, bytes) => machine.handle_input(now, Input::Message { link: link(n), bytes: &bytes }),
                Arbitrary::Asap(n, kind, pool, id) => {
                    machine.handle_input(now, Input::Message { link: link(n), bytes: &asap_bytes(kind, pool, id) });
                }
                Arbitrary::Enrp(n, kind, sender, target) => {
                    machine.handle_input(now, Input::Message { link: link(n), bytes: &enrp_bytes(kind, sender, target) });
                }
                Arbitrary::Time(by) => {
                    now += millis(by.into());
                    machine.handle_timeout(now);
                    let due = machine.poll_timeout();
                    prop_assert!(due.is_none_or(|due| due > now), "a time-out that is due after it was served");
                }
                Arbitrary::Shutdown => machine.shutdown(now),
            }
            let mut outputs = 0;
            while let Some(output) = machine.poll_output() {
                outputs += 1;
                prop_assert!(outputs < 500, "an endless answer");
                if let Output::Transmit { link, bytes } = output {
                    prop_assert!(!ended.contains(&link), "{link:?} has ended: {bytes:x?}");
                    prop_assert!(bytes.len() >= 4 && bytes.len() % 4 == 0);
                }
            }
            prop_assert!(machine.handlespace().len() <= 6);
            prop_assert!(machine.peers().count() <= 3);
        }
    }
}
