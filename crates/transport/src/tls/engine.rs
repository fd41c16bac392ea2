//! TLS without I/O: bytes of the network on one side, bytes of the application on the other. One variant per library.
pub(super) mod certificate;
#[cfg(feature = "psk")]
pub(super) mod psk;

use std::io::{self, IoSlice, Read, Write};

use bytes::BytesMut;

use super::error::HandshakeError;

/// How much is sealed at once: it waits here if the socket has no room.
const SEALED_AT_ONCE: usize = 64 << 10;

/// One end of a TLS conversation.
pub(super) enum Engine {
    Certificate(Box<rustls::Connection>),
    #[cfg(feature = "psk")]
    Psk(Box<psk::Connection>),
}

impl Engine {
    /// Goes on with the handshake after these bytes of the network; `true` when it is finished. Afterwards,
    /// [`send`](Self::send), also if it failed: the other end shall hear why.
    pub(super) fn shake(&mut self, received: &[u8]) -> Result<bool, HandshakeError> {
        match self {
            Self::Certificate(connection) => certificate::shake(connection, received),
            #[cfg(feature = "psk")]
            Self::Psk(connection) => connection.shake(received),
        }
    }

    /// Takes more bytes of the network with one read.
    pub(super) fn receive(&mut self, source: &mut dyn Read) -> io::Result<usize> {
        match self {
            Self::Certificate(connection) => connection.read_tls(source),
            #[cfg(feature = "psk")]
            Self::Psk(connection) => connection.receive(source),
        }
    }

    /// Appends what the application is sent to `buffer`: how much, 0 at the end, and `WouldBlock` if more must be received first.
    pub(super) fn open(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Certificate(connection) => certificate::open(connection, buffer),
            #[cfg(feature = "psk")]
            Self::Psk(connection) => connection.open(buffer),
        }
    }

    /// Takes bytes of the application, as many as are sealed at once.
    pub(super) fn seal(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Certificate(connection) => connection.writer().write_vectored(slices),
            #[cfg(feature = "psk")]
            Self::Psk(connection) => connection.seal(slices, SEALED_AT_ONCE),
        }
    }

    /// Gives everything for the network to `sink`; to be repeated after `WouldBlock`.
    pub(super) fn send(&mut self, sink: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Certificate(connection) => {
                while connection.wants_write() {
                    connection.write_tls(sink)?;
                }
                Ok(())
            }
            #[cfg(feature = "psk")]
            Self::Psk(connection) => connection.send(sink),
        }
    }

    /// Tells the other end that nothing more comes, as soon as that is sent.
    pub(super) fn close(&mut self) {
        match self {
            Self::Certificate(connection) => connection.send_close_notify(),
            #[cfg(feature = "psk")]
            Self::Psk(connection) => connection.close(),
        }
    }
}

/// For [`Engine::Certificate`], rustls has a limit of its own, which is to be the same.
pub(super) fn limit(connection: &mut rustls::Connection) {
    connection.set_buffer_limit(Some(SEALED_AT_ONCE));
}
