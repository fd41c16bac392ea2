//! Frames over one connection, whatever its transport.
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use rserpool_asap::session::{Frame, FrameError, PayloadProtocol};
use tokio::net::TcpStream;

#[cfg(target_os = "linux")]
use super::sctp::SctpFrames;
use super::tcp::TcpFrames;
use crate::profile::TimerProfile;

/// How many of the other side's mistakes are answered in one connection.
const ANSWERS: u32 = 16;

/// A connection that a session can run over.
#[derive(Debug)]
#[non_exhaustive]
pub enum Connection {
    /// TCP: data and control channel are multiplexed in frames.
    Tcp(TcpStream),
    /// SCTP: data and control channel are told apart by payload protocol identifier.
    #[cfg(target_os = "linux")]
    Sctp(Box<rserpool_sctp::SctpStream>),
}

impl From<TcpStream> for Connection {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

#[cfg(target_os = "linux")]
impl From<rserpool_sctp::SctpStream> for Connection {
    fn from(stream: rserpool_sctp::SctpStream) -> Self {
        Self::Sctp(Box::new(stream))
    }
}

pub(super) struct FrameStream {
    frames: Frames,
    answers: u32,
}

enum Frames {
    Tcp(TcpFrames),
    #[cfg(target_os = "linux")]
    Sctp(SctpFrames),
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
    pub(super) fn new(connection: Connection, profile: TimerProfile) -> io::Result<Self> {
        let frames = match connection {
            Connection::Tcp(stream) => Frames::Tcp(TcpFrames::new(stream, profile)?),
            #[cfg(target_os = "linux")]
            Connection::Sctp(stream) => Frames::Sctp(SctpFrames::new(stream)?),
        };
        Ok(Self { frames, answers: ANSWERS })
    }

    pub(super) const fn peer(&self) -> SocketAddr {
        match &self.frames {
            Frames::Tcp(frames) => frames.peer,
            #[cfg(target_os = "linux")]
            Frames::Sctp(frames) => frames.peer,
        }
    }

    /// Sends one frame. When the future is dropped, the frame goes out with the next one, or not at all.
    pub(super) async fn send(&mut self, protocol: PayloadProtocol, payload: &[u8]) -> io::Result<()> {
        match &mut self.frames {
            Frames::Tcp(frames) => frames.send(protocol, payload).await,
            #[cfg(target_os = "linux")]
            Frames::Sctp(frames) => frames.send(protocol, payload).await,
        }
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
        match &mut self.frames {
            Frames::Tcp(frames) => frames.recv().await,
            #[cfg(target_os = "linux")]
            Frames::Sctp(frames) => Ok(frames.recv().await?),
        }
    }

    /// Of a connection that has failed: data that was sent and is known not to have arrived. TCP does not tell.
    pub(super) async fn undelivered(&mut self) -> Vec<Bytes> {
        match &mut self.frames {
            Frames::Tcp(_) => Vec::new(),
            #[cfg(target_os = "linux")]
            Frames::Sctp(frames) => frames.undelivered().await,
        }
    }
}
