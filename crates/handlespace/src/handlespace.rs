//! The handlespace: every change of pools, elements and ownership, each in O(log n).
use std::fmt;
use std::ops::Bound;
use std::time::Instant;

use bytes::BytesMut;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rserpool_wire::{
    Dialect, EncodeError, EncodedElement, PeIdentifier, PolicyType, PoolElement, PoolHandle, ServerId,
    Transport,
};
use slab::Slab;

use crate::checksum::{element_sum, fold, fold_wrapped};
use crate::element::{Element, ElementKey, ElementView};
use crate::error::RegisterError;
use crate::expiry::Expiry;
use crate::owners::{NONE, Owners};
use crate::policy::{Draw, Member, Places, Policies, Selection};
use crate::pool::{Pool, PoolView, Pools};

/// Pools, their elements, and who owns them.
pub struct Handlespace {
    dialect: Dialect,
    pools: Pools,
    elements: Slab<Element>,
    owners: Owners,
    expiry: Expiry,
    policies: Policies,
    /// Where the policies keep the elements.
    places: Places,
    rng: SmallRng,
    /// The generation of the next element.
    generation: u32,
    /// Elements are encoded here first.
    scratch: BytesMut,
}

/// What a registration did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registered {
    /// The element.
    pub key: ElementKey,
    /// Whether it was there before.
    pub change: Change,
}

/// Whether a registered element was there before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It was not.
    Added,
    /// It was, and has new attributes now.
    Updated {
        /// Who owned it before: the same registrar, or another one.
        previous_home: ServerId,
    },
}

impl Handlespace {
    /// An empty handlespace. Elements are kept in the encoding of `dialect`; `seed` is for the random policies.
    #[must_use]
    pub fn new(dialect: Dialect, seed: u64) -> Self {
        Self {
            dialect,
            pools: Pools::new(seed),
            elements: Slab::new(),
            owners: Owners::default(),
            expiry: Expiry::default(),
            policies: Policies::default(),
            places: Places::default(),
            rng: SmallRng::seed_from_u64(seed),
            generation: 0,
            scratch: BytesMut::new(),
        }
    }

    /// Plugs in a policy: pools of this type, created from now on, select by what `new` makes for each of them.
    ///
    /// Types from 0x80000000 on are for this (RFC 5356 §7.1). Without a plug-in, pools of unknown types are handled as
    /// Round Robin.
    #[must_use]
    pub fn with_policy(
        mut self,
        policy_type: PolicyType,
        new: impl Fn() -> Box<dyn Selection> + Send + 'static,
    ) -> Self {
        self.policies.plug_in(policy_type, Box::new(new));
        self
    }

    /// Adds an element, with its pool if that is new, or replaces the attributes of an element that is there already
    /// (RFC 5352 §3.1, rules 1 to 3).
    ///
    /// Its home becomes `element.home`, its mark is taken off and its degradation counter starts again from 0. Its
    /// expiry is left alone.
    ///
    /// # Errors
    /// When its policy, transport protocol or transport use is not that of the pool, or when it is too long. Nothing
    /// changes then.
    pub fn register(
        &mut self,
        pool_handle: &PoolHandle<'_>,
        element: &PoolElement,
    ) -> Result<Registered, RegisterError> {
        let found = self.pools.find(pool_handle.as_bytes());
        if let Some(pool) = found.and_then(|pool| self.pools.pool(pool)) {
            self.check_consistent(pool, element)?;
        }
        self.encode(pool_handle, element)?;
        let pool_index = found.unwrap_or_else(|| {
            let selection = self.policies.selection(element.policy.policy_type());
            self.pools.insert(Pool::new(pool_handle, element, selection))
        });
        let known = self.pools.pool(pool_index).and_then(|pool| pool.members.get(&element.identifier));
        Ok(match known.copied() {
            Some(index) => self.update(pool_index, index, element),
            None => self.add(pool_index, element),
        })
    }

    fn add(&mut self, pool_index: u32, new: &PoolElement) -> Registered {
        self.generation = self.generation.wrapping_add(1);
        let index = self.elements.insert(Element {
            generation: self.generation,
            pool: pool_index,
            identifier: new.identifier,
            home: new.home,
            previous: NONE,
            next: NONE,
            marks_seen: 0,
            encoded: self.scratch.as_ref().into(),
        }) as u32;
        if let Some(pool) = self.pools.pool_mut(pool_index) {
            pool.members.insert(new.identifier, index);
            pool.selection.insert(Member(index), &new.policy, &mut self.places);
            self.owners.link(&mut self.elements, index, element_sum(pool.handle_sum, new.identifier));
        }
        Registered { key: ElementKey { index, generation: self.generation }, change: Change::Added }
    }

