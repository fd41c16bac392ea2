//! Finding a registrar while somebody is in the way: RFC 5355 §2.12.
use rserpool::{Endpoint, PoolElement, PoolUser, TimerProfile};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::keys::{Authority, by_key};
use crate::scene::{Scene, builder};
use crate::support::{PATIENCE, elements};

/// 5355-2.12.3-01: whatever a discovery that was tampered with leads to, the handshake decides. One that is honest among them is
/// enough.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_12_spoofed_discovery() {
    let scene = Scene::new().await;
    let endpoint = |port: u16| Endpoint::new(rserpool::machine::Scheme::Tls, ([127, 0, 0, 1], port).into());
    // One that takes connections and says nothing, one that nobody listens at, and one that says that it is a registrar.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let vacant = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let vacant_port = vacant.local_addr().expect("bound").port();
    drop(vacant);
    let rogue = builder(66, Authority::new().registrar("registrar-a", &[])).start().await.expect("it starts");
    let discovered = [
        endpoint(silent.local_addr().expect("bound").port()),
        endpoint(vacant_port),
        rogue.asap_endpoints()[0].clone(),
        scene.endpoint(),
    ];

    let joining = PoolElement::builder("echo")
        .registrars(discovered.clone())
        .security(by_key("pe-b"))
        .timers(TimerProfile::Fast)
        .transport(std::net::SocketAddr::from(([127, 0, 0, 1], 7)))
        .patience(PATIENCE)
        .register();
    let element = timeout(PATIENCE, joining).await.expect("in time").expect("registered");
    assert_eq!((elements(&scene.registrar), elements(&rogue)), (2, 0));

    let user = PoolUser::builder()
        .registrars(discovered)
        .security(scene.authority.user())
        .timers(TimerProfile::Fast)
        .patience(PATIENCE)
        .build()
        .await
        .expect("the pool user starts");
    let picked = timeout(PATIENCE, user.pool("echo").pick()).await.expect("in time").expect("an element");
    assert!([scene.element.identifier(), element.identifier()].contains(&picked.identifier()));
    element.deregister().await;
    scene.assert_unharmed().await;
}
