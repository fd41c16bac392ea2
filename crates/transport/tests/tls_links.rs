//! Links over TLS: who is known to be at the other end, and that messages pass as on TCP.
#![cfg(feature = "psk")]
#![allow(clippy::expect_used, reason = "a failed step of the scaffolding fails the test")]
mod support;

use std::time::Duration;

use rserpool_machine::{DownReason, PeerIdentity};
use rserpool_transport::{
    ClientCertificates, LinkConfig, SecurityConfig, ServerCertificate, ServerSecurity, TransportError,
};
use support::tls::{Authority, called, client, key, listen, meet, psk, psk_client, psk_server, server, with};
use support::{Driven, drive, message, read_all};

fn authenticated(name: &str) -> PeerIdentity {
    PeerIdentity::Authenticated(name.into())
}

/// A pair of links, the connected one first, by certificates and by a pre-shared key.
async fn pairs(change: impl Fn(LinkConfig) -> LinkConfig) -> [(Driven, Driven); 2] {
    let authority = Authority::new();
    let by_certificate =
        listen(&change(server(authority.identity(&["localhost"]), ClientCertificates::None))).await;
    let by_key = listen(&change(psk_server(&[key("pe-a", 1)]))).await;
    let config = change(client(authority.roots(), None));
    let (a, b) = meet(&by_certificate, &called(&by_certificate, "localhost"), &config).await;
    let config = change(psk_client(key("pe-a", 1)));
    let (c, d) = meet(&by_key, by_key.local_endpoint(), &config).await;
    [(drive(a), drive(b)), (drive(c), drive(d))]
}

/// 5352-9, 5355-3: mutual authentication by certificates.
#[tokio::test]
async fn both_ends_know_each_other_by_their_certificates() {
    let authority = Authority::new();
    let identity = authority.identity(&["localhost", "registrar.example"]);
    let listener = listen(&server(identity, ClientCertificates::Required(authority.roots()))).await;
    let config = client(authority.roots(), Some(authority.identity(&["10.0.0.7", "PE-A.example"])));
    let (connected, accepted) = meet(&listener, &called(&listener, "localhost"), &config).await;
    assert_eq!(accepted.identity, authenticated("pe-a.example"));
    assert_eq!(connected.identity, authenticated("localhost"));
    assert_eq!((&connected.remote, connected.local), (&vec![accepted.local], accepted.remote[0]));
}

#[tokio::test]
async fn a_client_without_a_certificate_stays_unknown_where_none_is_required() {
    let authority = Authority::new();
    for clients in [ClientCertificates::None, ClientCertificates::Optional(authority.roots())] {
        let listener = listen(&server(authority.identity(&["localhost"]), clients)).await;
        let config = client(authority.roots(), None);
        let (connected, accepted) = meet(&listener, &called(&listener, "localhost"), &config).await;
        assert_eq!(
            (accepted.identity, connected.identity),
            (PeerIdentity::Encrypted, authenticated("localhost"))
        );
    }
}

/// An endpoint by address is verified by address; the server has the name it has in the other direction as well.
#[tokio::test]
async fn a_server_at_an_address_is_known_by_the_name_in_its_certificate() {
    let authority = Authority::new();
    for (names, known_as) in
        [(&["127.0.0.1", "registrar-b.example"][..], "registrar-b.example"), (&["127.0.0.1"], "127.0.0.1")]
    {
        let listener = listen(&server(authority.identity(names), ClientCertificates::None)).await;
        let config = client(authority.roots(), None);
        let (connected, _) = meet(&listener, listener.local_endpoint(), &config).await;
        assert_eq!(connected.identity, authenticated(known_as));
    }
}

#[tokio::test]
async fn a_client_is_known_by_the_key_that_it_proves() {
    let listener = listen(&psk_server(&[key("pe-a", 1), key("pe-b", 2)])).await;
    for (name, byte) in [("pe-b", 2), ("pe-a", 1)] {
        let config = psk_client(key(name, byte));
        let (connected, accepted) = meet(&listener, listener.local_endpoint(), &config).await;
        assert_eq!(
            (connected.identity, accepted.identity),
            (PeerIdentity::Keyed(name.into()), authenticated(name))
        );
    }
}

/// 5352-9: elements come with keys and users with nothing but trust in the certificate, to one port (3864).
#[tokio::test]
async fn one_port_takes_keys_and_certificates() {
    let authority = Authority::new();
    let clients = ClientCertificates::Optional(authority.roots());
    let certificate = ServerCertificate::Identity { identity: authority.identity(&["127.0.0.1"]), clients };
    let both = ServerSecurity { certificate: Some(certificate), ..psk(&[key("pe-a", 1)]) };
    let listener = listen(&with(SecurityConfig { server: Some(both), client: None })).await;
    for (config, identity) in [
        (psk_client(key("pe-a", 1)), authenticated("pe-a")),
        (client(authority.roots(), None), PeerIdentity::Encrypted),
        (
            client(authority.roots(), Some(authority.identity(&["peer.example"]))),
            authenticated("peer.example"),
        ),
    ] {
        let (connected, accepted) = meet(&listener, listener.local_endpoint(), &config).await;
        assert_eq!(accepted.identity, identity);
        let (client, mut server) = (drive(connected), drive(accepted));
        client.queue.push(message(1, 100)).expect("room");
        client.queue.close();
        assert_eq!(read_all(&mut server.reader).await.0, [message(1, 100)]);
    }
}

