//! A session's frames over TCP, or TLS over it: data and control channel on one connection, each frame led by what it is and how long.
use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use rserpool_asap::session::{Frame, FrameCodec, PayloadProtocol};
use rserpool_machine::PeerIdentity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::secured::{Secured, Stream};
use super::stream::Failure;
use crate::profile::TimerProfile;

pub(super) struct TcpFrames {
    stream: Box<dyn Stream>,
    pub(super) identity: PeerIdentity,
    pub(super) peer: SocketAddr,
    codec: FrameCodec,
    received: BytesMut,
    /// Encoded and not yet written: whole when a caller goes away half-way, so that frames never mix.
    unsent: BytesMut,
}

impl TcpFrames {
    pub(super) fn new(stream: TcpStream, profile: TimerProfile) -> io::Result<Self> {
        profile.tune(&stream)?;
        let peer = stream.peer_addr()?;
        Ok(Self::secured(Secured { stream: Box::new(stream), peer, identity: PeerIdentity::Anonymous }))
    }

    pub(super) fn secured(Secured { stream, peer, identity }: Secured) -> Self {
        let (received, unsent) = (BytesMut::new(), BytesMut::new());
        Self { stream, identity, peer, codec: FrameCodec::default(), received, unsent }
    }

    pub(super) async fn send(&mut self, protocol: PayloadProtocol, payload: &[u8]) -> io::Result<()> {
        self.codec
            .encode(protocol, payload, &mut self.unsent)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        while self.unsent.has_remaining() {
            if self.stream.write_buf(&mut self.unsent).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        // TLS has buffers of its own.
        self.stream.flush().await
    }

    pub(super) async fn recv(&mut self) -> Result<Option<Frame>, Failure> {
        loop {
            if let Some(frame) = self.codec.decode(&mut self.received).map_err(Failure::Frame)? {
                return Ok(Some(frame));
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                let truncated = !self.received.is_empty();
                return if truncated {
                    Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
                } else {
                    Ok(None)
                };
            }
        }
    }
}
