//! How associations begin and end, and how they are told apart.
use std::time::Duration;

use rserpool_sctp::{AssocState, Error, Notification, SendInfo, SocketConfig};

use crate::support::{address, associated, change, message, notified, socket, to_the_end, with_sctp};

#[test]
fn a_shutdown_delivers_what_was_sent_and_is_told_at_both_ends() {
    with_sctp(async {
        let (near, id, far, far_id) = associated(&SocketConfig::default()).await;
        near.association(id).send(&SendInfo::new(0), b"last words").await.unwrap();
        near.shutdown(id).unwrap();
        assert_eq!(message(&far).await.bytes, "last words");
        let far_end = change(&far).await;
        assert_eq!((far_end.state, far_end.assoc), (AssocState::ShutdownComplete, far_id));
        assert_eq!(change(&near).await.state, AssocState::ShutdownComplete);
        assert_eq!(near.associations().unwrap(), []);

        let after = near.association(id).send(&SendInfo::new(0), b"too late").await;
        assert!(matches!(after, Err(Error::NoAssociation { .. })), "{after:?}");
    });
}

#[test]
fn an_abort_is_told_at_both_ends_with_its_reason() {
    with_sctp(async {
        let (near, id, far, far_id) = associated(&SocketConfig::default()).await;
        near.abort(id, b"had enough").unwrap();
        let lost = change(&far).await;
        assert_eq!((lost.state, lost.assoc), (AssocState::CommLost, far_id));
        assert!(lost.info.windows(10).any(|part| part == b"had enough"), "{lost:?}");
        assert_eq!(change(&near).await.state, AssocState::CommLost);
    });
}

#[test]
fn the_peers_shutdown_is_told_before_the_end() {
    with_sctp(async {
        let (near, id, far, far_id) = associated(&SocketConfig::default()).await;
        near.shutdown(id).unwrap();
        let told = notified(&far, |notification| match notification {
            Notification::Shutdown { assoc } => Some(assoc),
            Notification::AssocChange(change) => panic!("{change:?} before the shutdown"),
            _ => None,
        })
        .await;
        assert_eq!(told, far_id);
        assert_eq!(change(&far).await.state, AssocState::ShutdownComplete);
    });
}

#[test]
fn a_dropped_socket_shuts_its_associations_down() {
    with_sctp(async {
        let (near, id, far, _) = associated(&SocketConfig::default()).await;
        near.association(id).send(&SendInfo::new(0), b"goodbye").await.unwrap();
        drop(near);
        assert_eq!(message(&far).await.bytes, "goodbye");
        assert_eq!(change(&far).await.state, AssocState::ShutdownComplete);
    });
}

#[test]
fn an_idle_association_is_closed_after_a_while() {
    with_sctp(async {
        let config = SocketConfig { autoclose: Some(Duration::from_secs(1)), ..SocketConfig::default() };
        let (near, _, _far, _) = associated(&config).await;
        assert_eq!(change(&near).await.state, AssocState::ShutdownComplete);
    });
}

#[test]
fn a_socket_that_does_not_accept_refuses_associations() {
    with_sctp(async {
        let near = socket();
        let far = crate::support::socket_with(&SocketConfig { accept: false, ..SocketConfig::default() });
        near.connectx(&[address(&far)]).unwrap();
        assert_eq!(change(&near).await.state, AssocState::CantStart);
        // In the other direction it may.
        far.connectx(&[address(&near)]).unwrap();
        assert_eq!(change(&far).await.state, AssocState::CommUp);
    });
}

#[test]
fn a_peeled_off_association_goes_on_as_a_stream() {
    with_sctp(async {
        let (near, id, far, far_id) = associated(&SocketConfig::default()).await;
        near.association(id).send(&SendInfo::new(1), b"before").await.unwrap();
        let other = socket();
        other.send_to(address(&far), &SendInfo::new(0), b"from another").await.unwrap();

        let stream = far.peel_off(far_id).unwrap();
        near.association(id).send(&SendInfo::new(2), b"after").await.unwrap();
        stream.send(&SendInfo::new(3), b"answer").await.unwrap();
        assert_eq!(message(&near).await.bytes, "answer");
        assert_eq!(stream.association().peer_addrs().unwrap(), near.local_addrs().unwrap());
        assert_eq!(message(&far).await.bytes, "from another", "the others stay where they were");
        assert!(!far.associations().unwrap().contains(&far_id));

        stream.shutdown().unwrap();
        let (messages, changes) = to_the_end(&stream).await;
        let bytes: Vec<_> = messages.iter().map(|message| &message.bytes[..]).collect();
        assert_eq!(bytes, [b"before".as_slice(), b"after"]);
        assert_eq!(changes.last(), Some(&AssocState::ShutdownComplete));
        assert_eq!(change(&near).await.state, AssocState::ShutdownComplete);
    });
}

#[test]
fn a_peeled_off_association_takes_along_what_came_before_it_was_peeled_off() {
    with_sctp(async {
        let (near, far) = (socket(), socket());
        near.send_to(address(&far), &SendInfo::new(0), b"first").await.unwrap();
        let id = change(&near).await.assoc;
        near.association(id).send(&SendInfo::new(0), b"second").await.unwrap();
        near.association(id).subscribe_sender_dry(true).unwrap();
        notified(&near, |told| matches!(told, Notification::SenderDry { .. }).then_some(())).await;

        // What is received together with this is not lost.
        let far_id = change(&far).await.assoc;
        let stream = far.peel_off(far_id).unwrap();
        assert!(far.try_recv().unwrap().is_none(), "nothing of it is left here");
        near.shutdown(id).unwrap();
        let (messages, _) = to_the_end(&stream).await;
        let bytes: Vec<_> = messages.iter().map(|message| &message.bytes[..]).collect();
        assert_eq!(bytes, [b"first".as_slice(), b"second"]);
    });
}

#[test]
fn a_peeled_off_association_can_be_aborted() {
    with_sctp(async {
        let (near, _, far, far_id) = associated(&SocketConfig::default()).await;
        let stream = far.peel_off(far_id).unwrap();
        let (received, aborted) = tokio::join!(to_the_end(&stream), async { stream.abort() });
        aborted.unwrap();
        assert_eq!(received.1, [AssocState::CommLost]);
        assert_eq!(change(&near).await.state, AssocState::CommLost);
    });
}

#[test]
fn an_empty_sender_is_told_to_those_who_ask() {
    with_sctp(async {
        let (near, id, far, _) = associated(&SocketConfig::default()).await;
        near.association(id).subscribe_sender_dry(true).unwrap();
        let dry = async || {
            notified(&near, |notification| match notification {
                Notification::SenderDry { assoc } => Some(assoc),
                _ => None,
            })
            .await
        };
        assert_eq!(dry().await, id, "nothing was sent yet");
        near.association(id).send(&SendInfo::new(0), b"message").await.unwrap();
        assert_eq!(dry().await, id, "it was acknowledged");
        assert_eq!(message(&far).await.bytes, "message");
    });
}
