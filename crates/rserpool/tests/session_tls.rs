//! Sessions over TLS: elements prove themselves to users, users to elements if they like, and nobody on the way reads along.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "in tests, a panic is the report")]
#[path = "support/keys.rs"]
mod keys;
#[allow(dead_code, reason = "the threats use more of it")]
#[path = "threats/proxy.rs"]
mod proxy;
mod support;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use keys::{Authority, by_key, security};
use proxy::Proxy;
use rserpool::machine::PeerIdentity;
use rserpool::transport::{ClientSecurity, LinkConfig, PreSharedKey, Security, SecurityConfig};
use rserpool::{
    ConnectError, Endpoint, Policy, Pool, PoolElement, PoolUser, Registrar, ServiceEvent, ServiceSecurity,
    ServiceSession, SessionEvent, TimerProfile, TlsListener,
};
use support::{PATIENCE, asap, element_at, registrar, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

const POOL: &str = "vault";

/// An element that answers each message with whom it knows the user to be, and with the message.
struct Answering {
    element: PoolElement,
    listener: Arc<TlsListener>,
    serving: JoinHandle<()>,
}

impl Answering {
    async fn start(registrar: &Registrar, security: Security, policy: Policy) -> Self {
        Self::behind(registrar, security, policy, None).await
    }

    /// Registered at another address than its own, if one is given.
    async fn behind(
        registrar: &Registrar,
        security: Security,
        policy: Policy,
        proxy: Option<(&Endpoint, TcpListener)>,
    ) -> Self {
        let (registered, socket) = match proxy {
            Some((endpoint, socket)) => (endpoint.socket_addresses().next().flatten(), socket),
            None => (None, TcpListener::bind("127.0.0.1:0").await.expect("a free port")),
        };
        let address = registered.unwrap_or(socket.local_addr().expect("bound"));
        let listener = Arc::new(TlsListener::new(socket, &links(security)).expect("settings"));
        let builder = element_at(POOL, &[registrar], address).policy(policy);
        let element = builder.register().await.expect("registered");
        let serving = tokio::spawn(serve(Arc::clone(&listener), element.clone()));
        Self { element, listener, serving }
    }

    /// Its connections break and no new one is accepted, when this returns; the registration stays.
    async fn stop_serving(self) -> PoolElement {
        self.serving.abort();
        // That it was aborted is all there is to say.
        let _ = self.serving.await;
        self.element
    }
}

async fn serve(listener: Arc<TlsListener>, element: PoolElement) {
    let mut sessions = JoinSet::new();
    while let Ok(stream) = listener.accept().await {
        let element = element.clone();
        sessions.spawn(async move {
            let mut session = ServiceSession::accept(stream, &element).await?;
            while let Some(event) = session.recv().await? {
                if let ServiceEvent::Message(message) = event {
                    let known = format!("{:?}: {}", session.security(), message.escape_ascii());
                    session.set_cookie(b"the state of the session").await?;
                    session.send(known.as_bytes()).await?;
                }
            }
            Ok::<_, rserpool::SessionError>(())
        });
    }
}

fn links(security: Security) -> LinkConfig {
    LinkConfig { security: Some(security), ..TimerProfile::Fast.links() }
}

async fn pool(registrar: &Registrar) -> Pool {
    patient_pool(registrar, PATIENCE).await
}

/// The pool of a user who does not wait for longer than that.
async fn patient_pool(registrar: &Registrar, patience: Duration) -> Pool {
    let builder = PoolUser::builder().registrars(asap(&[registrar])).timers(TimerProfile::Fast);
    builder.patience(patience).build().await.expect("the pool user starts").pool(POOL)
}

/// Why the only element of the pool is not taken. On a busy machine it may be late before it is wrong.
async fn refusal(registrar: &Registrar, user: &ServiceSecurity) -> io::Error {
    let (pool, started) = (patient_pool(registrar, Duration::from_millis(50)).await, Instant::now());
    loop {
        match pool.session_secured(user).await {
            Err(ConnectError::Unreachable { source, .. }) => {
                if source.kind() == io::ErrorKind::PermissionDenied {
                    return source;
                }
            }
            Err(ConnectError::Resolve { .. }) => {}
            other => panic!("{other:?}"),
        }
        assert!(started.elapsed() < PATIENCE, "no reason is found");
    }
}

fn said(event: SessionEvent) -> String {
    match event {
        SessionEvent::Message(message) => message.escape_ascii().to_string(),
        other => panic!("{other:?}"),
    }
}

/// 5355-2.16: each application knows for sure who is at the other end, by certificate as by pre-shared key.
#[tokio::test(flavor = "multi_thread")]
async fn both_ends_know_whom_the_other_has_proved_to_be() {
    let (authority, registrar) = (Authority::new(), registrar(1, &[]).await);
    let service = authority.service("pe-a", POOL, &["user-2"]);
    let _element = Answering::start(&registrar, service, Policy::RoundRobin).await;
    let pool = pool(&registrar).await;
    let proven = PeerIdentity::Authenticated("pe-a".into());
    for (user, element, known) in [
        (authority.named("user-1"), proven.clone(), r#"Authenticated(\"user-1\")"#),
        (authority.user(), proven, "Encrypted"),
        (by_key("user-2"), PeerIdentity::Keyed("user-2".into()), r#"Authenticated(\"user-2\")"#),
    ] {
        let mut session = pool.session_secured(&ServiceSecurity::new(user)).await.expect("a session");
        assert_eq!(*session.security(), element);
        session.send(b"hello").await.expect("sent");
        let answer = timeout(PATIENCE, session.recv()).await.expect("in time").expect("an answer");
        assert_eq!(said(answer), format!("{known}: hello"));
    }
}

/// 5355-2.9.3-01: the new element has to prove itself as the old one did, and what it proves is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_fail_over_leads_to_elements_that_prove_themselves_and_tells_who_they_are() {
    let (authority, registrar) = (Authority::new(), registrar(1, &[]).await);
    let first = authority.service("pe-a", POOL, &[]);
    let first = Answering::start(&registrar, first, Policy::Priority { priority: 9 }).await;
    let user = ServiceSecurity::new(authority.user());
    let mut session = pool(&registrar).await.session_secured(&user).await.expect("a session");
    session.request(b"one", PATIENCE).await.expect("an answer");

    // Next in the policy's order: one of another authority, and one without TLS.
    let stranger = Authority::new().service("pe-a", POOL, &[]);
    let _stranger = Answering::start(&registrar, stranger, Policy::Priority { priority: 8 }).await;
    let plain = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = plain.local_addr().expect("bound");
    let registering = element_at(POOL, &[&registrar], at).policy(Policy::Priority { priority: 7 });
    let _plain = registering.register().await.expect("registered");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            let _ = stream.write_all(b"what can I do for you?\n").await;
        }
    });
    let last = authority.service("pe-b", POOL, &[]);
    let last = Answering::start(&registrar, last, Policy::Priority { priority: 1 }).await;
    let (failed, expected) = (first.element.identifier(), last.element.identifier());
    let _first = first.stop_serving().await;
    match timeout(PATIENCE, session.recv()).await.expect("in time").expect("an event") {
        SessionEvent::FailedOver { from, to, cookie_echoed: true, security, .. } => {
            assert_eq!((from, to), (failed, expected));
            assert_eq!(security, PeerIdentity::Authenticated("pe-b".into()));
        }
        other => panic!("{other:?}"),
    }
    let reports = || registrar.statistics().unreachable_reports;
    until("the one that died is reported", || reports() > 0).await;
    assert_eq!(reports(), 1, "and not those that are there and serve others");
}

