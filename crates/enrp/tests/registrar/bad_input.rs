//! What others do wrong is answered as the RFCs want, counted and reported; nothing panics, and nothing grows without bound.
use bytes::Bytes;
use rserpool_enrp::{Fault, RegistrarEvent, RegistrarMachine};
use rserpool_machine::{Input, LinkId, LinkKind, Machine, PeerIdentity, Protocol};
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
