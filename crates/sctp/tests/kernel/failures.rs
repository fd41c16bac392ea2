//! What happens to messages that cannot be delivered, and to those who use sockets wrongly.
use std::time::Duration;

use rserpool_sctp::{
    AssocState, Error, Notification, Received, SctpListener, SctpSocket, SendFailed, SendInfo, SocketConfig,
};

use crate::support::{address, any, associated, change, message, notified, socket, with_sctp};

fn returned(notification: Notification) -> Option<SendFailed> {
    match notification {
        Notification::SendFailed(failed) => Some(failed),
        _ => None,
    }
}

#[test]
fn messages_to_nobody_come_back_with_all_that_was_given_with_them() {
    with_sctp(async {
        let (near, gone) = (socket(), socket());
        let nowhere = address(&gone);
        drop(gone);
        let info = SendInfo { stream: 2, context: 77, ..SendInfo::new(11) };
        near.send_to(nowhere, &info, b"anybody?").await.unwrap();
        let (mut failed, mut ended) = (None, None);
        while failed.is_none() || ended.is_none() {
            match near.recv().await.unwrap() {
                Received::Notification(Notification::SendFailed(returned)) => failed = Some(returned),
                Received::Notification(Notification::AssocChange(change)) => ended = Some(change.state),
                _ => (),
            }
        }
        let failed = failed.unwrap();
        assert_eq!(failed.bytes, "anybody?");
        assert_eq!((failed.info.ppid, failed.info.stream, failed.info.context), (11, 2, 77));
        assert!(!failed.sent);
        assert_eq!(ended, Some(AssocState::CantStart));
    });
}

#[test]
fn what_an_abort_cuts_off_comes_back_whole_and_in_order() {
    with_sctp(async {
        let config = SocketConfig {
            send_buffer: Some(400_000),
            receive_buffer: Some(5_000),
            ..SocketConfig::default()
        };
        let (near, id, far, _) = associated(&config).await;
        // The first messages fill the window of the other end, which does not read. The last is fragmented: no packet has
        // room for it.
        let lengths = [4_000, 4_000, 4_000, 4_000, 4_000, 150_000];
        for (context, length) in (0..).zip(lengths) {
            let info = SendInfo { context, ..SendInfo::new(11) };
            near.association(id).send(&info, &vec![context as u8; length]).await.unwrap();
        }
        near.abort(id, b"").unwrap();
        let mut contexts = Vec::new();
        loop {
            let failed = notified(&near, returned).await;
            let context = failed.info.context;
            assert!(failed.bytes == vec![context as u8; lengths[context as usize]], "{context}");
            contexts.push(context);
            if failed.bytes.len() == 150_000 {
                break;
            }
        }
        let mut sorted = contexts.clone();
        sorted.sort();
        assert_eq!(contexts, sorted);
        assert_eq!(change(&far).await.state, AssocState::CommLost);
    });
}

#[test]
fn a_message_whose_lifetime_is_over_comes_back_and_later_ones_arrive() {
    with_sctp(async {
        let config = SocketConfig { receive_buffer: Some(5_000), ..SocketConfig::default() };
        let (near, id, far, _) = associated(&config).await;
        // Fills the window of the other end, which does not read.
        let filling = 8;
        for _ in 0..filling {
            near.association(id).send(&SendInfo::new(0), &[0; 4_000]).await.unwrap();
        }
        let info = SendInfo { lifetime: Some(Duration::from_millis(50)), ..SendInfo::new(9) };
        near.association(id).send(&info, b"perishable").await.unwrap();
        near.association(id).send(&SendInfo::new(0), b"durable").await.unwrap();
        // Its lifetime has to pass before there is room for it.
        tokio::time::sleep(Duration::from_millis(100)).await;
        for _ in 0..filling {
            assert_eq!(message(&far).await.bytes.len(), 4_000);
        }
        assert_eq!(message(&far).await.bytes, "durable");
        assert_eq!(notified(&near, returned).await.bytes, "perishable");
    });
}

#[test]
fn a_stream_that_was_not_agreed_on_is_refused() {
    with_sctp(async {
        let config = SocketConfig { outbound_streams: 2, ..SocketConfig::default() };
        let (near, id, far, _) = associated(&config).await;
        assert_eq!(near.association(id).status().unwrap().outbound_streams, 2);
        let refused = near.association(id).send(&SendInfo { stream: 2, ..SendInfo::new(0) }, b"x").await;
        assert!(matches!(refused, Err(Error::Io { operation: "send", .. })), "{refused:?}");
        near.association(id).send(&SendInfo { stream: 1, ..SendInfo::new(0) }, b"x").await.unwrap();
        assert_eq!(message(&far).await.info.stream, 1);
    });
}

#[test]
fn a_port_that_is_listened_on_is_not_given_away_again() {
    with_sctp(async {
        let socket = socket();
        let taken = SctpSocket::bind(&[address(&socket)], &SocketConfig::default());
        assert!(matches!(&taken, Err(Error::Io { .. })), "{taken:?}");
        let taken = SctpListener::bind(&[address(&socket)], &SocketConfig::default());
        assert!(matches!(&taken, Err(Error::Io { .. })), "{taken:?}");
    });
}

#[test]
fn no_address_different_ports_and_a_wrong_configuration_are_refused() {
    with_sctp(async {
        let config = SocketConfig::default();
        assert!(matches!(SctpSocket::bind(&[], &config), Err(Error::NoAddress)));
        let two = ["127.0.0.1:7001".parse().unwrap(), "127.0.0.2:7002".parse().unwrap()];
        assert!(matches!(
            SctpSocket::bind(&two, &config),
            Err(Error::PortsDiffer { first: 7001, other: 7002 })
        ));
        let wrong = SocketConfig { outbound_streams: 0, ..config };
        assert!(matches!(SctpSocket::bind(&[any()], &wrong), Err(Error::Config(_))));
        assert!(matches!(socket().connectx(&[]), Err(Error::NoAddress)));
    });
}
