//! Links over loopback: what goes in at one end comes out at the other, within the limits, until an end that says why.
mod support;

use std::time::Duration;

use bytes::Bytes;
use rserpool_machine::{DownReason, PeerIdentity};
use rserpool_transport::{LinkConfig, TransportError};
use support::{drive, message, pair, read_all};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn a_link_names_both_ends_and_claims_no_identity() {
    let config = LinkConfig::default();
    let (connected, accepted) = pair(&config, &config).await;
    assert_eq!(connected.remote, [accepted.local]);
    assert_eq!(accepted.remote, [connected.local]);
    assert_eq!(accepted.identity, PeerIdentity::Anonymous);
}

#[tokio::test]
async fn messages_pushed_before_a_flush_arrive_in_one_read() {
    let config = LinkConfig::default();
    let (connected, accepted) = pair(&config, &config).await;
    let (sender, mut receiver) = (drive(connected), drive(accepted));
    for n in 0..100 {
        sender.queue.push(message(n, 16)).expect("room");
    }
    assert_eq!(sender.queue.unsent(), 1600, "nothing goes out before the flush");
    sender.queue.try_flush();
    assert_eq!(sender.queue.unsent(), 0);
    assert!(receiver.reader.fill().await.expect("a read"));
    for n in 0..100 {
        assert_eq!(receiver.reader.next_message().expect("in step"), Some(&message(n, 16)[..]));
    }
    assert_eq!(receiver.reader.next_message().expect("in step"), None);
}

