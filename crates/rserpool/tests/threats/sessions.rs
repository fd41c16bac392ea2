//! Sessions between users and elements: RFC 5355 §2.9 and §2.16.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use rserpool::asap::session::{FrameCodec, PayloadProtocol};
use rserpool::machine::PeerIdentity;
use rserpool::transport::LinkConfig;
use rserpool::transport::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rserpool::transport::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring};
use rserpool::wire::asap::{self, CookieEcho};
use rserpool::{
    ConnectError, Connection, CookieKey, Dialect, PoolElement, PoolUser, ServiceEvent, ServiceSecurity,
    ServiceSession, SessionEvent, Target, TimerProfile, TlsListener,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::keys::Authority;
use crate::support::{PATIENCE, asap, registrar};

/// An element that answers each message in a session with itself, until killed.
struct Answering {
    element: PoolElement,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Answering {
    /// Secured where there is an acceptor.
    async fn start(registrar: &rserpool::Registrar, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let element = PoolElement::builder("answers")
            .registrars(asap(&[registrar]))
            .transport(address)
            .register()
            .await
            .expect("registered");
        let serving = tokio::spawn(serve(listener, element.clone(), tls));
        Self { element, address, serving }
    }

    /// Its connections break, and it is not in the pool any more.
    async fn kill(self) {
        self.serving.abort();
        self.element.deregister().await;
    }
}

async fn serve(listener: TcpListener, element: PoolElement, tls: Option<TlsAcceptor>) {
    let mut sessions = tokio::task::JoinSet::new();
    while let Ok((stream, peer)) = listener.accept().await {
        let (element, tls) = (element.clone(), tls.clone());
        sessions.spawn(async move {
            let connection = match tls {
                Some(tls) => {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    Connection::secured(stream, peer, PeerIdentity::Encrypted)
                }
                None => Connection::Tcp(stream),
            };
            let Ok(mut session) = ServiceSession::accept(connection, &element).await else { return };
            while let Ok(Some(event)) = session.recv().await {
                if let ServiceEvent::Message(message) = event
                    && session.send(&message).await.is_err()
                {
                    return;
                }
            }
        });
    }
}

/// TLS for the name `element`, both ends of it.
fn tls() -> (TlsAcceptor, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["element".to_owned()]).expect("a certificate");
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a root");
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate with its key");
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    (TlsAcceptor::from(Arc::new(server)), TlsConnector::from(Arc::new(client)))
}

/// 5355-2.9.3-01: the application hears of every fail-over and of the security of the new element, and a secured session does not go
/// on without security.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_09_fail_over_to_an_element_with_less_security() {
    let registrar = registrar(1, &[]).await;
    let (acceptor, connector) = tls();
    let first = Answering::start(&registrar, Some(acceptor.clone())).await;
    // The application knows which elements speak TLS; what the others are good for is what is tested.
    let secured = Arc::new(Mutex::new(BTreeMap::from([(first.address, ())])));
    let known = Arc::clone(&secured);
    let connect = move |target: Target| {
        let (known, connector) = (Arc::clone(&known), connector.clone());
        async move {
            let address = target.address().expect("an address");
            let stream = TcpStream::connect(address).await?;
            if !known.lock().expect("no panic").contains_key(&address) {
                return Ok(Connection::Tcp(stream));
            }
            let name = ServerName::try_from("element").expect("a name");
            let stream = connector.connect(name, stream).await?;
            Ok(Connection::secured(stream, address, PeerIdentity::Authenticated("element".into())))
        }
    };
    let user = PoolUser::builder()
        .registrars(asap(&[&registrar]))
        .timers(TimerProfile::Fast)
        .patience(Duration::from_secs(2))
        .build()
        .await
        .expect("the pool user starts");
    let mut session = user.pool("answers").session_by(connect).await.expect("a session");
    let proven = PeerIdentity::Authenticated("element".into());
    assert_eq!(session.security(), &proven);
    assert_eq!(&session.request(b"one", PATIENCE).await.expect("an answer")[..], b"one");

    let plain = Answering::start(&registrar, None).await;
    first.kill().await;
    let refused = session.fail_over().await;
    assert!(
        matches!(&refused, Err(ConnectError::LessSecure { element, .. }) if *element == plain.element.identifier()),
        "{refused:?}"
    );

    let second = Answering::start(&registrar, Some(acceptor)).await;
    secured.lock().expect("no panic").insert(second.address, ());
    timeout(PATIENCE, session.fail_over()).await.expect("in time").expect("one as secure");
    let to = second.element.identifier();
    let event = session.recv().await.expect("the news");
    assert!(
        matches!(&event, SessionEvent::FailedOver { to: there, security, .. } if *there == to && *security == proven),
        "{event:?}"
    );
    assert_eq!(&session.request(b"two", PATIENCE).await.expect("an answer")[..], b"two");

    second.kill().await;
    session.allow_less_security();
    timeout(PATIENCE, session.fail_over()).await.expect("in time").expect("as it was configured");
    let event = session.recv().await.expect("the news");
    assert!(
        matches!(&event, SessionEvent::FailedOver { security: PeerIdentity::Anonymous, .. }),
        "the application is told: {event:?}"
    );
}