#[tokio::test]
async fn small_and_large_messages_pass_in_both_directions_and_in_order() {
    let room = |config| LinkConfig { send_queue: 64 << 20, drain: Duration::from_secs(60), ..config };
    for (mut client, mut server) in pairs(room).await {
        let lengths = [16, 4096, 20_000, 8, 65_532, 4100, 12];
        let sent: Vec<_> = (0..700).map(|n| message(n, lengths[n % lengths.len()])).collect();
        for (n, message) in sent.iter().enumerate() {
            for queue in [&client.queue, &server.queue] {
                queue.push(message.clone()).expect("room");
                if n % 5 == 0 {
                    queue.try_flush();
                }
            }
        }
        client.queue.close();
        server.queue.close();
        let (up, down) = tokio::join!(read_all(&mut server.reader), read_all(&mut client.reader));
        for (received, error) in [up, down] {
            assert!(error.is_none(), "{error:?}");
            assert!(received == sent, "{} of {} messages, or others", received.len(), sent.len());
        }
        client.writing.await.expect("no panic").expect("everything sent");
        server.writing.await.expect("no panic").expect("everything sent");
    }
}

#[tokio::test]
async fn one_direction_may_end_while_the_other_goes_on() {
    for (mut client, mut server) in pairs(|config| config).await {
        client.queue.push(message(1, 64)).expect("room");
        client.queue.close();
        assert_eq!(read_all(&mut server.reader).await.0, [message(1, 64)]);
        server.queue.push(message(2, 64)).expect("room");
        server.queue.close();
        let (received, error) = read_all(&mut client.reader).await;
        assert_eq!((received, error.is_none()), (vec![message(2, 64)], true));
    }
}

/// RFC 5355 §2.2: nobody may make a registrar hold memory without bound.
#[tokio::test]
async fn who_does_not_read_is_cut_off_at_the_limit_of_the_queue() {
    let little = |config| LinkConfig { send_queue: 128 << 10, ..config };
    for (mut deaf, mut sender) in pairs(little).await {
        let full = loop {
            if let Err(full) = sender.queue.push(message(0, 60_000)) {
                break full;
            }
            sender.queue.try_flush();
        };
        assert_eq!(full.limit, 128 << 10);
        let error = sender.writing.await.expect("no panic").expect_err("cut off");
        assert!(matches!(error, TransportError::SlowReader { .. }), "{error}");
        let error = sender.reader.fill().await.expect_err("cut off");
        assert!(matches!(error.down_reason(), DownReason::Limit(_)), "{error}");
        drop((sender.queue, sender.reader));
        assert!(
            read_all(&mut deaf.reader).await.1.is_some(),
            "the other end must not take this for a clean end"
        );
    }
}

#[tokio::test]
async fn a_closed_link_that_nobody_reads_is_given_up_after_the_drain_time() {
    let hasty = |config| LinkConfig { send_queue: 64 << 20, drain: Duration::from_millis(50), ..config };
    for (_deaf, sender) in pairs(hasty).await {
        for n in 0..1000 {
            sender.queue.push(message(n, 60_000)).expect("room");
        }
        sender.queue.close();
        let error = sender.writing.await.expect("no panic").expect_err("never sent");
        assert!(matches!(error, TransportError::DrainTimeout { unsent: 1.., .. }), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_senders_share_a_link_while_it_is_read() {
    for (mut client, mut server) in pairs(|config| config).await {
        let senders: Vec<_> = (0..4)
            .map(|_| {
                let queue = client.queue.clone();
                tokio::spawn(async move {
                    for n in 0..2000 {
                        queue.push(message(n, 16)).expect("room");
                        queue.try_flush();
                    }
                })
            })
            .collect();
        let echo = tokio::spawn(async move {
            while server.reader.fill().await.expect("a good link") {
                while let Some(message) = server.reader.next_message().expect("in step") {
                    server.queue.push(bytes::Bytes::copy_from_slice(message)).expect("room");
                }
                server.queue.try_flush();
            }
            server.queue.close();
        });
        let closing = client.queue.clone();
        let sent = async {
            for sender in senders {
                sender.await.expect("no panic");
            }
            closing.close();
        };
        let ((), (echoed, error)) = tokio::join!(sent, read_all(&mut client.reader));
        assert!(error.is_none(), "{error:?}");
        assert_eq!(echoed.len(), 8000);
        echo.await.expect("no panic");
    }
}
