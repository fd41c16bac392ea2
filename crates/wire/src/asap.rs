//! The 14 messages of ASAP (RFC 5352 §2.2), between pool elements, pool users and registrars.
mod decode;
mod encode;

pub use decode::decode;
pub use encode::ResolutionResponseWriter;

use crate::cause::OperationError;
use crate::element::PoolElement;
use crate::handle::PoolHandle;
use crate::identifier::{PeIdentifier, ServerId};
use crate::policy::Policy;
use crate::transport::Transport;

/// The 8-bit message types (RFC 5352, figure 1).
pub(crate) mod message_type {
    pub(crate) const REGISTRATION: u8 = 0x01;
    pub(crate) const DEREGISTRATION: u8 = 0x02;
    pub(crate) const REGISTRATION_RESPONSE: u8 = 0x03;
    pub(crate) const DEREGISTRATION_RESPONSE: u8 = 0x04;
    pub(crate) const HANDLE_RESOLUTION: u8 = 0x05;
    pub(crate) const HANDLE_RESOLUTION_RESPONSE: u8 = 0x06;
    pub(crate) const ENDPOINT_KEEP_ALIVE: u8 = 0x07;
    pub(crate) const ENDPOINT_KEEP_ALIVE_ACK: u8 = 0x08;
    pub(crate) const ENDPOINT_UNREACHABLE: u8 = 0x09;
    pub(crate) const SERVER_ANNOUNCE: u8 = 0x0a;
    pub(crate) const COOKIE: u8 = 0x0b;
    pub(crate) const COOKIE_ECHO: u8 = 0x0c;
    pub(crate) const BUSINESS_CARD: u8 = 0x0d;
    pub(crate) const ERROR: u8 = 0x0e;
}

/// The one flag that ASAP messages use: R, S, A or H by message type.
pub(crate) const FLAG: u8 = 0x01;

/// Any ASAP message.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each variant is the struct of its name")]
pub enum Message<'a> {
    Registration(Registration<'a>),
    Deregistration(Deregistration<'a>),
    RegistrationResponse(RegistrationResponse<'a>),
    DeregistrationResponse(DeregistrationResponse<'a>),
    HandleResolution(HandleResolution<'a>),
    HandleResolutionResponse(HandleResolutionResponse<'a>),
    EndpointKeepAlive(EndpointKeepAlive<'a>),
    EndpointKeepAliveAck(EndpointKeepAliveAck<'a>),
    EndpointUnreachable(EndpointUnreachable<'a>),
    ServerAnnounce(ServerAnnounce),
    Cookie(Cookie<'a>),
    CookieEcho(CookieEcho<'a>),
    BusinessCard(BusinessCard<'a>),
    Error(ErrorReport<'a>),
}

/// ASAP_REGISTRATION (§2.2.1): an element creates or joins a pool, or renews its registration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration<'a> {
    /// The pool to join.
    pub pool_handle: PoolHandle<'a>,
    /// The element.
    pub element: PoolElement,
}

/// ASAP_DEREGISTRATION (§2.2.2): an element leaves its pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deregistration<'a> {
    /// The pool to leave.
    pub pool_handle: PoolHandle<'a>,
    /// The element.
    pub identifier: PeIdentifier,
}

/// ASAP_REGISTRATION_RESPONSE (§2.2.3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegistrationResponse<'a> {
    /// The R flag: the registration was rejected.
    pub rejected: bool,
    /// The pool.
    pub pool_handle: PoolHandle<'a>,
    /// The element.
    pub identifier: PeIdentifier,
    /// Why it was rejected, or, where it was not, a warning that values were modified.
    pub error: Option<OperationError<'a>>,
}

/// ASAP_DEREGISTRATION_RESPONSE (§2.2.4): an answer, or the news that the registration life is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeregistrationResponse<'a> {
    /// The pool.
    pub pool_handle: PoolHandle<'a>,
    /// The element.
    pub identifier: PeIdentifier,
    /// Why the deregistration was rejected; absent where it was granted.
    pub error: Option<OperationError<'a>>,
}

/// ASAP_HANDLE_RESOLUTION (§2.2.5): asks for the elements of a pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HandleResolution<'a> {
    /// The pool.
    pub pool_handle: PoolHandle<'a>,
    /// The S bit: send further responses as the pool changes, while the link lasts.
    pub subscribe: bool,
    /// How many elements to return at most ([`HandleResolution::ALL_ITEMS`] for all), in an optional parameter that is
    /// an extension of the reference implementation. `None` leaves the parameter out and the number to the registrar.
    pub items: Option<u32>,
}

impl HandleResolution<'_> {
    /// All elements of the pool.
    pub const ALL_ITEMS: u32 = u32::MAX;
}

/// ASAP_HANDLE_RESOLUTION_RESPONSE (§2.2.6).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HandleResolutionResponse<'a> {
    /// The A bit: further responses will follow as the pool changes.
    pub accept_updates: bool,
    /// The pool.
    pub pool_handle: PoolHandle<'a>,
    /// The policy of the pool; absent means Round Robin.
    pub policy: Option<Policy>,
    /// Elements of the pool, in the order in which to use them; empty in a negative response.
    pub elements: Vec<PoolElement>,
    /// Present in a negative response: why.
    pub error: Option<OperationError<'a>>,
}

/// ASAP_ENDPOINT_KEEP_ALIVE (§2.2.7): a registrar checks that an element lives, or takes it over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointKeepAlive<'a> {
    /// The H flag: the sender wants to be the home of the receiver.
    pub home: bool,
    /// The sender.
    pub server: ServerId,
    /// The pool of the element.
    pub pool_handle: PoolHandle<'a>,
    /// The element, where several of one pool share a link: an extension of the reference implementation.
    pub identifier: Option<PeIdentifier>,
}

/// ASAP_ENDPOINT_KEEP_ALIVE_ACK (§2.2.8).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointKeepAliveAck<'a> {
    /// The pool of the element.
    pub pool_handle: PoolHandle<'a>,
    /// The element.
    pub identifier: PeIdentifier,
}

/// ASAP_ENDPOINT_UNREACHABLE (§2.2.9): a user reports that it cannot reach an element.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointUnreachable<'a> {
    /// The pool of the element.
    pub pool_handle: PoolHandle<'a>,
    /// The element.
    pub identifier: PeIdentifier,
}

/// ASAP_SERVER_ANNOUNCE (§2.2.10): a registrar says, by multicast, where it can be reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerAnnounce {
    /// The registrar.
    pub server: ServerId,
    /// Its ASAP transports, TCP or SCTP; where there are none, the source address of the datagram and the ASAP port.
    pub transports: Vec<Transport>,
}

/// ASAP_COOKIE (§2.2.11): an element hands its session state to the user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cookie<'a> {
    /// Of meaning to the elements of the pool alone.
    pub cookie: &'a [u8],
}