/// Every way not to be the element that the user wants: each is refused, told, and not reported to the registrar as a failure.
#[tokio::test(flavor = "multi_thread")]
async fn an_element_that_does_not_prove_itself_is_refused_and_the_reason_told() {
    let authority = Authority::new();
    let other = PreSharedKey::new("user-1", vec![9; 32]).expect("a key");
    let other = security(SecurityConfig { client: Some(ClientSecurity::Psk(other)), server: None });
    let of = |user| ServiceSecurity::new(user);
    for (element, user, reason) in [
        (Authority::new().service("pe-a", POOL, &[]), of(authority.user()), "another authority"),
        (
            authority.service("pe-a", "cellar", &[]),
            of(authority.user()),
            "not for vault, but for pe-a, cellar",
        ),
        (authority.service("pe-a", POOL, &[]), of(authority.user()).name("cellar"), "not for cellar"),
        // Being at the address that the registrar has is not enough.
        (authority.service("pe-a", "127.0.0.1", &[]), of(authority.user()), "not for vault"),
        (authority.service("pe-a", POOL, &["user-1"]), of(other), "refused"),
        (authority.service("pe-a", POOL, &[]), of(by_key("user-1")), "did not take the pre-shared key"),
    ] {
        let registrar = registrar(1, &[]).await;
        let element = Answering::start(&registrar, element, Policy::RoundRobin).await;
        let error = refusal(&registrar, &user).await;
        assert!(error.to_string().contains(reason), "`{reason}` is not what it says: {error}");
        until("the element has turned the user away", || element.listener.refused() > 0).await;
        assert_eq!(registrar.statistics().unreachable_reports, 0, "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_element_without_tls_is_refused() {
    let (authority, registrar) = (Authority::new(), registrar(1, &[]).await);
    // What comes back is a TLS message: the user's own.
    let _echo = support::Echo::start(POOL, &[&registrar]).await;
    for user in [authority.user(), by_key("user-1")] {
        refusal(&registrar, &ServiceSecurity::new(user)).await;
    }
}

/// The name that elements have to prove may be another one than the pool handle, or an address.
#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_a_service_may_be_chosen() {
    let (authority, registrar) = (Authority::new(), registrar(1, &[]).await);
    let service = authority.service("vault.example", "127.0.0.1", &[]);
    let _element = Answering::start(&registrar, service, Policy::RoundRobin).await;
    let pool = pool(&registrar).await;
    for name in ["vault.example", "Vault.Example", "127.0.0.1"] {
        let user = ServiceSecurity::new(authority.user()).name(name);
        pool.session_secured(&user).await.expect(name);
    }
}

/// RFC 5352 §9: where the element asks for an identity, nobody gets in without, and nobody tries without a rest.
#[tokio::test(flavor = "multi_thread")]
async fn an_element_may_let_in_only_users_that_prove_themselves() {
    let (authority, registrar) = (Authority::new(), registrar(1, &[]).await);
    let service = authority.mutual_service("pe-a", POOL);
    let element = Answering::start(&registrar, service, Policy::RoundRobin).await;
    let named = ServiceSecurity::new(authority.named("user-1"));
    let mut session = pool(&registrar).await.session_secured(&named).await.expect("a session");
    session.request(b"hello", PATIENCE).await.expect("an answer");
    let before = element.listener.refused();
    // In TLS 1.3 a client is done before the server has seen its certificate, or that there is none.
    let unknown = ServiceSecurity::new(authority.user());
    let (pool, started) = (patient_pool(&registrar, Duration::from_millis(500)).await, Instant::now());
    if let Ok(mut session) = pool.session_secured(&unknown).await {
        session.request(b"hello", Duration::from_millis(100)).await.expect_err("no answer");
    }
    until("it is turned away", || element.listener.refused() > before).await;
    let (attempts, pauses) = (element.listener.refused() - before, started.elapsed().as_millis() / 20);
    // One in vain may be tried again at once.
    assert!(u128::from(attempts) <= 2 * pauses + 3, "{attempts} attempts with {pauses} pauses between them");
}

/// 5355-2.11.3-01: neither messages nor cookies can be read on the way; that they could without TLS shows that they are looked for.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_session_can_be_read_on_the_way() {
    const COOKIE: &[u8] = b"the state of the session";
    let (authority, registrar) = (Authority::new(), registrar(1, &[]).await);
    for user in [authority.user(), by_key("user-1")] {
        // A user who knows nothing of earlier elements.
        let pool = patient_pool(&registrar, Duration::from_secs(1)).await;
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let proxy = Proxy::to(&Endpoint::tcp(socket.local_addr().expect("bound"))).await;
        let service = authority.service("pe-a", POOL, &["user-1"]);
        let at = Some((&proxy.endpoint, socket));
        let element = Answering::behind(&registrar, service, Policy::RoundRobin, at).await;
        let mut session = pool.session_secured(&ServiceSecurity::new(user)).await.expect("a session");
        let answer = session.request(b"a long secret", PATIENCE).await.expect("an answer");
        assert!(answer.ends_with(b": a long secret"));
        assert!(proxy.passed() > 500);
        assert!(!proxy.has_seen(b"a long secret") && !proxy.has_seen(COOKIE));
        // A changed byte ends the connection; it is not taken for the end of the session.
        proxy.corrupt();
        session.request(b"again", PATIENCE).await.expect_err("nobody else is in the pool");
        element.stop_serving().await.deregister().await;
    }

    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let proxy = Proxy::to(&Endpoint::tcp(socket.local_addr().expect("bound"))).await;
    let at = proxy.endpoint.socket_addresses().next().flatten().expect("an address");
    let element = element_at(POOL, &[&registrar], at).register().await.expect("registered");
    let mut session = pool(&registrar).await.session().await.expect("a session");
    session.send(b"a long secret").await.expect("sent");
    let accepted = timeout(PATIENCE, socket.accept()).await.expect("in time").expect("the user").0;
    let mut service = ServiceSession::accept(accepted, &element).await.expect("a session");
    service.set_cookie(COOKIE).await.expect("sent");
    service.recv().await.expect("intact");
    until("it is seen", || proxy.has_seen(b"a long secret") && proxy.has_seen(COOKIE)).await;
}

