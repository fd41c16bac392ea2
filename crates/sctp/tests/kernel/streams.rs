//! One-to-one sockets: connecting, accepting, and how a stream ends.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rserpool_sctp::{AssocState, Error, Message, Received, SctpListener, SctpStream, SendInfo, SocketConfig};

use crate::support::{any, to_the_end, with_sctp};

async fn connected(config: &SocketConfig) -> (SctpStream, SctpStream) {
    let listener = SctpListener::bind(&[any()], config).unwrap();
    let address = listener.local_addrs().unwrap();
    let (near, far) = tokio::join!(SctpStream::connect(&address, config), listener.accept());
    let (far, from) = far.unwrap();
    let near = near.unwrap();
    assert_eq!(near.association().local_addrs().unwrap()[0].port(), from.port());
    (near, far)
}

async fn message(stream: &SctpStream) -> Message {
    loop {
        if let Received::Message(message) = stream.recv().await.unwrap().expect("the stream has ended") {
            return message;
        }
    }
}

#[test]
fn messages_go_both_ways_until_the_shutdown() {
    with_sctp(async {
        let (near, far) = connected(&SocketConfig::default()).await;
        near.send(&SendInfo::new(11), b"question").await.unwrap();
        let question = message(&far).await;
        assert_eq!((&question.bytes[..], question.info.ppid), (&b"question"[..], 11));
        far.send(&SendInfo { stream: 4, ..SendInfo::new(12) }, b"answer").await.unwrap();
        far.shutdown().unwrap();
        let (messages, changes) = to_the_end(&near).await;
        assert_eq!(messages.len(), 1);
        assert_eq!((&messages[0].bytes[..], messages[0].info.stream), (&b"answer"[..], 4));
        assert_eq!(changes.last(), Some(&AssocState::ShutdownComplete));
        assert_eq!(to_the_end(&far).await.1.last(), Some(&AssocState::ShutdownComplete));
        assert!(near.recv().await.unwrap().is_none(), "the end stays the end");
        let after = near.send(&SendInfo::new(0), b"too late").await;
        assert!(matches!(after, Err(Error::NoAssociation { .. })), "{after:?}");
    });
}

#[test]
fn a_dropped_stream_is_shut_down_and_an_aborted_one_is_lost() {
    with_sctp(async {
        let (near, far) = connected(&SocketConfig::default()).await;
        drop(near);
        assert_eq!(to_the_end(&far).await.1.last(), Some(&AssocState::ShutdownComplete));
        let (near, far) = connected(&SocketConfig::default()).await;
        near.abort().unwrap();
        assert_eq!(to_the_end(&far).await.1.last(), Some(&AssocState::CommLost));
    });
}

#[test]
fn connecting_to_nobody_is_refused() {
    with_sctp(async {
        let listener = SctpListener::bind(&[any()], &SocketConfig::default()).unwrap();
        let address = listener.local_addrs().unwrap();
        drop(listener);
        let refused = SctpStream::connect(&address, &SocketConfig::default()).await.unwrap_err();
        assert_eq!(std::io::Error::from(refused).kind(), std::io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn connecting_into_the_void_ends_after_the_configured_attempts() {
    with_sctp(async {
        // A network for documentation (RFC 5737): if there is a route to it at all, nobody is there.
        let nobody: SocketAddr = "192.0.2.1:7".parse().unwrap();
        let mut config = SocketConfig { init_retransmissions: 1, ..SocketConfig::default() };
        config.rto.initial = Duration::from_millis(100);
        config.rto.min = Duration::from_millis(100);
        config.max_init_timeout = Some(Duration::from_millis(100));
        SctpStream::connect(&[nobody], &config).await.unwrap_err();
    });
}

#[test]
fn a_stream_can_be_sent_on_while_another_task_waits_to_receive() {
    with_sctp(async {
        let (near, far) = connected(&SocketConfig { nodelay: true, ..SocketConfig::default() }).await;
        let near = Arc::new(near);
        let receiving = tokio::spawn({
            let near = Arc::clone(&near);
            async move { message(&near).await.bytes }
        });
        tokio::task::yield_now().await;
        near.send(&SendInfo::new(0), b"ping").await.unwrap();
        assert_eq!(message(&far).await.bytes, "ping");
        far.send(&SendInfo::new(0), b"pong").await.unwrap();
        assert_eq!(receiving.await.unwrap(), "pong");
    });
}

#[test]
fn poll_functions_do_what_the_futures_do() {
    with_sctp(async {
        let (near, far) = connected(&SocketConfig::default()).await;
        std::future::poll_fn(|cx| near.poll_send(cx, &SendInfo::new(5), b"polled")).await.unwrap();
        let received = loop {
            match std::future::poll_fn(|cx| far.poll_recv(cx)).await.unwrap() {
                Some(Received::Message(message)) => break message,
                Some(_) => (),
                None => panic!("the stream has ended"),
            }
        };
        assert_eq!((&received.bytes[..], received.info.ppid), (&b"polled"[..], 5));
        drop(near);
        while std::future::poll_fn(|cx| far.poll_recv(cx)).await.unwrap().is_some() {}
    });
}