    fn update(&mut self, pool_index: u32, index: u32, new: &PoolElement) -> Registered {
        let mut registered = Registered {
            key: ElementKey { index, generation: 0 },
            change: Change::Updated { previous_home: new.home },
        };
        if let Some(pool) = self.pools.pool_mut(pool_index) {
            pool.selection.update(Member(index), &new.policy, &mut self.places);
        }
        if let Some(element) = self.elements.get_mut(index as usize) {
            registered.key.generation = element.generation;
            registered.change = Change::Updated { previous_home: element.home };
            if element.encoded.len() == self.scratch.len() {
                element.encoded.copy_from_slice(&self.scratch);
            } else {
                element.encoded = self.scratch.as_ref().into();
            }
            if element.home == new.home {
                self.owners.renew(element);
            } else {
                self.change_home(index, new.home);
            }
        }
        registered
    }

    /// Finds an element by its pool and its identifier.
    #[must_use]
    pub fn find(&self, pool_handle: &[u8], identifier: PeIdentifier) -> Option<ElementKey> {
        let pool = self.pools.pool(self.pools.find(pool_handle)?)?;
        let index = *pool.members.get(&identifier)?;
        Some(ElementKey { index, generation: self.elements.get(index as usize)?.generation })
    }

    /// The element with this key, unless it has been removed.
    #[must_use]
    pub fn element(&self, key: ElementKey) -> Option<ElementView<'_>> {
        self.view(key.index).filter(|view| view.key() == key)
    }

    /// Removes an element, and its pool with its last element. `false` if it had been removed already.
    pub fn remove(&mut self, key: ElementKey) -> bool {
        let ElementKey { index, .. } = key;
        let Some(element) = self.checked(key) else { return false };
        let (pool_index, identifier) = (element.pool, element.identifier);
        let Some(pool) = self.pools.pool_mut(pool_index) else { return false };
        let sum = element_sum(pool.handle_sum, identifier);
        pool.members.remove(&identifier);
        if pool.members.is_empty() {
            self.pools.remove(pool_index);
        } else {
            pool.selection.remove(Member(index), &mut self.places);
        }
        self.owners.unlink(&mut self.elements, index, sum);
        self.expiry.clear(Member(index));
        self.elements.remove(index as usize);
        true
    }

    /// Gives one element to another owner, unmarked. `false` if it has been removed.
    pub fn set_home(&mut self, key: ElementKey, home: ServerId) -> bool {
        let Some(element) = self.checked(key) else { return false };
        if element.home != home {
            self.change_home(key.index, home);
        }
        true
    }

    /// Gives all elements of `from` to `to`, unmarked, and returns how many they are (RFC 5353 §3.5).
    pub fn transfer(&mut self, from: ServerId, to: ServerId) -> usize {
        self.owners.transfer(&mut self.elements, from, to)
    }

    /// The elements of an owner, in the order in which they came to it.
    pub fn owned(&self, owner: ServerId) -> impl Iterator<Item = ElementKey> + '_ {
        self.owners.list(&self.elements, owner).map(|(key, _)| key)
    }

    /// How many elements an owner has.
    #[must_use]
    pub fn owned_count(&self, owner: ServerId) -> usize {
        self.owners.count(owner)
    }

    /// Who owns elements, in the order of identifiers.
    pub fn owners(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.owners.identifiers()
    }

    /// The PE checksum of an owner (RFC 5353 §3.6.2); 0xffff for one without elements.
    #[must_use]
    pub fn checksum(&self, owner: ServerId) -> u16 {
        fold(self.owners.sum(owner))
    }

    /// Whether a checksum that an owner sent agrees with what is known of its elements.
    ///
    /// In the rsplib dialect the value of an implementation that loses carries beyond 32 bits is as good; it differs
    /// from [`checksum`](Self::checksum) above some thousands of elements.
    #[must_use]
    pub fn checksum_agrees(&self, owner: ServerId, checksum: u16) -> bool {
        let sum = self.owners.sum(owner);
        checksum == fold(sum) || (self.dialect == Dialect::Rsplib && checksum == fold_wrapped(sum))
    }

    /// Selects at most `items` elements of a pool by its policy, none twice, and visits them in the order in which to
    /// use them (RFC 5356). Returns how many were selected; `None` if there is no such pool.
    ///
    /// `visit` returns `false` to end the selection; the element that it returns `false` for does not count as selected.
    pub fn resolve(
        &mut self,
        pool_handle: &[u8],
        items: usize,
        mut visit: impl FnMut(EncodedElement<'_>) -> bool,
    ) -> Option<usize> {
        let pool = self.pools.find(pool_handle)?;
        let pool = self.pools.pool_mut(pool)?;
        let elements = &self.elements;
        let mut visit = |Member(index): Member| {
            elements.get(index as usize).is_some_and(|element| visit(EncodedElement::new(&element.encoded)))
        };
        let mut draw = Draw::new(items, &mut self.rng, &mut self.places, &mut visit);
        pool.selection.select(&mut draw);
        Some(draw.taken())
    }

    /// The pool with this handle.
    #[must_use]
    pub fn pool(&self, pool_handle: &[u8]) -> Option<PoolView<'_>> {
        let pool = self.pools.pool(self.pools.find(pool_handle)?)?;
        Some(self.pool_view(pool))
    }

    /// All pools, in the order of their handles.
    pub fn pools(&self) -> impl Iterator<Item = PoolView<'_>> {
        self.pools_from(Bound::Unbounded)
    }

    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Whether there are no elements, and so no pools.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// How many pools there are.
    #[must_use]
    pub fn pool_count(&self) -> usize {
        self.pools.len()
    }

    /// The dialect that elements are kept in.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Sets when an element is due, in the stead of any earlier time; `None` for never. Without effect on an element
    /// that has been removed.
    pub fn set_expiry(&mut self, key: ElementKey, at: Option<Instant>) {
        match at {
            _ if self.checked(key).is_none() => {}
            Some(at) => self.expiry.set(Member(key.index), at),
            None => self.expiry.clear(Member(key.index)),
        }
    }

    /// When the next element is due.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Instant> {
        self.expiry.next()
    }

    /// An element that is due at `now`, the longest due first. Its time is cleared; the element stays.
    pub fn pop_expired(&mut self, now: Instant) -> Option<ElementKey> {
        let Member(index) = self.expiry.pop(now)?;
        Some(ElementKey { index, generation: self.elements.get(index as usize)?.generation })
    }

    /// Marks every element of an owner, at the start of a resynchronisation (RFC 5353 §3.6.3, step 1). Registration and
    /// change of owner take the mark off.
    pub fn mark(&mut self, owner: ServerId) {
        self.owners.mark(owner);
    }

    /// The elements of an owner that still have their mark: at the end of a resynchronisation, those to remove (step 5).
    #[must_use]
    pub fn marked(&self, owner: ServerId) -> Vec<ElementKey> {
        self.owners.marked(&self.elements, owner)
    }

    /// Takes all marks off the elements of an owner: the resynchronisation is given up.
    pub fn unmark(&mut self, owner: ServerId) {
        self.owners.unmark(owner);
    }

    pub(crate) fn view(&self, index: u32) -> Option<ElementView<'_>> {
        let element = self.elements.get(index as usize)?;
        let pool = self.pools.pool(element.pool)?;
        Some(ElementView { index, element, pool, dialect: self.dialect })
    }

    pub(crate) fn pools_from(&self, first: Bound<&[u8]>) -> impl Iterator<Item = PoolView<'_>> {
        self.pools.from(first).map(|pool| self.pool_view(pool))
    }

    const fn pool_view<'a>(&'a self, pool: &'a Pool) -> PoolView<'a> {
        PoolView { pool, elements: &self.elements, dialect: self.dialect }
    }

    fn checked(&self, key: ElementKey) -> Option<&Element> {
        self.elements.get(key.index()).filter(|element| element.generation == key.generation)
    }

    fn change_home(&mut self, index: u32, home: ServerId) {
        let Some(element) = self.elements.get(index as usize) else { return };
        let Some(pool) = self.pools.pool(element.pool) else { return };
        let sum = element_sum(pool.handle_sum, element.identifier);
        self.owners.unlink(&mut self.elements, index, sum);
        if let Some(element) = self.elements.get_mut(index as usize) {
            element.set_home(home);
        }
        self.owners.link(&mut self.elements, index, sum);
    }

    /// All elements of a pool have the same policy type, transport protocol and transport use (RFC 5352 §3.1, rules 2
    /// and 3).
    fn check_consistent(&self, pool: &Pool, element: &PoolElement) -> Result<(), RegisterError> {
        let transport = &element.user_transport;
        if pool.policy.policy_type() != element.policy.policy_type() {
            return Err(RegisterError::InconsistentPolicy(pool.policy.clone()));
        }
        if pool.transport_kind != transport.kind() {
            let member = self.pool_view(pool).elements().next().and_then(|view| view.decode());
            return Err(RegisterError::InconsistentTransport(
                member.map_or_else(|| Transport::Opaque(Box::default()), |member| member.user_transport),
            ));
        }
        if pool.transport_use != transport.transport_use() {
            return Err(RegisterError::InconsistentDataControl);
        }
        Ok(())
    }

    /// Encodes the element into the scratch buffer, and makes sure that any message that names it and its pool can be
    /// sent.
    fn encode(&mut self, pool_handle: &PoolHandle<'_>, element: &PoolElement) -> Result<(), EncodeError> {
        /// The fixed part of ENRP_HANDLE_UPDATE, and the header of the pool handle.
        const AROUND: usize = 16 + 4;
        self.scratch.clear();
        element.encode(self.dialect, &mut self.scratch)?;
        let handle = pool_handle.as_bytes().len();
        let length = AROUND + handle.next_multiple_of(4) + self.scratch.len();
        if handle > self.dialect.max_handle_length() || length > usize::from(u16::MAX) - 3 {
            return Err(EncodeError::TooLong { length });
        }
        Ok(())
    }
}

impl fmt::Debug for Handlespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handlespace({}, {} pools, {} elements)", self.dialect, self.pool_count(), self.len())
    }
}
