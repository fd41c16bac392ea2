//! What the clients of a measurement send: requests encoded once, to be sent over and over.
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rserpool::transport;
use rserpool::wire::asap::{self, Message};
use rserpool::wire::{
    Dialect, PeIdentifier, Policy, PoolElement as Element, PoolHandle, RegistrationLife, ServerId, Transport,
};
use rserpool::{PoolElement, TimerProfile};
use tokio::time::timeout;

use super::Measurement;
use crate::failure::Failure;

/// ASAP_HANDLE_RESOLUTION_RESPONSE (RFC 5352 §2.2).
const HANDLE_RESOLUTION_RESPONSE: u8 = 0x06;
/// ASAP_REGISTRATION_RESPONSE.
const REGISTRATION_RESPONSE: u8 = 0x03;

/// The pool of a measurement that brings its own.
const POOL: &str = "rserpool-bench";
/// Where its elements claim to serve: nobody goes there (RFC 5737).
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 7);
/// How long the registrar may take for a single answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one client sends.
pub(super) struct Script {
    /// The requests, all of the same length, twice in a row: so that any run of them is one slice.
    pub(super) requests: Bytes,
    /// How long one request is.
    pub(super) request_length: usize,
    /// The message type that answers a request.
    pub(super) response: u8,
    /// What to answer a keep-alive with.
    pub(super) keep_alive_acks: Bytes,
    /// What to say at the end.
    pub(super) farewell: Bytes,
}

/// Every client asks for the same pool.
pub(super) fn resolve(
    measurement: &Measurement,
    pool_handle: &PoolHandle<'_>,
    items: Option<u32>,
) -> Result<Script, Failure> {
    let request = resolution(pool_handle, items);
    let requests = encode(measurement.dialect, vec![request; measurement.pipeline as usize])?;
    Ok(Script::new(measurement, requests, HANDLE_RESOLUTION_RESPONSE))
}

/// Each client registers elements of its own, one for each outstanding request.
pub(super) fn register(measurement: &Measurement, client: u32) -> Result<Script, Failure> {
    let pool_handle = || PoolHandle::from(POOL);
    let first = client.wrapping_mul(measurement.pipeline);
    let identifiers = || (0..measurement.pipeline).map(|slot| PeIdentifier(first.wrapping_add(slot)));
    let registration = |identifier| {
        let element = Element {
            identifier,
            home: ServerId::NONE,
            life: RegistrationLife::Finite(Duration::from_secs(300)),
            user_transport: Transport::Tcp(NOWHERE),
            policy: Policy::RoundRobin,
            asap_transport: None,
        };
        Message::from(asap::Registration { pool_handle: pool_handle(), element })
    };
    let acks = identifiers()
        .map(|identifier| asap::EndpointKeepAliveAck { pool_handle: pool_handle(), identifier }.into());
    let farewell = identifiers()
        .map(|identifier| asap::Deregistration { pool_handle: pool_handle(), identifier }.into());
    let requests = encode(measurement.dialect, identifiers().map(registration))?;
    Ok(Script {
        keep_alive_acks: encode(measurement.dialect, acks)?,
        farewell: encode(measurement.dialect, farewell)?,
        ..Script::new(measurement, requests, REGISTRATION_RESPONSE)
    })
}

impl Script {
    fn new(measurement: &Measurement, requests: Bytes, response: u8) -> Self {
        let request_length = requests.len() / measurement.pipeline as usize;
        Self {
            requests: [&requests[..], &requests[..]].concat().into(),
            request_length,
            response,
            keep_alive_acks: Bytes::new(),
            farewell: Bytes::new(),
        }
    }
}

fn encode<'a>(dialect: Dialect, messages: impl IntoIterator<Item = Message<'a>>) -> Result<Bytes, Failure> {
    let mut buffer = BytesMut::new();
    for message in messages {
        message.encode(dialect, &mut buffer)?;
    }
    Ok(buffer.freeze())
}

fn resolution<'a>(pool_handle: &'a PoolHandle<'_>, items: Option<u32>) -> Message<'a> {
    asap::HandleResolution { pool_handle: pool_handle.borrowed(), subscribe: false, items }.into()
}

/// The pool to resolve, and the elements in it that are there for the measurement alone.
pub(super) struct Pool {
    handle: PoolHandle<'static>,
    elements: Vec<PoolElement>,
}

impl Pool {
    /// Takes the existing pool, which must not be empty, or makes one.
    pub(super) async fn find(
        measurement: &Measurement,
        existing: Option<String>,
        elements: u32,
    ) -> Result<Self, Failure> {
        let mut pool =
            Self { handle: existing.clone().unwrap_or_else(|| POOL.to_owned()).into(), elements: Vec::new() };
        if existing.is_none() {
            // Why there is no link is told here; the elements would only go on trying.
            transport::connect(&measurement.registrar, &measurement.links()?).await?;
            let security = measurement.security()?;
            for _ in 0..elements {
                let mut element = PoolElement::builder(pool.handle.clone())
                    .registrars([measurement.registrar.clone()])
                    .dialect(measurement.dialect)
                    .timers(TimerProfile::Fast)
                    .transport(NOWHERE);
                if let Some(security) = &security {
                    element = element.security(security.clone());
                }
                pool.elements.push(element.register().await?);
            }
        }
        match timeout(PATIENCE, pool.check(measurement)).await {
            Ok(checked) => checked.map(|()| pool),
            Err(_) => Err(Failure::new(format!("{}: no answer within {PATIENCE:?}", measurement.registrar))),
        }
    }

    pub(super) const fn handle(&self) -> &PoolHandle<'static> {
        &self.handle
    }

    /// Takes the elements out again.
    pub(super) async fn leave(self) {
        for element in self.elements {
            element.deregister().await;
        }
    }

    /// Whether the registrar knows the pool: what is measured shall be good answers.
    async fn check(&self, measurement: &Measurement) -> Result<(), Failure> {
        let (mut reader, writer) =
            transport::connect(&measurement.registrar, &measurement.links()?).await?.split();
        let queue = writer.queue();
        let writing = tokio::spawn(writer.run());
        queue.push(encode(measurement.dialect, [resolution(&self.handle, None)])?)?;
        queue.try_flush();
        while reader.fill().await? {
            if let Some(message) = reader.next_message()? {
                let error = match asap::decode(message, measurement.dialect)?.message {
                    Message::HandleResolutionResponse(response) => response.error,
                    Message::Error(report) => Some(report.error),
                    _ => continue,
                };
                writing.abort();
                return error
                    .map_or(Ok(()), |error| Err(Failure::new(format!("pool {}: {error}", self.handle))));
            }
        }
        Err(Failure::new(format!("{}: the registrar closed the connection", measurement.registrar)))
    }
}
