//! Taking elements that are on their way between registrars: RFC 5355 §2.3 and §2.6 while a registrar dies, and after a
//! resynchronization.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rserpool::machine::{Endpoint, Protocol};
use rserpool::transport::{LinkConfig, PskTable, Security, SecurityConfig, ServerSecurity, connect_to};
use rserpool::wire::enrp::{self, Body, HandleTableResponse, PoolEntry, Presence, TableElement};
use rserpool::wire::{CauseCode, ElementOwner};
use rserpool::{Dialect, ElementEvent, PoolElement, PoolHandle, Registrar, ServerId, Status, TimerProfile};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_stream::StreamExt;

use crate::keys::{Authority, by_key, key, security};
use crate::raw::{Raw, element};
use crate::scene::{KEYS, Scene, builder, endpoint, pick};
use crate::support::{agree, elements, owned, until};

const FORBIDDEN: Result<(), CauseCode> = Err(CauseCode::REJECTED_FOR_SECURITY);

async fn registrar(authority: &Authority, id: u32, name: &str, peer: Option<&Registrar>) -> Registrar {
    let mut builder = builder(id, authority.registrar(name, &KEYS)).timers(TimerProfile::Fast);
    if let Some(peer) = peer {
        builder = builder.peer(peer.enrp_endpoint().expect("an ENRP endpoint").clone());
    }
    let registrar = builder.start().await.expect("the registrar starts");
    registrar.ready().await;
    registrar
}

/// An element with a pre-shared key and nothing else, which knows these registrars.
async fn keyed(identity: &str, registrars: Vec<Endpoint>) -> PoolElement {
    let element = PoolElement::builder("echo")
        .registrars(registrars)
        .security(by_key(identity))
        .timers(TimerProfile::Fast)
        .transport(std::net::SocketAddr::from(([127, 0, 0, 1], 7)))
        .start()
        .await
        .expect("it starts");
    until("it is registered", || matches!(element.status(), Status::Registered { .. })).await;
    element
}

/// Where registrars reach the element.
fn asap_transport(registrar: &Registrar, element: &PoolElement) -> Endpoint {
    let transport = registrar.handlespace(|handlespace| {
        let key = handlespace.find(b"echo", element.identifier()).expect("registered");
        let known = handlespace.element(key).and_then(|view| view.decode()).expect("an element");
        known.asap_transport.expect("where registrars reach it")
    });
    Endpoint::from_transport(&transport, true).expect("an endpoint")
}

/// Whether the element has taken the registrar that called it for its home.
fn has_adopted(element: &PoolElement, registrar: &Registrar) -> bool {
    matches!(element.status(), Status::Registered { home: Some(home), endpoint: None } if home == registrar.id())
}

/// 5355-2.3.3-01: somebody of the same pool and host tries, without a pause, while the registrar that the element registered at dies and
/// another one takes over. The element knows none but the first: it waits to be called, and is, by its pre-shared key.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_03_spoofing_all_through_a_take_over() {
    let authority = Authority::new();
    let first = registrar(&authority, 1, "registrar-a", None).await;
    let second = registrar(&authority, 2, "registrar-b", Some(&first)).await;
    let victim = keyed("pe-a", vec![endpoint(&first)]).await;
    until("both know the element", || elements(&second) == 1 && agree(&[&first, &second])).await;

    let mut insider = Raw::connect(&endpoint(&second), Some(by_key("pe-b"))).await.expect("let in");
    drop(first);
    let mut attacks_after = 0;
    while attacks_after < 3 {
        attacks_after += usize::from(has_adopted(&victim, &second));
        assert_eq!(insider.deregister("echo", victim.identifier()).await, FORBIDDEN);
        assert_eq!(insider.register("echo", element(victim.identifier().0, 8)).await, FORBIDDEN);
        assert_eq!(elements(&second), 1);
    }
    assert_eq!(owned(&second, &second), 1);
    assert_eq!(pick(&second, authority.user()).await, victim.identifier());
}

