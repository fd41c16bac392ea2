//! What is not TLS, or not for long: plain bytes where TLS is expected and the other way round, old versions, damage on the way, and
//! settings that are missing. RFC 5355 §2.8 (replay), §2.10 and §2.11 (corruption and eavesdropping).
#![cfg(feature = "psk")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed step of the scaffolding fails the test"
)]
mod support;

use std::path::PathBuf;
use std::time::Duration;

use rserpool_transport::{
    ClientCertificates, ClientSecurity, HandshakeError, LinkConfig, Listener, PskTable, Security,
    SecurityConfig, SecurityError, ServerSecurity, TlsIdentity, TransportError, rustls,
};
use support::tls::{
    Authority, address, against_plain, client, failure, key, listen, meet, psk_client, psk_server, server,
    turned_away, with, without_tls,
};
use support::{drive, endpoint, message, read_all};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server by certificate, and a configuration that it lets in.
async fn secured() -> (Listener, LinkConfig) {
    let authority = Authority::new();
    let listener = listen(&server(authority.identity(&["127.0.0.1"]), ClientCertificates::None)).await;
    (listener, client(authority.roots(), None))
}

#[tokio::test]
async fn a_plain_link_to_a_tls_port_says_so() {
    let (listener, _) = secured().await;
    let plain = endpoint(&format!("tcp://127.0.0.1:{}", listener.local_endpoint().port()));
    let error = without_tls(&plain, &listener).await;
    assert!(matches!(error, TransportError::SpeaksTls), "{error}");
}

#[tokio::test]
async fn tls_to_a_plain_port_says_so_on_both_sides() {
    for config in [secured().await.1, psk_client(key("pe-a", 1))] {
        let plain =
            Listener::bind(&endpoint("tcp://127.0.0.1:0"), &LinkConfig::default()).await.expect("free");
        let remote = endpoint(&format!("tls://127.0.0.1:{}", plain.local_endpoint().port()));
        let (here, there) = against_plain(&plain, &remote, &config).await;
        assert!(matches!(here, TransportError::Handshake { source: HandshakeError::Closed, .. }), "{here}");
        assert!(matches!(there, TransportError::SpeaksTls), "{there}");
    }
}

