//! The pool user's end of a session: keeps the last cookie (RFC 5352 §3.8) and the preferred fail-over order (§3.9).
use bytes::Bytes;
use rserpool_wire::asap::{BusinessCard, Cookie, CookieEcho, Message};
use rserpool_wire::{Dialect, EncodeError, OperationError, PeIdentifier, PoolElement, PoolHandle};

use super::control::{self, ControlFault, Unhandled};

/// The state of a session that survives its element.
#[derive(Clone, Debug)]
pub struct UserSession {
    dialect: Dialect,
    cookie: Option<Bytes>,
    preferred: Vec<PoolElement>,
    /// The ASAP_BUSINESS_CARD of a user that is an element, too.
    card: Option<Bytes>,
}

/// What a pool user was told over the control channel.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UserControl {
    /// A cookie, which replaces the one before. The next element will get it.
    CookieStored,
    /// A business card: [`UserSession::preferred`] has its elements. Resolve the pool, unless it is in the cache
    /// (BC1).
    BusinessCard {
        /// The element's pool.
        pool_handle: PoolHandle<'static>,
    },
    /// The element answered something with an ASAP_ERROR.
    ErrorReported(OperationError<'static>),
    /// The element made a mistake.
    Fault(ControlFault),
}

impl UserSession {
    /// A session without a cookie or preferences.
    #[must_use]
    pub const fn new(dialect: Dialect) -> Self {
        Self { dialect, cookie: None, preferred: Vec::new(), card: None }
    }

    /// For a user that is an element too: presents its own pool, and who may stand in for it, to every element
    /// (§3.9). Returns the message, to be sent now if there is a connection.
    ///
    /// # Errors
    /// When the card is too long. The one before stays then.
    pub fn present(
        &mut self,
        pool_handle: &PoolHandle<'_>,
        elements: Vec<PoolElement>,
    ) -> Result<Bytes, EncodeError> {
        let card = BusinessCard { pool_handle: pool_handle.borrowed(), elements };
        let card = control::encode(&card.into(), self.dialect)?;
        self.card = Some(card.clone());
        Ok(card)
    }

    /// What to send on the control channel of a new connection before anything else: the last cookie, if there is one
    /// (5352-3.8-01), then the own business card of a user that is an element too.
    #[must_use]
    pub fn opening(&self) -> Vec<Bytes> {
        let echo = self.cookie.as_ref().and_then(|cookie| {
            // It fits, since the cookie came in a message of the same length.
            control::encode(&CookieEcho { cookie }.into(), self.dialect).ok()
        });
        echo.into_iter().chain(self.card.clone()).collect()
    }

    /// What to answer a message of the control channel with because it has parameters that nobody knows and that ask to be reported;
    /// the message counts all the same. Answer a bounded number of them.
    #[must_use]
    pub fn report(&self, message: &[u8]) -> Option<Bytes> {
        control::report(message, self.dialect)
    }

    /// Takes a message of the control channel.
    pub fn handle_control(&mut self, message: &[u8]) -> UserControl {
        match control::decode(message, self.dialect) {
            Ok(Message::Cookie(Cookie { cookie })) => {
                self.cookie = Some(Bytes::copy_from_slice(cookie));
                UserControl::CookieStored
            }
            Ok(Message::BusinessCard(BusinessCard { pool_handle, elements })) => {
                self.preferred = elements;
                UserControl::BusinessCard { pool_handle: pool_handle.into_owned() }
            }
            Ok(other) => UserControl::Fault(ControlFault::unexpected(&other)),
            Err(Unhandled::Error(error)) => UserControl::ErrorReported(error),
            Err(Unhandled::Fault(fault)) => UserControl::Fault(fault),
        }
    }

    /// The last cookie.
    #[must_use]
    pub fn cookie(&self) -> Option<&[u8]> {
        self.cookie.as_deref()
    }

    /// Which elements the last business card prefers on fail-over, best first.
    #[must_use]
    pub fn preferred(&self) -> &[PoolElement] {
        &self.preferred
    }

    /// The element to fail over to by the last business card (BC2), if it has any that is not `excluded`. Otherwise
    /// [`UserMachine::select`](crate::UserMachine::select) one.
    #[must_use]
    pub fn fail_over(&self, excluded: &[PeIdentifier]) -> Option<&PoolElement> {
        self.preferred.iter().find(|element| !excluded.contains(&element.identifier))
    }
}
