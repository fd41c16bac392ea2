//! Registration by the rules of RFC 5352 §3.1, keys, and expiry.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]
mod support;

use std::time::Duration;

use rserpool_handlespace::{Change, Handlespace, RegisterError};
use rserpool_wire::{
    CauseCode, Dialect, PeIdentifier, Policy, PoolHandle, ServerId, Transport, TransportKind, TransportUse,
};
use support::{HOME, element, lu, register, resolve};

fn sctp(transport_use: TransportUse) -> Transport {
    Transport::Sctp { port: 7, transport_use, addresses: vec![[192, 0, 2, 9].into()] }
}

// 5352-3.1-19, 5352-3.1-20
#[test]
fn the_first_element_creates_the_pool_and_the_last_ends_it() {
    let mut handlespace = Handlespace::new(Dialect::Rfc, 1);
    assert!(handlespace.pool(b"pool").is_none() && handlespace.is_empty());
    let mut first = element(1, lu(5));
    first.user_transport = sctp(TransportUse::DataAndControl);
    let key = register(&mut handlespace, "pool", &first);
    let pool = handlespace.pool(b"pool").unwrap();
    assert_eq!((pool.len(), pool.policy()), (1, &lu(5)));
    assert_eq!(
        (pool.transport_kind(), pool.transport_use()),
        (TransportKind::Sctp, TransportUse::DataAndControl)
    );
    assert!(handlespace.remove(key) && !handlespace.remove(key));
    assert_eq!((handlespace.len(), handlespace.pool_count(), handlespace.owners().count()), (0, 0, 0));
    assert_eq!(handlespace.resolve(b"pool", 1, |_| true), None);
}

// 5352-3.1-21, 5352-3.1-22, 5352-3.1-24, 5352-3.1-32
#[test]
fn what_differs_from_the_pool_is_refused_with_the_cause_for_it() {
    let mut handlespace = Handlespace::new(Dialect::Rfc, 1);
    let mut first = element(1, lu(5));
    first.user_transport = sctp(TransportUse::DataOnly);
    register(&mut handlespace, "pool", &first);
    // A new element, and the one that is there already.
    for identifier in [2, 1] {
        let mut refused = |policy, user_transport| {
            let mut element = element(identifier, policy);
            element.user_transport = user_transport;
            let error = handlespace.register(&PoolHandle::from("pool"), &element).unwrap_err();
            assert_eq!(handlespace.len(), 1);
            error
        };
        let error = refused(Policy::Random, sctp(TransportUse::DataOnly));
        assert_eq!(error, RegisterError::InconsistentPolicy(lu(5)));
        assert_eq!(error.cause().code, CauseCode::INCONSISTENT_POOLING_POLICY);
        let error = refused(lu(9), Transport::Tcp(([192, 0, 2, 1], 7).into()));
        assert_eq!(error, RegisterError::InconsistentTransport(sctp(TransportUse::DataOnly)));
        assert_eq!(error.cause().code, CauseCode::INCONSISTENT_TRANSPORT_TYPE);
        let error = refused(lu(9), sctp(TransportUse::DataAndControl));
        assert_eq!(error.cause().code, CauseCode::INCONSISTENT_DATA_CONTROL);
    }
    let unchanged =
        handlespace.find(b"pool", PeIdentifier(1)).and_then(|key| handlespace.element(key)?.decode());
    assert_eq!(unchanged, Some(first));
}

// 5352-3.1-23, 5352-3.1-25, 5352-3.1-27
#[test]
fn registering_again_replaces_attributes_and_owner_and_keeps_the_key() {
    let mut handlespace = Handlespace::new(Dialect::Rfc, 1);
    let pool = PoolHandle::from("pool");
    let key = register(&mut handlespace, "pool", &element(1, lu(5)));
    let mut again = element(1, lu(6));
    again.home = ServerId(9);
    again.asap_transport = Some(sctp(TransportUse::DataOnly));
    let registered = handlespace.register(&pool, &again).unwrap();
    assert_eq!((registered.key, registered.change), (key, Change::Updated { previous_home: HOME }));
    let view = handlespace.element(key).unwrap();
    assert_eq!((view.decode(), view.home(), view.pool_handle()), (Some(again), ServerId(9), pool));
    assert_eq!(handlespace.owners().collect::<Vec<_>>(), [ServerId(9)]);
}