/// ASAP_COOKIE_ECHO (§2.2.12): a user hands the last cookie to the next element.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CookieEcho<'a> {
    /// The last cookie, unmodified.
    pub cookie: &'a [u8],
}

/// ASAP_BUSINESS_CARD (§2.2.13): the sender's pool, and which elements to prefer on fail-over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BusinessCard<'a> {
    /// The pool of the sender.
    pub pool_handle: PoolHandle<'a>,
    /// In the order of preference.
    pub elements: Vec<PoolElement>,
}

/// ASAP_ERROR (§2.2.14): the answer to an unknown or malformed message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErrorReport<'a> {
    /// What was wrong.
    pub error: OperationError<'a>,
}

impl Message<'_> {
    /// The name that the RFC gives to the message, for logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Registration(_) => "ASAP_REGISTRATION",
            Self::Deregistration(_) => "ASAP_DEREGISTRATION",
            Self::RegistrationResponse(_) => "ASAP_REGISTRATION_RESPONSE",
            Self::DeregistrationResponse(_) => "ASAP_DEREGISTRATION_RESPONSE",
            Self::HandleResolution(_) => "ASAP_HANDLE_RESOLUTION",
            Self::HandleResolutionResponse(_) => "ASAP_HANDLE_RESOLUTION_RESPONSE",
            Self::EndpointKeepAlive(_) => "ASAP_ENDPOINT_KEEP_ALIVE",
            Self::EndpointKeepAliveAck(_) => "ASAP_ENDPOINT_KEEP_ALIVE_ACK",
            Self::EndpointUnreachable(_) => "ASAP_ENDPOINT_UNREACHABLE",
            Self::ServerAnnounce(_) => "ASAP_SERVER_ANNOUNCE",
            Self::Cookie(_) => "ASAP_COOKIE",
            Self::CookieEcho(_) => "ASAP_COOKIE_ECHO",
            Self::BusinessCard(_) => "ASAP_BUSINESS_CARD",
            Self::Error(_) => "ASAP_ERROR",
        }
    }
}

macro_rules! from {
    ($($variant:ident($($message:tt)+);)*) => {
        $(impl<'a> From<$($message)+> for Message<'a> {
            fn from(message: $($message)+) -> Self {
                Self::$variant(message)
            }
        })*
    };
}

from! {
    Registration(Registration<'a>);
    Deregistration(Deregistration<'a>);
    RegistrationResponse(RegistrationResponse<'a>);
    DeregistrationResponse(DeregistrationResponse<'a>);
    HandleResolution(HandleResolution<'a>);
    HandleResolutionResponse(HandleResolutionResponse<'a>);
    EndpointKeepAlive(EndpointKeepAlive<'a>);
    EndpointKeepAliveAck(EndpointKeepAliveAck<'a>);
    EndpointUnreachable(EndpointUnreachable<'a>);
    ServerAnnounce(ServerAnnounce);
    Cookie(Cookie<'a>);
    CookieEcho(CookieEcho<'a>);
    BusinessCard(BusinessCard<'a>);
    Error(ErrorReport<'a>);
}
