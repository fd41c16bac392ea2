//! Nothing is left behind: no task, no port, no registration.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "in tests, a panic is the report")]
mod support;

use std::time::Duration;

use rserpool::Registrar;
use support::{Echo, elements, is_free, registrar, until, user};
use tokio::runtime::Handle;

/// Dropping the handles of all roles ends all of their tasks, links and listeners.
#[tokio::test(flavor = "multi_thread")]
async fn dropping_everything_leaves_no_task_and_no_port() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    {
        let first = registrar(1, &[]).await;
        let second = registrar(2, &[&first]).await;
        let echo = Echo::start("echo", &[&first]).await;
        let pool = user(&[&first, &second]).await.pool("echo");
        let watch = pool.watch();
        let session = pool.connect().await.expect("a connection");
        drop((session, watch, pool));
        let endpoint = first.asap_endpoints()[0].clone();
        echo.element.as_ref().expect("registered").clone().deregister().await;
        drop((echo, first, second));
        until("the port is free again", || is_free(&endpoint)).await;
    }
    until("every task has ended", || tasks() <= before).await;
}

/// Futures that are dropped half-way leave everything usable, and nothing waiting.
#[tokio::test(flavor = "multi_thread")]
async fn calls_can_be_given_up_at_any_time() {
    let registrar = registrar(1, &[]).await;
    let _echo = Echo::start("echo", &[&registrar]).await;
    let user = user(&[&registrar]).await;
    let pool = user.pool("echo");
    for micros in (0..2_000).step_by(100) {
        let _ = tokio::time::timeout(Duration::from_micros(micros), pool.connect()).await;
        let _ = tokio::time::timeout(Duration::from_micros(micros), pool.resolve(None)).await;
        let _ = tokio::time::timeout(Duration::from_micros(micros), pool.session()).await;
    }
    pool.connect().await.expect("a connection after all that");
    assert_eq!(elements(&registrar), 1);
}

/// A registrar that is started again at the same ports, with everybody still there, has everything back.
#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_registrar_gets_its_elements_back() {
    let first = registrar(1, &[]).await;
    let echo = Echo::start("echo", &[&first]).await;
    let (asap, enrp) = (first.asap_endpoints()[0].clone(), first.enrp_endpoint().expect("one").clone());
    drop(first);
    let start = || {
        Registrar::builder()
            .asap(asap.clone())
            .enrp(enrp.clone())
            .timers(rserpool::TimerProfile::Fast)
            .start()
    };
    let mut restarted = start().await;
    while restarted.is_err() {
        // The ports are freed in the background.
        tokio::time::sleep(Duration::from_millis(5)).await;
        restarted = start().await;
    }
    let restarted = restarted.expect("just seen");
    until("the element has come back", || elements(&restarted) == 1).await;
    let pool = user(&[&restarted]).await.pool("echo");
    let target = pool.pick().await.expect("the element");
    assert_eq!(target.identifier(), echo.element().identifier());
}
