//! The whole stack over TLS: registrars and elements prove who they are to each other, users verify the registrar.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "in tests, a panic is the report")]
mod support;

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rserpool::transport::{
    ClientCertificates, ClientSecurity, PreSharedKey, PskTable, Security, SecurityConfig, ServerCertificate,
    ServerSecurity, TlsIdentity, TlsRoots,
};
use rserpool::{PoolElement, PoolUser, RegisterError, Registrar, ServerId, TimerProfile};
use support::{elements, until};
use tokio::net::TcpListener;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    roots: TlsRoots,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let roots = TlsRoots::from_pem(certificate.pem().as_bytes()).expect("an authority");
        Self { issuer: Issuer::new(parameters, key), roots }
    }

    /// A certificate for this name and for loopback, where everything runs.
    fn identity(&self, name: &str) -> TlsIdentity {
        let names = vec![name.to_owned(), "127.0.0.1".to_owned()];
        let key = KeyPair::generate().expect("a key");
        let parameters = CertificateParams::new(names).expect("names");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        TlsIdentity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())
            .expect("an identity")
    }

    fn client(&self, identity: Option<TlsIdentity>) -> Option<ClientSecurity> {
        Some(ClientSecurity::Certificate { roots: self.roots.clone(), identity })
    }

    /// Of a registrar: takes users without certificates, and pre-shared keys.
    fn registrar(&self, name: &str, keys: PskTable) -> Security {
        let identity = self.identity(name);
        let clients = ClientCertificates::Optional(self.roots.clone());
        let certificate = ServerCertificate::Identity { identity: identity.clone(), clients };
        let server = ServerSecurity { certificate: Some(certificate), psk: Some(Arc::new(keys)) };
        Security::new(SecurityConfig { client: self.client(Some(identity)), server: Some(server) })
            .expect("settings")
    }

    fn user(&self) -> Security {
        Security::new(SecurityConfig { client: self.client(None), server: None }).expect("settings")
    }
}

fn key(identity: &str) -> PreSharedKey {
    PreSharedKey::new(identity, vec![7; 32]).expect("a key")
}

async fn registrar(id: u32, security: Security, peer: Option<&Registrar>) -> Registrar {
    let mut builder = Registrar::builder()
        .server_id(ServerId(id))
        .asap("tls://127.0.0.1:0")
        .enrp("tls://127.0.0.1:0")
        .security(security)
        .timers(TimerProfile::Fast);
    if let Some(peer) = peer {
        builder = builder.peer(peer.enrp_endpoint().expect("an ENRP endpoint").clone());
    }
    let registrar = builder.start().await.expect("the registrar starts");
    registrar.ready().await;
    registrar
}

/// 5352-9.2-06, 5352-9.2-08, 5353-6.2-07: elements by pre-shared key, registrars among themselves by certificates, users verify
/// the registrar's certificate.
#[tokio::test(flavor = "multi_thread")]
async fn a_secured_scope_serves_those_who_prove_themselves() {
    let authority = Authority::new();
    let keys: PskTable = [key("pe-a")].into_iter().collect();
    let first = registrar(1, authority.registrar("registrar-a", keys), None).await;
    let second = registrar(2, authority.registrar("registrar-b", PskTable::default()), Some(&first)).await;

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let psk = SecurityConfig { client: Some(ClientSecurity::Psk(key("pe-a"))), server: None };
    let element = PoolElement::builder("echo")
        .registrars(support::asap(&[&first]))
        .security(Security::new(psk).expect("settings"))
        .timers(TimerProfile::Fast)
        .transport(listener.local_addr().expect("bound"))
        .register()
        .await
        .expect("registered by a pre-shared key");
    until("the update reaches the peer", || elements(&second) == 1).await;

    let user = PoolUser::builder()
        .registrars(support::asap(&[&second]))
        .security(authority.user())
        .timers(TimerProfile::Fast)
        .build()
        .await
        .expect("the pool user starts");
    let target = user.pool("echo").pick().await.expect("an element");
    assert_eq!(target.identifier(), element.identifier());
}

/// 5355-2.6.3-01: an element does not register with a registrar that cannot prove that it is one.
#[tokio::test(flavor = "multi_thread")]
async fn an_element_does_not_trust_a_stranger_s_registrar() {
    let (ours, stranger) = (Authority::new(), Authority::new());
    let rogue = registrar(1, stranger.registrar("registrar-a", PskTable::default()), None).await;
    let identity = SecurityConfig { client: ours.client(Some(ours.identity("pe-a"))), server: None };
    let result = PoolElement::builder("echo")
        .registrars(support::asap(&[&rogue]))
        .security(Security::new(identity).expect("settings"))
        .timers(TimerProfile::Fast)
        .transport(std::net::SocketAddr::from(([127, 0, 0, 1], 7)))
        .patience(std::time::Duration::from_millis(300))
        .register()
        .await;
    assert!(matches!(result, Err(RegisterError::NoRegistrar { .. })));
    assert_eq!(elements(&rogue), 0);
}

/// 5355-2.1.3-01, 5355-2.15.3-02: who has proved nothing may resolve, but neither register nor be a registrar.
#[tokio::test(flavor = "multi_thread")]
async fn those_without_an_identity_may_only_resolve() {
    let authority = Authority::new();
    let registrar = registrar(1, authority.registrar("registrar-a", PskTable::default()), None).await;
    let result = PoolElement::builder("echo")
        .registrars(support::asap(&[&registrar]))
        .security(authority.user())
        .timers(TimerProfile::Fast)
        .transport(std::net::SocketAddr::from(([127, 0, 0, 1], 7)))
        .register()
        .await;
    match result {
        Err(RegisterError::Rejected { error, .. }) => {
            assert!(error.has(rserpool::wire::CauseCode::REJECTED_FOR_SECURITY), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(elements(&registrar), 0);

    // A registrar that shows a certificate to those who connect to it, but proves nothing where it connects to.
    let certificate = ServerCertificate::Identity {
        identity: authority.identity("nobody"),
        clients: ClientCertificates::None,
    };
    let server = ServerSecurity { certificate: Some(certificate), psk: None };
    let nobody = SecurityConfig { client: authority.client(None), server: Some(server) };
    let stranger = Registrar::builder()
        .server_id(ServerId(9))
        .asap("tls://127.0.0.1:0")
        .enrp("tls://127.0.0.1:0")
        .peer(registrar.enrp_endpoint().expect("an ENRP endpoint").clone())
        .security(Security::new(nobody).expect("settings"))
        .timers(TimerProfile::Fast)
        .start()
        .await
        .expect("the registrar starts");
    stranger.ready().await;
    assert!(registrar.peers().iter().all(|peer| peer.server != ServerId(9)), "{:?}", registrar.peers());
}