/// 5355-2.3.3-01: the same where a registrar has come to know the element by a resynchronization alone.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_03_spoofing_after_a_resynchronization() {
    let scene = Scene::new().await;
    let at = scene.registrar.enrp_endpoint().expect("an ENRP endpoint");
    let home = ServerId(2);
    let mut peer =
        Raw::speak(Protocol::Enrp, at, Some(scene.authority.named("registrar-b"))).await.expect("let in");
    let presence = Presence { reply_required: false, checksum: Some(0x1234), information: None };
    peer.send_enrp(home, Body::Presence(presence));
    loop {
        let message = peer.next().await.expect("a request");
        let decoded = enrp::decode(&message, Dialect::Rfc).expect("well-formed").message;
        if matches!(decoded.body, Body::HandleTableRequest(request) if request.own_children_only) {
            break;
        }
    }
    let mut owned = element(77, 7);
    owned.home = home;
    let listed = TableElement { element: owned, owner: ElementOwner::new("pe-a") };
    let entries = vec![PoolEntry { pool_handle: PoolHandle::from("echo"), elements: vec![listed] }];
    peer.send_enrp(
        home,
        Body::HandleTableResponse(HandleTableResponse { rejected: false, more: false, entries }),
    );
    until("the element is known", || elements(&scene.registrar) == 2).await;

    let mut insider = scene.link_of("pe-b").await;
    assert_eq!(insider.deregister("echo", rserpool::PeIdentifier(77)).await, FORBIDDEN);
    assert_eq!(insider.register("echo", element(77, 7)).await, FORBIDDEN);
    let mut owner = scene.link_of("pe-a").await;
    assert_eq!(owner.register("echo", element(77, 7)).await, Ok(()));
}

/// 5355-2.6.3-01: an element with a pre-shared key is called by those who know it, and by nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_06_a_malicious_registrar_calls_an_element_with_a_key() {
    let scene = Scene::new().await;
    let at = asap_transport(&scene.registrar, &scene.element);
    let before = scene.element.status();
    // Its name is known to everybody, and so is where it listens.
    let guessed: PskTable =
        [rserpool::transport::PreSharedKey::new("pe-a", vec![7; 32]).expect("a key")].into_iter().collect();
    let guessing = security(SecurityConfig {
        server: Some(ServerSecurity { certificate: None, psk: Some(Arc::new(guessed)) }),
        client: None,
    });
    let call = async |security: Security| {
        let config = LinkConfig { security: Some(security), ..LinkConfig::default() };
        connect_to("pe-a", &at, &config).await.map(|_| ()).expect_err("not let in");
    };
    call(guessing).await;
    call(Authority::new().named("registrar-a")).await;
    call(scene.authority.named("registrar-a")).await;
    // Nor is an element with a key of its own a registrar.
    for security in [by_key("pe-b"), by_key("pe-a")] {
        assert!(Raw::connect(&at, Some(security)).await.is_err());
    }
    assert_eq!(format!("{:?}", scene.element.status()), format!("{before:?}"));
    // A registrar of the scope may.
    let keys: PskTable = [key("pe-a")].into_iter().collect();
    let server = Some(ServerSecurity { certificate: None, psk: Some(Arc::new(keys)) });
    let config = LinkConfig {
        security: Some(security(SecurityConfig { server, client: None })),
        ..LinkConfig::default()
    };
    connect_to("pe-a", &at, &config).await.expect("let in");
    scene.assert_unharmed().await;
}

/// RFC 9257 §4.1 ("Selfie"): an attacker without any key leads the element, which looks for a registrar, to the element itself.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_06_an_element_is_led_to_itself() {
    let mirror = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let mirrored = Endpoint::new(rserpool::machine::Scheme::Tls, mirror.local_addr().expect("bound"));
    let (lead, led) = watch::channel(None::<std::net::SocketAddr>);
    let reflections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reflections);
    tokio::spawn(async move {
        while let Ok((mut from, _)) = mirror.accept().await {
            let Some(target) = *led.borrow() else { continue };
            if let Ok(mut to) = TcpStream::connect(target).await {
                let _ = copy_bidirectional(&mut from, &mut to).await;
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    });

    let authority = Authority::new();
    let registrar = registrar(&authority, 1, "registrar-a", None).await;
    let victim = keyed("pe-a", vec![endpoint(&registrar), mirrored]).await;
    let at = asap_transport(&registrar, &victim);
    lead.send_replace(at.socket_addresses().next().flatten());
    let (taken_in, mut events) = (Arc::new(AtomicUsize::new(0)), victim.events());
    let count = Arc::clone(&taken_in);
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            let is_home = matches!(event, ElementEvent::HomeFound { .. } | ElementEvent::HomeAdopted { .. });
            count.fetch_add(usize::from(is_home), Ordering::SeqCst);
        }
    });
    drop(registrar);
    until("it was led to itself, again and again", || reflections.load(Ordering::SeqCst) >= 3).await;
    assert_eq!(taken_in.load(Ordering::SeqCst), 0, "it has taken nobody for a registrar");
    assert_eq!(victim.status(), Status::Registering);
}
