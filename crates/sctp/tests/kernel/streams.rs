//! One-to-one sockets: connecting, accepting, and how a stream ends.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rserpool_sctp::{
    AssocState, Error, Message, Notification, Received, SctpListener, SctpSocket, SctpStream, SendInfo,
    SocketConfig,
};

use tokio::time::timeout;

use crate::support::{Cut, any, change, in_laboratory, to_the_end, with_sctp};

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

/// Numbered messages of this length.
fn numbered(count: u32, length: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| [&number.to_be_bytes()[..], &vec![0; length - 4]].concat()).collect()
}

/// Sends all of them, waiting for room where there is none.
async fn send_all(stream: &SctpStream, messages: &[Vec<u8>]) {
    let mut rest = messages;
    while !rest.is_empty() {
        let sent = stream.try_send_many(&SendInfo::new(0), rest.iter().map(Vec::as_slice)).unwrap();
        rest = &rest[sent..];
        if sent == 0 {
            stream.writable().await.unwrap();
        }
    }
}

/// Waits until the other end has everything.
async fn acknowledged(stream: &SctpStream) {
    stream.association().subscribe_sender_dry(true).unwrap();
    while !matches!(
        stream.recv().await.unwrap().expect("the stream has ended"),
        Received::Notification(Notification::SenderDry { .. })
    ) {}
}

#[test]
fn a_new_stream_has_room_before_anybody_has_waited_for_it() {
    with_sctp(async {
        let (near, far) = connected(&SocketConfig::default()).await;
        assert!(far.association().try_send(&SendInfo::new(0), b"from who accepts").unwrap());
        assert_eq!(message(&near).await.bytes, "from who accepts");

        let listener = SctpSocket::bind(&[any()], &SocketConfig::default()).unwrap();
        let address = listener.local_addrs().unwrap();
        let near = SctpStream::connect(&address, &SocketConfig::default()).await.unwrap();
        near.send(&SendInfo::new(0), b"came before it was peeled off").await.unwrap();
        acknowledged(&near).await;
        let far = listener.peel_off(change(&listener).await.assoc).unwrap();
        assert_eq!(message(&far).await.bytes, "came before it was peeled off");
        assert_eq!(far.try_send_many(&SendInfo::new(0), [&b"answer"[..]]).unwrap(), 1);
        assert_eq!(message(&near).await.bytes, "answer");
    });
}

#[test]
fn what_is_sent_together_comes_message_by_message_in_order() {
    with_sctp(async {
        let (near, far) = connected(&SocketConfig { nodelay: true, ..SocketConfig::default() }).await;
        for length in [8, 500, 3_000] {
            let messages = numbered(50, length);
            let ((), ()) = tokio::join!(send_all(&near, &messages), async {
                for expected in &messages {
                    assert_eq!(message(&far).await.bytes, expected);
                }
            });
        }
        assert_eq!(near.try_send_many(&SendInfo::new(0), []).unwrap(), 0);
    });
}

#[test]
fn what_is_sent_together_never_waits_for_room_that_it_takes_itself() {
    with_sctp(async {
        for send_buffer in [1, 10_000, 50_000] {
            // The packets of the loopback interface have room for more of these messages than such a send buffer has.
            let config =
                SocketConfig { nodelay: true, send_buffer: Some(send_buffer), ..SocketConfig::default() };
            let (near, far) = connected(&config).await;
            let messages = numbered(300, 8);
            tokio::join!(send_all(&near, &messages), async {
                for expected in &messages {
                    assert_eq!(message(&far).await.bytes, expected);
                }
            });
        }
    });
}

#[test]
fn what_is_sent_together_to_who_does_not_read_waits_and_is_all_received_in_the_end() {
    with_sctp(async {
        let config = SocketConfig {
            nodelay: true,
            send_buffer: Some(30_000),
            receive_buffer: Some(30_000),
            ..SocketConfig::default()
        };
        let (near, far) = connected(&config).await;
        let messages = numbered(500, 400);
        let sending = send_all(&near, &messages);
        let mut sending = std::pin::pin!(sending);
        // Until there has been no room for as long as the kernel might need to put it on the way.
        assert!(timeout(Duration::from_millis(500), &mut sending).await.is_err(), "sending never waits");
        tokio::join!(sending, async {
            for expected in &messages {
                assert_eq!(message(&far).await.bytes, expected);
            }
        });
    });
}

#[test]
fn an_error_among_messages_sent_together_does_not_hold_up_those_before_it() {
    with_sctp(async {
        let (near, far) = connected(&SocketConfig { nodelay: true, ..SocketConfig::default() }).await;
        let too_long = vec![0; 10 << 20];
        let messages: [&[u8]; 4] = [b"one", b"two", &too_long, b"four"];
        assert_eq!(near.try_send_many(&SendInfo::new(0), messages).unwrap(), 2);
        let refused = near.try_send_many(&SendInfo::new(0), messages[2..].iter().copied());
        assert!(
            matches!(refused, Err(Error::MessageTooLong { length }) if length == too_long.len()),
            "{refused:?}"
        );
        assert_eq!(message(&far).await.bytes, "one");
        assert_eq!(message(&far).await.bytes, "two");
    });
}

#[test]
fn what_came_together_is_there_without_waiting() {
    with_sctp(async {
        let (near, far) = connected(&SocketConfig { nodelay: true, ..SocketConfig::default() }).await;
        let messages = numbered(10, 8);
        send_all(&near, &messages).await;
        acknowledged(&near).await;
        assert_eq!(message(&far).await.bytes, messages[0]);
        for expected in &messages[1..] {
            let Some(Received::Message(message)) = far.try_recv().unwrap() else { panic!("it is not there") };
            assert_eq!(message.bytes, expected);
        }
        assert_eq!(far.try_recv().unwrap(), None);
        near.shutdown().unwrap();
        to_the_end(&far).await;
        assert_eq!(far.try_recv().unwrap(), None, "nor is there an error");
    });
}

#[test]
fn what_came_before_an_abort_is_received_before_it_is_told() {
    with_sctp(async {
        let (near, far) = connected(&SocketConfig { nodelay: true, ..SocketConfig::default() }).await;
        let messages = numbered(50, 8);
        send_all(&near, &messages).await;
        acknowledged(&near).await;
        near.abort().unwrap();
        drop(near);
        while far.association().status().is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (received, changes) = to_the_end(&far).await;
        let received: Vec<_> = received.into_iter().map(|message| message.bytes).collect();
        assert_eq!(received, messages);
        assert_eq!(changes.last(), Some(&AssocState::CommLost));
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
