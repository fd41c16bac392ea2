//! Any value of every type, for property tests. Registration lives are whole units of the dialect: encoding rounds others.
//! Strategies are boxed where they are large, for they would fill the stack.
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use rserpool_wire::{
    CauseCode, Dialect, ElementOwner, ErrorCause, Load, OperationError, PeIdentifier, Policy, PolicyType,
    PoolElement, PoolHandle, RegistrationLife, ServerId, ServerInformation, Transport, TransportUse, asap,
    enrp,
};

pub(crate) fn dialect() -> impl Strategy<Value = Dialect> {
    prop_oneof![Just(Dialect::Rfc), Just(Dialect::Rsplib)]
}

pub(crate) fn pool_handle() -> impl Strategy<Value = PoolHandle<'static>> {
    vec(any::<u8>(), 0..40).prop_map(PoolHandle::from)
}

fn server_id() -> impl Strategy<Value = ServerId> {
    any::<u32>().prop_map(ServerId)
}

fn identifier() -> impl Strategy<Value = PeIdentifier> {
    any::<u32>().prop_map(PeIdentifier)
}

fn load() -> impl Strategy<Value = Load> {
    any::<u32>().prop_map(Load)
}

pub(crate) fn policy() -> BoxedStrategy<Policy> {
    // From 0x80000000 on, policies are user-defined: unknown for sure.
    let other = (0x8000_0000u32.., vec(any::<u8>(), 0..20))
        .prop_map(|(code, data)| Policy::Other { policy_type: PolicyType(code), data: data.into() });
    prop_oneof![
        Just(Policy::RoundRobin),
        any::<u32>().prop_map(|weight| Policy::WeightedRoundRobin { weight }),
        Just(Policy::Random),
        any::<u32>().prop_map(|weight| Policy::WeightedRandom { weight }),
        any::<u32>().prop_map(|priority| Policy::Priority { priority }),
        load().prop_map(|load| Policy::LeastUsed { load }),
        (load(), load()).prop_map(|(load, degradation)| Policy::LeastUsedDegradation { load, degradation }),
        (load(), load()).prop_map(|(load, degradation)| Policy::PriorityLeastUsed { load, degradation }),
        load().prop_map(|load| Policy::RandomizedLeastUsed { load }),
        other,
    ]
    .boxed()
}

fn tcp_or_sctp() -> impl Strategy<Value = Transport> {
    let transport_use = prop_oneof![Just(TransportUse::DataOnly), Just(TransportUse::DataAndControl)];
    prop_oneof![
        address().prop_map(Transport::Tcp),
        (any::<u16>(), transport_use, vec(any::<IpAddr>(), 1..4))
            .prop_map(|(port, transport_use, addresses)| Transport::Sctp { port, transport_use, addresses }),
    ]
}

/// An address that a parameter can say: without scope and flow label.
fn address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

pub(crate) fn transport() -> BoxedStrategy<Transport> {
    prop_oneof![
        2 => tcp_or_sctp(),
        1 => (address(), any::<u32>())
            .prop_map(|(address, service_code)| Transport::Dccp { address, service_code }),
        1 => address().prop_map(Transport::Udp),
        1 => address().prop_map(Transport::UdpLite),
        1 => vec(any::<u8>(), 0..12).prop_map(|data| Transport::Opaque(data.into())),
    ]
    .boxed()
}

fn life(dialect: Dialect) -> impl Strategy<Value = RegistrationLife> {
    prop_oneof![
        Just(RegistrationLife::Infinite),
        (0..=i32::MAX as u32)
            .prop_map(move |units| RegistrationLife::Finite(dialect.registration_life_unit() * units)),
    ]
}

pub(crate) fn element(dialect: Dialect) -> BoxedStrategy<PoolElement> {
    (identifier(), server_id(), life(dialect), transport(), policy(), option::of(tcp_or_sctp()))
        .prop_map(|(identifier, home, life, user_transport, policy, asap_transport)| PoolElement {
            identifier,
            home,
            life,
            user_transport,
            policy,
            asap_transport,
        })
        .boxed()
}

fn operation_error() -> impl Strategy<Value = OperationError<'static>> {
    let cause = (any::<u16>(), vec(any::<u8>(), 0..24)).prop_map(|(code, information)| {
        let mut cause = ErrorCause::new(CauseCode(code));
        cause.information = Cow::Owned(information);
        cause
    });
    vec(cause, 0..4).prop_map(OperationError::from)
}

