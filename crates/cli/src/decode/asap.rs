//! ASAP messages as JSON (RFC 5352 §2.2).
use bytes::BytesMut;
use rserpool::wire::asap::{Message, decode};
use rserpool::wire::{DecodeError, Dialect, OperationError, PeIdentifier, PoolElement, PoolHandle, ServerId};
use serde_json::Value;

use super::finish;
use crate::values::{self, Object};

/// Every field of the message.
pub(super) fn meaning(bytes: &[u8], dialect: Dialect) -> Result<Object, DecodeError> {
    let decoded = decode(bytes, dialect)?;
    let message = &decoded.message;
    let mut fields = Fields::default();
    fields.put("protocol", "asap");
    fields.put("message", message.name());
    fields.message(message);
    let mut buffer = BytesMut::new();
    let reencoded = message.encode(dialect, &mut buffer).map(|()| hex::encode(&buffer));
    finish(&mut fields.0, &decoded.unrecognized, reencoded);
    Ok(fields.0)
}

#[derive(Default)]
struct Fields(Object);

impl Fields {
    fn message(&mut self, message: &Message<'_>) {
        match message {
            Message::Registration(m) => {
                self.pool_handle(&m.pool_handle);
                self.put("element", values::element(&m.element));
            }
            Message::Deregistration(m) => self.pool_handle(&m.pool_handle).identifier(m.identifier),
            Message::RegistrationResponse(m) => {
                self.put("rejected", m.rejected);
                self.pool_handle(&m.pool_handle).identifier(m.identifier);
                self.error(m.error.as_ref());
            }
            Message::DeregistrationResponse(m) => {
                self.pool_handle(&m.pool_handle).identifier(m.identifier);
                self.error(m.error.as_ref());
            }
            Message::HandleResolution(m) => {
                self.put("subscribe", m.subscribe);
                self.pool_handle(&m.pool_handle);
                if let Some(items) = m.items {
                    self.put("items", items);
                }
            }
            Message::HandleResolutionResponse(m) => {
                self.put("accept_updates", m.accept_updates);
                self.pool_handle(&m.pool_handle);
                if let Some(policy) = &m.policy {
                    self.put("policy", values::policy(policy));
                }
                self.elements(&m.elements);
                self.error(m.error.as_ref());
            }
            Message::EndpointKeepAlive(m) => {
                self.put("home", m.home);
                self.server(m.server);
                self.pool_handle(&m.pool_handle);
                if let Some(identifier) = m.identifier {
                    self.identifier(identifier);
                }
            }
            Message::EndpointKeepAliveAck(m) => self.pool_handle(&m.pool_handle).identifier(m.identifier),
            Message::EndpointUnreachable(m) => self.pool_handle(&m.pool_handle).identifier(m.identifier),
            Message::ServerAnnounce(m) => {
                self.server(m.server);
                self.put("transports", m.transports.iter().map(values::transport).collect::<Value>());
            }
            Message::Cookie(m) => self.put("cookie", hex::encode(m.cookie)),
            Message::CookieEcho(m) => self.put("cookie", hex::encode(m.cookie)),
            Message::BusinessCard(m) => {
                self.pool_handle(&m.pool_handle);
                self.elements(&m.elements);
            }
            Message::Error(m) => self.error(Some(&m.error)),
            // A message that this command was not taught yet still shows its name and its bytes.
            _ => {}
        }
    }

    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.into(), value.into());
    }

    fn pool_handle(&mut self, handle: &PoolHandle<'_>) -> &mut Self {
        values::put_pool_handle(&mut self.0, handle);
        self
    }

    fn identifier(&mut self, identifier: PeIdentifier) {
        self.put("identifier", identifier.to_string());
    }

    fn server(&mut self, server: ServerId) {
        self.put("server", server.to_string());
    }

    fn elements(&mut self, elements: &[PoolElement]) {
        self.put("elements", elements.iter().map(values::element).collect::<Value>());
    }

    fn error(&mut self, error: Option<&OperationError<'_>>) {
        if let Some(error) = error {
            self.put("error_causes", values::operation_error(error));
        }
    }
}
