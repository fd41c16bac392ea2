//! A session's frames over SCTP: a message each; the payload protocol identifier keeps data and control channel apart
//! (RFC 5352 §5).
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use rserpool_asap::session::{Frame, PayloadProtocol};
use rserpool_sctp::{AssocState, Notification, Received, SctpStream, SendInfo};

pub(super) struct SctpFrames {
    stream: Box<SctpStream>,
    pub(super) peer: SocketAddr,
    /// Data that came back because it could not be delivered (RFC 5352 §6.5.5).
    undelivered: Vec<Bytes>,
}

impl SctpFrames {
    pub(super) fn new(stream: Box<SctpStream>) -> io::Result<Self> {
        let addresses = stream.association().peer_addrs().map_err(io::Error::other)?;
        let peer = addresses.first().copied().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Self { stream, peer, undelivered: Vec::new() })
    }

    pub(super) async fn send(&mut self, protocol: PayloadProtocol, payload: &[u8]) -> io::Result<()> {
        self.stream.send(&SendInfo::new(protocol.0), payload).await.map_err(|error| match error {
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

    /// What could not be delivered on an association that has ended, in the order in which it was sent.
    pub(super) async fn undelivered(&mut self) -> Vec<Bytes> {
        // After the end there is no waiting: what has not come back by now does not.
        while let Ok(Some(received)) = self.stream.recv().await {
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
