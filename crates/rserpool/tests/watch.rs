//! Watching a pool as it changes (the S bit of RFC 5352 §2.2.5), across the death of the registrar that tells.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "in tests, a panic is the report")]
mod support;

use rserpool::PoolChange;
use support::{Echo, PATIENCE, registrar, until, user};
use tokio::time::timeout;
use tokio_stream::StreamExt;

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_sees_elements_come_and_go() {
    let registrar = registrar(1, &[]).await;
    let first = Echo::start("echo", &[&registrar]).await;
    let mut watch = user(&[&registrar]).await.pool("echo").watch();
    assert!(matches!(next(&mut watch).await, PoolChange::Added(element)
        if element.identifier == first.element().identifier()));

    let mut second = Echo::start("echo", &[&registrar]).await;
    let identifier = second.element().identifier();
    assert!(matches!(next(&mut watch).await, PoolChange::Added(element) if element.identifier == identifier));

    second.element.take().expect("registered").deregister().await;
    assert_eq!(next(&mut watch).await, PoolChange::Removed(identifier));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_begins_before_its_pool_does() {
    let registrar = registrar(1, &[]).await;
    let mut watch = user(&[&registrar]).await.pool("later").watch();
    let echo = Echo::start("later", &[&registrar]).await;
    assert!(matches!(next(&mut watch).await, PoolChange::Added(element)
        if element.identifier == echo.element().identifier()));
}

/// RFC 5352 §2.2.5: the subscription is sent again to a new home registrar.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_when_its_registrar_dies() {
    let first = registrar(1, &[]).await;
    let second = registrar(2, &[&first]).await;
    let _echo = Echo::start("echo", &[&second]).await;
    until("both know the element", || support::elements(&first) == 1).await;
    let mut watch = user(&[&first, &second]).await.pool("echo").watch();
    assert!(matches!(next(&mut watch).await, PoolChange::Added(_)));

    drop(first);
    let late = Echo::start("echo", &[&second]).await;
    loop {
        if let PoolChange::Added(element) = next(&mut watch).await {
            assert_eq!(element.identifier, late.element().identifier());
            break;
        }
    }
}

async fn next(watch: &mut rserpool::PoolWatch) -> PoolChange {
    timeout(PATIENCE, watch.next()).await.expect("a change in time").expect("a change")
}
