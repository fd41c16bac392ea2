//! Keys and certificates are replaced while links are up; sessions are resumed as long as they may be.
#![cfg(feature = "psk")]
#![allow(clippy::expect_used, reason = "a failed step of the scaffolding fails the test")]
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rserpool_machine::PeerIdentity;
use rserpool_transport::{
    ClientCertificates, ClientSecurity, LinkConfig, Listener, PreSharedKey, Security, SecurityConfig,
    ServerCertificate, ServerSecurity, TlsIdentity, TlsRoots, rustls,
};
use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use support::tls::{Authority, address, client, key, listen, meet, psk, psk_client, turned_away, with};
use support::{drive, message, read_all};

/// The settings of a server that lets in whom these roots say.
fn server(identity: &TlsIdentity, roots: TlsRoots) -> SecurityConfig {
    let certificate = ServerCertificate::Identity {
        identity: identity.clone(),
        clients: ClientCertificates::Required(roots),
    };
    SecurityConfig {
        server: Some(ServerSecurity { certificate: Some(certificate), ..ServerSecurity::default() }),
        client: None,
    }
}

fn of(config: &LinkConfig) -> &Security {
    config.security.as_ref().expect("set by the test")
}

#[tokio::test]
async fn links_stay_up_while_certificates_are_replaced() {
    let (old, new) = (Authority::new(), Authority::new());
    let config = with(server(&old.identity(&["127.0.0.1"]), old.roots()));
    let listener = listen(&config).await;
    let (old_client, new_client) = (
        client(old.roots(), Some(old.identity(&["pe-a"]))),
        client(new.roots(), Some(new.identity(&["pe-a"]))),
    );
    let (connected, accepted) = meet(&listener, listener.local_endpoint(), &old_client).await;

    of(&config).reload(server(&new.identity(&["127.0.0.1"]), new.roots())).expect("good settings");
    turned_away(&listener, listener.local_endpoint(), &old_client).await;
    meet(&listener, listener.local_endpoint(), &new_client).await;

    let (before, mut there) = (drive(connected), drive(accepted));
    before.queue.push(message(1, 64)).expect("room");
    before.queue.close();
    assert_eq!(read_all(&mut there.reader).await.0, [message(1, 64)]);
}

#[tokio::test]
async fn a_client_moves_to_a_new_key_in_its_own_time() {
    let settings = |keys: &[PreSharedKey]| SecurityConfig { server: Some(psk(keys)), client: None };
    let config = with(settings(&[key("pe-a", 1)]));
    let listener = listen(&config).await;
    let node = psk_client(key("pe-a", 1));
    meet(&listener, listener.local_endpoint(), &node).await;

    of(&config).reload(settings(&[key("pe-a", 1), key("pe-a-2", 2)])).expect("good settings");
    meet(&listener, listener.local_endpoint(), &node).await;
    let next = ClientSecurity::Psk(key("pe-a-2", 2));
    of(&node).reload(SecurityConfig { client: Some(next), server: None }).expect("good settings");
    let (_, accepted) = meet(&listener, listener.local_endpoint(), &node).await;
    assert_eq!(accepted.identity, PeerIdentity::Authenticated("pe-a-2".into()));

    of(&config).reload(settings(&[key("pe-a-2", 2)])).expect("good settings");
    let said = turned_away(&listener, listener.local_endpoint(), &psk_client(key("pe-a", 1))).await;
    assert!(said.contains("does not know"), "{said}");
}

#[tokio::test]
async fn settings_that_do_not_work_leave_the_old_ones_in_use() {
    let config = with(SecurityConfig { server: Some(psk(&[key("pe-a", 1)])), client: None });
    let listener = listen(&config).await;
    let nothing = SecurityConfig { server: Some(ServerSecurity::default()), client: None };
    of(&config).reload(nothing).expect_err("nothing to prove itself by");
    meet(&listener, listener.local_endpoint(), &psk_client(key("pe-a", 1))).await;
}

