//! Links over SCTP: what differs from those over TCP. These tests need SCTP in the kernel; those without it are skipped.
#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, reason = "a failed step of the scaffolding fails the test")]
mod support;

use std::io;
use std::time::Duration;

use rserpool_sctp::{SctpStream, SendInfo, SocketConfig};
use rserpool_transport::{LinkConfig, Listener, TransportError, connect};
use support::{drive, endpoint, message, read_all};
use tokio::time::timeout;

const ASAP: SendInfo = SendInfo::new(11);

/// A listener; `None`, and a word why, where the kernel has no SCTP.
async fn listen() -> Option<Listener> {
    match Listener::bind(&endpoint("sctp://127.0.0.1:0"), &LinkConfig::default()).await {
        Ok(listener) => Some(listener),
        Err(TransportError::NoSctp { .. }) => {
            eprintln!("skipped: no SCTP in this kernel");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Somebody whose messages do not go through our queues.
async fn stranger(listener: &Listener) -> SctpStream {
    let to: Vec<_> = listener.local_endpoint().socket_addresses().flatten().collect();
    SctpStream::connect(&to, &SocketConfig::default()).await.expect("it listens")
}

#[tokio::test]
async fn what_is_queued_for_who_does_not_read_is_all_there_when_he_does() {
    let Some(listener) = listen().await else { return };
    let config = LinkConfig { drain: Duration::from_secs(60), ..LinkConfig::default() };
    let (sender, receiver) = tokio::join!(connect(listener.local_endpoint(), &config), listener.accept());
    let sender = drive(sender.expect("it listens"));
    let (mut receiver, _writer) = receiver.expect("somebody connected").split();
    // Most of them small, so that they are bundled; some longer than what is copied together, or than a packet.
    let messages: Vec<_> =
        (0..4_000).map(|n| message(n, if n % 100 == 0 { 4 * (n + 2) } else { 4 * (n % 50 + 2) })).collect();
    // Some flushes find room for all, some for a part, and most for nothing.
    for some in messages.chunks(7) {
        for message in some {
            sender.queue.push(message.clone()).expect("within the limit");
        }
        sender.queue.try_flush();
    }
    assert!(sender.queue.unsent() > 0, "the send buffer takes everything: nothing is left to the writer");
    sender.queue.close();
    let received = timeout(Duration::from_secs(60), read_all(&mut receiver));
    let (received, error) = received.await.expect("something waits for ever");
    assert!(error.is_none(), "{error:?}");
    assert!(received == messages, "{} of {}", received.len(), messages.len());
    sender.writing.await.expect("no panic").expect("in order");
}

#[tokio::test]
async fn messages_are_handed_out_before_the_mistake_that_came_with_them() {
    let Some(listener) = listen().await else { return };
    let (stranger, accepted) = tokio::join!(stranger(&listener), listener.accept());
    let good = message(1, 8);
    let wrong = [5, 0, 0, 16, 0, 0, 0, 0];
    let messages: [&[u8]; 4] = [&good, &good, &wrong, &good];
    assert_eq!(stranger.try_send_many(&ASAP, messages).expect("it is up"), 4);
    let (mut reader, _writer) = accepted.expect("somebody connected").split();
    let (received, error) = read_all(&mut reader).await;
    assert_eq!(received, [good.clone(), good]);
    let error = error.expect("a message that is not one");
    assert!(
        matches!(&error, TransportError::Broken(error) if error.kind() == io::ErrorKind::InvalidData),
        "{error}"
    );
}

#[tokio::test]
async fn messages_of_other_protocols_among_ours_are_passed_over() {
    let Some(listener) = listen().await else { return };
    let (stranger, accepted) = tokio::join!(stranger(&listener), listener.accept());
    for n in 0..40 {
        let other = SendInfo { unordered: n % 3 == 0, ..SendInfo::new(n) };
        let info = if n % 2 == 0 { ASAP } else { other };
        stranger.send(&info, &message(n as usize, 8)).await.expect("it is up");
    }
    stranger.shutdown().expect("it is up");
    let (mut reader, _writer) = accepted.expect("somebody connected").split();
    let received = timeout(Duration::from_secs(60), read_all(&mut reader)).await.expect("it ends");
    // Number 11 is marked as ours.
    let ours = (0..40).filter(|n| n % 2 == 0 || *n == 11).map(|n| message(n, 8));
    assert_eq!(received.0, ours.collect::<Vec<_>>());
    assert!(received.1.is_none(), "{:?}", received.1);
}