#[test]
fn a_key_is_never_used_again() {
    let mut handlespace = Handlespace::new(Dialect::Rfc, 1);
    let old = register(&mut handlespace, "pool", &element(1, lu(5)));
    handlespace.remove(old);
    let new = register(&mut handlespace, "pool", &element(1, lu(5)));
    assert_eq!(old.index(), new.index());
    assert_ne!(old, new);
    assert!(handlespace.element(old).is_none() && !handlespace.set_home(old, ServerId(3)));
    handlespace.set_expiry(old, Some(support::any_instant()));
    assert_eq!(handlespace.next_expiry(), None);
    assert!(handlespace.element(new).is_some());
}

#[test]
fn what_does_not_fit_a_message_is_refused() {
    let mut handlespace = Handlespace::new(Dialect::Rfc, 1);
    let long = PoolHandle::from(vec![b'x'; 65_000]);
    let mut element = element(1, Policy::RoundRobin);
    assert!(handlespace.register(&long, &element).is_ok());
    element.identifier = PeIdentifier(2);
    element.user_transport = Transport::Opaque(vec![0; 600].into());
    let longer = PoolHandle::from(vec![b'y'; 65_000]);
    let error = handlespace.register(&longer, &element).unwrap_err();
    assert_eq!(error.cause().code, CauseCode::INVALID_VALUES);
    assert_eq!((handlespace.pool_count(), handlespace.len()), (1, 1));
}

#[test]
fn handles_that_the_reference_implementation_dies_of_are_refused_in_its_dialect() {
    let mut handlespace = Handlespace::new(Dialect::Rsplib, 1);
    let element = element(1, Policy::RoundRobin);
    assert!(handlespace.register(&PoolHandle::from("x".repeat(32)), &element).is_ok());
    let error = handlespace.register(&PoolHandle::from("x".repeat(33)), &element).unwrap_err();
    assert!(matches!(error, RegisterError::TooLong(_)), "{error}");
}

#[test]
fn elements_expire_in_the_order_of_time_and_stay_until_removed() {
    let mut handlespace = Handlespace::new(Dialect::Rfc, 1);
    let start = support::any_instant();
    let at = |seconds| start + Duration::from_secs(seconds);
    let keys: Vec<_> =
        (1..=4).map(|id| register(&mut handlespace, "pool", &element(id, Policy::RoundRobin))).collect();
    for (key, seconds) in keys.iter().zip([30, 10, 20, 40]) {
        handlespace.set_expiry(*key, Some(at(seconds)));
    }
    handlespace.set_expiry(keys[1], Some(at(25)));
    handlespace.set_expiry(keys[2], None);
    handlespace.remove(keys[3]);
    assert_eq!(handlespace.next_expiry(), Some(at(25)));
    assert_eq!(handlespace.pop_expired(at(24)), None);
    assert_eq!(handlespace.pop_expired(at(30)), Some(keys[1]));
    assert_eq!(handlespace.pop_expired(at(30)), Some(keys[0]));
    assert_eq!((handlespace.pop_expired(at(99)), handlespace.next_expiry()), (None, None));
    assert_eq!(resolve(&mut handlespace, "pool", 9), [1, 2, 3]);
}

#[test]
fn pools_and_elements_are_listed_in_order() {
    let mut handlespace = Handlespace::new(Dialect::Rfc, 1);
    for (pool, identifier) in [("b", 3), ("a", 9), ("b", 1), ("c", 5), ("b", 2)] {
        register(&mut handlespace, pool, &element(identifier, Policy::RoundRobin));
    }
    let listed: Vec<_> = handlespace
        .pools()
        .map(|pool| (pool.pool_handle().to_string(), pool.elements().map(|e| e.identifier().0).collect()))
        .collect();
    assert_eq!(listed, [("a".into(), vec![9]), ("b".into(), vec![1, 2, 3]), ("c".into(), vec![5])]);
}

#[test]
fn a_handlespace_can_move_to_another_thread() {
    let handlespace = support::pool_of([lu(1), lu(2)]);
    let len = std::thread::spawn(move || handlespace.len()).join().unwrap();
    assert_eq!(len, 2);
}
