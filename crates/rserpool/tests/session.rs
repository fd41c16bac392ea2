//! Sessions that survive the death of their element, with their state in a cookie.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "in tests, a panic is the report")]
mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rserpool::{
    Connection, PayloadProtocol, PeIdentifier, Policy, PoolElement, ServiceEvent, ServiceSession,
    SessionEvent, wire,
};
use support::{PATIENCE, SessionListener, element_at, registrar, until, user};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

/// How long an element may take to answer. Only a defect makes a test wait for it.
const LIMIT: Duration = Duration::from_secs(10);

/// An element that counts the messages of a session and keeps the count in a cookie.
struct Counter {
    element: PoolElement,
    serving: JoinHandle<()>,
    /// Ends with the last task that serves.
    served: mpsc::Receiver<()>,
    /// Whom it prefers to stand in for it: told when a user says "prefer".
    preferred: Preferred,
}

type Preferred = Arc<Mutex<Vec<wire::PoolElement>>>;

impl Counter {
    async fn start(registrar: &rserpool::Registrar) -> Self {
        Self::of(registrar, Policy::RoundRobin).await
    }

    async fn of(registrar: &rserpool::Registrar, policy: Policy) -> Self {
        let listener = SessionListener::bind().await;
        let builder = element_at("counter", &[registrar], listener.transport()).policy(policy);
        let element = builder.register().await.expect("registered");
        let (preferred, (serves, served)) = (Preferred::default(), mpsc::channel(1));
        let serving = tokio::spawn(serve(listener, element.clone(), preferred.clone(), serves));
        Self { element, serving, served, preferred }
    }

    /// Connections break and no new one is accepted, when this returns; the registration stays.
    async fn kill(&mut self) {
        self.serving.abort();
        while self.served.recv().await.is_some() {}
    }
}

async fn serve(
    listener: SessionListener,
    element: PoolElement,
    preferred: Preferred,
    serves: mpsc::Sender<()>,
) {
    let mut sessions = JoinSet::new();
    while let Ok(connection) = listener.accept().await {
        let (element, preferred, serves) = (element.clone(), preferred.clone(), serves.clone());
        sessions.spawn(async move {
            let _serves = serves;
            count(connection, &element, &preferred).await
        });
    }
}

async fn count(
    connection: Connection,
    element: &PoolElement,
    preferred: &Preferred,
) -> Result<(), rserpool::SessionError> {
    let mut session = ServiceSession::accept(connection, element).await?;
    let mut count = 0_u8;
    while let Some(event) = session.recv().await? {
        match event {
            ServiceEvent::Restored(cookie) => count = cookie[0],
            ServiceEvent::Message(message) if &message[..] == b"silence" => {}
            ServiceEvent::Message(message) if &message[..] == b"prefer" => {
                let preferred = preferred.lock().expect("not poisoned").clone();
                session.prefer(preferred).await?;
                session.send(b"preferred").await?;
            }
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

fn find<'a>(counters: &'a mut [Counter; 2], session: &rserpool::Session) -> &'a mut Counter {
    let serving = session.target().identifier();
    counters.iter_mut().find(|counter| counter.element.identifier() == serving).expect("one of the two")
}

/// 5352-3.8-01: the next element gets the last cookie first, so that it goes on where the dead one stopped.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_element_goes_on_where_the_dead_one_stopped() {
    let registrar = registrar(1, &[]).await;
    let mut counters = [Counter::start(&registrar).await, Counter::start(&registrar).await];
    let mut session = user(&[&registrar]).await.pool("counter").session().await.expect("a session");
    for expected in 1..=3 {
        let answer = session.request(b"count", LIMIT).await.expect("an answer");
        assert_eq!(&answer[..], [expected]);
    }

    find(&mut counters, &session).kill().await;
    let answer = session.request(b"count", LIMIT).await.expect("an answer of the other element");
    assert_eq!(&answer[..], [4], "the cookie carried the count over");
}

/// 5352-3.8-01: also a cookie that came last of all, after the last answer that was waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_that_was_not_waited_for_goes_to_the_next_element() {
    let registrar = registrar(1, &[]).await;
    let listener = SessionListener::bind().await;
    let builder = element_at("counter", &[&registrar], listener.transport());
    let element = builder.register().await.expect("registered");
    let (ended, mut end) = mpsc::unbounded_channel();
    // Ends a session after each answer.
    let serving = tokio::spawn(async move {
        while let Ok(connection) = listener.accept().await {
            let mut session = ServiceSession::accept(connection, &element).await.expect("a session");
            let mut count = 0_u8;
            while let Ok(Some(event)) = session.recv().await {
                match event {
                    ServiceEvent::Restored(cookie) => count = cookie[0],
                    ServiceEvent::Message(_) => {
                        session.send(&[count + 1]).await.expect("sent");
                        session.set_cookie(&[count + 1]).await.expect("sent");
                        break;
                    }
                    _ => {}
                }
            }
            drop(session);
            ended.send(()).expect("the test waits");
        }
    });
    let mut session = user(&[&registrar]).await.pool("counter").session().await.expect("a session");
    for expected in 1..=5 {
        let answer = session.request(b"count", LIMIT).await.expect("an answer");
        assert_eq!(&answer[..], [expected], "the count is in the cookie alone");
        end.recv().await.expect("the session has ended");
        // The cookie has left the element, and is on its way to this end.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    serving.abort();
}

