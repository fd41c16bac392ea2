//! Registration and deregistration of elements: rules 1 to 5 of RFC 5352 §3.1, and §3.2.
//!
//! An element may register again over another link, say because its old one broke. While the old link is up, only the same
//! party may do so; anybody else has picked an identifier that is taken.
use std::time::Instant;

use bytes::BytesMut;
use rserpool_handlespace::{Change, ElementKey, Registered};
use rserpool_machine::{LinkId, LinkKind, Scheme};
use rserpool_wire::asap::{Deregistration, DeregistrationResponse, Registration, RegistrationResponse};
use rserpool_wire::enrp::UpdateAction;
use rserpool_wire::{
    CauseCode, ErrorCause, PoolElement, PoolHandle, RegistrationLife, Transport, TransportUse,
};

use super::Service;
use super::ownership::{admit_element, check_owner, own};
use crate::authorization::Action;
use crate::core::{Core, Phase};
use crate::event::{RegistrarEvent, RemovalReason};
use crate::links::Party;
use crate::refusal::Refusal;

impl Service {
    pub(super) fn register(
        &mut self,
        core: &mut Core,
        now: Instant,
        link: LinkId,
        registration: Registration<'_>,
    ) {
        let Registration { pool_handle, element } = registration;
        let (identifier, life) = (element.identifier, element.life);
        let respond = |core: &mut Core, cause: Option<ErrorCause<'_>>| {
            let (rejected, pool_handle) = (cause.is_some(), pool_handle.borrowed());
            let error = cause.map(Into::into);
            core.send_asap(link, RegistrationResponse { rejected, pool_handle, identifier, error });
        };
        let Registered { key, change } = match self.grant(core, now, link, &pool_handle, element) {
            Ok(registered) => registered,
            Err(rejection) => {
                core.statistics.registrations_rejected += 1;
                let cause = match rejection {
                    Rejection::Refused(reason) => core.refuse(link, reason),
                    Rejection::Cause(cause) => cause,
                };
                return respond(core, Some(cause));
            }
        };
        self.watch_registered(core, now, key, life, link);
        respond(core, None);
        core.announce_update(UpdateAction::Add, key);
        self.pool_changed(core, now, &pool_handle);
        let own = core.id();
        if matches!(change, Change::Updated { previous_home } if previous_home == own) {
            core.statistics.reregistrations += 1;
        } else {
            core.statistics.registrations += 1;
            let pool_handle = pool_handle.into_owned();
            core.event(RegistrarEvent::ElementRegistered { pool_handle, identifier });
        }
    }

    /// Enters the element into the handlespace with this registrar as its home, or says why not.
    fn grant(
        &mut self,
        core: &mut Core,
        now: Instant,
        link: LinkId,
        pool_handle: &PoolHandle<'_>,
        mut element: PoolElement,
    ) -> Result<Registered, Rejection> {
        let lack_of_resources = Rejection::Cause(ErrorCause::new(CauseCode::LACK_OF_RESOURCES));
        let limits = core.config.limits;
        let Some(party) = core.links.get(link).map(|link| link.party.clone()) else {
            return Err(lack_of_resources);
        };
        core.authorize(&party, Action::Register { pool_handle, element: &element })?;
        self.admit_registration(core, now, &party)?;
        if core.phase == Phase::Draining {
            return Err(lack_of_resources);
        }
        if pool_handle.as_bytes().len() > limits.handle_length.min(core.dialect().max_handle_length()) {
            return Err(Refusal::HandleLength.into());
        }
        if element.life.duration().is_some_and(|life| life.is_zero()) {
            return Err(invalid(core, &element).into());
        }
        let existing = core.handlespace.find(pool_handle.as_bytes(), element.identifier);
        admit_element(core, &party, existing)?;
        if let Some(key) = existing
            && self.supervision.is_held_by_another(core, key, link, &party)
        {
            // It may be the same element, back at another address before its old link was missed: whether that one lives shows.
            self.probe_reported(core, now, key);
            return Err(ErrorCause::new(CauseCode::NON_UNIQUE_PE_IDENTIFIER).into());
        }
        let known_here = existing.is_some_and(|key| self.supervision.link_of(key) == Some(link));
        if !known_here && self.supervision.elements_on(link) >= limits.elements_per_link {
            return Err(Refusal::ElementsOfLink.into());
        }
        if !has_room(core, pool_handle, existing.is_none()) {
            return Err(Refusal::Elements.into());
        }
        element.home = core.id();
        if let Some(transport) = sctp_transport(core, link) {
            element.asap_transport = Some(transport);
        }
        if !fits_table_response(core, pool_handle, &element) {
            return Err(lack_of_resources);
        }
        let registered = core
            .handlespace
            .register(pool_handle, &element)
            .map_err(|error| Rejection::Cause(error.cause()))?;
        own(core, &party, registered.key);
        Ok(registered)
    }

    pub(super) fn deregister(
        &mut self,
        core: &mut Core,
        now: Instant,
        link: LinkId,
        deregistration: &Deregistration<'_>,
    ) {
        let Deregistration { pool_handle, identifier } = deregistration;
        let key = core.handlespace.find(pool_handle.as_bytes(), *identifier);
        let Some(party) = core.links.get(link).map(|link| link.party.clone()) else { return };
        let action = Action::Deregister { pool_handle, identifier: *identifier };
        let admitted = core.authorize(&party, action);
        let admitted = admitted.and_then(|()| self.admit_registration(core, now, &party));
        let admitted = admitted.and_then(|()| match key {
            Some(key) => self.admit_deregistration(core, link, &party, key),
            None => Ok(()),
        });
        let cause = admitted.err().map(|reason| core.refuse(link, reason));
        let permitted = cause.is_none();
        let response = DeregistrationResponse {
            pool_handle: pool_handle.borrowed(),
            identifier: *identifier,
            error: cause.map(Into::into),
        };
        core.send_asap(link, response);
        if !permitted {
            core.statistics.deregistrations_rejected += 1;
            return;
        }
        core.statistics.deregistrations += 1;
        let Some(key) = key else { return };
        let own = core.id();
        if core.handlespace.element(key).is_some_and(|view| view.home() != own) {
            // Peers follow a removal by the home only: this registrar becomes the home first, as by a registration.
            core.handlespace.set_home(key, own);
            core.announce_update(UpdateAction::Add, key);
        }
        self.remove(core, now, key, RemovalReason::Deregistered);
    }

    fn admit_deregistration(
        &self,
        core: &Core,
        link: LinkId,
        party: &Party,
        key: ElementKey,
    ) -> Result<(), Refusal> {
        check_owner(core, party, key)?;
        if self.supervision.may_be_of(key, link, party) { Ok(()) } else { Err(Refusal::Owner) }
    }
}

