//! A pool that survives the death of its elements and of its registrars, over real sockets.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "in tests, a panic is the report")]
mod support;

use std::collections::BTreeSet;

use rserpool::Registrar;
use support::{Echo, agree, echoed, elements, owned, registrar, until, user};

/// 5352-3.1-19, 5352-3.3-14: an element that registers at one registrar is found by a user of another.
#[tokio::test(flavor = "multi_thread")]
async fn an_element_registered_at_one_registrar_is_reached_through_another() {
    let first = registrar(1, &[]).await;
    let second = registrar(2, &[&first]).await;
    let echo = Echo::start("echo", &[&first]).await;
    until("the update reaches the peer", || elements(&second) == 1).await;

    let pool = user(&[&second]).await.pool("echo");
    let target = pool.pick().await.expect("an element");
    assert_eq!(target.identifier(), echo.element().identifier());
    let mut stream = pool.connect().await.expect("a connection");
    echoed(&mut stream, b"hello").await.expect("an echo");
}

/// 5352-3.5-01, 5352-3.5-05: a user goes on to the next element, and the dead one is gone once it does not answer.
#[tokio::test(flavor = "multi_thread")]
async fn users_go_on_with_the_next_element_when_one_dies() {
    let registrar = registrar(1, &[]).await;
    let mut echoes = [Echo::start("echo", &[&registrar]).await, Echo::start("echo", &[&registrar]).await];
    let pool = user(&[&registrar]).await.pool("echo");
    let mut stream = pool.connect().await.expect("a connection");
    echoed(&mut stream, b"one").await.expect("an echo");

    // Both stop serving in turn: whichever is picked, the other one must be reached.
    echoes[0].stop_serving();
    for _ in 0..4 {
        let mut stream = pool.connect().await.expect("the other element");
        echoed(&mut stream, b"two").await.expect("an echo");
    }
    drop(echoes[0].element.take());
    until("the element that left is gone", || elements(&registrar) == 1).await;
}

/// 5353-3.5.2-04, 5352-3.4-01 (KA2.4): when a registrar dies its elements get a new home, and everybody agrees on it.
#[tokio::test(flavor = "multi_thread")]
async fn elements_of_a_dead_registrar_get_a_new_home() {
    let first = registrar(1, &[]).await;
    let second = registrar(2, &[&first]).await;
    let third = registrar(3, &[&first]).await;
    let _echoes =
        [Echo::start("echo", &[&first, &second]).await, Echo::start("echo", &[&first, &third]).await];
    until("everybody knows both", || {
        elements(&second) == 2 && elements(&third) == 2 && agree(&[&first, &second, &third])
    })
    .await;

    let pool = user(&[&first, &second, &third]).await.pool("echo");
    pool.connect().await.expect("a connection");
    let dead = first.id();
    drop(first);
    until("the elements have a living home", || {
        second.handlespace(|h| h.owned_count(dead) == 0 && h.len() == 2) && agree(&[&second, &third])
    })
    .await;
    let mut stream = pool.connect().await.expect("a connection through another registrar");
    echoed(&mut stream, b"still here").await.expect("an echo");
}

/// A registrar that is shut down hands its elements over before it leaves: nobody notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_registrar_that_leaves_hands_its_elements_over() {
    let first = registrar(1, &[]).await;
    let second = registrar(2, &[&first]).await;
    let echo = Echo::start("echo", &[&first]).await;
    until("the peer knows the element", || elements(&second) == 1).await;
    assert_eq!(owned(&second, &first), 1);

    first.shutdown().await;
    until("the peer owns the element", || owned(&second, &second) == 1).await;
    assert_eq!(elements(&second), 1);
    until("the element knows its new home", || {
        matches!(echo.element().status(), rserpool::Status::Registered { home: Some(home), .. } if home == second.id())
    })
    .await;
}

/// 5353-3.2.3-07: a registrar that joins has the handlespace when it is ready.
#[tokio::test(flavor = "multi_thread")]
async fn a_registrar_that_joins_has_the_handlespace_when_it_is_ready() {
    let first = registrar(1, &[]).await;
    let _echoes = [Echo::start("a", &[&first]).await, Echo::start("b", &[&first]).await];
    let second = registrar(2, &[&first]).await;
    assert_eq!(elements(&second), 2);
    assert!(agree(&[&first, &second]));
}

/// 5352-3.2-09: a deregistered element is gone everywhere; so is one whose handle is dropped.
#[tokio::test(flavor = "multi_thread")]
async fn elements_that_leave_are_gone_everywhere() {
    let first = registrar(1, &[]).await;
    let second = registrar(2, &[&first]).await;
    let mut one = Echo::start("echo", &[&first]).await;
    let mut two = Echo::start("echo", &[&second]).await;
    until("both are known everywhere", || elements(&first) == 2 && elements(&second) == 2).await;

    one.element.take().expect("registered").deregister().await;
    assert_eq!(elements(&first), 1);
    drop(two.element.take());
    until("both are gone everywhere", || elements(&first) == 0 && elements(&second) == 0).await;
}

/// 5353-2.1-05, 5353-3.2.1-01, 5352-3.1-07 (R2.2): who is not told its identifier picks one that nobody else has, and keeps it.
#[tokio::test(flavor = "multi_thread")]
async fn identifiers_are_picked_at_random_and_are_not_zero() {
    let (mut registrars, mut elements) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..4 {
        let registrar = Registrar::builder().asap("tcp://127.0.0.1:0").start().await.expect("it starts");
        let echo = Echo::start("echo", &[&registrar]).await;
        assert!(!registrar.id().is_none() && echo.element().identifier().0 != 0);
        let home = registrar.handlespace(|handlespace| handlespace.owners().next());
        assert_eq!(home, Some(registrar.id()));
        registrars.insert(registrar.id());
        elements.insert(echo.element().identifier());
    }
    assert_eq!((registrars.len(), elements.len()), (4, 4));
}
