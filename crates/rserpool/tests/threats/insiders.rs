//! Registrars that are legitimate, and lie: RFC 5355 §2.17. A registrar is trusted with what it owns, and with what it takes over: the
//! RFCs have nothing against that. These are the lies that are not believed all the same.
use rserpool::ServerId;
use rserpool::enrp::Refusal;
use rserpool::machine::Protocol;
use rserpool::wire::enrp::{Body, HandleTableResponse, HandleUpdate, PoolEntry, Presence, UpdateAction};
use rserpool::{PoolHandle, wire};

use crate::raw::{Raw, element};
use crate::scene::Scene;
use crate::support::until;

fn presence() -> Body<'static> {
    Body::Presence(Presence { reply_required: true, checksum: None, information: None })
}

fn update(action: UpdateAction, element: wire::PoolElement) -> Body<'static> {
    let pool_handle = PoolHandle::from("echo");
    Body::HandleUpdate(HandleUpdate { action, takeover_suggested: false, pool_handle, element, owner: None })
}

/// Updates about elements of others, answers that nobody asked for, and the identifier of another registrar.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_17_a_legitimate_registrar_lies() {
    let scene = Scene::new().await;
    let at = scene.registrar.enrp_endpoint().expect("an ENRP endpoint");
    let speak = async |name: &str| {
        Raw::speak(Protocol::Enrp, at, Some(scene.authority.named(name))).await.expect("let in")
    };
    let liar = speak("registrar-b").await;
    let (own, third) = (ServerId(2), ServerId(3));
    liar.send_enrp(own, presence());
    until("it is a peer", || scene.registrar.peers().iter().any(|peer| peer.server == own)).await;

    let mut victim = element(scene.element.identifier().0, 7);
    for home in [scene.registrar.id(), third] {
        victim.home = home;
        liar.send_enrp(own, update(UpdateAction::Add, victim.clone()));
    }
    for home in [scene.registrar.id(), own, third] {
        victim.home = home;
        liar.send_enrp(own, update(UpdateAction::Delete, victim.clone()));
    }
    let entries = vec![PoolEntry { pool_handle: PoolHandle::from("echo"), elements: vec![victim.into()] }];
    let response = HandleTableResponse { rejected: false, more: false, entries };
    liar.send_enrp(own, Body::HandleTableResponse(response));
    // Whatever it says under the identifier of another is not listened to.
    liar.send_enrp(third, presence());
    let statistics = || scene.registrar.statistics();
    until("everything is read", || statistics().faults >= 1).await;
    assert_eq!((statistics().updates_refused, statistics().unsolicited), (5, 1));
    scene.assert_unharmed().await;

    // The identifier belongs to who came with it first: another registrar does not speak for it.
    let impostor = speak("registrar-c").await;
    impostor.send_enrp(own, presence());
    impostor.ends().await;
    assert_eq!(scene.refused(Refusal::Peer), 1);
    scene.assert_unharmed().await;
}
