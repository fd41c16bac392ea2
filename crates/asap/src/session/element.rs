//! The pool element's end of a session: hands out cookies and business cards, and gets cookies back (RFC 5352 §3.8,
//! §3.9).
use bytes::Bytes;
use rserpool_wire::asap::{BusinessCard, Cookie, CookieEcho, Message};
use rserpool_wire::{Dialect, EncodeError, OperationError, PoolElement, PoolHandle};

use super::control::{self, ControlFault, Unhandled};

/// What an element says, and is told, on the control channel to one user.
#[derive(Clone, Debug)]
pub struct ElementSession {
    dialect: Dialect,
    pool_handle: PoolHandle<'static>,
}

/// What a pool element was told over the control channel.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ElementControl {
    /// The last cookie that another element of the pool gave to the user: restore the state of the session from it.
    /// Verify it first: the user could have made it up (§3.8).
    CookieEchoed(Bytes),
    /// The user is an element too, of this pool, and prefers these elements to stand in for it, best first. Resolve
    /// the pool, unless it is in the cache (BC1).
    BusinessCard {
        /// The user's pool.
        pool_handle: PoolHandle<'static>,
        /// Preferred elements of that pool.
        elements: Vec<PoolElement>,
    },
    /// The user answered something with an ASAP_ERROR.
    ErrorReported(OperationError<'static>),
    /// The user made a mistake.
    Fault(ControlFault),
}

impl ElementSession {
    /// The control channel of an element of this pool.
    #[must_use]
    pub const fn new(dialect: Dialect, pool_handle: PoolHandle<'static>) -> Self {
        Self { dialect, pool_handle }
    }

    /// The pool.
    #[must_use]
    pub const fn pool_handle(&self) -> &PoolHandle<'static> {
        &self.pool_handle
    }

    /// An ASAP_BUSINESS_CARD with the elements to prefer on fail-over, best first; none for no preference. An
    /// element should send one when communication begins, and may send more whenever its preference changes (§3.9).
    ///
    /// # Errors
    /// When the card is too long.
    pub fn business_card(&self, elements: Vec<PoolElement>) -> Result<Bytes, EncodeError> {
        let card = BusinessCard { pool_handle: self.pool_handle.borrowed(), elements };
        control::encode(&card.into(), self.dialect)
    }

    /// An ASAP_COOKIE: the state of the session, for the element that the user fails over to. It replaces earlier
    /// ones. It should be signed, and verified when it comes back (§3.8).
    ///
    /// # Errors
    /// When the cookie is too long: over 65,527 bytes.
    pub fn cookie(&self, cookie: &[u8]) -> Result<Bytes, EncodeError> {
        control::encode(&Cookie { cookie }.into(), self.dialect)
    }

    /// What to answer a message of the control channel with because it has parameters that nobody knows and that ask to be reported;
    /// the message counts all the same. Answer a bounded number of them.
    #[must_use]
    pub fn report(&self, message: &[u8]) -> Option<Bytes> {
        control::report(message, self.dialect)
    }

    /// Takes a message of the control channel.
    #[must_use]
    pub fn handle_control(&self, message: &[u8]) -> ElementControl {
        match control::decode(message, self.dialect) {
            Ok(Message::CookieEcho(CookieEcho { cookie })) => {
                ElementControl::CookieEchoed(Bytes::copy_from_slice(cookie))
            }
            Ok(Message::BusinessCard(BusinessCard { pool_handle, elements })) => {
                ElementControl::BusinessCard { pool_handle: pool_handle.into_owned(), elements }
            }
            Ok(other) => ElementControl::Fault(ControlFault::unexpected(&other)),
            Err(Unhandled::Error(error)) => ElementControl::ErrorReported(error),
            Err(Unhandled::Fault(fault)) => ElementControl::Fault(fault),
        }
    }
}
