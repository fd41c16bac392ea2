//! The whole stack over TLS: registrars and elements prove who they are to each other, users verify the registrar, and the policy
//! says who may do what.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "in tests, a panic is the report")]
#[path = "support/keys.rs"]
mod keys;
mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use keys::{Authority, by_key, key, security};
use rserpool::enrp::{AccessPolicy, Grant, Refusal};
use rserpool::transport::{
    ClientCertificates, ClientSecurity, PreSharedKey, PskTable, Security, SecurityConfig, ServerCertificate,
    ServerSecurity,
};
use rserpool::wire::CauseCode;
use rserpool::{PoolElement, PoolUser, RegisterError, Registrar, ServerId, StartError, TimerProfile};
use support::{elements, until};
use tokio::net::TcpListener;

fn policy() -> AccessPolicy {
    AccessPolicy::default().identity("pe-a", Grant::pools(["echo"])).peer("registrar-a").peer("registrar-b")
}

async fn registrar(id: u32, security: Security, peer: Option<&Registrar>) -> Registrar {
    let mut builder = Registrar::builder()
        .server_id(ServerId(id))
        .asap(support::secured_anywhere())
        .enrp(support::secured_anywhere())
        .security(security)
        .authorization(Arc::new(policy()))
        .timers(TimerProfile::Fast);
    if let Some(peer) = peer {
        builder = builder.peer(peer.enrp_endpoint().expect("an ENRP endpoint").clone());
    }
    let registrar = builder.start().await.expect("the registrar starts");
    registrar.ready().await;
    registrar
}

/// What becomes of a registration of an element at `address`.
async fn register(
    registrar: &Registrar,
    security: Security,
    pool: &'static str,
    address: SocketAddr,
) -> Result<PoolElement, RegisterError> {
    PoolElement::builder(pool)
        .registrars(support::asap(&[registrar]))
        .security(security)
        .timers(TimerProfile::Fast)
        .transport(address)
        .register()
        .await
}

