//! What goes on without a pause: links, resolutions, sessions and requests need not a single timer, none of which goes off before the
//! next millisecond.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "in tests, a panic is the report")]
#[path = "support/keys.rs"]
mod keys;
mod support;

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use keys::{Authority, by_key};
use rserpool::enrp::{AccessPolicy, Grant};
use rserpool::transport::Security;
use rserpool::{PoolElement, PoolUser, Registrar, ServiceEvent, ServiceSession, TimerProfile};
use support::{PATIENCE, SessionListener, element_at, registrar, secured_anywhere};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, pause};

/// The time stands still until this is dropped, or a test has waited in vain: then it moves on to the next timer.
struct Standstill {
    since: Instant,
    _end: mpsc::Sender<()>,
}

impl Standstill {
    fn begin() -> Self {
        pause();
        // A paused clock moves on when nothing is left to do, but not while there is a task that blocks.
        let (end, ended) = mpsc::channel();
        drop(spawn_blocking(move || ended.recv_timeout(PATIENCE)));
        Self { since: Instant::now(), _end: end }
    }

    fn assert_nobody_waited(&self, what: &str) {
        assert_eq!(Instant::now() - self.since, Duration::ZERO, "{what} waits for a timer");
    }
}

/// Serves sessions that echo messages.
async fn serve(listener: SessionListener, element: PoolElement) {
    while let Ok(connection) = listener.accept().await {
        let element = element.clone();
        tokio::spawn(async move {
            let mut session = ServiceSession::accept(connection, &element).await?;
            while let Some(ServiceEvent::Message(message)) = session.recv().await? {
                session.set_cookie(&message).await?;
                session.send(&message).await?;
            }
            Ok::<_, rserpool::SessionError>(())
        });
    }
}

#[tokio::test]
async fn a_session_and_its_requests_wait_for_no_timer() {
    let registrar = registrar(1, &[]).await;
    let listener = SessionListener::bind().await;
    let element =
        element_at("echo", &[&registrar], listener.transport()).register().await.expect("registered");
    tokio::spawn(serve(listener, element.clone()));

    let still = Standstill::begin();
    let pool = support::user(&[&registrar]).await.pool("echo");
    pool.pick().await.expect("an element");
    still.assert_nobody_waited("a resolution over a new link");
    let mut session = pool.session().await.expect("a session");
    still.assert_nobody_waited("a session");
    for _ in 0..3 {
        let answer = session.request(b"hello", Duration::from_secs(1)).await.expect("an answer");
        assert_eq!(&answer[..], b"hello");
        still.assert_nobody_waited("a request");
    }
    element.deregister().await;
    still.assert_nobody_waited("a deregistration");
}

#[tokio::test]
async fn a_new_link_with_tls_waits_for_no_timer() {
    let authority = Authority::new();
    let [keyed, certified] = ["pe-a", "pe-b"];
    let policy = AccessPolicy::default()
        .identity(keyed, Grant::pools(["echo"]))
        .identity(certified, Grant::pools(["echo"]));
    let registrar = Registrar::builder()
        .asap(secured_anywhere())
        .security(authority.registrar("registrar-a", &[keyed]))
        .timers(TimerProfile::Fast)
        .authorization(Arc::new(policy))
        .start()
        .await
        .expect("the registrar starts");
    registrar.ready().await;

    let still = Standstill::begin();
    let mut elements = Vec::new();
    for security in [by_key(keyed), authority.named(certified)] {
        elements.push(register(&registrar, security).await);
        still.assert_nobody_waited("a registration over a new link");
    }
    let user = PoolUser::builder().registrars(support::asap(&[&registrar])).security(authority.user());
    user.build().await.expect("it starts").pool("echo").pick().await.expect("an element");
    still.assert_nobody_waited("a resolution over a new link");
}

async fn register(registrar: &Registrar, security: Security) -> PoolElement {
    PoolElement::builder("echo")
        .registrars(support::asap(&[registrar]))
        .security(security)
        .transport(SocketAddr::from(([127, 0, 0, 1], 7)))
        .register()
        .await
        .expect("registered")
}
