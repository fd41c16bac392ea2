//! Clients that break the rules cost the others nothing.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "in tests, a panic is the report")]
mod support;

use std::net::SocketAddr;

use bytes::BytesMut;
use rserpool::wire::{CauseCode, asap, frame_length};
use rserpool::{
    Dialect, PeIdentifier, Policy, PoolHandle, Registrar, RegistrationLife, ServerId, Transport, wire,
};
use support::{Echo, PATIENCE, elements, registrar, until, user};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

fn asap_address(registrar: &Registrar) -> SocketAddr {
    registrar.asap_endpoints()[0].socket_addresses().next().flatten().expect("an address")
}

async fn raw(registrar: &Registrar) -> TcpStream {
    TcpStream::connect(asap_address(registrar)).await.expect("a connection")
}

fn encoded(message: impl Into<asap::Message<'static>>) -> BytesMut {
    let mut buffer = BytesMut::new();
    message.into().encode(Dialect::Rfc, &mut buffer).expect("it fits");
    buffer
}

fn registration(identifier: u32, life: RegistrationLife) -> BytesMut {
    let address: SocketAddr = "127.0.0.1:7".parse().expect("an address");
    encoded(asap::Registration {
        pool_handle: PoolHandle::from("echo"),
        element: wire::PoolElement {
            identifier: PeIdentifier(identifier),
            home: ServerId::NONE,
            life,
            user_transport: Transport::Tcp(address),
            policy: Policy::RoundRobin,
            asap_transport: None,
        },
    })
}

/// Reads one message, as bytes.
async fn read(stream: &mut TcpStream) -> Vec<u8> {
    let mut message = vec![0; 4];
    stream.read_exact(&mut message).await.expect("a header");
    let length = frame_length([message[0], message[1], message[2], message[3]]).expect("a length");
    message.resize(length, 0);
    stream.read_exact(&mut message[4..]).await.expect("a whole message");
    message
}

/// The other end closes, possibly after some last words.
async fn closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end as well.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("closed in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_out_of_step_is_closed_and_the_others_are_served() {
    let registrar = registrar(1, &[]).await;
    let echo = Echo::start("echo", &[&registrar]).await;
    for garbage in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0x05, 0, 0, 0], &[0xff; 200]] {
        let mut stream = raw(&registrar).await;
        stream.write_all(garbage).await.expect("sent");
        stream.shutdown().await.expect("half closed");
        closed(&mut stream).await;
    }
    let target = user(&[&registrar]).await.pool("echo").pick().await.expect("an element");
    assert_eq!(target.identifier(), echo.element().identifier());
    assert_eq!(elements(&registrar), 1);
}

/// 5354-4-01: an unknown message type with action bits 01 is answered by an error that quotes it.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_message_is_answered_as_its_action_bits_say() {
    let registrar = registrar(1, &[]).await;
    let mut stream = raw(&registrar).await;
    let unknown = [0x4f, 0, 0, 8, 1, 2, 3, 4];
    stream.write_all(&unknown).await.expect("sent");
    let answer = timeout(PATIENCE, read(&mut stream)).await.expect("an answer in time");
    let asap::Message::Error(report) = asap::decode(&answer, Dialect::Rfc).expect("well-formed").message
    else {
        panic!("{answer:x?}")
    };
    assert!(report.error.has(CauseCode::UNRECOGNIZED_MESSAGE));
    assert_eq!(report.error.causes[0].information[..], unknown);
}

/// A client that asks and never reads is cut off; its bytes do not pile up, and another client does not notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_is_cut_off() {
    let registrar = registrar(1, &[]).await;
    let _echo = Echo::start("echo", &[&registrar]).await;
    let mut slow = raw(&registrar).await;
    let request = encoded(asap::HandleResolution {
        pool_handle: PoolHandle::from("echo"),
        subscribe: false,
        items: None,
    });
    let requests = request.repeat(4096);
    let flood = async { while slow.write_all(&requests).await.is_ok() {} };
    timeout(PATIENCE, flood).await.expect("cut off in time");

    let pool = user(&[&registrar]).await.pool("echo");
    pool.pick().await.expect("the registrar serves the others");
}

/// 5352-3.1-22 (rule 5): a registration that cannot be is rejected with its cause, and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_registration_without_life_is_rejected() {
    let registrar = registrar(1, &[]).await;
    let mut stream = raw(&registrar).await;
    let life = RegistrationLife::Finite(std::time::Duration::ZERO);
    stream.write_all(&registration(7, life)).await.expect("sent");
    let answer = timeout(PATIENCE, read(&mut stream)).await.expect("an answer in time");
    let asap::Message::RegistrationResponse(response) =
        asap::decode(&answer, Dialect::Rfc).expect("well-formed").message
    else {
        panic!("{answer:x?}")
    };
    assert!(response.rejected);
    assert!(response.error.expect("a cause").has(CauseCode::INVALID_VALUES));
    assert_eq!(elements(&registrar), 0);
}

/// An element that vanishes without a word, and cannot be reached any more, is removed.
#[tokio::test(flavor = "multi_thread")]
async fn an_element_whose_connection_dies_is_removed() {
    let registrar = registrar(1, &[]).await;
    let mut stream = raw(&registrar).await;
    stream.write_all(&registration(7, RegistrationLife::Infinite)).await.expect("sent");
    timeout(PATIENCE, read(&mut stream)).await.expect("an answer in time");
    assert_eq!(elements(&registrar), 1);
    drop(stream);
    until("it is gone", || elements(&registrar) == 0).await;
}

/// Connections that say nothing are not in anybody's way.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_do_not_disturb() {
    let registrar = registrar(1, &[]).await;
    let _echo = Echo::start("echo", &[&registrar]).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(raw(&registrar).await);
    }
    let pool = user(&[&registrar]).await.pool("echo");
    pool.connect().await.expect("served among silent connections");
}