fn assert_forbidden(result: Result<PoolElement, RegisterError>) {
    match result {
        Err(RegisterError::Rejected { error, .. }) => {
            assert!(error.has(CauseCode::REJECTED_FOR_SECURITY), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

fn here(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// 5352-9.2-06, 5352-9.2-08, 5353-6.2-07: elements by pre-shared key, registrars among themselves by certificates, users verify
/// the registrar's certificate.
#[tokio::test(flavor = "multi_thread")]
async fn a_secured_scope_serves_those_who_prove_themselves() {
    let authority = Authority::new();
    let first = registrar(1, authority.registrar("registrar-a", &["pe-a"]), None).await;
    let second = registrar(2, authority.registrar("registrar-b", &[]), Some(&first)).await;

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = listener.local_addr().expect("bound");
    let element = register(&first, by_key("pe-a"), "echo", at).await.expect("registered by a pre-shared key");
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
    let rogue = registrar(1, stranger.registrar("registrar-a", &[]), None).await;
    let result = PoolElement::builder("echo")
        .registrars(support::asap(&[&rogue]))
        .security(ours.named("pe-a"))
        .timers(TimerProfile::Fast)
        .transport(here(7))
        .patience(std::time::Duration::from_millis(300))
        .register()
        .await;
    assert!(matches!(result, Err(RegisterError::NoRegistrar { .. })));
    assert_eq!(elements(&rogue), 0);
}

/// 5355-2.6.3-01: what registrars cannot prove is not asked of them, in vain, when they have to take the element over.
#[tokio::test]
async fn an_element_that_names_its_registrars_needs_a_certificate() {
    let named = |endpoint: &str| {
        PoolElement::builder("echo")
            .registrars([endpoint])
            .registrar_names(["registrar-a"])
            .transport(here(7))
    };
    let refused = named("tls://127.0.0.1:1").security(by_key("pe-a")).start().await;
    assert!(matches!(refused, Err(StartError::NamelessRegistrars)), "{refused:?}");
    let refused = named("tcp://127.0.0.1:1").start().await.expect_err("nobody proves anything there");
    assert!(refused.to_string().contains("`registrar_names`"), "{refused}");
    named("tls://127.0.0.1:1").security(Authority::new().element("pe-a")).start().await.expect("it starts");
}

/// 5355-2.1.3-01, 5355-2.15.3-02: who has proved nothing may resolve, but neither register nor be a registrar.
#[tokio::test(flavor = "multi_thread")]
async fn those_without_an_identity_may_only_resolve() {
    let authority = Authority::new();
    let registrar = registrar(1, authority.registrar("registrar-a", &[]), None).await;
    assert_forbidden(register(&registrar, authority.user(), "echo", here(7)).await);
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
        .asap(support::secured_anywhere())
        .enrp(support::secured_anywhere())
        .peer(registrar.enrp_endpoint().expect("an ENRP endpoint").clone())
        .security(security(nobody))
        .timers(TimerProfile::Fast)
        .start()
        .await
        .expect("the registrar starts");
    stranger.ready().await;
    assert!(registrar.peers().iter().all(|peer| peer.server != ServerId(9)), "{:?}", registrar.peers());
}

/// 5355-2.4.3-01, 5352-2.2.1: where the policy does not say so, nobody registers.
#[tokio::test(flavor = "multi_thread")]
async fn the_policy_decides_who_registers_where_and_under_which_address() {
    let authority = Authority::new();
    let registrar = registrar(1, authority.registrar("registrar-a", &["pe-a", "pe-b"]), None).await;
    assert_forbidden(register(&registrar, by_key("pe-b"), "echo", here(7)).await);
    assert_forbidden(register(&registrar, by_key("pe-a"), "other", here(7)).await);
    let elsewhere = "192.0.2.1:7".parse().expect("an address");
    assert_forbidden(register(&registrar, by_key("pe-a"), "echo", elsewhere).await);
    let refused = |reason| registrar.statistics().refusals.of(reason);
    assert_eq!([Refusal::Unidentified, Refusal::Pool, Refusal::Address].map(refused), [1, 1, 1]);
    register(&registrar, by_key("pe-a"), "echo", here(7)).await.expect("as the policy says");
}

/// A new policy holds at once, for links and registrations too that there are already.
#[tokio::test(flavor = "multi_thread")]
async fn who_loses_a_permission_loses_what_was_had_by_it() {
    let authority = Authority::new();
    let first = registrar(1, authority.registrar("registrar-a", &["pe-a"]), None).await;
    let second = registrar(2, authority.registrar("registrar-b", &[]), Some(&first)).await;
    let _element = register(&first, by_key("pe-a"), "echo", here(7)).await.expect("permitted");
    until("both are linked", || first.peers().iter().any(|peer| peer.is_linked)).await;
    until("the peer has the element", || elements(&second) == 1).await;
    first.set_authorization(Arc::new(policy().identity("pe-a", Grant::default())));
    assert_eq!(elements(&first), 0, "the element is not in the pool any more");
    until("the peer follows", || elements(&second) == 0).await;
    first.set_authorization(Arc::new(AccessPolicy::default()));
    assert!(first.peers().iter().all(|peer| !peer.is_linked), "no registrar is let in any more");
}

/// 5355-2.15.3-03: a registrar is not half secured.
#[tokio::test(flavor = "multi_thread")]
async fn links_between_registrars_are_secured_where_those_of_elements_are() {
    let authority = Authority::new();
    let result = Registrar::builder()
        .asap(support::secured_anywhere())
        .enrp("tcp://127.0.0.1:0")
        .security(authority.registrar("registrar-a", &[]))
        .start()
        .await;
    assert!(matches!(result, Err(StartError::Config(_))), "{result:?}");
}

/// 5352-9.2-07, 5353-6.2-07: registrars may know each other by pre-shared keys alone, and let in none that has another key.
#[tokio::test(flavor = "multi_thread")]
async fn registrars_know_each_other_by_pre_shared_keys() {
    let of = |own: PreSharedKey, other: &str| {
        let keys: PskTable = [key(other)].into_iter().collect();
        let server = ServerSecurity { certificate: None, psk: Some(Arc::new(keys)) };
        security(SecurityConfig { client: Some(ClientSecurity::Psk(own)), server: Some(server) })
    };
    let first = registrar(1, of(key("registrar-a"), "registrar-b"), None).await;
    let second = registrar(2, of(key("registrar-b"), "registrar-a"), Some(&first)).await;
    let wrong = PreSharedKey::new("registrar-b", vec![8; 32]).expect("a key");
    let third = registrar(3, of(wrong, "registrar-a"), Some(&first)).await;
    let peers = |registrar: &Registrar| -> Vec<ServerId> {
        registrar.peers().iter().filter(|peer| peer.is_linked).map(|peer| peer.server).collect()
    };
    until("the two know each other", || peers(&first) == [ServerId(2)] && peers(&second) == [ServerId(1)])
        .await;
    assert_eq!(peers(&third), []);
}