#[tokio::test]
async fn small_and_large_messages_keep_their_order_whoever_writes_them() {
    let config = LinkConfig { send_queue: 64 << 20, ..LinkConfig::default() };
    let (connected, accepted) = pair(&config, &config).await;
    let (sender, mut receiver) = (drive(connected), drive(accepted));
    let lengths = [16, 4096, 20_000, 8, 65_532, 4100, 12];
    let sent: Vec<_> = (0..1400).map(|n| message(n, lengths[n % lengths.len()])).collect();
    for (n, message) in sent.iter().enumerate() {
        sender.queue.push(message.clone()).expect("room");
        if n % 5 == 0 {
            sender.queue.try_flush();
        }
    }
    sender.queue.close();
    let (received, error) = read_all(&mut receiver.reader).await;
    assert!(error.is_none(), "{error:?}");
    assert!(received == sent, "{} of {} messages, or in another order", received.len(), sent.len());
    sender.writing.await.expect("no panic").expect("everything sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_senders_share_a_link_and_each_keeps_its_order() {
    let config = LinkConfig { send_queue: 64 << 20, ..LinkConfig::default() };
    let (connected, accepted) = pair(&config, &config).await;
    let (sender, mut receiver) = (drive(connected), drive(accepted));
    let senders: Vec<_> = (0..4u8)
        .map(|who| {
            let queue = sender.queue.clone();
            tokio::spawn(async move {
                for n in 0..5000u16 {
                    let [high, low] = n.to_be_bytes();
                    queue.push(Bytes::from(vec![5, 0, 0, 8, who, 0, high, low])).expect("room");
                    queue.try_flush();
                }
            })
        })
        .collect();
    for task in senders {
        task.await.expect("no panic");
    }
    sender.queue.close();
    let (received, error) = read_all(&mut receiver.reader).await;
    assert!(error.is_none(), "{error:?}");
    let mut next = [0u16; 4];
    for message in &received {
        let who = usize::from(message[4]);
        assert_eq!(u16::from_be_bytes([message[6], message[7]]), next[who]);
        next[who] += 1;
    }
    assert_eq!(next, [5000; 4]);
}

#[tokio::test]
async fn closing_sends_what_is_queued_and_then_ends_cleanly_on_both_sides() {
    let config = LinkConfig::default();
    let (connected, accepted) = pair(&config, &config).await;
    let (mut sender, mut receiver) = (drive(connected), drive(accepted));
    for n in 0..40 {
        sender.queue.push(message(n, 60_000)).expect("room");
    }
    sender.queue.close();
    sender.queue.push(message(0, 8)).expect("a closed link takes messages, and drops them");
    let (received, error) = read_all(&mut receiver.reader).await;
    assert_eq!((received.len(), error.is_none()), (40, true));
    receiver.queue.push(message(1, 8)).expect("the other direction is still open");
    receiver.queue.close();
    assert_eq!(read_all(&mut sender.reader).await.0, [message(1, 8)]);
    sender.writing.await.expect("no panic").expect("a clean end");
    receiver.writing.await.expect("no panic").expect("a clean end");
}

/// RFC 5355 §2.2: nobody may make a registrar hold memory without bound.
#[tokio::test]
async fn who_does_not_read_is_cut_off_at_the_limit_of_the_queue() {
    let config = LinkConfig { send_queue: 128 << 10, ..LinkConfig::default() };
    let (connected, accepted) = pair(&config, &config).await;
    let (mut sender, mut deaf) = (drive(connected), drive(accepted));
    let full = loop {
        if let Err(full) = sender.queue.push(message(0, 60_000)) {
            break full;
        }
        sender.queue.try_flush();
    };
    assert!(full.queued > full.limit && full.limit == 128 << 10);
    assert_eq!(sender.queue.unsent(), 0, "what was queued is dropped");
    assert_eq!(sender.queue.push(message(0, 8)), Err(full));
    let error = sender.writing.await.expect("no panic").expect_err("cut off");
    assert!(matches!(error, TransportError::SlowReader { .. }), "{error}");
    let error = sender.reader.fill().await.expect_err("cut off");
    assert!(matches!(error.down_reason(), DownReason::Limit(_)), "{error}");
    drop((sender.queue, sender.reader));
    let (_, error) = read_all(&mut deaf.reader).await;
    assert!(error.is_some(), "the other end must not take this for a clean end");
}

#[tokio::test]
async fn a_closed_link_that_nobody_reads_is_given_up_after_the_drain_time() {
    let config =
        LinkConfig { send_queue: 64 << 20, drain: Duration::from_millis(50), ..LinkConfig::default() };
    let (connected, _deaf) = pair(&config, &config).await;
    let sender = drive(connected);
    for n in 0..1000 {
        sender.queue.push(message(n, 60_000)).expect("room");
    }
    sender.queue.close();
    let error = sender.writing.await.expect("no panic").expect_err("never sent");
    assert!(matches!(error, TransportError::DrainTimeout { unsent: 1.., .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_link_ends_after_the_idle_time_and_a_busy_one_does_not() {
    let impatient = LinkConfig { idle: Some(Duration::from_millis(60)), ..LinkConfig::default() };
    let (connected, accepted) = pair(&LinkConfig::default(), &impatient).await;
    let (sender, mut receiver) = (drive(connected), drive(accepted));
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    for n in 0..10 {
        tick.tick().await;
        sender.queue.push(message(n, 8)).expect("room");
        sender.queue.try_flush();
        assert!(receiver.reader.fill().await.expect("not idle"));
        assert!(receiver.reader.next_message().expect("in step").is_some());
    }
    let error = receiver.reader.fill().await.expect_err("idle");
    assert!(matches!(error, TransportError::Idle { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_link_on_which_we_send_is_not_idle() {
    let impatient = LinkConfig { idle: Some(Duration::from_millis(60)), ..LinkConfig::default() };
    let (connected, accepted) = pair(&impatient, &LinkConfig::default()).await;
    let (mut sender, _receiver) = (drive(connected), drive(accepted));
    let sending = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        for n in 0..10 {
            tick.tick().await;
            sender.queue.push(message(n, 8)).expect("room");
            sender.queue.try_flush();
        }
    };
    tokio::select! {
        biased;
        () = sending => {}
        end = sender.reader.fill() => panic!("ended while in use: {end:?}"),
    }
    assert!(matches!(sender.reader.fill().await, Err(TransportError::Idle { .. })));
}

#[tokio::test]
async fn a_stream_that_ends_within_a_message_is_not_a_clean_end() {
    let listener =
        rserpool_transport::Listener::bind(&support::endpoint("tcp://127.0.0.1:0"), &LinkConfig::default())
            .await
            .expect("a free port");
    let address = listener.local_endpoint().socket_addresses().flatten().next().expect("an address");
    let mut raw = tokio::net::TcpStream::connect(address).await.expect("somebody listens");
    raw.write_all(&[5, 0, 0, 16, 1, 2]).await.expect("sent");
    drop(raw);
    let mut receiver = drive(listener.accept().await.expect("somebody connected"));
    let (messages, error) = read_all(&mut receiver.reader).await;
    assert!(messages.is_empty());
    assert!(matches!(error, Some(TransportError::Truncated { received: 6 })), "{error:?}");
}

#[tokio::test]
async fn draining_waits_for_the_other_end_but_not_for_ever() {
    let config = LinkConfig { drain: Duration::from_millis(50), ..LinkConfig::default() };
    let (connected, accepted) = pair(&config, &config).await;
    let (closing, other) = (drive(connected), drive(accepted));
    other.queue.push(message(0, 8)).expect("room");
    other.queue.try_flush();
    closing.queue.close();
    closing.reader.drain().await;
    closing.writing.await.expect("no panic").expect("a clean end");
}
