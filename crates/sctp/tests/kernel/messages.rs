//! Messages of one-to-many sockets: what goes with them, their size, and who waits for whom.
use std::time::Duration;

use rserpool_sctp::{Error, Message, Received, SctpSocket, SendInfo, SocketConfig};
use tokio::time::timeout;

use crate::support::{
    Cut, address, associated, change, in_laboratory, message, socket, socket_with, with_sctp,
};

#[test]
fn messages_keep_their_boundaries_identifier_stream_and_order_flag() {
    with_sctp(async {
        let (near, far) = (socket(), socket());
        let info = SendInfo { stream: 3, unordered: true, ..SendInfo::new(11) };
        near.send_to(address(&far), &info, b"first").await.unwrap();
        near.send_to(address(&far), &SendInfo::new(0xfedc_ba98), b"second").await.unwrap();

        let (first, second) = (message(&far).await, message(&far).await);
        assert_eq!(first.bytes, "first");
        assert_eq!((first.info.ppid, first.info.stream, first.info.unordered), (11, 3, true));
        assert_eq!(second.bytes, "second");
        assert_eq!((second.info.ppid, second.info.stream, second.info.unordered), (0xfedc_ba98, 0, false));
        assert_eq!(first.from, address(&near));
        assert_eq!(first.assoc, second.assoc);

        far.association(first.assoc).send(&SendInfo::new(12), b"answer").await.unwrap();
        let answer = message(&near).await;
        assert_eq!((&answer.bytes[..], answer.info.ppid), (&b"answer"[..], 12));
        assert_eq!(answer.from, address(&far));
    });
}

#[test]
fn one_socket_serves_many_associations_from_one_port() {
    with_sctp(async {
        let server = socket();
        let clients: Vec<SctpSocket> = (0..5).map(|_| socket()).collect();
        for (number, client) in clients.iter().enumerate() {
            client.send_to(address(&server), &SendInfo::new(0), &[number as u8]).await.unwrap();
        }
        let mut served = Vec::new();
        for _ in &clients {
            let Message { assoc, from, bytes, .. } = message(&server).await;
            assert_eq!(from, address(&clients[usize::from(bytes[0])]));
            server.association(assoc).send(&SendInfo::new(0), &bytes).await.unwrap();
            served.push(assoc);
        }
        served.sort();
        assert_eq!(server.associations().unwrap(), served);
        for (number, client) in clients.iter().enumerate() {
            assert_eq!(message(client).await.bytes[..], [number as u8]);
        }
    });
}

#[test]
fn a_message_longer_than_a_read_comes_whole() {
    with_sctp(async {
        let (near, id, far, _) = associated(&SocketConfig::default()).await;
        let long: Vec<u8> = (0..100_000_u32).map(|index| (index % 251) as u8).collect();
        near.association(id).send(&SendInfo::new(7), &long).await.unwrap();
        near.association(id).send(&SendInfo::new(8), b"short").await.unwrap();
        let received = message(&far).await;
        assert_eq!(received.info.ppid, 7);
        assert!(received.bytes == long);
        assert_eq!(message(&far).await.bytes, "short");
    });
}

#[test]
fn a_message_over_the_limit_is_told_and_those_after_it_are_received() {
    with_sctp(async {
        let config = SocketConfig { max_message: 40_000, ..SocketConfig::default() };
        let (near, id, far, far_id) = associated(&config).await;
        near.association(id).send(&SendInfo::new(7), &[1; 40_001]).await.unwrap();
        near.association(id).send(&SendInfo::new(8), &[2; 40_000]).await.unwrap();
        let told = loop {
            match far.recv().await.unwrap() {
                Received::Oversized { assoc, info, limit, .. } => break (assoc, info.ppid, limit),
                Received::Message(message) => panic!("{} bytes before", message.bytes.len()),
                _ => (),
            }
        };
        assert_eq!(told, (far_id, 7, 40_000));
        assert!(message(&far).await.bytes == [2; 40_000][..]);
    });
}

#[test]
fn a_message_over_the_send_buffer_is_refused_and_the_socket_is_intact() {
    with_sctp(async {
        let config = SocketConfig { send_buffer: Some(20_000), ..SocketConfig::default() };
        let (near, id, far, _) = associated(&config).await;
        let refused = near.association(id).send(&SendInfo::new(0), &[0; 200_000]).await;
        assert!(matches!(refused, Err(Error::MessageTooLong { length: 200_000 })), "{refused:?}");
        near.association(id).send(&SendInfo::new(0), b"after").await.unwrap();
        assert_eq!(message(&far).await.bytes, "after");
    });
}

#[test]
fn who_sends_waits_for_who_does_not_read_and_nothing_is_lost() {
    with_sctp(async {
        let config = SocketConfig {
            send_buffer: Some(30_000),
            receive_buffer: Some(30_000),
            ..SocketConfig::default()
        };
        let (near, id, far, _) = associated(&config).await;
        let mut sent = 0_u32;
        // Until a send has been waiting for as long as the kernel might need to put it on the way, and still there is no room:
        // a busy machine may have needed longer.
        loop {
            let bytes = [sent.to_be_bytes().as_slice(), &[0; 1_000]].concat();
            let association = near.association(id);
            let info = SendInfo::new(0);
            match timeout(Duration::from_millis(500), association.send(&info, &bytes)).await {
                Ok(done) => done.unwrap(),
                Err(_) if association.try_send(&info, &bytes).unwrap() => (),
                Err(_) => break,
            }
            sent += 1;
            assert!(sent < 10_000, "sending never waits");
        }
        let association = near.association(id);
        let info = SendInfo::new(0);
        let reading = async {
            for expected in 0..sent {
                assert_eq!(message(&far).await.bytes[..4], expected.to_be_bytes());
            }
            message(&far).await
        };
        let (waiting, last) = tokio::join!(association.send(&info, b"there is room again"), reading);
        waiting.unwrap();
        assert_eq!(last.bytes, "there is room again");
    });
}

#[test]
fn a_receive_that_is_dropped_loses_nothing() {
    with_sctp(async {
        let (near, id, far, _) = associated(&SocketConfig::default()).await;
        for number in 0..20_u8 {
            assert!(timeout(Duration::ZERO, message(&far)).await.is_err());
            near.association(id).send(&SendInfo::new(0), &[number]).await.unwrap();
            // Polled once, with or without success.
            let received = match timeout(Duration::ZERO, message(&far)).await {
                Ok(received) => received,
                Err(_) => message(&far).await,
            };
            assert_eq!(received.bytes[..], [number]);
        }
        assert!(far.try_recv().unwrap().is_none());
    });
}

#[test]
fn a_message_that_stops_halfway_does_not_hold_up_those_of_others() {
    in_laboratory(async {
        let config = SocketConfig {
            send_buffer: Some(200_000),
            receive_buffer: Some(20_000),
            ..SocketConfig::default()
        };
        let far = socket_with(&config);
        let stalling = SctpSocket::bind(&["127.0.1.5:0".parse().unwrap()], &config).unwrap();
        let long = vec![1; 150_000];
        stalling.send_to(address(&far), &SendInfo::new(0), &long).await.unwrap();
        // Its first part has come: the window is closed, or nearly.
        let id = change(&stalling).await.assoc;
        while stalling.association(id).status().unwrap().peer_rwnd > 10_000 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let cut = Cut::new("127.0.1.5");
        let other = socket();
        other.send_to(address(&far), &SendInfo::new(0), b"from another").await.unwrap();
        assert_eq!(message(&far).await.bytes, "from another");
        drop(cut);
        assert!(message(&far).await.bytes == long);
    });
}
