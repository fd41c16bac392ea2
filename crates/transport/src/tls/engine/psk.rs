//! Handshakes by pre-shared keys, by s2n-tls: TLS 1.3 with ephemeral keys (`psk_dhe_ke`, RFC 8446 §4.2.9).
//!
//! s2n-tls wants a stream to work on. It gets one in memory, so that it never waits, and this is as free of I/O as rustls. A
//! server has no certificate here: a client without the key has nothing to fall back to.
use std::io::{self, IoSlice, Read, Write};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, BytesMut};
use s2n_tls::config::Config;
use s2n_tls::connection::{Builder, Connection as S2n};
use s2n_tls::enums::{Mode, PskHmac};
use s2n_tls::error::{Error, ErrorType};
use s2n_tls::psk::Psk;
use s2n_tls::security::Policy;
use s2n_tls_tokio::{TlsAcceptor, TlsConnector, TlsStream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::Engine;
use crate::tls::alert;
use crate::tls::error::{HandshakeError, SecurityError};
use crate::tls::key::PreSharedKey;

/// TLS 1.3 only, its three AEAD suites, P-256, X25519 and P-384.
const POLICY: &str = "AWS-CRT-SDK-TLSv1.3-2023";
/// How much of the network's bytes is taken with one read.
const READ: usize = 8 << 10;
/// How much of its buffers an idle link keeps.
const KEPT: usize = 16 << 10;

/// What all conversations have in common.
#[derive(Clone)]
pub(crate) struct Settings(Config);

impl Settings {
    pub(in crate::tls) fn new() -> Result<Self, SecurityError> {
        let build = || -> Result<Config, Error> {
            let mut builder = Config::builder();
            builder.set_security_policy(&Policy::from_version(POLICY)?)?;
            // No certificate is ever good enough here: who answers without the key is refused.
            builder.with_system_certs(false)?;
            // Delays of failures hide what CBC suites give away by their timing. There are none of these here, and a link
            // that fails shall fail at once.
            builder.set_max_blinding_delay(0)?;
            builder.build()
        };
        build().map(Self).map_err(|error| SecurityError::Psk { problem: describe(&error) })
    }
}

/// One end of a conversation.
pub(in crate::tls) struct Connection {
    wire: Wire,
    stage: Stage,
    key: PreSharedKey,
    mode: Mode,
    /// What is wrong after the bytes that were handed out last.
    failure: Option<io::Error>,
}

type Shaking = Pin<Box<dyn Future<Output = Result<TlsStream<Wire>, Error>> + Send>>;

enum Stage {
    Shaking(Shaking),
    Up(TlsStream<Wire>),
    Failed,
}

impl Engine {
    /// The client's end of a conversation with a server that knows `key`.
    pub(in crate::tls) fn psk_client(settings: &Settings, key: PreSharedKey) -> Result<Self, HandshakeError> {
        let (wire, builder) = (Wire::default(), Keyed::new(settings, &key)?);
        let stream = wire.clone();
        // Without a name, none is sent: there is no certificate to choose by it.
        let shaking = async move { TlsConnector::new(builder).connect("", stream).await };
        Ok(Self::psk(wire, Box::pin(shaking), key, Mode::Client))
    }

    /// The server's end of a conversation with a client that offers `key`.
    pub(in crate::tls) fn psk_server(settings: &Settings, key: PreSharedKey) -> Result<Self, HandshakeError> {
        let (wire, builder) = (Wire::default(), Keyed::new(settings, &key)?);
        let stream = wire.clone();
        let shaking = async move { TlsAcceptor::new(builder).accept(stream).await };
        Ok(Self::psk(wire, Box::pin(shaking), key, Mode::Server))
    }

    fn psk(wire: Wire, shaking: Shaking, key: PreSharedKey, mode: Mode) -> Self {
        Self::Psk(Box::new(Connection { wire, stage: Stage::Shaking(shaking), key, mode, failure: None }))
    }
}

impl Connection {
    pub(super) fn shake(&mut self, received: &[u8]) -> Result<bool, HandshakeError> {
        self.wire.pipes().incoming.extend_from_slice(received);
        let Stage::Shaking(shaking) = &mut self.stage else {
            return Ok(matches!(self.stage, Stage::Up(_)));
        };
        match shaking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(stream)) => {
                let proven = has_proven(stream.as_ref(), &self.key);
                self.stage = if proven { Stage::Up(stream) } else { Stage::Failed };
                proven.then_some(true).ok_or_else(|| self.not_taken())
            }
            Poll::Ready(Err(error)) => {
                self.stage = Stage::Failed;
                Err(self.explain(&error, received))
            }
        }
    }

    pub(super) fn receive(&mut self, source: &mut dyn Read) -> io::Result<usize> {
        let mut pipes = self.wire.pipes();
        let before = pipes.incoming.len();
        pipes.incoming.resize(before + READ, 0);
        let result = source.read(pipes.incoming.get_mut(before..).unwrap_or_default());
        let count = result.as_ref().map_or(0, |count| *count);
        pipes.incoming.truncate(before + count);
        pipes.ended |= matches!(result, Ok(0));
        result
    }

    pub(super) fn open(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let Stage::Up(stream) = &mut self.stage else { return Err(io::ErrorKind::NotConnected.into()) };
        let mut cx = Context::from_waker(Waker::noop());
        let before = buffer.len();
        let end = loop {
            if buffer.capacity() == buffer.len() && buffer.len() > before {
                break Poll::Pending;
            }
            match pin!(stream.read_buf(buffer)).poll(&mut cx) {
                Poll::Ready(Ok(1..)) => {}
                end => break end,
            }
        };
        match (buffer.len() - before, end) {
            (0, Poll::Pending) => Err(io::ErrorKind::WouldBlock.into()),
            (0, Poll::Ready(end)) => end,
            (count, end) => {
                if let Poll::Ready(Err(error)) = end {
                    self.failure = Some(error);
                }
                Ok(count)
            }
        }
    }

    pub(super) fn seal(&mut self, slices: &[IoSlice<'_>], limit: usize) -> io::Result<usize> {
        let Stage::Up(stream) = &mut self.stage else { return Err(io::ErrorKind::NotConnected.into()) };
        let mut cx = Context::from_waker(Waker::noop());
        let mut sealed = 0;
        for slice in slices {
            let part = slice.get(..slice.len().min(limit - sealed)).unwrap_or_default();
            if part.is_empty() {
                continue;
            }
            match Pin::new(&mut *stream).poll_write(&mut cx, part) {
                Poll::Ready(result) => sealed += result?,
                Poll::Pending => {
                    return Err(io::Error::other("TLS waits for a stream that never makes it wait"));
                }
            }
        }
        Ok(sealed)
    }

    pub(super) fn send(&mut self, sink: &mut dyn Write) -> io::Result<()> {
        let mut pipes = self.wire.pipes();
        while !pipes.outgoing.is_empty() {
            match sink.write(&pipes.outgoing)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => pipes.outgoing.advance(count),
            }
        }
        pipes.shrink();
        Ok(())
    }

    pub(super) fn close(&mut self) {
        if let Stage::Up(stream) = &mut self.stage {
            // If it fails, the conversation is over already.
            let _ = Pin::new(stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }

    /// What a failed handshake means; s2n-tls has only codes for it, and closes as if nothing were wrong.
    fn explain(&self, error: &Error, received: &[u8]) -> HandshakeError {
        match (self.mode, error.name(), received) {
            (Mode::Server, "S2N_ERR_BAD_PSK_BINDER", _) => {
                // RFC 8446 §4.2.11: "the server MUST abort the handshake", with this alert by §6.2.
                let mut pipes = self.wire.pipes();
                pipes.outgoing.clear();
                pipes.outgoing.extend_from_slice(&alert::record(alert::DECRYPT_ERROR));
                HandshakeError::WrongKey { identity: self.key.identity().to_string() }
            }
            // Without the key, only a certificate could come next.
            (Mode::Client, name, _) if name.starts_with("S2N_ERR_CERT") => self.not_taken(),
            // Alerts that end a handshake this early are in the open.
            (_, _, [.., alert::CONTENT, 3, _, 0, 2, alert::FATAL, alert]) => HandshakeError::refused(*alert),
            _ if error.kind() == ErrorType::ConnectionClosed => HandshakeError::Closed,
            _ => HandshakeError::Protocol(describe(error)),
        }
    }

    fn not_taken(&self) -> HandshakeError {
        HandshakeError::KeyNotTaken { identity: self.key.identity().to_string() }
    }
}

/// Whether the handshake was by this key, and not by something that the other end only claims.
fn has_proven(connection: &S2n, key: &PreSharedKey) -> bool {
    let mut identity = vec![0; connection.negotiated_psk_identity_length().unwrap_or(0)];
    connection.negotiated_psk_identity(&mut identity).is_ok() && identity == key.offered()
}

fn describe(error: &Error) -> String {
    format!("{} ({})", error.message(), error.name())
}

/// Makes connections that know one key.
#[derive(Clone)]
struct Keyed {
    config: Config,
    key: Arc<Psk>,
}

impl Keyed {
    fn new(settings: &Settings, key: &PreSharedKey) -> Result<Self, HandshakeError> {
        let build = || -> Result<Psk, Error> {
            let mut builder = Psk::builder()?;
            builder.set_identity(key.offered())?;
            builder.set_secret(key.secret())?;
            // What a key is for unless both ends agreed on something else (RFC 8446 §4.2.11).
            builder.set_hmac(PskHmac::SHA256)?;
            builder.build()
        };
        let psk = build().map_err(|error| HandshakeError::Protocol(describe(&error)))?;
        Ok(Self { config: settings.0.clone(), key: Arc::new(psk) })
    }
}

impl Builder for Keyed {
    type Output = S2n;

    fn build_connection(&self, mode: Mode) -> Result<S2n, Error> {
        let mut connection = S2n::new(mode);
        connection.set_config(self.config.clone())?;
        connection.append_psk(&self.key)?;
        Ok(connection)
    }
}

/// A stream in memory, shared with the library that works on it.
#[derive(Clone, Default)]
struct Wire(Arc<Mutex<Pipes>>);

#[derive(Default)]
struct Pipes {
    incoming: BytesMut,
    /// Whether nothing more comes in.
    ended: bool,
    outgoing: BytesMut,
}

impl Wire {
    fn pipes(&self) -> MutexGuard<'_, Pipes> {
        // No code that holds the lock panics; if it did, the bytes would still be whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipes {
    /// Gives back memory after a burst.
    fn shrink(&mut self) {
        for pipe in [&mut self.incoming, &mut self.outgoing] {
            if pipe.is_empty() && pipe.capacity() > KEPT {
                *pipe = BytesMut::new();
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut pipes = self.pipes();
        if pipes.incoming.is_empty() && !pipes.ended {
            // Whoever polls does so again when more has come in; s2n-tls insists on a waker all the same.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let count = pipes.incoming.len().min(buffer.remaining());
        buffer.put_slice(pipes.incoming.get(..count).unwrap_or_default());
        pipes.incoming.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.pipes().outgoing.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