#[tokio::test]
async fn a_certificate_is_revoked_by_a_list() {
    let authority = Authority::new();
    let identity = authority.identity(&["127.0.0.1"]);
    let config = with(server(&identity, authority.roots()));
    let listener = listen(&config).await;
    let stolen =
        authority.changed_identity(&["pe-a"], |parameters| parameters.serial_number = Some(7.into()));
    let stolen = client(authority.roots(), Some(stolen));
    meet(&listener, listener.local_endpoint(), &stolen).await;

    let roots = authority.roots().revoke_pem(authority.revocation(7).as_bytes()).expect("a list");
    of(&config).reload(server(&identity, roots)).expect("good settings");
    let said = turned_away(&listener, listener.local_endpoint(), &stolen).await;
    assert!(said.contains("our certificate is revoked"), "{said}");
    let other = client(authority.roots(), Some(authority.identity(&["pe-b"])));
    meet(&listener, listener.local_endpoint(), &other).await;
}

/// What kind of handshake a client of rustls has with the listener, and whom the listener takes it for.
async fn shake(listener: &Listener, config: &Arc<rustls::ClientConfig>) -> (HandshakeKind, PeerIdentity) {
    let (config, address) = (Arc::clone(config), address(listener));
    let client = tokio::task::spawn_blocking(move || {
        let mut socket = TcpStream::connect(address).expect("it listens");
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        let mut connection = rustls::ClientConnection::new(config, name).expect("a configuration");
        let mut stream = rustls::Stream::new(&mut connection, &mut socket);
        stream.write_all(&message(1, 16)).expect("sent");
        // The tickets of the server come before its answer.
        stream.read_exact(&mut [0; 16]).expect("an answer");
        connection.handshake_kind().expect("finished")
    });
    let accepted = listener.accept().await.expect("a link");
    let identity = accepted.identity.clone();
    let mut link = drive(accepted);
    assert!(link.reader.fill().await.expect("a message"));
    link.queue.push(message(1, 16)).expect("room");
    link.queue.try_flush();
    (client.await.expect("no panic"), identity)
}

/// Thousands of users reconnect after a crash: that must be cheap, and they stay who they are.
#[tokio::test]
async fn sessions_are_resumed_with_the_identity_that_began_them_until_a_reload() {
    let authority = Authority::new();
    let identity = authority.identity(&["127.0.0.1"]);
    let config = with(server(&identity, authority.roots()));
    let listener = listen(&config).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let rustls = Arc::new(authority.rustls_client(&["pe-a"], version));
        let pe_a = PeerIdentity::Authenticated("pe-a".into());
        assert_eq!(shake(&listener, &rustls).await, (HandshakeKind::Full, pe_a.clone()));
        assert_eq!(shake(&listener, &rustls).await, (HandshakeKind::Resumed, pe_a.clone()));
        of(&config).reload(server(&identity, authority.roots())).expect("good settings");
        assert_eq!(shake(&listener, &rustls).await, (HandshakeKind::Full, pe_a));
    }
}

/// Our own clients resume, too: a server that counts sees their tickets taken.
#[tokio::test]
async fn our_clients_resume_their_sessions() {
    let authority = Authority::new();
    let mut rustls = authority.rustls_server(&["127.0.0.1"]);
    let sessions = Arc::new(Sessions::default());
    rustls.session_storage = Arc::clone(&sessions) as Arc<dyn rustls::server::StoresServerSessions>;
    let certificate = Some(ServerCertificate::Rustls(Arc::new(rustls)));
    let security = ServerSecurity { certificate, ..ServerSecurity::default() };
    let listener = listen(&with(SecurityConfig { server: Some(security), client: None })).await;
    let config = client(authority.roots(), None);
    for resumed in 0..3 {
        let (connected, accepted) = meet(&listener, listener.local_endpoint(), &config).await;
        assert_eq!(sessions.taken.load(std::sync::atomic::Ordering::Relaxed), resumed);
        // Tickets come with the first read.
        let (mut client, server) = (drive(connected), drive(accepted));
        server.queue.push(message(1, 16)).expect("room");
        server.queue.try_flush();
        assert!(client.reader.fill().await.expect("a message"));
    }
}

/// Sessions of a server, and how many of them were taken up again.
#[derive(Default, Debug)]
struct Sessions {
    kept: std::sync::Mutex<std::collections::BTreeMap<Vec<u8>, Vec<u8>>>,
    taken: std::sync::atomic::AtomicUsize,
}

impl rustls::server::StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.kept.lock().expect("no panic").insert(key, value);
        true
    }

    fn get(&self, _key: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let taken = self.kept.lock().expect("no panic").remove(key);
        self.taken.fetch_add(usize::from(taken.is_some()), std::sync::atomic::Ordering::Relaxed);
        taken
    }

    fn can_cache(&self) -> bool {
        true
    }
}
