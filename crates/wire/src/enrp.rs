//! The 10 messages of ENRP (RFC 5353 §2), between registrars.
mod decode;
mod encode;

pub use decode::decode;
pub use encode::{TableResponseWriter, encode_handle_update};

use crate::cause::OperationError;
use crate::element::{PoolElement, ServerInformation};
use crate::handle::PoolHandle;
use crate::identifier::ServerId;
use crate::owner::ElementOwner;

/// The 8-bit message types (RFC 5353, figure 1).
pub(crate) mod message_type {
    pub(crate) const PRESENCE: u8 = 0x01;
    pub(crate) const HANDLE_TABLE_REQUEST: u8 = 0x02;
    pub(crate) const HANDLE_TABLE_RESPONSE: u8 = 0x03;
    pub(crate) const HANDLE_UPDATE: u8 = 0x04;
    pub(crate) const LIST_REQUEST: u8 = 0x05;
    pub(crate) const LIST_RESPONSE: u8 = 0x06;
    pub(crate) const INIT_TAKEOVER: u8 = 0x07;
    pub(crate) const INIT_TAKEOVER_ACK: u8 = 0x08;
    pub(crate) const TAKEOVER_SERVER: u8 = 0x09;
    pub(crate) const ERROR: u8 = 0x0a;
}

/// The first flag: W, R or "reply required" by message type.
pub(crate) const FLAG: u8 = 0x01;
/// The M flag of a handle table response.
pub(crate) const MORE: u8 = 0x02;

/// Any ENRP message: who sent it, to whom, and what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message<'a> {
    /// The registrar that sends the message.
    pub sender: ServerId,
    /// The registrar that it is for; [`ServerId::NONE`] in announcements.
    pub receiver: ServerId,
    /// What it says.
    pub body: Body<'a>,
}

/// What an ENRP message says.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each variant is the struct of its name")]
pub enum Body<'a> {
    Presence(Presence),
    HandleTableRequest(HandleTableRequest),
    HandleTableResponse(HandleTableResponse<'a>),
    HandleUpdate(HandleUpdate<'a>),
    ListRequest,
    ListResponse(ListResponse),
    InitTakeover(InitTakeover),
    InitTakeoverAck(InitTakeoverAck),
    TakeoverServer(TakeoverServer),
    Error(ErrorReport<'a>),
}

/// ENRP_PRESENCE (§2.1): a heartbeat, a probe, or the answer to one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Presence {
    /// The receiver must answer with a presence of its own. The RFC names this flag but draws no bit for it; 0x01 is what
    /// implementations use.
    pub reply_required: bool,
    /// The checksum over the elements that the sender owns (§3.6.2).
    pub checksum: Option<u16>,
    /// Where the sender can be reached.
    pub information: Option<ServerInformation>,
}

/// ENRP_HANDLE_TABLE_REQUEST (§2.2): asks for the handlespace, or for its next part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HandleTableRequest {
    /// The W flag: only the elements that the receiver owns.
    pub own_children_only: bool,
}

/// ENRP_HANDLE_TABLE_RESPONSE (§2.3): a part of the handlespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HandleTableResponse<'a> {
    /// The R flag: the request was rejected.
    pub rejected: bool,
    /// The M flag: there is more to ask for.
    pub more: bool,
    /// The pools, or parts of pools, of this part.
    pub entries: Vec<PoolEntry<'a>>,
}

/// A pool and elements of it, in a [`HandleTableResponse`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolEntry<'a> {
    /// The pool.
    pub pool_handle: PoolHandle<'a>,
    /// One or more of its elements.
    pub elements: Vec<TableElement<'a>>,
}

/// An element in a [`PoolEntry`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableElement<'a> {
    /// The element.
    pub element: PoolElement,
    /// Whose it is, where the sender knows and tells: an extension.
    pub owner: Option<ElementOwner<'a>>,
}

/// An element of nobody in particular.
impl From<PoolElement> for TableElement<'_> {
    fn from(element: PoolElement) -> Self {
        Self { element, owner: None }
    }
}

/// ENRP_HANDLE_UPDATE (§2.4): an element was added, changed or removed by its home.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HandleUpdate<'a> {
    /// What happened.
    pub action: UpdateAction,
    /// Flag 0x01, an extension of the reference implementation: the sender suggests that the receiver take the element over.
    pub takeover_suggested: bool,
    /// The pool.
    pub pool_handle: PoolHandle<'a>,
    /// The element.
    pub element: PoolElement,
    /// Whose it is, where the sender knows and tells: an extension.
    pub owner: Option<ElementOwner<'a>>,
}

/// What a [`HandleUpdate`] asks for (§2.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum UpdateAction {
    /// ADD_PE: add the element or replace its attributes.
    Add = 0,
    /// DEL_PE: remove the element.
    Delete = 1,
}

/// ENRP_LIST_RESPONSE (§2.6): the registrars that the sender knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListResponse {
    /// The R flag: the request was rejected.
    pub rejected: bool,
    /// The registrars.
    pub servers: Vec<ServerInformation>,
}

/// ENRP_INIT_TAKEOVER (§2.7): the sender wants to take over the elements of `target`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InitTakeover {
    /// The registrar that seems dead.
    pub target: ServerId,
}

/// ENRP_INIT_TAKEOVER_ACK (§2.8): the sender does not object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InitTakeoverAck {
    /// The registrar that seems dead.
    pub target: ServerId,
}

/// ENRP_TAKEOVER_SERVER (§2.9): the sender has taken over the elements of `target`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TakeoverServer {
    /// The registrar that is dead.
    pub target: ServerId,
}

/// ENRP_ERROR (§2.10).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErrorReport<'a> {
    /// What was wrong.
    pub error: OperationError<'a>,
}

impl Body<'_> {
    /// The name that the RFC gives to the message, for logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Presence(_) => "ENRP_PRESENCE",
            Self::HandleTableRequest(_) => "ENRP_HANDLE_TABLE_REQUEST",
            Self::HandleTableResponse(_) => "ENRP_HANDLE_TABLE_RESPONSE",
            Self::HandleUpdate(_) => "ENRP_HANDLE_UPDATE",
            Self::ListRequest => "ENRP_LIST_REQUEST",
            Self::ListResponse(_) => "ENRP_LIST_RESPONSE",
            Self::InitTakeover(_) => "ENRP_INIT_TAKEOVER",
            Self::InitTakeoverAck(_) => "ENRP_INIT_TAKEOVER_ACK",
            Self::TakeoverServer(_) => "ENRP_TAKEOVER_SERVER",
            Self::Error(_) => "ENRP_ERROR",
        }
    }
}
