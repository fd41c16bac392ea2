//! ENRP messages as JSON (RFC 5353 §2).
use bytes::BytesMut;
use rserpool::wire::enrp::{Body, PoolEntry, UpdateAction, decode};
use rserpool::wire::{DecodeError, Dialect, ElementOwner, PoolElement, ServerId};
use serde_json::Value;

use super::finish;
use crate::values::{self, Object};

/// Every field of the message.
pub(super) fn meaning(bytes: &[u8], dialect: Dialect) -> Result<Object, DecodeError> {
    let decoded = decode(bytes, dialect)?;
    let message = &decoded.message;
    let mut fields = Fields::default();
    fields.put("protocol", "enrp");
    fields.put("message", message.body.name());
    fields.server("sender", message.sender);
    fields.server("receiver", message.receiver);
    fields.body(&message.body);
    let mut buffer = BytesMut::new();
    let reencoded = message.encode(dialect, &mut buffer).map(|()| hex::encode(&buffer));
    finish(&mut fields.0, &decoded.unrecognized, reencoded);
    Ok(fields.0)
}

#[derive(Default)]
struct Fields(Object);

impl Fields {
    fn body(&mut self, body: &Body<'_>) {
        match body {
            Body::Presence(m) => {
                self.put("reply_required", m.reply_required);
                if let Some(checksum) = m.checksum {
                    self.put("checksum", format!("{checksum:04x}"));
                }
                if let Some(information) = &m.information {
                    self.put("server_information", values::server_information(information));
                }
            }
            Body::HandleTableRequest(m) => self.put("own_children_only", m.own_children_only),
            Body::HandleTableResponse(m) => {
                self.put("rejected", m.rejected);
                self.put("more", m.more);
                self.put("pools", m.entries.iter().map(pool).collect::<Value>());
            }
            Body::HandleUpdate(m) => {
                let action = match m.action {
                    UpdateAction::Add => "ADD_PE",
                    UpdateAction::Delete => "DEL_PE",
                };
                self.put("action", action);
                self.put("takeover_suggested", m.takeover_suggested);
                values::put_pool_handle(&mut self.0, &m.pool_handle);
                self.put("element", element(&m.element, m.owner.as_ref()));
            }
            Body::ListRequest => {}
            Body::ListResponse(m) => {
                self.put("rejected", m.rejected);
                self.put("servers", m.servers.iter().map(values::server_information).collect::<Value>());
            }
            Body::InitTakeover(m) => self.server("target", m.target),
            Body::InitTakeoverAck(m) => self.server("target", m.target),
            Body::TakeoverServer(m) => self.server("target", m.target),
            Body::Error(m) => self.put("error_causes", values::operation_error(&m.error)),
            // A message that this command was not taught yet still shows its name and its bytes.
            _ => {}
        }
    }

    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.into(), value.into());
    }

    fn server(&mut self, name: &str, server: ServerId) {
        self.put(name, server.to_string());
    }
}

fn pool(entry: &PoolEntry<'_>) -> Value {
    let mut object = Object::new();
    values::put_pool_handle(&mut object, &entry.pool_handle);
    let elements = entry.elements.iter().map(|listed| element(&listed.element, listed.owner.as_ref()));
    object.insert("elements".into(), elements.collect());
    object.into()
}

/// The element, with whose it is where that is told.
fn element(element: &PoolElement, owner: Option<&ElementOwner<'_>>) -> Value {
    let mut value = values::element(element);
    if let (Some(owner), Value::Object(fields)) = (owner, &mut value) {
        fields.insert("owner".into(), owner.as_str().into());
    }
    value
}
