//! What users see when something is wrong: settings, pools, registrars.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "in tests, a panic is the report")]
mod support;

use std::time::Duration;

use rserpool::{
    ConnectError, Policy, PoolElement, PoolUser, RegisterError, Registrar, ResolveError, StartError,
    TimerProfile,
};
use support::{Echo, PATIENCE, element, registrar, user};
use tokio::net::TcpListener;
use tokio::time::timeout;

/// 5352-3.3-17
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_pool_is_said_to_be_unknown() {
    let registrar = registrar(1, &[]).await;
    let pool = user(&[&registrar]).await.pool("nowhere");
    assert!(matches!(pool.pick().await, Err(ResolveError::UnknownPool)));
    assert!(matches!(
        pool.connect().await,
        Err(ConnectError::Resolve { source: ResolveError::UnknownPool, .. })
    ));
}

/// 5352-3.1-21, 5352-3.1-22, 5352-3.1-32
#[tokio::test(flavor = "multi_thread")]
async fn an_element_of_another_policy_is_rejected_and_told_the_pool_s() {
    let registrar = registrar(1, &[]).await;
    let _echo = Echo::start("echo", &[&registrar]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let rejected = element("echo", &[&registrar], &listener).policy(Policy::Random).register().await;
    match rejected {
        Err(RegisterError::Rejected { error, .. }) => {
            assert!(error.has(rserpool::wire::CauseCode::INCONSISTENT_POOLING_POLICY), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn settings_that_cannot_work_are_named() {
    let error = PoolUser::builder().build().await.expect_err("no registrars");
    assert!(matches!(error, StartError::NoRegistrars));
    let error = PoolUser::builder().registrars(["10.0.0.1:3863"]).build().await.expect_err("no URL");
    assert!(error.to_string().contains("tcp://HOST:PORT"), "{error}");
    let error = PoolElement::builder("echo").registrars(["tcp://127.0.0.1:1"]).register().await;
    assert!(matches!(error, Err(RegisterError::Start(StartError::NoTransport))));
    let error = Registrar::builder().enrp("tcp://127.0.0.1:0").start().await.expect_err("no ASAP endpoint");
    assert!(error.to_string().contains("`asap`"), "{error}");
}

/// Retransmissions by the RFCs' timers take longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_a_registrar_gives_up_when_its_patience_ends() {
    // Somebody who accepts connections and says nothing, and nobody.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let silent = listener.local_addr().expect("bound");
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound");
    for (registrar, expected) in [(closed, ResolveError::NoRegistrar), (silent, ResolveError::TimedOut)] {
        let user = PoolUser::builder()
            .registrars([format!("tcp://{registrar}")])
            .timers(TimerProfile::Rfc)
            .patience(Duration::from_millis(500))
            .build();
        let pool = user.await.expect("it starts").pool("echo");
        let picked = timeout(PATIENCE, pool.pick()).await.expect("its patience ends");
        assert_eq!(picked.expect_err("nobody answers"), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_element_without_a_registrar_gives_up_when_its_patience_ends() {
    // Bound and dropped: nobody listens there.
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound");
    let result = PoolElement::builder("echo")
        .registrars([format!("tcp://{closed}")])
        .transport(closed)
        .timers(TimerProfile::Fast)
        .patience(Duration::from_millis(50))
        .register()
        .await;
    assert!(matches!(result, Err(RegisterError::NoRegistrar { .. })));
}