/// 5355-2.9.3-01: whoever gets into the pool and cannot prove that it is of it hears nothing of a session over TLS, neither its cookie
/// nor what was not answered.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_09_an_element_that_proves_nothing_is_told_nothing() {
    const COOKIE: &[u8] = b"balance=7";
    let (authority, registrar) = (Authority::new(), registrar(1, &[]).await);
    let join = async |listener: &TcpListener| {
        let address = listener.local_addr().expect("bound");
        let builder = PoolElement::builder("answers").registrars(asap(&[&registrar])).transport(address);
        builder.register().await.expect("registered")
    };
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let element = join(&socket).await;
    let security = Some(authority.service("pe-a", "answers", &[]));
    let links = LinkConfig { security, ..TimerProfile::Rfc.links() };
    let listener = TlsListener::new(socket, &links).expect("settings");
    let builder = PoolUser::builder().registrars(asap(&[&registrar])).patience(Duration::from_secs(1));
    let pool = builder.build().await.expect("the pool user starts").pool("answers");
    let security = ServiceSecurity::new(authority.user());
    let (session, accepted) = tokio::join!(pool.session_secured(&security), listener.accept());
    let mut session = session.expect("a session");
    let mut service = ServiceSession::accept(accepted.expect("a user"), &element).await.expect("a session");
    service.set_cookie(COOKIE).await.expect("sent");
    service.send(b"hello").await.expect("sent");
    session.recv().await.expect("an answer");
    assert_eq!(session.cookie(), Some(COOKIE));

    let rogue = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let _rogue_element = join(&rogue).await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = rogue.accept().await {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).await.unwrap_or(0);
            hearing.lock().expect("no panic").extend_from_slice(&buffer[..count]);
        }
    });
    drop((service, listener));
    element.deregister().await;
    let answer = session.request(b"take 5 of it", Duration::from_secs(1));
    timeout(PATIENCE, answer).await.expect("in time").expect_err("nobody who may hear it");
    let heard = heard.lock().expect("no panic");
    let was_heard = |text: &[u8]| heard.windows(text.len()).any(|window| window == text);
    assert!(!heard.is_empty(), "it was asked to prove itself");
    assert!(!was_heard(COOKIE) && !was_heard(b"take 5 of it"));
}

/// 5355-2.16, RFC 5352 §3.8: a cookie that somebody made up or changed is not the state of a session.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_16_cookie_tampering() {
    let registrar = registrar(1, &[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let element = PoolElement::builder("answers")
        .registrars(asap(&[&registrar]))
        .transport(address)
        .register()
        .await
        .expect("registered");
    let key = CookieKey::new(b"what the elements of this pool share").expect("a key");
    let genuine = key.seal(element.pool_handle(), b"balance=7");
    let mut changed = genuine.clone();
    let last = changed.len() - 1;
    changed[last] = b'9';
    let made_up = b"balance=1000000".to_vec();
    let other = CookieKey::new(b"what the attacker would like it to be").expect("a key");
    let other = other.seal(element.pool_handle(), b"balance=7");
    for (cookie, expected) in [
        (genuine, ServiceEvent::Restored(b"balance=7"[..].into())),
        (changed, ServiceEvent::CookieRefused),
        (made_up, ServiceEvent::CookieRefused),
        (other, ServiceEvent::CookieRefused),
        (Vec::new(), ServiceEvent::CookieRefused),
    ] {
        let mut attacker = TcpStream::connect(address).await.expect("TCP connects");
        let (mut echo, mut frame) = (BytesMut::new(), BytesMut::new());
        let message: asap::Message<'_> = CookieEcho { cookie: &cookie }.into();
        message.encode(Dialect::Rfc, &mut echo).expect("it fits");
        FrameCodec::default().encode(PayloadProtocol::ASAP, &echo, &mut frame).expect("it fits");
        attacker.write_all(&frame).await.expect("sent");
        let (stream, _) = listener.accept().await.expect("connected");
        let mut session = ServiceSession::accept(stream, &element).await.expect("a session");
        session.set_cookie_key(key.clone());
        let event = timeout(PATIENCE, session.recv()).await.expect("in time").expect("a session");
        assert_eq!(event, Some(expected));
        // Cookies that it sets are sealed on the way out.
        session.set_cookie(b"balance=8").await.expect("sent");
        drop(session);
        let mut received = Vec::new();
        let _ = timeout(PATIENCE, attacker.read_to_end(&mut received)).await.expect("closed in time");
        let sealed = key.seal(element.pool_handle(), b"balance=8");
        assert!(received.windows(sealed.len()).any(|window| window == sealed));
    }
}
