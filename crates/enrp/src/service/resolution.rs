//! Handle resolution (RFC 5352 §3.3): the hot path. A response is encoded from the handlespace's own bytes.
use std::time::Instant;

use rserpool_machine::LinkId;
use rserpool_wire::asap::{HandleResolution, HandleResolutionResponse, ResolutionResponseWriter};
use rserpool_wire::{CauseCode, ErrorCause, PoolHandle};

use bytes::Bytes;

use super::Service;
use crate::authorization::Action;
use crate::core::Core;
use crate::refusal::Refusal;

impl Service {
    pub(super) fn resolve(
        &mut self,
        core: &mut Core,
        now: Instant,
        link: LinkId,
        request: &HandleResolution<'_>,
    ) {
        let HandleResolution { pool_handle, subscribe, items } = request;
        if let Err(reason) = admit(core, now, link, pool_handle) {
            let cause = core.refuse(link, reason);
            return reject(core, link, pool_handle, cause.code);
        }
        if core.handlespace.pool(pool_handle.as_bytes()).is_none() {
            return reject(core, link, pool_handle, CauseCode::UNKNOWN_POOL_HANDLE);
        }
        let limits = &core.config.limits;
        let items = items.unwrap_or(limits.default_items).clamp(1, limits.max_items) as usize;
        let limit = limits.subscriptions_per_link;
        let accept_updates = *subscribe && self.subscriptions.add(link, pool_handle, limit);
        if *subscribe && !accept_updates {
            core.refuse(link, Refusal::Subscriptions);
        }
        match response(core, pool_handle, items, accept_updates) {
            Some(bytes) => {
                core.statistics.resolutions += 1;
                core.transmit(link, bytes);
            }
            // A policy may select none, but a positive response must name at least one (RFC 5352 §2.2.6).
            None => reject(core, link, pool_handle, CauseCode::LACK_OF_RESOURCES),
        }
    }
}

/// Whether a user may resolve the handle, and has not done so too often.
fn admit(core: &mut Core, now: Instant, link: LinkId, pool_handle: &PoolHandle<'_>) -> Result<(), Refusal> {
    let per_second = core.config.limits.resolutions_per_second;
    let Some(known) = core.links.get_mut(link) else { return Ok(()) };
    if !known.resolutions.admits(now, per_second) {
        return Err(Refusal::ResolutionRate);
    }
    let party = core.links.get(link).map(|known| &known.party);
    party.map_or(Ok(()), |party| core.authorize(party, Action::Resolve { pool_handle }))
}

/// A positive response with at most `items` elements, fewer if they do not fit a message; `None` if there are none.
pub(super) fn response(
    core: &mut Core,
    pool_handle: &PoolHandle<'_>,
    items: usize,
    accept_updates: bool,
) -> Option<Bytes> {
    let dialect = core.dialect();
    core.encode(|handlespace, _, buffer| {
        let name = pool_handle.as_bytes();
        let policy = handlespace.pool(name).ok_or(())?.policy().clone();
        let started = ResolutionResponseWriter::start(dialect, buffer, pool_handle, &policy, accept_updates);
        let mut writer = started.map_err(|_| ())?;
        let mut listed = 0_usize;
        handlespace.resolve(name, items, |element| {
            let fits = writer.element(element);
            listed += usize::from(fits);
            fits
        });
        if listed == 0 {
            return Err(());
        }
        writer.finish().map_err(|_| ())
    })
}

/// A negative response.
pub(super) fn reject(core: &mut Core, link: LinkId, pool_handle: &PoolHandle<'_>, code: CauseCode) {
    core.statistics.resolutions_rejected += 1;
    let response = HandleResolutionResponse {
        accept_updates: false,
        pool_handle: pool_handle.borrowed(),
        policy: None,
        elements: Vec::new(),
        error: Some(ErrorCause::new(code).into()),
    };
    core.send_asap(link, response);
}
