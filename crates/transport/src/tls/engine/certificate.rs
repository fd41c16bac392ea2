//! Handshakes by certificates, by rustls.
use std::io::{self, BufRead};
use std::sync::Arc;

use bytes::BytesMut;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use super::{Engine, limit};
use crate::tls::certificate::name_of;
use crate::tls::error::HandshakeError;

impl Engine {
    /// The client's end of a conversation with the server of this name.
    pub(in crate::tls) fn client(
        config: &Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, HandshakeError> {
        Ok(Self::certificate(ClientConnection::new(Arc::clone(config), name)?.into()))
    }

    /// The server's end of a conversation.
    pub(in crate::tls) fn server(config: &Arc<ServerConfig>) -> Result<Self, HandshakeError> {
        Ok(Self::certificate(ServerConnection::new(Arc::clone(config))?.into()))
    }

    fn certificate(mut connection: Connection) -> Self {
        limit(&mut connection);
        Self::Certificate(Box::new(connection))
    }
}

/// Whom the certificate that the other end showed names; `None` if it showed none.
pub(in crate::tls) fn proven_name(connection: &Connection) -> Result<Option<Arc<str>>, HandshakeError> {
    let Some(certificate) = connection.peer_certificates().and_then(<[_]>::first) else { return Ok(None) };
    name_of(certificate).map(Some).ok_or(HandshakeError::Nameless)
}

pub(super) fn shake(connection: &mut Connection, mut received: &[u8]) -> Result<bool, HandshakeError> {
    while !received.is_empty() {
        connection.read_tls(&mut received).map_err(HandshakeError::Broken)?;
        connection.process_new_packets()?;
    }
    Ok(!connection.is_handshaking())
}

pub(super) fn open(connection: &mut Connection, buffer: &mut BytesMut) -> io::Result<usize> {
    // What came before a defect is good, and comes first. The defect comes up again with the next call.
    let processed = connection.process_new_packets();
    let before = buffer.len();
    let mut reader = connection.reader();
    let end = loop {
        match reader.fill_buf() {
            Ok([]) => break Ok(0),
            Ok(chunk) => {
                let count = chunk.len();
                buffer.extend_from_slice(chunk);
                reader.consume(count);
            }
            Err(error) => break Err(error),
        }
    };
    match buffer.len() - before {
        0 => {
            processed.map_err(HandshakeError::from)?;
            end
        }
        count => Ok(count),
    }
}
