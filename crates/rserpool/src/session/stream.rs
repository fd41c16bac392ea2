//! Frames over one connection, whatever its transport.
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use rserpool_asap::session::{Frame, FrameError, PayloadProtocol};
use rserpool_machine::PeerIdentity;
use rserpool_transport::TlsStream;
use rserpool_wire::{Transport, TransportUse};
use tokio::net::TcpStream;

#[cfg(target_os = "linux")]
use super::sctp::SctpFrames;
use super::secured::Secured;
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
    /// TLS over TCP (see [`Pool::connect_secured`](crate::Pool::connect_secured) and [`TlsListener`](crate::TlsListener)).
    Tls(Box<TlsStream>),
    /// Something over TCP that the application has secured by itself (see [`Connection::secured`]).
    Secured(Secured),
}

impl From<TcpStream> for Connection {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<TlsStream> for Connection {
    fn from(stream: TlsStream) -> Self {
        Self::Tls(Box::new(stream))
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
    /// Whether there is a control channel.
    control: bool,
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
    /// A connection to, or of, an element that serves `transport`.
    pub(super) fn new(
        connection: Connection,
        transport: &Transport,
        profile: TimerProfile,
    ) -> io::Result<Self> {
        let control = has_control_channel(transport);
        let frames = match connection {
            Connection::Tcp(stream) => Frames::Tcp(TcpFrames::new(stream, profile)?),
            Connection::Tls(stream) => Frames::Tcp(TcpFrames::secured((*stream).into())),
            Connection::Secured(secured) => Frames::Tcp(TcpFrames::secured(secured)),
            #[cfg(target_os = "linux")]
            Connection::Sctp(stream) => Frames::Sctp(SctpFrames::new(stream)?),
        };
        Ok(Self { frames, control, answers: ANSWERS })
    }

    /// Whether there is a control channel, for cookies and business cards.
    pub(super) const fn has_control_channel(&self) -> bool {
        self.control
    }

    /// What is known for sure of the other end.
    pub(super) const fn security(&self) -> &PeerIdentity {
        match &self.frames {
            Frames::Tcp(frames) => &frames.identity,
            #[cfg(target_os = "linux")]
            Frames::Sctp(_) => &PeerIdentity::Anonymous,
        }
    }

    pub(super) const fn peer(&self) -> SocketAddr {
        match &self.frames {
            Frames::Tcp(frames) => frames.peer,
            #[cfg(target_os = "linux")]
            Frames::Sctp(frames) => frames.peer,
        }
    }

    /// Has data sent without order from now on, or in order again. A byte stream has one order.
    #[cfg_attr(not(target_os = "linux"), allow(unused_variables, reason = "SCTP is there on Linux only"))]
    pub(super) const fn set_unordered(&mut self, unordered: bool) {
        match &mut self.frames {
            Frames::Tcp(_) => {}
            #[cfg(target_os = "linux")]
            Frames::Sctp(frames) => frames.unordered = unordered,
        }
    }

    /// Sends one frame. When the future is dropped, the frame goes out with the next one, or not at all.
    ///
    /// Without a control channel, there is none to send its messages on (RFC 5352 §3.9).
    pub(super) async fn send(&mut self, protocol: PayloadProtocol, payload: &[u8]) -> io::Result<()> {
        if protocol.is_control() && !self.control {
            let message = "the pool's transport is for data only: it has no control channel";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        match &mut self.frames {
            Frames::Tcp(frames) => frames.send(protocol, payload).await,
            #[cfg(target_os = "linux")]
            Frames::Sctp(frames) => frames.send(protocol, payload).await,
        }
    }

    /// Answers a mistake of the other side, unless it makes too many.
    pub(super) async fn answer(&mut self, answer: &[u8]) -> io::Result<()> {
        if self.answers == 0 || !self.control {
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

/// Over TCP the control channel shares the connection with the data (RFC 5355 §2.16); over SCTP, the elements of a pool say whether
/// they have one (RFC 5354 §3.4).
const fn has_control_channel(transport: &Transport) -> bool {
    !matches!(transport, Transport::Sctp { transport_use: TransportUse::DataOnly, .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    // 5352-3.9-01
    #[test]
    fn over_sctp_the_transport_use_says_whether_there_is_a_control_channel() {
        let sctp = |transport_use| Transport::Sctp { port: 7, transport_use, addresses: Vec::new() };
        assert!(has_control_channel(&sctp(TransportUse::DataAndControl)));
        assert!(!has_control_channel(&sctp(TransportUse::DataOnly)));
        assert!(has_control_channel(&Transport::Tcp(([127, 0, 0, 1], 7).into())));
    }

    // 5352-3.9-01
    #[tokio::test]
    async fn without_a_control_channel_its_messages_are_refused_and_data_goes_out() -> io::Result<()> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let data_only =
            Transport::Sctp { port: 7, transport_use: TransportUse::DataOnly, addresses: Vec::new() };
        let connection = TcpStream::connect(address).await?.into();
        let mut stream = FrameStream::new(connection, &data_only, TimerProfile::Fast)?;
        let refused = stream.send(PayloadProtocol::ASAP, b"cookie").await;
        assert_eq!(refused.map_err(|error| error.kind()), Err(io::ErrorKind::Unsupported));
        stream.answer(b"error").await?;
        stream.send(PayloadProtocol::DATA, b"data").await?;

        let accepted = listener.accept().await?.0.into();
        let mut other = FrameStream::new(accepted, &Transport::Tcp(address), TimerProfile::Fast)?;
        let Ok(Some(frame)) = other.recv().await else { panic!("no frame") };
        assert_eq!((frame.protocol, &frame.payload[..]), (PayloadProtocol::DATA, &b"data"[..]));
        Ok(())
    }
}
