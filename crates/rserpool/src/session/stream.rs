//! Frames over one TCP connection.
use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use rserpool_asap::session::{Frame, FrameCodec, FrameError, PayloadProtocol};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::profile::TimerProfile;

/// How many of the other side's mistakes are answered in one connection.
const ANSWERS: u32 = 16;

pub(super) struct FrameStream {
    stream: TcpStream,
    peer: SocketAddr,
    codec: FrameCodec,
    received: BytesMut,
    /// Encoded and not yet written: whole when a caller goes away half-way, so that frames never mix.
    unsent: BytesMut,
    answers: u32,
}

/// Why there is no frame.
pub(super) enum Failure {
    Io(io::Error),
    Frame(FrameError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl FrameStream {
    pub(super) fn new(stream: TcpStream, profile: TimerProfile) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        // So that a host that is gone is noticed while data is under way.
        #[cfg(target_os = "linux")]
        SockRef::from(&stream).set_tcp_user_timeout(Some(profile.user_timeout()))?;
        #[cfg(not(target_os = "linux"))]
        let _ = profile;
        Ok(Self {
            peer: stream.peer_addr()?,
            stream,
            codec: FrameCodec::default(),
            received: BytesMut::new(),
            unsent: BytesMut::new(),
            answers: ANSWERS,
        })
    }

    pub(super) const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Sends one frame. When the future is dropped, what is not sent yet goes out with the next frame.
    pub(super) async fn send(&mut self, protocol: PayloadProtocol, payload: &[u8]) -> io::Result<()> {
        self.codec
            .encode(protocol, payload, &mut self.unsent)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        while self.unsent.has_remaining() {
            if self.stream.write_buf(&mut self.unsent).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Answers a mistake of the other side, unless it makes too many.
    pub(super) async fn answer(&mut self, answer: &[u8]) -> io::Result<()> {
        if self.answers == 0 {
            return Ok(());
        }
        self.answers -= 1;
        self.send(PayloadProtocol::ASAP, answer).await
    }

    /// The next frame; `None` when the other side closed. Nothing is lost when the future is dropped.
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