#[tokio::test]
async fn a_plain_answer_to_a_tls_client_is_told_from_tls() {
    for config in [secured().await.1, psk_client(key("pe-a", 1))] {
        let plain = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let remote = endpoint(&format!("tls://{}", plain.local_addr().expect("bound")));
        let plain_server = async {
            let (mut socket, _) = plain.accept().await.expect("somebody connects");
            socket.write_all(&message(1, 16)).await.expect("sent");
            socket
        };
        let (error, _) = tokio::join!(failure(&remote, &config), plain_server);
        let TransportError::Handshake { source, .. } = &error else { panic!("{error}") };
        assert!(matches!(source, HandshakeError::NotTls), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up_after_the_handshake_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let remote = endpoint(&format!("tls://{}", silent.local_addr().expect("bound")));
    let config = LinkConfig { handshake_timeout: Duration::from_millis(300), ..secured().await.1 };
    let error = failure(&remote, &config).await;
    let TransportError::Handshake { source, .. } = &error else { panic!("{error}") };
    assert!(matches!(source, HandshakeError::Timeout { .. }), "{error}");
}

/// A ClientHello of TLS 1.1 or below, or with CBC suites only: RFC 9325 §3.1.1 and §4.1 rule both out.
fn old_hello(version: u8, suite: [u8; 2]) -> Vec<u8> {
    let curves = [0, 10, 0, 4, 0, 2, 0, 23];
    let signatures = [0, 13, 0, 4, 0, 2, 4, 3];
    let secret_renegotiation = [0xff, 1, 0, 1, 0];
    let master_secret = [0, 23, 0, 0];
    let extensions = [&curves[..], &signatures, &secret_renegotiation, &master_secret].concat();
    let count = u8::try_from(extensions.len()).expect("short");
    let body = [&[3, version][..], &[7; 32], &[0, 0, 2], &suite, &[1, 0, 0, count], &extensions].concat();
    let count = u8::try_from(body.len()).expect("short");
    [&[22, 3, 1, 0, count + 4, 1, 0, 0, count][..], &body].concat()
}

#[tokio::test]
async fn old_versions_and_suites_are_refused() {
    const ECDHE_ECDSA_AES128_CBC: [u8; 2] = [0xc0, 0x09];
    const ECDHE_ECDSA_AES128_GCM: [u8; 2] = [0xc0, 0x2b];
    let (listener, _) = secured().await;
    let answer = async |hello: Vec<u8>| {
        let mut socket = TcpStream::connect(address(&listener)).await.expect("it listens");
        socket.write_all(&hello).await.expect("sent");
        let mut answer = [0; 7];
        tokio::select! {
            read = socket.read_exact(&mut answer) => assert_eq!(read.expect("an answer"), 7),
            accepted = listener.accept() => panic!("let in: {accepted:?}"),
        }
        answer
    };
    const PROTOCOL_VERSION: [u8; 2] = [2, 70];
    const HANDSHAKE_FAILURE: [u8; 2] = [2, 40];
    assert_eq!(answer(old_hello(2, ECDHE_ECDSA_AES128_GCM)).await[5..], PROTOCOL_VERSION);
    assert_eq!(answer(old_hello(3, ECDHE_ECDSA_AES128_CBC)).await[5..], HANDSHAKE_FAILURE);
    let [content, ..] = answer(old_hello(3, ECDHE_ECDSA_AES128_GCM)).await;
    assert_eq!(content, 22, "what is refused above is refused for its version and its suite only");
}

#[tokio::test]
async fn a_configuration_of_the_users_own_is_used() {
    let authority = Authority::new();
    let listener = listen(&server(authority.identity(&["127.0.0.1"]), ClientCertificates::None)).await;
    let config = authority.rustls_client(&["pe-a"], &rustls::version::TLS12);
    let config = with(SecurityConfig { client: Some(ClientSecurity::Rustls(config.into())), server: None });
    let (connected, accepted) = meet(&listener, listener.local_endpoint(), &config).await;
    let (client, mut server) = (drive(connected), drive(accepted));
    client.queue.push(message(1, 9000)).expect("room");
    client.queue.close();
    let (received, error) = read_all(&mut server.reader).await;
    assert_eq!((received, error.is_none()), (vec![message(1, 9000)], true));
}

/// A relay that hands `change` every chunk on its way from the client, and how many came before. Returns its port.
async fn relay(to: &Listener, change: impl Fn(usize, &mut Vec<u8>) -> bool + Send + 'static) -> u16 {
    let relay = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let (port, to) = (relay.local_addr().expect("bound").port(), address(to));
    tokio::spawn(async move {
        let (client, _) = relay.accept().await.expect("somebody connects");
        let server = TcpStream::connect(to).await.expect("it listens");
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        let down = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        let mut number = 0;
        let mut chunk = vec![0; 70_000];
        while let Ok(count @ 1..) = from_client.read(&mut chunk).await {
            let mut passing = chunk.get(..count).expect("it fits").to_vec();
            if !change(number, &mut passing) {
                break;
            }
            number += 1;
            if to_server.write_all(&passing).await.is_err() {
                break;
            }
        }
        drop(to_server);
        let _ = down.await;
    });
    port
}

/// Sends one message after the handshake through a relay; what arrives, and how it ends.
async fn through(
    change: impl Fn(&mut Vec<u8>) -> bool + Clone + Send + 'static,
) -> Vec<(Vec<bytes::Bytes>, Option<TransportError>)> {
    let authority = Authority::new();
    let by_certificate = (
        server(authority.identity(&["127.0.0.1"]), ClientCertificates::None),
        client(authority.roots(), None),
    );
    let by_key = (psk_server(&[key("pe-a", 1)]), psk_client(key("pe-a", 1)));
    let mut ends = Vec::new();
    for (server, client) in [by_certificate, by_key] {
        let listener = listen(&server).await;
        let change = change.clone();
        // The first two chunks of a client are the handshake.
        let port = relay(&listener, move |number, chunk| number < 2 || change(chunk)).await;
        let (connected, accepted) =
            meet(&listener, &endpoint(&format!("tls://127.0.0.1:{port}")), &client).await;
        let (client, mut server) = (drive(connected), drive(accepted));
        client.queue.push(message(1, 64)).expect("room");
        client.queue.try_flush();
        let mut received = Vec::new();
        let mut error = server.reader.fill().await.err();
        while let (None, Ok(Some(message))) = (&error, server.reader.next_message()) {
            received.push(bytes::Bytes::copy_from_slice(message));
        }
        // The end is announced in a chunk of its own.
        client.queue.close();
        if error.is_none() {
            let (more, end) = read_all(&mut server.reader).await;
            received.extend(more);
            error = end;
        }
        ends.push((received, error));
    }
    ends
}

#[tokio::test]
async fn the_relay_of_the_tests_below_passes_what_is_not_changed() {
    for (received, error) in through(|_| true).await {
        assert_eq!((received, error.is_none()), (vec![message(1, 64)], true));
    }
}

/// 5355-2.10: a bit that flips ends the link; nothing wrong gets through.
#[tokio::test]
async fn a_changed_bit_ends_the_link() {
    for (received, error) in through(|chunk| {
        chunk[30] ^= 1;
        true
    })
    .await
    {
        let error = error.expect("no clean end");
        assert!(received.is_empty() && matches!(error, TransportError::Broken(_)), "{error}");
    }
}

/// RFC 8446 §4.1.3: a client whose offer of TLS 1.3 is taken away on the way does not settle for TLS 1.2.
#[tokio::test]
async fn a_downgrade_on_the_way_makes_no_link() {
    let (listener, config) = secured().await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let port =
        relay(&listener, move |number, chunk| number > 0 || tell.send(without_tls13(chunk)).is_ok()).await;
    let said = turned_away(&listener, &endpoint(&format!("tls://127.0.0.1:{port}")), &config).await;
    assert_eq!(told.recv().await, Some(true), "the offer was there, and was changed");
    assert!(!said.is_empty());
}

/// Changes each 1.3 in the supported versions of a first message to 1.2; whether there was one.
fn without_tls13(hello: &mut [u8]) -> bool {
    // The extension: type 43, its length, and the length of the list in it, one less.
    let is_extension = |part: &[u8]| part[..3] == [0, 43, 0] && part[3].checked_sub(1) == Some(part[4]);
    let Some(at) = hello.windows(5).position(is_extension) else { return false };
    let length = usize::from(hello[at + 4]);
    let versions = hello[at + 5..][..length].chunks_exact_mut(2);
    versions.filter(|version| **version == [3, 4]).map(|version| version[1] = 3).count() > 0
}

/// 5355-2.8: a message that was recorded cannot be put in once more.
#[tokio::test]
async fn a_repeated_message_ends_the_link() {
    for (received, error) in through(|chunk| {
        chunk.extend_from_within(..);
        true
    })
    .await
    {
        let error = error.expect("no clean end");
        assert_eq!(received, [message(1, 64)]);
        assert!(matches!(error, TransportError::Broken(_)), "{error}");
    }
}

/// 5355-2.8: a conversation that was recorded cannot be played again.
#[tokio::test]
async fn a_recorded_conversation_does_not_make_a_link() {
    let (listener, config) = secured().await;
    let (recorder, mut recorded) = tokio::sync::mpsc::unbounded_channel();
    let port = relay(&listener, move |_, chunk| recorder.send(chunk.clone()).is_ok()).await;
    let (connected, accepted) = meet(&listener, &endpoint(&format!("tls://127.0.0.1:{port}")), &config).await;
    let (client, mut server) = (drive(connected), drive(accepted));
    client.queue.push(message(1, 64)).expect("room");
    client.queue.close();
    assert_eq!(read_all(&mut server.reader).await.0, [message(1, 64)]);
    drop((client, server));

    let mut replay = TcpStream::connect(address(&listener)).await.expect("it listens");
    while let Ok(chunk) = recorded.try_recv() {
        replay.write_all(&chunk).await.expect("sent");
    }
    let turned_away = async {
        while listener.refused() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = turned_away => {}
        accepted = listener.accept() => panic!("let in: {accepted:?}"),
    }
}

/// 5355-2.11: neither handles nor addresses are in clear on the wire.
#[tokio::test]
async fn nothing_of_a_message_is_in_clear() {
    let plain = message(1, 64);
    for (received, _) in through(move |chunk| {
        assert!(!chunk.windows(16).any(|window| window == &plain[16..32]), "in clear");
        true
    })
    .await
    {
        assert_eq!(received, [message(1, 64)]);
    }
}

/// An end that the other end did not announce is somebody cutting the line.
#[tokio::test]
async fn a_connection_that_is_cut_is_no_clean_end() {
    for (received, error) in through(|_| false).await {
        let error = error.expect("no clean end");
        assert!(received.is_empty() && matches!(error, TransportError::Broken(_)), "{error}");
    }
}

#[tokio::test]
async fn what_is_missing_for_tls_is_named() {
    let remote = endpoint("tls://127.0.0.1:0");
    let bind =
        async |config: &LinkConfig| Listener::bind(&remote, config).await.map(|_| ()).expect_err("unset");
    let neither = LinkConfig::default();
    let empty = with(SecurityConfig::default());
    for (error, option) in [
        (failure(&remote, &neither).await, "`LinkConfig::security`"),
        (bind(&neither).await, "`LinkConfig::security`"),
        (failure(&remote, &empty).await, "`SecurityConfig::client`"),
        (bind(&empty).await, "`SecurityConfig::server`"),
    ] {
        assert!(error.to_string().contains(option), "{error}");
    }
    let nothing = SecurityConfig { server: Some(ServerSecurity::default()), client: None };
    let error = Security::new(nothing).expect_err("nothing to prove itself by");
    assert!(matches!(error, SecurityError::NothingToProve), "{error}");
}

/// A file of this test run.
fn file(name: &str, content: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    std::fs::write(&path, content).expect("a file");
    path
}

#[cfg(unix)]
#[tokio::test]
async fn secrets_that_others_can_read_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let (certificate, key) = Authority::new().pem(&["pe-a"], |_| {});
    let (certificate, key) = (file("cert.pem", &certificate), file("key.pem", &key));
    let keys = file("keys", &format!("pe-a:{}\n", "5a".repeat(32)));
    for (mode, fine) in [(0o644, false), (0o604, false), (0o620, false), (0o600, true), (0o400, true)] {
        for path in [&keys, &key] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("our file");
        }
        for error in [PskTable::read(&keys).map(|_| ()), TlsIdentity::read(&certificate, &key).map(|_| ())] {
            assert_eq!(error.is_ok(), fine, "{mode:o}: {error:?}");
            if let Err(error) = error {
                assert!(error.to_string().contains("chmod 600"), "{error}");
            }
        }
    }
    let error = PskTable::read(keys.with_extension("gone")).expect_err("no such file");
    assert!(error.to_string().contains(".gone"), "{error}");
    for path in [keys, key, certificate] {
        let _ = std::fs::remove_file(path);
    }
}
