//! Handshakes that are begun and not finished: they are bounded, end in time, and keep nobody else out (RFC 5355 §2.1).
#![cfg(feature = "psk")]
#![allow(clippy::expect_used, reason = "a failed step of the scaffolding fails the test")]
mod support;

use std::net::SocketAddr;
use std::time::Duration;

use rserpool_machine::PeerIdentity;
use rserpool_transport::{LinkConfig, Listener};
use support::tls::{address, key, listen, meet, psk_client, psk_server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// The first bytes of a ClientHello of 512 bytes that never goes on.
const HALF_A_HELLO: [u8; 9] = [22, 3, 1, 2, 0, 1, 0, 1, 0xfc];

/// Begins a handshake from this address of loopback.
async fn half_open(listener: &Listener, from: [u8; 4]) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((from, 0))).expect("loopback");
    let mut stream = socket.connect(address(listener).into()).await.expect("it listens");
    stream.write_all(&HALF_A_HELLO).await.expect("sent");
    stream
}

/// Lets the listener work until it has turned away this many.
async fn until_refused(listener: &Listener, count: u64) {
    let done = async {
        while listener.refused() < count {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = done => {}
        accepted = listener.accept() => panic!("let in: {accepted:?}"),
    }
}

#[tokio::test]
async fn a_thousand_half_open_handshakes_do_not_keep_a_client_out() {
    let listener = listen(&psk_server(&[key("pe-a", 1)])).await;
    let mut held = Vec::new();
    let flood = async {
        for _ in 0..1000 {
            held.push(half_open(&listener, [127, 0, 0, 1]).await);
        }
        std::future::pending::<()>().await;
    };
    // 256 of one source are held at once.
    tokio::select! {
        () = flood => {}
        () = until_refused(&listener, 1000 - 256) => {}
    }
    assert_eq!(held.len(), 1000);
    let (_, accepted) = meet(&listener, listener.local_endpoint(), &psk_client(key("pe-a", 1))).await;
    assert_eq!(accepted.identity, PeerIdentity::Authenticated("pe-a".into()));
    assert!(listener.refused() <= 1000 - 256 + 1, "only as many as necessary are turned away");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_flood_from_one_source_costs_another_nothing() {
    let config = LinkConfig { handshakes_per_source: 4, handshakes: 8, ..psk_server(&[key("pe-a", 1)]) };
    let listener = listen(&config).await;
    let victim = half_open(&listener, [127, 0, 0, 2]).await;
    let mut flood = Vec::new();
    for _ in 0..50 {
        flood.push(half_open(&listener, [127, 0, 0, 3]).await);
    }
    until_refused(&listener, 46).await;
    let mut oldest = flood.remove(0);
    assert!(matches!(oldest.read(&mut [0; 1]).await, Ok(0) | Err(_)), "the oldest of the flood is ended");
    let still_there = victim.try_read(&mut [0; 1]).expect_err("nothing to read");
    assert_eq!(still_there.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn in_all_there_are_as_many_as_configured_whatever_their_source() {
    let config = LinkConfig { handshakes_per_source: 2, handshakes: 4, ..psk_server(&[key("pe-a", 1)]) };
    let listener = listen(&config).await;
    let mut held = Vec::new();
    for host in 1..=10 {
        if cfg!(target_os = "linux") {
            held.push(half_open(&listener, [127, 0, 1, host]).await);
        } else {
            held.push(half_open(&listener, [127, 0, 0, 1]).await);
        }
    }
    until_refused(&listener, if cfg!(target_os = "linux") { 6 } else { 8 }).await;
    meet(&listener, listener.local_endpoint(), &psk_client(key("pe-a", 1))).await;
}

#[tokio::test(start_paused = true)]
async fn a_half_open_handshake_ends_after_its_time() {
    let patience = Duration::from_secs(3);
    let config = LinkConfig { handshake_timeout: patience, ..psk_server(&[key("pe-a", 1)]) };
    let listener = listen(&config).await;
    let begun = tokio::time::Instant::now();
    let mut silent = TcpStream::connect(address(&listener)).await.expect("it listens");
    let ended = async {
        let mut end = [0; 1];
        assert!(matches!(silent.read(&mut end).await, Ok(0) | Err(_)));
    };
    tokio::select! {
        () = ended => {}
        accepted = listener.accept() => panic!("let in: {accepted:?}"),
    }
    assert!(begun.elapsed() >= patience && begun.elapsed() < 2 * patience);
}

/// Clients that reconnect at once after a crash are all let in, however many wait.
#[tokio::test]
async fn a_crowd_that_comes_at_once_is_let_in() {
    let listener = listen(&psk_server(&[key("pe-a", 1)])).await;
    let config = psk_client(key("pe-a", 1));
    let clients: Vec<_> = (0..400)
        .map(|_| {
            let (remote, config) = (listener.local_endpoint().clone(), config.clone());
            tokio::spawn(async move { rserpool_transport::connect(&remote, &config).await })
        })
        .collect();
    let mut accepted = Vec::new();
    for _ in 0..400 {
        accepted.push(listener.accept().await.expect("a link"));
    }
    for client in clients {
        client.await.expect("no panic").expect("let in");
    }
    assert_eq!(listener.refused(), 0);
}