/// Any ASAP message but those with cookies, which can only be borrowed: see [`cookie`].
pub(crate) fn asap(dialect: Dialect) -> BoxedStrategy<asap::Message<'static>> {
    let named = || (pool_handle(), identifier());
    let answer = || (any::<bool>(), named(), option::of(operation_error()));
    prop_oneof![
        (pool_handle(), element(dialect)).prop_map(|(pool_handle, element)| asap::Registration {
            pool_handle,
            element
        }
        .into()),
        named().prop_map(|(pool_handle, identifier)| asap::Deregistration { pool_handle, identifier }.into()),
        answer().prop_map(|(rejected, (pool_handle, identifier), error)| {
            asap::RegistrationResponse { rejected, pool_handle, identifier, error }.into()
        }),
        answer().prop_map(|(_, (pool_handle, identifier), error)| {
            asap::DeregistrationResponse { pool_handle, identifier, error }.into()
        }),
        (pool_handle(), any::<bool>(), option::of(any::<u32>())).prop_map(
            |(pool_handle, subscribe, items)| {
                asap::HandleResolution { pool_handle, subscribe, items }.into()
            }
        ),
        (
            any::<bool>(),
            pool_handle(),
            option::of(policy()),
            vec(element(dialect), 0..4),
            option::of(operation_error())
        )
            .prop_map(|(accept_updates, pool_handle, policy, elements, error)| {
                asap::HandleResolutionResponse { accept_updates, pool_handle, policy, elements, error }.into()
            }),
        (any::<bool>(), server_id(), pool_handle(), option::of(identifier())).prop_map(
            |(home, server, pool_handle, identifier)| {
                asap::EndpointKeepAlive { home, server, pool_handle, identifier }.into()
            }
        ),
        named().prop_map(|(pool_handle, identifier)| {
            asap::EndpointKeepAliveAck { pool_handle, identifier }.into()
        }),
        named().prop_map(|(pool_handle, identifier)| {
            asap::EndpointUnreachable { pool_handle, identifier }.into()
        }),
        (server_id(), vec(tcp_or_sctp(), 0..3)).prop_map(|(server, transports)| asap::ServerAnnounce {
            server,
            transports
        }
        .into()),
        (pool_handle(), vec(element(dialect), 0..4)).prop_map(|(pool_handle, elements)| asap::BusinessCard {
            pool_handle,
            elements
        }
        .into()),
        operation_error().prop_map(|error| asap::ErrorReport { error }.into()),
    ]
    .boxed()
}

/// Any owner, or none.
pub(crate) fn owner() -> impl Strategy<Value = Option<ElementOwner<'static>>> {
    let identity = prop_oneof![4 => "\\PC{1,40}", 1 => "[a-z]{255}"];
    option::of(identity.prop_map(|identity| ElementOwner::new(identity).expect("neither empty nor too long")))
}

pub(crate) fn cookie() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..200)
}

/// Any ENRP message.
pub(crate) fn enrp(dialect: Dialect) -> BoxedStrategy<enrp::Message<'static>> {
    use enrp::Body;
    let information = || {
        (server_id(), tcp_or_sctp())
            .prop_map(|(identifier, transport)| ServerInformation { identifier, transport })
    };
    // A dialect without owners leaves them out.
    let owner = move || owner().prop_map(move |owner| owner.filter(|_| dialect.tells_owners()));
    let listed =
        (element(dialect), owner()).prop_map(|(element, owner)| enrp::TableElement { element, owner });
    let entry = (pool_handle(), vec(listed, 0..3))
        .prop_map(|(pool_handle, elements)| enrp::PoolEntry { pool_handle, elements });
    let action = prop_oneof![Just(enrp::UpdateAction::Add), Just(enrp::UpdateAction::Delete)];
    let body = prop_oneof![
        (any::<bool>(), option::of(any::<u16>()), option::of(information())).prop_map(
            |(reply_required, checksum, information)| {
                Body::Presence(enrp::Presence { reply_required, checksum, information })
            }
        ),
        any::<bool>().prop_map(|own_children_only| Body::HandleTableRequest(enrp::HandleTableRequest {
            own_children_only
        })),
        (any::<bool>(), any::<bool>(), vec(entry, 0..4)).prop_map(|(rejected, more, entries)| {
            Body::HandleTableResponse(enrp::HandleTableResponse { rejected, more, entries })
        }),
        (action, any::<bool>(), pool_handle(), element(dialect), owner()).prop_map(
            |(action, takeover_suggested, pool_handle, element, owner)| {
                let update = enrp::HandleUpdate { action, takeover_suggested, pool_handle, element, owner };
                Body::HandleUpdate(update)
            }
        ),
        Just(Body::ListRequest),
        (any::<bool>(), vec(information(), 0..4))
            .prop_map(|(rejected, servers)| Body::ListResponse(enrp::ListResponse { rejected, servers })),
        server_id().prop_map(|target| Body::InitTakeover(enrp::InitTakeover { target })),
        server_id().prop_map(|target| Body::InitTakeoverAck(enrp::InitTakeoverAck { target })),
        server_id().prop_map(|target| Body::TakeoverServer(enrp::TakeoverServer { target })),
        operation_error().prop_map(|error| Body::Error(enrp::ErrorReport { error })),
    ];
    (server_id(), server_id(), body)
        .prop_map(|(sender, receiver, body)| enrp::Message { sender, receiver, body })
        .boxed()
}
