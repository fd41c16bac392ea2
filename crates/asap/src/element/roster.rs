//! All registrations of a machine: by id, and by the names that messages use.
use std::collections::BTreeMap;

use rserpool_wire::{PeIdentifier, PoolHandle};

use super::RegistrationId;
use super::registration::Registration;

#[derive(Default)]
pub(super) struct Roster {
    registrations: BTreeMap<RegistrationId, Registration>,
    pools: BTreeMap<PoolHandle<'static>, BTreeMap<PeIdentifier, RegistrationId>>,
    count: u64,
}

impl Roster {
    pub(super) fn len(&self) -> usize {
        self.registrations.len()
    }

    pub(super) fn insert(&mut self, registration: Registration) -> RegistrationId {
        let id = RegistrationId(self.count);
        self.count += 1;
        let pool = self.pools.entry(registration.values.pool_handle.clone()).or_default();
        pool.insert(registration.values.identifier, id);
        self.registrations.insert(id, registration);
        id
    }

    pub(super) fn remove(&mut self, id: RegistrationId) {
        let Some(registration) = self.registrations.remove(&id) else { return };
        let pool_handle = registration.values.pool_handle.as_bytes();
        if let Some(pool) = self.pools.get_mut(pool_handle) {
            pool.remove(&registration.values.identifier);
            if pool.is_empty() {
                self.pools.remove(pool_handle);
            }
        }
    }

    pub(super) fn find(&self, pool_handle: &[u8], identifier: PeIdentifier) -> Option<RegistrationId> {
        self.pools.get(pool_handle)?.get(&identifier).copied()
    }

    /// The registrations in a pool, or the one with this identifier.
    pub(super) fn in_pool(
        &self,
        pool_handle: &[u8],
        identifier: Option<PeIdentifier>,
    ) -> Vec<RegistrationId> {
        let Some(pool) = self.pools.get(pool_handle) else { return Vec::new() };
        match identifier {
            Some(identifier) => pool.get(&identifier).copied().into_iter().collect(),
            None => pool.values().copied().collect(),
        }
    }

    pub(super) fn ids(&self) -> Vec<RegistrationId> {
        self.registrations.keys().copied().collect()
    }

    pub(super) fn registration(&self, id: RegistrationId) -> Option<&Registration> {
        self.registrations.get(&id)
    }

    pub(super) fn registration_mut(&mut self, id: RegistrationId) -> Option<&mut Registration> {
        self.registrations.get_mut(&id)
    }

    /// The registration, unless it is being ended.
    pub(super) fn active(&self, id: RegistrationId) -> Option<&Registration> {
        self.registration(id).filter(|registration| !registration.is_deregistering())
    }
}
