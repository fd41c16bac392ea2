//! Attacks on the way between two who trust each other: RFC 5355 §2.8, §2.10, §2.11.
use rserpool::machine::{Protocol, Scheme};
use rserpool::{PeIdentifier, Registrar, ServerId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::keys::by_key;
use crate::proxy::Proxy;
use crate::raw::{Raw, element, registration};
use crate::scene::{KEYS, Scene, builder, pick};
use crate::support::{PATIENCE, elements, until};

/// 5355-2.8.3-01: what was said once is of no use to anybody who says it again.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_08_replay_of_a_conversation() {
    let scene = Scene::new().await;
    let proxy = Proxy::to(&scene.endpoint()).await;
    let mut owner = Raw::connect(&proxy.endpoint, Some(by_key("pe-b"))).await.expect("let in");
    assert_eq!(owner.register("chat", element(7, 7)).await, Ok(()));
    let registered = proxy.sent_by_clients();
    assert_eq!(owner.deregister("chat", PeIdentifier(7)).await, Ok(()));
    scene.assert_unchanged();

    let address = scene.endpoint().socket_addresses().next().flatten().expect("an address");
    let whole = proxy.sent_by_clients();
    for replayed in [&registered[..], &whole[..], &whole[registered.len()..]] {
        let mut stream = TcpStream::connect(address).await.expect("TCP connects");
        // It may be turned away before everything is said.
        let _ = stream.write_all(replayed).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("closed in time");
        scene.assert_unchanged();
    }
    scene.assert_served().await;
}

/// 5355-2.10.3-01, 5355-2.10.3-02: a message that was changed on the way is never taken, in any of the three kinds of links.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_10_corruption_in_transit() {
    let scene = Scene::new().await;
    let proxy = Proxy::to(&scene.endpoint()).await;
    let mut element_link = Raw::connect(&proxy.endpoint, Some(by_key("pe-b"))).await.expect("let in");
    assert_eq!(element_link.register("chat", element(7, 7)).await, Ok(()), "it works until then");
    assert_eq!(element_link.deregister("chat", PeIdentifier(7)).await, Ok(()));
    let mut user_link = Raw::connect(&proxy.endpoint, Some(scene.authority.user())).await.expect("let in");
    assert_eq!(user_link.resolve("echo").await, Ok(1));
    let enrp = Proxy::to(scene.registrar.enrp_endpoint().expect("an ENRP endpoint")).await;
    let peer = scene.authority.named("registrar-b");
    let mut peer_link = Raw::speak(Protocol::Enrp, &enrp.endpoint, Some(peer)).await.expect("let in");
    assert!(peer_link.next().await.is_some(), "the registrar introduces itself");

    proxy.corrupt();
    enrp.corrupt();
    element_link.send(registration("chat", element(8, 7)));
    element_link.ends().await;
    user_link.send(registration("chat", element(9, 7)));
    user_link.ends().await;
    peer_link.send_enrp(ServerId(9), rserpool::wire::enrp::Body::ListRequest);
    peer_link.ends().await;
    assert!(scene.registrar.peers().is_empty());
    scene.assert_unharmed().await;
}

/// 5355-2.11.3-01: nothing of handles and addresses can be read on the way; that it could without TLS shows that it is looked for.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_11_eavesdropping() {
    const SECRET: &[u8] = b"echo";
    // An IPv4 address parameter.
    const ADDRESS: &[u8] = &[0, 1, 0, 8, 127, 0, 0, 1];
    let scene = Scene::new().await;
    let proxy = Proxy::to(&scene.endpoint()).await;
    let mut element_link = Raw::connect(&proxy.endpoint, Some(by_key("pe-b"))).await.expect("let in");
    assert_eq!(element_link.register("echo", element(7, 7)).await, Ok(()));
    let mut user_link = Raw::connect(&proxy.endpoint, Some(scene.authority.user())).await.expect("let in");
    assert_eq!(user_link.resolve("echo").await, Ok(2));
    let enrp = Proxy::to(scene.registrar.enrp_endpoint().expect("an ENRP endpoint")).await;
    let peer = builder(2, scene.authority.registrar("registrar-b", &KEYS))
        .peer(enrp.endpoint.clone())
        .start()
        .await
        .expect("the registrar starts");
    peer.ready().await;
    until("the peer has the handlespace", || elements(&peer) == 2).await;
    for tapped in [&proxy, &enrp] {
        assert!(tapped.passed() > 1_000);
        assert!(!tapped.has_seen(SECRET) && !tapped.has_seen(ADDRESS));
    }
    pick(&peer, scene.authority.user()).await;

    let plain = Registrar::builder().asap("tcp://127.0.0.1:0").start().await.expect("it starts");
    plain.ready().await;
    let proxy = Proxy::to(&plain.asap_endpoints()[0]).await;
    assert_eq!(proxy.endpoint.scheme(), Scheme::Tcp);
    let mut in_clear = Raw::connect(&proxy.endpoint, None).await.expect("connected");
    assert_eq!(in_clear.register("echo", element(7, 7)).await, Ok(()));
    assert!(proxy.has_seen(SECRET) && proxy.has_seen(ADDRESS));
}