/// Any protocol may run over such a connection: both directions are as those of TCP, full, slow, and ended one by one.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_carries_any_protocol_both_ways() {
    const LENGTH: usize = 8 << 20;
    let (authority, registrar) = (Authority::new(), registrar(1, &[]).await);
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let _element = support::element(POOL, &[&registrar], &socket).register().await.expect("registered");
    let service = authority.service("pe-a", POOL, &["user-1"]);
    let listener = TlsListener::new(socket, &links(service)).expect("settings");
    tokio::spawn(async move {
        while let Ok(stream) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = split(stream);
                let _ = copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    let pool = pool(&registrar).await;
    let sent: Vec<u8> = (0..LENGTH).map(|i| (i % 251).to_le_bytes()[0]).collect();
    for user in [authority.user(), by_key("user-1")] {
        let (stream, _) = pool.connect_secured(&ServiceSecurity::new(user)).await.expect("connected");
        let (mut read, mut write) = split(stream);
        let bytes = sent.clone();
        let writing = tokio::spawn(async move {
            write.write_all(&bytes).await?;
            // The other direction goes on.
            write.shutdown().await
        });
        let mut received = Vec::new();
        timeout(PATIENCE, read.read_to_end(&mut received)).await.expect("in time").expect("ended in order");
        writing.await.expect("no panic").expect("written");
        assert!(received == sent, "{} bytes came back", received.len());
    }
}
