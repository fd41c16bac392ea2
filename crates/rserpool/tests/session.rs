//! Sessions that survive the death of their element, with their state in a cookie.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "in tests, a panic is the report")]
mod support;

use std::time::Duration;

use rserpool::{PoolElement, ServiceEvent, ServiceSession, SessionEvent};
use support::{PATIENCE, element, registrar, user};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

const LIMIT: Duration = Duration::from_millis(500);

/// An element that counts the messages of a session and keeps the count in a cookie.
struct Counter {
    element: PoolElement,
    serving: JoinHandle<()>,
}

impl Counter {
    async fn start(registrar: &rserpool::Registrar) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let element = element("counter", &[registrar], &listener).register().await.expect("registered");
        let serving = tokio::spawn(serve(listener, element.clone()));
        Self { element, serving }
    }

    /// Connections break and no new one is accepted; the registration stays.
    fn kill(&self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, element: PoolElement) {
    let mut sessions = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let element = element.clone();
        sessions.spawn(async move { count(stream, &element).await });
    }
}

async fn count(stream: TcpStream, element: &PoolElement) -> Result<(), rserpool::SessionError> {
    let mut session = ServiceSession::accept(stream, element).await?;
    let mut count = 0_u8;
    while let Some(event) = session.recv().await? {
        match event {
            ServiceEvent::Restored(cookie) => count = cookie[0],
            ServiceEvent::Message(message) if &message[..] == b"silence" => {}
            ServiceEvent::Message(_) => {
                count += 1;
                session.set_cookie(&[count]).await?;
                session.send(&[count]).await?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn find<'a>(counters: &'a [Counter; 2], session: &rserpool::Session) -> &'a Counter {
    let serving = session.target().identifier();
    counters.iter().find(|counter| counter.element.identifier() == serving).expect("one of the two")
}

/// 5352-3.8-01: the next element gets the last cookie first, so that it goes on where the dead one stopped.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_element_goes_on_where_the_dead_one_stopped() {
    let registrar = registrar(1, &[]).await;
    let counters = [Counter::start(&registrar).await, Counter::start(&registrar).await];
    let mut session = user(&[&registrar]).await.pool("counter").session().await.expect("a session");
    for expected in 1..=3 {
        let answer = session.request(b"count", LIMIT).await.expect("an answer");
        assert_eq!(&answer[..], [expected]);
    }

    find(&counters, &session).kill();
    let answer = session.request(b"count", LIMIT).await.expect("an answer of the other element");
    assert_eq!(&answer[..], [4], "the cookie carried the count over");
}

/// 5355-2.9.3-01: the application is told when its session is with another element.
#[tokio::test(flavor = "multi_thread")]
async fn the_application_is_told_of_a_fail_over() {
    let registrar = registrar(1, &[]).await;
    let counters = [Counter::start(&registrar).await, Counter::start(&registrar).await];
    let mut session = user(&[&registrar]).await.pool("counter").session().await.expect("a session");
    session.send(b"count").await.expect("sent");
    assert_eq!(session.recv().await.expect("an answer"), SessionEvent::Message(vec![1].into()));

    let dead = find(&counters, &session);
    dead.kill();
    let event = tokio::time::timeout(PATIENCE, session.recv()).await.expect("in time").expect("an event");
    let to = session.target().identifier();
    let from = dead.element.identifier();
    let undelivered = Vec::new();
    assert_eq!(event, SessionEvent::FailedOver { from, to, cookie_echoed: true, undelivered });
    assert_ne!(from, to);
}

/// An element that holds its connection but does not answer is given up after the caller's limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_element_is_given_up() {
    let registrar = registrar(1, &[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    // Accepts by the backlog alone, and never says a word.
    let silent = element("counter", &[&registrar], &listener).register().await.expect("registered");
    let pool = user(&[&registrar]).await.pool("counter");
    let mut session = pool.session().await.expect("a session");
    assert_eq!(session.target().identifier(), silent.identifier());

    let _counter = Counter::start(&registrar).await;
    let answer = session.request(b"count", Duration::from_millis(100)).await.expect("an answer");
    assert_eq!(&answer[..], [1]);
    assert_ne!(session.target().identifier(), silent.identifier());
}