/// Why a registration is not granted.
enum Rejection {
    Refused(Refusal),
    Cause(ErrorCause<'static>),
}

impl From<Refusal> for Rejection {
    fn from(reason: Refusal) -> Self {
        Self::Refused(reason)
    }
}

impl From<ErrorCause<'static>> for Rejection {
    fn from(cause: ErrorCause<'static>) -> Self {
        Self::Cause(cause)
    }
}

/// Whether the limits leave room for one more element of the pool, if it is a new one.
pub(crate) fn has_room(core: &Core, pool_handle: &PoolHandle<'_>, is_new: bool) -> bool {
    let limits = &core.config.limits;
    let is_new_pool = || core.handlespace.pool(pool_handle.as_bytes()).is_none();
    !is_new
        || core.handlespace.len() < limits.elements
            && (core.handlespace.pool_count() < limits.pools || !is_new_pool())
}

/// Where the element can be reached, if it registered over SCTP (rule 4): the addresses of the link. Over TCP the source
/// says nothing, and what the element names stands.
fn sctp_transport(core: &Core, link: LinkId) -> Option<Transport> {
    let link = core.links.get(link)?;
    let LinkKind::PointToPoint(Scheme::Sctp | Scheme::SctpTls) = link.kind else { return None };
    let addresses = link.party.addresses();
    Some(Transport::Sctp {
        port: addresses.first()?.port(),
        transport_use: TransportUse::DataOnly,
        addresses: addresses.iter().map(std::net::SocketAddr::ip).collect(),
    })
}

/// Whether peers of the dialect can download the element.
fn fits_table_response(core: &mut Core, pool_handle: &PoolHandle<'_>, element: &PoolElement) -> bool {
    const HEADERS: usize = 12 + 4;
    let (dialect, (limit, _)) = (core.dialect(), core.dialect().table_response_limit());
    let length = core.encode(|_, _, buffer| element.encode(dialect, buffer)).map(|bytes| bytes.len());
    let handle = pool_handle.as_bytes().len().next_multiple_of(4);
    length.is_some_and(|length| HEADERS + handle + length <= limit)
}

/// The registration life is over before it began.
fn invalid(core: &Core, element: &PoolElement) -> ErrorCause<'static> {
    debug_assert!(element.life != RegistrationLife::Infinite);
    let mut parameter = BytesMut::new();
    // An element that was decoded encodes again; should it not, the cause goes without it.
    let _ = element.encode(core.dialect(), &mut parameter);
    ErrorCause::invalid_values(&parameter).into_owned()
}