/// 5355-2.9.3-01: the application is told when its session is with another element.
#[tokio::test(flavor = "multi_thread")]
async fn the_application_is_told_of_a_fail_over() {
    let registrar = registrar(1, &[]).await;
    let mut counters = [Counter::start(&registrar).await, Counter::start(&registrar).await];
    let mut session = user(&[&registrar]).await.pool("counter").session().await.expect("a session");
    session.send(b"count").await.expect("sent");
    assert_eq!(session.recv().await.expect("an answer"), SessionEvent::Message(vec![1].into()));

    let dead = find(&mut counters, &session);
    dead.kill().await;
    let event = tokio::time::timeout(PATIENCE, session.recv()).await.expect("in time").expect("an event");
    let to = session.target().identifier();
    let from = dead.element.identifier();
    let undelivered = Vec::new();
    assert_eq!(
        event,
        SessionEvent::FailedOver {
            from,
            to,
            cookie_echoed: true,
            undelivered,
            security: rserpool::machine::PeerIdentity::Anonymous
        }
    );
    assert_ne!(from, to);
}

/// An element that holds its connection but does not answer is given up after the caller's limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_element_is_given_up() {
    let registrar = registrar(1, &[]).await;
    let listener = SessionListener::bind().await;
    // Accepts by the backlog alone, and never says a word.
    let builder = element_at("counter", &[&registrar], listener.transport());
    let silent = builder.register().await.expect("registered");
    let pool = user(&[&registrar]).await.pool("counter");
    let mut session = pool.session().await.expect("a session");
    assert_eq!(session.target().identifier(), silent.identifier());

    let _counter = Counter::start(&registrar).await;
    let answer = session.request(b"count", Duration::from_millis(100)).await.expect("an answer");
    assert_eq!(&answer[..], [1]);
    assert_ne!(session.target().identifier(), silent.identifier());
}

/// 5352-3.9-02 (BC2), 5352-3.5-01: the elements of the last business card are tried in their order, before the policy is asked, and
/// those that cannot be reached are reported.
#[tokio::test(flavor = "multi_thread")]
async fn preferred_elements_are_tried_in_their_order_and_reported_if_they_are_gone() {
    let registrar = registrar(1, &[]).await;
    let mut counters = Vec::new();
    for priority in [4, 3, 2, 1] {
        counters.push(Counter::of(&registrar, Policy::Priority { priority }).await);
    }
    let identifiers: Vec<PeIdentifier> =
        counters.iter().map(|counter| counter.element.identifier()).collect();
    let pool = user(&[&registrar]).await.pool("counter");
    let known = pool.resolve(None).await.expect("the pool");
    let information =
        |id: PeIdentifier| known.iter().find(|known| known.identifier == id).expect("listed").clone();
    let mut session = pool.session().await.expect("a session");
    assert_eq!(session.target().identifier(), identifiers[0]);
    *counters[0].preferred.lock().expect("not poisoned") = [2, 3].map(|n| information(identifiers[n])).into();
    session.request(b"prefer", PATIENCE).await.expect("an answer behind the card");

    counters[0].kill().await;
    counters[2].kill().await;
    session.request(b"count", PATIENCE).await.expect("an answer of the second choice");
    assert_eq!(session.target().identifier(), identifiers[3], "the policy would say: number 1");
    until("both are reported", || registrar.statistics().unreachable_reports == 2).await;
}

/// RFC 9260 §6.6: where the transport has unordered messages, data is sent so if it is wanted. A byte stream has one order.
#[tokio::test(flavor = "multi_thread")]
async fn data_is_sent_without_order_if_that_is_wanted() {
    let registrar = registrar(1, &[]).await;
    let listener = SessionListener::bind().await;
    let builder = element_at("counter", &[&registrar], listener.transport());
    let _element = builder.register().await.expect("registered");
    let mut session = user(&[&registrar]).await.pool("counter").session().await.expect("a session");
    session.send(b"in order").await.expect("sent");
    session.set_unordered(true);
    session.send(b"in any").await.expect("sent");
    match listener.accept().await.expect("the user's connection") {
        #[cfg(target_os = "linux")]
        Connection::Sctp(stream) => {
            let mut seen = Vec::new();
            while seen.len() < 2 {
                let received = stream.recv().await.expect("intact").expect("not the end");
                if let rserpool::sctp::Received::Message(message) = received {
                    seen.push((message.bytes, message.info.unordered));
                }
            }
            seen.sort();
            assert_eq!(seen, [("in any".into(), true), ("in order".into(), false)]);
        }
        Connection::Tcp(mut stream) => {
            let mut bytes = [0; 8 + 8 + 8 + 6];
            tokio::io::AsyncReadExt::read_exact(&mut stream, &mut bytes).await.expect("both");
            assert_eq!((&bytes[8..16], &bytes[24..]), (&b"in order"[..], &b"in any"[..]));
        }
        other => panic!("{other:?}"),
    }
}

/// 5352-5-03: data cannot be marked as what belongs to the control channel.
#[tokio::test(flavor = "multi_thread")]
async fn data_is_never_marked_as_control() {
    let registrar = registrar(1, &[]).await;
    let _counter = Counter::start(&registrar).await;
    let mut session = user(&[&registrar]).await.pool("counter").session().await.expect("a session");
    session.set_payload_protocol(PayloadProtocol::ASAP);
    assert_eq!(&session.request(b"count", LIMIT).await.expect("an answer to data")[..], [1]);
    session.set_payload_protocol(PayloadProtocol(77));
    assert_eq!(&session.request(b"count", LIMIT).await.expect("an answer")[..], [2]);
}
