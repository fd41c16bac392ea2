//! A scope is secured or it is not: RFC 5355 §2.15.
use rserpool::enrp::{Refusal, Resolvers};
use rserpool::machine::{Endpoint, Protocol};
use rserpool::wire::asap::EndpointUnreachable;
use rserpool::wire::{CauseCode, enrp};
use rserpool::{PoolHandle, ServerId};

use crate::raw::{Raw, element};
use crate::scene::{Scene, policy};

const FORBIDDEN: CauseCode = CauseCode::REJECTED_FOR_SECURITY;

/// A secured registrar with an endpoint for users without security, and that endpoint.
async fn half_open(resolvers: Resolvers) -> (Scene, Endpoint) {
    let policy = policy().resolvers(resolvers);
    let scene = Scene::changed(|builder| {
        builder.asap("tcp://127.0.0.1:0").authorization(std::sync::Arc::new(policy))
    })
    .await;
    let plain = scene.registrar.asap_endpoints()[1].clone();
    (scene, plain)
}

/// 5355-2.15.3-01, 5355-2.15.3-02, 5355-2.15.3-04: nothing that comes without TLS gets into the handlespace of a secured registrar.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_15_a_database_of_secured_and_unsecured_entries() {
    for resolvers in [Resolvers::Identified, Resolvers::Secured, Resolvers::Anybody] {
        let (scene, plain) = half_open(resolvers).await;
        let mut link = Raw::connect(&plain, None).await.expect("TCP connects");
        assert_eq!(link.register("echo", element(7, 7)).await, Err(FORBIDDEN));
        assert_eq!(link.deregister("echo", scene.element.identifier()).await, Err(FORBIDDEN));
        // What users without security ask is answered as configured; what they say is never believed.
        let answered = if resolvers == Resolvers::Anybody { Ok(1) } else { Err(FORBIDDEN) };
        assert_eq!(link.resolve("echo").await, answered, "{resolvers:?}");
        for _ in 0..10 {
            let identifier = scene.element.identifier();
            link.send(EndpointUnreachable { pool_handle: PoolHandle::from("echo"), identifier });
        }
        assert_eq!(link.resolve("echo").await, answered);
        assert!(scene.refused(Refusal::Unsecured) >= 12);
        scene.assert_unchanged();
        if resolvers != Resolvers::Identified {
            scene.assert_served().await;
        }
        // One that proves who it is is served whatever is configured.
        assert_eq!(scene.link_of("pe-b").await.resolve("echo").await, Ok(1));
    }
}

/// 5355-2.15.3-03: no updates of registrars that do not use security.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_15_updates_without_security() {
    let scene = Scene::new().await;
    let enrp = scene.registrar.enrp_endpoint().expect("an ENRP endpoint");
    let plain = crate::proxy::with_scheme(enrp, rserpool::machine::Scheme::Tcp);
    let link = Raw::speak(Protocol::Enrp, &plain, None).await.expect("TCP connects");
    let mut false_element = element(7, 7);
    false_element.home = ServerId(66);
    link.send_enrp(
        ServerId(66),
        enrp::Body::HandleUpdate(enrp::HandleUpdate {
            action: enrp::UpdateAction::Add,
            takeover_suggested: false,
            pool_handle: PoolHandle::from("echo"),
            element: false_element,
            owner: None,
        }),
    );
    link.ends().await;
    assert!(scene.registrar.peers().is_empty());
    scene.assert_unharmed().await;
}
