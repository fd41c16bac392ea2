//! Registrars that are none: RFC 5355 §2.5 to §2.7.
use std::time::Duration;

use rserpool::enrp::{AllowAll, Refusal};
use rserpool::machine::{Endpoint, Protocol};
use rserpool::wire::asap::EndpointKeepAlive;
use rserpool::wire::enrp::{Body, HandleTableRequest, HandleUpdate, Presence, TakeoverServer, UpdateAction};
use rserpool::{
    PoolElement, PoolHandle, PoolUser, RegisterError, Registrar, ResolveError, ServerId, TimerProfile,
};

use crate::keys::{Authority, by_key};
use crate::raw::{Raw, element};
use crate::scene::{KEYS, Scene, builder};
use crate::support::{asap, elements, until};

/// Somebody with an authority of its own, who lets everybody do everything.
async fn rogue(authority: &Authority) -> Registrar {
    let rogue = builder(66, authority.registrar("registrar-a", &KEYS))
        .authorization(std::sync::Arc::new(AllowAll))
        .start()
        .await
        .expect("the registrar starts");
    rogue.ready().await;
    rogue
}

/// Says everything that would do harm if it were believed.
fn corrupt(link: &Raw, scene: &Scene) {
    let sender = ServerId(66);
    link.send_enrp(
        sender,
        Body::Presence(Presence { reply_required: true, checksum: Some(0), information: None }),
    );
    let update = |action, element| {
        let pool_handle = PoolHandle::from("echo");
        Body::HandleUpdate(HandleUpdate {
            action,
            takeover_suggested: false,
            pool_handle,
            element,
            owner: None,
        })
    };
    let mut false_element = element(1, 7);
    false_element.home = sender;
    link.send_enrp(sender, update(UpdateAction::Add, false_element));
    let mut victim = element(scene.element.identifier().0, 7);
    victim.home = sender;
    link.send_enrp(sender, update(UpdateAction::Add, victim.clone()));
    link.send_enrp(sender, update(UpdateAction::Delete, victim));
    link.send_enrp(sender, Body::TakeoverServer(TakeoverServer { target: scene.registrar.id() }));
    link.send_enrp(sender, Body::HandleTableRequest(HandleTableRequest { own_children_only: false }));
}

/// 5355-2.5.3-01: registrars authenticate each other, and only those that are to be registrars are let in.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_05_a_malicious_registrar_joins() {
    let scene = Scene::new().await;
    let at = scene.registrar.enrp_endpoint().expect("an ENRP endpoint");
    let stranger = Authority::new();
    for (who, security) in [
        ("nobody", scene.authority.user()),
        ("an element with a key", by_key("pe-b")),
        ("somebody with a certificate of ours", scene.authority.named("pe-a")),
        ("a certificate of a stranger", stranger.named("registrar-b")),
    ] {
        // A certificate of somebody else's authority does not even make a link.
        if let Ok(link) = Raw::speak(Protocol::Enrp, at, Some(security)).await {
            corrupt(&link, &scene);
            link.ends().await;
        }
        assert!(scene.registrar.peers().is_empty(), "{who}: {:?}", scene.registrar.peers());
        scene.assert_unchanged();
    }
    assert_eq!([Refusal::Unidentified, Refusal::Peer].map(|reason| scene.refused(reason)), [1, 2]);

    // A whole registrar, with its own pool of false elements.
    let rogue = builder(66, stranger.registrar("registrar-b", &[]))
        .peer(at.clone())
        .timers(TimerProfile::Fast)
        .start()
        .await
        .expect("it starts");
    rogue.ready().await;
    assert_eq!(elements(&rogue), 0, "it learns nothing");
    assert!(scene.registrar.peers().is_empty());
    scene.assert_unharmed().await;
}

/// 5355-2.6.3-01: an element verifies registrars, by certificate or by pre-shared key.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_06_an_element_is_led_to_a_malicious_registrar() {
    let scene = Scene::new().await;
    let rogue = rogue(&Authority::new()).await;
    let verifying = scene.authority.named("pe-a");
    // The rogue registrar has no key that is worth anything: it knows their names only.
    let mut other_key = Vec::from(b"a secret of the element and its own registrar");
    other_key.truncate(32);
    let key = rserpool::transport::PreSharedKey::new("pe-a", other_key).expect("a key");
    let keyed = crate::keys::security(rserpool::transport::SecurityConfig {
        client: Some(rserpool::transport::ClientSecurity::Psk(key)),
        server: None,
    });
    for security in [verifying, keyed] {
        let result = PoolElement::builder("echo")
            .registrars(asap(&[&rogue]))
            .security(security)
            .timers(TimerProfile::Fast)
            .transport(std::net::SocketAddr::from(([127, 0, 0, 1], 7)))
            .patience(Duration::from_millis(500))
            .register()
            .await;
        assert!(matches!(result, Err(RegisterError::NoRegistrar { .. })), "{result:?}");
        assert_eq!(elements(&rogue), 0);
    }
    scene.assert_unharmed().await;
}

/// The same by a registrar that claims to have taken the element over, and connects to it.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_06_a_malicious_registrar_takes_an_element_over() {
    let scene = Scene::new().await;
    let element = PoolElement::builder("chat")
        .registrars(asap(&[&scene.registrar]))
        .security(scene.authority.element("pe-b"))
        .listen("tls://127.0.0.1:0")
        .registrar_names(["registrar-a"])
        .transport(std::net::SocketAddr::from(([127, 0, 0, 1], 7)))
        .register()
        .await
        .expect("registered by a certificate");
    let transport = scene.registrar.handlespace(|handlespace| {
        let key = handlespace.find(b"chat", element.identifier()).expect("registered");
        let known = handlespace.element(key).and_then(|view| view.decode()).expect("an element");
        known.asap_transport.expect("where registrars reach it")
    });
    let at = Endpoint::from_transport(&transport, true).expect("an endpoint");
    let home = element.status();
    let strangers = [scene.authority.user(), Authority::new().named("registrar-b")];
    // An element is no registrar, though it has a certificate of the same authority.
    for security in strangers.into_iter().chain([scene.authority.named("pe-c")]) {
        if let Ok(link) = Raw::connect(&at, Some(security)).await {
            link.send(EndpointKeepAlive {
                home: true,
                server: ServerId(66),
                pool_handle: PoolHandle::from("chat"),
                identifier: None,
            });
            link.ends().await;
        }
    }
    assert_eq!(format!("{:?}", element.status()), format!("{home:?}"), "its home is the one that it had");
    scene.assert_served().await;
}

/// 5355-2.7.3-01: users verify the registrar, and take no elements from any other.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_07_malicious_resolution() {
    let scene = Scene::new().await;
    let stranger = Authority::new();
    let rogue = rogue(&stranger).await;
    let mut bait =
        Raw::connect(&rogue.asap_endpoints()[0], Some(stranger.named("pe-x"))).await.expect("let in");
    assert_eq!(bait.register("echo", element(1, 7)).await, Ok(()));
    until("the bait is there", || elements(&rogue) == 1).await;

    let user = |registrars: &[&Registrar]| {
        PoolUser::builder()
            .registrars(asap(registrars))
            .security(scene.authority.user())
            .timers(TimerProfile::Fast)
            .patience(Duration::from_millis(500))
            .build()
    };
    let misled = user(&[&rogue]).await.expect("the pool user starts");
    let result = misled.pool("echo").pick().await;
    assert!(matches!(result, Err(ResolveError::NoRegistrar)), "{result:?}");
    scene.assert_unharmed().await;
}
