//! TLS over SCTP (RFC 3436): what differs from TLS over TCP, which the other tests of TLS hold over either. They need SCTP in the
//! kernel; those without it are skipped.
#![cfg(all(feature = "psk", target_os = "linux"))]
#![allow(clippy::expect_used, reason = "a failed step of the scaffolding fails the test")]
mod support;

use std::net::SocketAddr;
use std::time::Duration;

use rserpool_machine::{Endpoint, PeerIdentity};
use rserpool_sctp::{Received, SctpStream, SendInfo, SocketConfig};
use rserpool_transport::{
    ClientCertificates, HandshakeError, LinkConfig, Listener, SecurityConfig, TransportError, rustls,
};
use support::tls::{
    Authority, against_plain, failure, key, meet, psk, psk_client, psk_server, server, with, without_tls,
};
use support::{drive, endpoint, read_all};

const ASAP: SendInfo = SendInfo::new(11);

fn authenticated(name: &str) -> PeerIdentity {
    PeerIdentity::Authenticated(name.into())
}

/// A listener for one who has the key of `pe-a`; `None`, and a word why, where the kernel has no SCTP.
async fn listen(hosts: &str, config: &LinkConfig) -> Option<Listener> {
    match Listener::bind(&endpoint(hosts), config).await {
        Ok(listener) => Some(listener),
        Err(TransportError::NoSctp { .. }) => {
            eprintln!("skipped: no SCTP in this kernel");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn with_scheme(listener: &Listener, scheme: &str) -> Endpoint {
    endpoint(&format!("{scheme}://127.0.0.1:{}", listener.local_endpoint().port()))
}

fn taking_pe_a() -> LinkConfig {
    psk_server(&[key("pe-a", 1)])
}

/// An association without TLS to a listener.
async fn association(listener: &Listener) -> SctpStream {
    let to: Vec<_> = listener.local_endpoint().socket_addresses().flatten().collect();
    SctpStream::connect(&to, &SocketConfig::default()).await.expect("it listens")
}

#[tokio::test]
async fn what_is_missing_is_told_before_the_kernel_is_asked() {
    let place = endpoint("sctp+tls://127.0.0.1:0");
    let error = Listener::bind(&place, &LinkConfig::default()).await.map(|_| ()).expect_err("no keys");
    assert!(matches!(error, TransportError::SecurityMissing { .. }), "{error}");
    let error = failure(&endpoint("sctp+tls://127.0.0.1:1"), &LinkConfig::default()).await;
    assert!(matches!(error, TransportError::SecurityMissing { .. }), "{error}");
}

#[tokio::test]
async fn all_addresses_of_a_multi_homed_client_come_with_its_identity() {
    let hosts = "sctp+tls://127.0.0.1:0,127.0.0.2:0";
    let Some(listener) = listen(hosts, &taking_pe_a()).await else { return };
    let addresses: Vec<_> = listener.local_endpoint().socket_addresses().flatten().collect();
    assert_eq!(addresses.len(), 2, "{}", listener.local_endpoint());
    let own = SecurityConfig {
        server: Some(psk(&[key("registrar", 2)])),
        client: Some(rserpool_transport::ClientSecurity::Psk(key("pe-a", 1))),
    };
    let config = LinkConfig { called_back: true, ..with(own) };
    let element =
        Listener::bind(&endpoint("sctp+tls://127.0.0.3:0,127.0.0.4:0"), &config).await.expect("free");
    let opening = async {
        tokio::select! {
            opened = element.connect(listener.local_endpoint()) => opened.expect("let in"),
            accepted = element.accept() => panic!("nobody connects: {accepted:?}"),
        }
    };
    let (opened, accepted) = tokio::join!(opening, listener.accept());
    let accepted = accepted.expect("somebody connects");
    assert_eq!(accepted.identity, authenticated("pe-a"));
    let sorted = |mut addresses: Vec<SocketAddr>| {
        addresses.sort();
        addresses
    };
    assert_eq!(sorted(opened.remote.clone()), sorted(addresses));
    let elements: Vec<_> = element.local_endpoint().socket_addresses().flatten().collect();
    assert_eq!(sorted(accepted.remote.clone()), sorted(elements), "RFC 5352 §3.1, rule 4: they are recorded");
}

/// RFC 9260 §5.2.1: from one port to one port there is one association, whoever opens it, and in TLS it would have two clients.
#[tokio::test]
async fn two_that_connect_to_each_other_have_a_link_each() {
    let registrar = |own: &str, other: &str| {
        let own = rserpool_transport::ClientSecurity::Psk(key(own, 1));
        with(SecurityConfig { server: Some(psk(&[key(other, 1)])), client: Some(own) })
    };
    let [a, b] = [registrar("a", "b"), registrar("b", "a")];
    let Some(a) = listen("sctp+tls://127.0.0.1:0", &a).await else { return };
    let Some(b) = listen("sctp+tls://127.0.0.1:0", &b).await else { return };
    let links = async {
        tokio::join!(a.connect(b.local_endpoint()), b.connect(a.local_endpoint()), a.accept(), b.accept())
    };
    let links = tokio::time::timeout(Duration::from_secs(20), links).await;
    let (of_a, of_b, at_a, at_b) = links.expect("four ends of two links");
    let [opened, accepted] = [[of_a, of_b], [at_a, at_b]].map(|ends| ends.map(|end| end.expect("a link")));
    assert_eq!(accepted.each_ref().map(|link| &link.identity), [&authenticated("b"), &authenticated("a")]);
    for (link, listener) in opened.iter().zip([&a, &b]) {
        assert_ne!(link.local.port(), listener.local_endpoint().port());
    }
}

#[tokio::test]
async fn a_plain_link_to_a_tls_port_says_so() {
    let Some(listener) = listen("sctp+tls://127.0.0.1:0", &taking_pe_a()).await else { return };
    let error = without_tls(&with_scheme(&listener, "sctp"), &listener).await;
    assert!(matches!(error, TransportError::SpeaksTls), "{error}");
}

#[tokio::test]
async fn tls_to_a_plain_port_says_so_on_both_sides() {
    let Some(plain) = listen("sctp://127.0.0.1:0", &LinkConfig::default()).await else { return };
    let remote = with_scheme(&plain, "sctp+tls");
    let config = psk_client(key("pe-a", 1));
    let (here, there) = against_plain(&plain, &remote, &config).await;
    assert!(matches!(here, TransportError::Handshake { source: HandshakeError::Closed, .. }), "{here}");
    assert!(matches!(there, TransportError::SpeaksTls), "{there}");
}

#[tokio::test]
async fn a_silent_server_is_given_up_after_the_handshake_timeout() {
    let Some(silent) = listen("sctp://127.0.0.1:0", &LinkConfig::default()).await else { return };
    let config = LinkConfig { handshake_timeout: Duration::from_millis(300), ..psk_client(key("pe-a", 1)) };
    let remote = with_scheme(&silent, "sctp+tls");
    let holding = async {
        let held = silent.accept().await.expect("somebody connects");
        std::future::pending::<()>().await;
        held
    };
    tokio::select! {
        error = failure(&remote, &config) => {
            let TransportError::Handshake { source, .. } = &error else { panic!("{error}") };
            assert!(matches!(source, HandshakeError::Timeout { .. }), "{error}");
        }
        _ = holding => unreachable!("it never ends"),
    }
}

/// 5355-2.1 over associations: the oldest ends.
#[tokio::test]
async fn half_open_handshakes_do_not_keep_a_client_out() {
    let config = LinkConfig { handshakes_per_source: 4, handshakes: 8, ..taking_pe_a() };
    let Some(listener) = listen("sctp+tls://127.0.0.1:0", &config).await else { return };
    let mut held = Vec::new();
    let flood = async {
        for _ in 0..12 {
            let association = association(&listener).await;
            association.send(&ASAP, &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc]).await.expect("sent");
            held.push(association);
        }
        while listener.refused() < 8 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = flood => {}
        accepted = listener.accept() => panic!("let in: {accepted:?}"),
    }
    let (_, accepted) = meet(&listener, listener.local_endpoint(), &psk_client(key("pe-a", 1))).await;
    assert_eq!(accepted.identity, authenticated("pe-a"));
}

/// RFC 3436: TLS is on one pair of streams, in order.
#[tokio::test]
async fn records_may_be_cut_anywhere_and_what_comes_beside_them_is_passed_over() {
    let authority = Authority::new();
    let config = server(authority.identity(&["registrar.example"]), ClientCertificates::None);
    let Some(listener) = listen("sctp+tls://127.0.0.1:0", &config).await else { return };
    let client = authority.rustls_client(&["user.example"], &rustls::version::TLS13);
    let name = "registrar.example".try_into().expect("a name");
    let mut client = rustls::ClientConnection::new(client.into(), name).expect("settings");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("in memory");
    let (first, second) = hello.split_at(hello.len() / 2);

    let talking = async {
        let association = association(&listener).await;
        association.send(&ASAP, first).await.expect("sent");
        association.send(&SendInfo { stream: 1, ..ASAP }, b"on another stream").await.expect("sent");
        association.send(&SendInfo { unordered: true, ..ASAP }, b"out of order").await.expect("sent");
        association.send(&SendInfo::new(12), b"another protocol").await.expect("sent");
        association.send(&ASAP, second).await.expect("sent");
        let mut records = Vec::new();
        while client.is_handshaking() {
            let Some(Received::Message(message)) = association.recv().await.expect("an answer") else {
                continue;
            };
            assert_eq!((message.info.stream, message.info.unordered, message.info.ppid), (0, false, 11));
            records.push(message.bytes.clone());
            client.read_tls(&mut &message.bytes[..]).expect("in memory");
            client.process_new_packets().expect("a good server");
        }
        records
    };
    let records = tokio::select! {
        records = talking => records,
        accepted = listener.accept() => panic!("it has not finished: {accepted:?}"),
    };
    for record in records {
        let length = 5 + usize::from(u16::from_be_bytes([record[3], record[4]]));
        assert_eq!(record.len(), length, "each message is one record");
    }
}

/// The end of an association is not that of TLS: nobody may cut a conversation short unnoticed.
#[tokio::test]
async fn an_association_that_just_ends_is_an_error() {
    let Some(listener) = listen("sctp+tls://127.0.0.1:0", &taking_pe_a()).await else { return };
    let (a, b) = meet(&listener, listener.local_endpoint(), &psk_client(key("pe-a", 1))).await;
    let (reader, writer) = a.split();
    drop((reader, writer));
    let (messages, error) = read_all(&mut drive(b).reader).await;
    assert!(messages.is_empty());
    assert!(matches!(error, Some(TransportError::Broken(_))), "{error:?}");
}
