//! How a registrar that the tester plays behaves by itself: it answers presences and table requests, and agrees to take-overs
//! of others, so that cases which run side by side do not hold each other up.
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use rserpool_wire::enrp::{
    self, Body, HandleTableResponse, InitTakeoverAck, ListResponse, Message, PoolEntry, Presence,
};
use rserpool_wire::{Dialect, PeIdentifier, PoolElement, PoolHandle, ServerId, ServerInformation, Transport};

use crate::checksum::checksum;
use crate::line::Manners;

/// An element, and its pool.
pub(crate) type Entry = (PoolHandle<'static>, PoolElement);

/// How table requests are answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Table {
    /// With all own elements at once.
    Whole,
    /// With one element per response.
    Parts,
    /// With the R flag.
    Rejected,
}

/// The behaviour of one peer.
pub(crate) struct Conduct {
    id: ServerId,
    dialect: Dialect,
    /// Where the peer can be reached.
    transport: Option<Transport>,
    state: Mutex<State>,
}

struct State {
    mute: bool,
    table: Table,
    /// How many elements of a download in parts have been sent.
    sent: usize,
    own: Vec<Entry>,
    /// The targets of take-overs that are not agreed to.
    withheld: BTreeSet<ServerId>,
}

impl Conduct {
    pub(crate) fn new(id: ServerId, dialect: Dialect, transport: Option<Transport>) -> Self {
        let (own, withheld) = (Vec::new(), BTreeSet::new());
        let state = State { mute: false, table: Table::Whole, sent: 0, own, withheld };
        Self { id, dialect, transport, state: Mutex::new(state) }
    }

    pub(crate) fn set_mute(&self, mute: bool) {
        self.state().mute = mute;
    }

    pub(crate) fn withhold(&self, target: ServerId) {
        self.state().withheld.insert(target);
    }

    pub(crate) fn serve_table(&self, table: Table) {
        self.state().table = table;
    }

    /// Adds an own element, or replaces it.
    pub(crate) fn own(&self, entry: Entry) {
        self.disown(&entry.0, entry.1.identifier);
        self.state().own.push(entry);
    }

    pub(crate) fn disown(&self, pool_handle: &PoolHandle<'_>, identifier: PeIdentifier) {
        self.state().own.retain(|(pool, element)| pool != pool_handle || element.identifier != identifier);
    }

    /// A presence with the checksum over all own elements.
    pub(crate) fn presence(&self, reply_required: bool) -> Presence {
        let state = self.state();
        let own = state.own.iter().map(|(pool_handle, element)| (pool_handle, element.identifier));
        let information = self.transport.clone();
        Presence {
            reply_required,
            checksum: Some(checksum(own)),
            information: information.map(|transport| ServerInformation { identifier: self.id, transport }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer_to(&self, body: &Body<'_>) -> Option<Body<'static>> {
        match body {
            Body::Presence(presence) if presence.reply_required => Some(Body::Presence(self.presence(false))),
            Body::InitTakeover(init) if init.target == self.id => Some(Body::Presence(self.presence(false))),
            Body::InitTakeover(init) if !self.state().withheld.contains(&init.target) => {
                Some(Body::InitTakeoverAck(InitTakeoverAck { target: init.target }))
            }
            Body::ListRequest => {
                Some(Body::ListResponse(ListResponse { rejected: false, servers: Vec::new() }))
            }
            Body::HandleTableRequest(_) => Some(Body::HandleTableResponse(self.state().next_part())),
            _ => None,
        }
    }
}

impl State {
    fn next_part(&mut self) -> HandleTableResponse<'static> {
        let (from, to) = match self.table {
            Table::Whole => (0, self.own.len()),
            Table::Parts => (self.sent, (self.sent + 1).min(self.own.len())),
            Table::Rejected => {
                return HandleTableResponse { rejected: true, more: false, entries: Vec::new() };
            }
        };
        let more = to < self.own.len();
        self.sent = if more { to } else { 0 };
        let part = self.own.get(from..to).unwrap_or_default();
        let entries = part.iter().map(|(pool_handle, element)| PoolEntry {
            pool_handle: pool_handle.clone(),
            elements: vec![element.clone().into()],
        });
        HandleTableResponse { rejected: false, more, entries: entries.collect() }
    }
}

impl Manners for Conduct {
    fn answer(&self, message: &[u8]) -> Vec<Bytes> {
        if self.state().mute {
            return Vec::new();
        }
        let Ok(decoded) = enrp::decode(message, self.dialect) else { return Vec::new() };
        let Message { sender, body, .. } = decoded.message;
        let answer = self.answer_to(&body);
        let message = |body| Message { sender: self.id, receiver: sender, body };
        answer.map(|body| encode(&message(body), self.dialect)).into_iter().collect()
    }
}

/// A message as bytes.
pub(crate) fn encode(message: &Message<'_>, dialect: Dialect) -> Bytes {
    let mut buffer = BytesMut::new();
    // What cases send fits a message; should it not, nothing goes out, and the answer is missed.
    let _ = message.encode(dialect, &mut buffer);
    buffer.freeze()
}
