//! One pool element as it is kept: encoded, with what is needed often beside it.
use rserpool_wire::{Dialect, EncodedElement, PeIdentifier, PoolElement, PoolHandle, ServerId};

use crate::pool::Pool;

/// Names a registered element, until it is removed; never again afterwards.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ElementKey {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl ElementKey {
    /// A small number that no other registered element has at the same time: an index for tables kept beside the
    /// handlespace. It is given out again once the element is removed.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

/// What is kept of an element: 48 bytes, and the encoded parameter.
#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) generation: u32,
    /// The index of its pool.
    pub(crate) pool: u32,
    pub(crate) identifier: PeIdentifier,
    pub(crate) home: ServerId,
    /// Its neighbours in the list of elements with the same home.
    pub(crate) previous: u32,
    pub(crate) next: u32,
    /// When it was registered or came to its home, on the clock that counts marks: what came before a mark is marked.
    pub(crate) marks_seen: u32,
    pub(crate) encoded: Box<[u8]>,
}

impl Element {
    pub(crate) fn set_home(&mut self, home: ServerId) {
        self.home = home;
        EncodedElement::set_home(&mut self.encoded, home);
    }
}

/// A registered element.
#[derive(Clone, Copy, Debug)]
pub struct ElementView<'a> {
    pub(crate) index: u32,
    pub(crate) element: &'a Element,
    pub(crate) pool: &'a Pool,
    pub(crate) dialect: Dialect,
}

impl<'a> ElementView<'a> {
    /// The key of the element.
    #[must_use]
    pub const fn key(&self) -> ElementKey {
        ElementKey { index: self.index, generation: self.element.generation }
    }

    /// The pool of the element.
    #[must_use]
    pub fn pool_handle(&self) -> PoolHandle<'a> {
        PoolHandle::new(&self.pool.handle)
    }

    /// The element within its pool.
    #[must_use]
    pub const fn identifier(&self) -> PeIdentifier {
        self.element.identifier
    }

    /// The registrar that owns the element.
    #[must_use]
    pub const fn home(&self) -> ServerId {
        self.element.home
    }

    /// The Pool Element parameter.
    #[must_use]
    pub const fn encoded(&self) -> EncodedElement<'a> {
        EncodedElement::new(&self.element.encoded)
    }

    /// The element as a value. `None` should not be: what is kept was encoded from a value.
    #[must_use]
    pub fn decode(&self) -> Option<PoolElement> {
        self.encoded().decode(self.dialect).ok()
    }
}
