//! A client that says whatever it likes over a link of its own.
use bytes::{Bytes, BytesMut};
use rserpool::machine::Protocol;
use rserpool::transport::{LinkConfig, LinkReader, Security, SendQueue, TransportError, connect};
use rserpool::wire::asap::{self, Message};
use rserpool::wire::{CauseCode, OperationError, PoolElement, enrp};
use rserpool::{Dialect, Endpoint, PeIdentifier, Policy, PoolHandle, RegistrationLife, ServerId, Transport};
use tokio::time::timeout;

use crate::support::PATIENCE;

/// One end of a link.
pub(crate) struct Raw {
    reader: LinkReader,
    queue: SendQueue,
}

impl Raw {
    /// A link for ASAP.
    pub(crate) async fn connect(
        endpoint: &Endpoint,
        security: Option<Security>,
    ) -> Result<Self, TransportError> {
        Self::speak(Protocol::Asap, endpoint, security).await
    }

    pub(crate) async fn speak(
        protocol: Protocol,
        endpoint: &Endpoint,
        security: Option<Security>,
    ) -> Result<Self, TransportError> {
        let config = LinkConfig { security, protocol, ..LinkConfig::default() };
        let (reader, writer) = connect(endpoint, &config).await?.split();
        let queue = writer.queue();
        tokio::spawn(writer.run());
        Ok(Self { reader, queue })
    }

    pub(crate) fn send<'a>(&self, message: impl Into<Message<'a>>) {
        let mut buffer = BytesMut::new();
        message.into().encode(Dialect::Rfc, &mut buffer).expect("it fits");
        self.send_bytes(buffer.freeze());
    }

    pub(crate) fn send_enrp(&self, sender: ServerId, body: enrp::Body<'_>) {
        let mut buffer = BytesMut::new();
        let message = enrp::Message { sender, receiver: ServerId::NONE, body };
        message.encode(Dialect::Rfc, &mut buffer).expect("it fits");
        self.send_bytes(buffer.freeze());
    }

    fn send_bytes(&self, bytes: Bytes) {
        // A link that has ended shows when it is read.
        let _ = self.queue.push(bytes);
        self.queue.try_flush();
    }

    /// The next message; `None` once the link has ended.
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        let next = async {
            loop {
                match self.reader.next_message() {
                    Ok(Some(message)) => return Some(message.to_vec()),
                    Ok(None) => {}
                    Err(_) => return None,
                }
                if !matches!(self.reader.fill().await, Ok(true)) {
                    return None;
                }
            }
        };
        timeout(PATIENCE, next).await.expect("an answer or the end in time")
    }

    /// The next message that is no keep-alive.
    pub(crate) async fn answer(&mut self) -> Vec<u8> {
        loop {
            let message = self.next().await.expect("an answer");
            if !matches!(decode(&message), Message::EndpointKeepAlive(_)) {
                return message;
            }
        }
    }

    /// Registers, and says why that was rejected.
    pub(crate) async fn register(&mut self, pool: &str, element: PoolElement) -> Result<(), CauseCode> {
        self.send(registration(pool, element));
        let answer = self.answer().await;
        match decode(&answer) {
            Message::RegistrationResponse(response) if response.rejected => Err(cause(response.error)),
            Message::RegistrationResponse(_) => Ok(()),
            other => panic!("{other:?}"),
        }
    }

    /// Deregisters, and says why that was rejected.
    pub(crate) async fn deregister(&mut self, pool: &str, identifier: PeIdentifier) -> Result<(), CauseCode> {
        self.send(asap::Deregistration { pool_handle: PoolHandle::from(pool), identifier });
        let answer = self.answer().await;
        match decode(&answer) {
            Message::DeregistrationResponse(response) => match response.error {
                Some(error) => Err(cause(Some(error))),
                None => Ok(()),
            },
            other => panic!("{other:?}"),
        }
    }

    /// Resolves, and says how many elements there are or why there are none.
    pub(crate) async fn resolve(&mut self, pool: &str) -> Result<usize, CauseCode> {
        let pool_handle = PoolHandle::from(pool);
        self.send(asap::HandleResolution { pool_handle, subscribe: false, items: None });
        let answer = self.answer().await;
        match decode(&answer) {
            Message::HandleResolutionResponse(response) => match response.error {
                Some(error) => Err(cause(Some(error))),
                None => Ok(response.elements.len()),
            },
            other => panic!("{other:?}"),
        }
    }

    /// Says nothing more, and waits for the end of the link.
    pub(crate) async fn ends(mut self) {
        while self.next().await.is_some() {}
    }
}

pub(crate) fn decode(message: &[u8]) -> Message<'_> {
    asap::decode(message, Dialect::Rfc).expect("a well-formed answer").message
}

fn cause(error: Option<OperationError<'_>>) -> CauseCode {
    error.and_then(|error| error.causes.first().map(|cause| cause.code)).expect("a cause")
}

pub(crate) fn registration(pool: &str, element: PoolElement) -> asap::Registration<'_> {
    asap::Registration { pool_handle: PoolHandle::from(pool), element }
}

/// An element at this port of this host.
pub(crate) fn element(identifier: u32, port: u16) -> PoolElement {
    element_at(identifier, &format!("127.0.0.1:{port}"))
}

pub(crate) fn element_at(identifier: u32, address: &str) -> PoolElement {
    PoolElement {
        identifier: PeIdentifier(identifier),
        home: ServerId::NONE,
        life: RegistrationLife::Infinite,
        user_transport: Transport::Tcp(address.parse().expect("an address")),
        policy: Policy::RoundRobin,
        asap_transport: None,
    }
}
