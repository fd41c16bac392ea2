//! A session's frames over SCTP: a message each; the payload protocol identifier keeps data and control channel apart
//! (RFC 5352 §5).
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rserpool_asap::session::{Frame, PayloadProtocol};
use rserpool_sctp::{AssocState, Notification, Received, SctpStream, SendInfo};
use tokio::time::timeout;

pub(super) struct SctpFrames {
    stream: Box<SctpStream>,
    pub(super) peer: SocketAddr,
    /// Data that came back because it could not be delivered (RFC 5352 §6.5.5).
    undelivered: Vec<Bytes>,
    /// Whether the end of the association was told.
    ended: bool,
    /// Whether data is sent without order.
    pub(super) unordered: bool,
}

impl SctpFrames {
    pub(super) fn new(stream: Box<SctpStream>) -> io::Result<Self> {
        let addresses = stream.association().peer_addrs().map_err(io::Error::other)?;
        let peer = addresses.first().copied().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Self { stream, peer, undelivered: Vec::new(), ended: false, unordered: false })
    }

    pub(super) async fn send(&mut self, protocol: PayloadProtocol, payload: &[u8]) -> io::Result<()> {
        let unordered = self.unordered && !protocol.is_control();
        let info = SendInfo { unordered, ..SendInfo::new(protocol.0) };
        self.stream.send(&info, payload).await.map_err(|error| match error {
            rserpool_sctp::Error::MessageTooLong { .. } => io::Error::new(io::ErrorKind::InvalidInput, error),
            error => io::Error::other(error),
        })
    }

    pub(super) async fn recv(&mut self) -> io::Result<Option<Frame>> {
        while let Some(received) = self.stream.recv().await.map_err(io::Error::other)? {
            match received {
                Received::Message(message) => {
                    let protocol = PayloadProtocol(message.info.ppid);
                    return Ok(Some(Frame { protocol, payload: message.bytes }));
                }
                Received::Notification(Notification::SendFailed(failed)) => self.returned(failed),
                Received::Notification(Notification::AssocChange(change)) if change.state.is_end() => {
                    self.ended = true;
                    return match change.state {
                        AssocState::ShutdownComplete => Ok(None),
                        _ => Err(io::ErrorKind::ConnectionReset.into()),
                    };
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// What could not be delivered, in the order in which it was sent. An association that is up still ends: whoever is given up
    /// is not to go on with what another one does now.
    pub(super) async fn undelivered(&mut self) -> Vec<Bytes> {
        if !self.ended {
            // If it fails, it has ended meanwhile.
            let _ = self.stream.abort();
        }
        // There is no waiting: what has not come back by now does not.
        while let Ok(Ok(Some(received))) = timeout(Duration::ZERO, self.stream.recv()).await {
            if let Received::Notification(Notification::SendFailed(failed)) = received {
                self.returned(failed);
            }
        }
        std::mem::take(&mut self.undelivered)
    }

    fn returned(&mut self, failed: rserpool_sctp::SendFailed) {
        if failed.info.ppid != PayloadProtocol::ASAP.0 {
            self.undelivered.push(failed.bytes);
        }
    }
}
