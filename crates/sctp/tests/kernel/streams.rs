//! One-to-one sockets: connecting, accepting, and how a stream ends.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rserpool_sctp::{AssocState, Error, Message, Received, SctpListener, SctpStream, SendInfo, SocketConfig};

use tokio::time::timeout;

use crate::support::{Cut, any, in_laboratory, to_the_end, with_sctp};

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
fn a_dropped_stream_is_shut_down() {
    with_sctp(async {
        let (near, far) = connected(&SocketConfig::default()).await;
        drop(near);
        assert_eq!(to_the_end(&far).await.1.last(), Some(&AssocState::ShutdownComplete));
    });
}

#[test]
fn an_aborted_stream_has_ended_for_who_receives_and_the_peer_loses_it() {
    with_sctp(async {
        let (near, far) = connected(&SocketConfig::default()).await;
        let (_, aborted) = tokio::join!(to_the_end(&near), async { near.abort() });
        aborted.unwrap();
        drop(near);
        assert_eq!(to_the_end(&far).await.1.last(), Some(&AssocState::CommLost));
    });
}

#[test]
fn who_waits_for_room_to_send_is_woken_when_there_is() {
    with_sctp(async {
        let buffers = Some(20_000);
        let config =
            SocketConfig { send_buffer: buffers, receive_buffer: buffers, ..SocketConfig::default() };
        let (near, far) = connected(&config).await;
        // Until there has been no room for as long as the kernel might need to put it on the way.
        let mut sent = 0;
        while timeout(Duration::from_millis(500), near.writable()).await.is_ok() {
            sent += u32::from(near.association().try_send(&SendInfo::new(0), &[0; 1_000]).unwrap());
        }
        let (room, ()) = tokio::join!(near.writable(), async {
            for _ in 0..sent {
                message(&far).await;
            }
        });
        room.unwrap();
        assert!(near.association().try_send(&SendInfo::new(0), b"there is room again").unwrap());
        assert_eq!(message(&far).await.bytes, "there is room again");
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
    in_laboratory(async {
        let nobody: SocketAddr = "127.0.1.9:7".parse().unwrap();
        let _cut = Cut::new("127.0.1.9");
        let mut config = SocketConfig { init_retransmissions: 2, ..SocketConfig::default() };
        config.rto.initial = Duration::from_millis(100);
        config.rto.min = Duration::from_millis(100);
        config.max_init_timeout = Some(Duration::from_millis(100));
        let failed = SctpStream::connect(&[nobody], &config).await.unwrap_err();
        assert_eq!(std::io::Error::from(failed).kind(), std::io::ErrorKind::TimedOut);
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
