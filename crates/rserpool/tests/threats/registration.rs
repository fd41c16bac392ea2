//! False registrations and deregistrations: RFC 5355 §2.1 to §2.4.
use rserpool::enrp::{Refusal, RegistrarLimits};
use rserpool::machine::Scheme;
use rserpool::wire::{CauseCode, asap};
use rserpool::{PeIdentifier, PoolElement, PoolHandle, RegisterError};

use crate::keys::by_key;
use crate::proxy::with_scheme;
use crate::raw::{Raw, element, element_at, registration};
use crate::scene::Scene;
use crate::support::{asap, elements};

const FORBIDDEN: Result<(), CauseCode> = Err(CauseCode::REJECTED_FOR_SECURITY);

/// How many messages a flood has.
const FLOOD: u32 = 2_000;

/// 5355-2.1.3-01: nothing is remembered of elements that nobody proved to be.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_01_a_flood_of_registrations_for_non_existent_elements() {
    let scene = Scene::new().await;
    // Without TLS there is no conversation at all.
    let plain = with_scheme(&scene.endpoint(), Scheme::Tcp);
    let open = Raw::connect(&plain, None).await.expect("TCP connects");
    open.send(registration("echo", element(1, 7)));
    open.ends().await;

    let mut flood = scene.link_of_nobody().await;
    for n in 0..FLOOD {
        let pool = format!("pool-{n}");
        flood.send(registration(&pool, element(n, 7)));
        let identifier = PeIdentifier(n);
        flood.send(asap::Deregistration { pool_handle: PoolHandle::from(pool), identifier });
    }
    scene.assert_served().await;
    for _ in 0..2 * FLOOD {
        let answer = flood.answer().await;
        assert!(rejects(&answer), "{answer:x?}");
    }
    assert_eq!(scene.refused(Refusal::Unidentified), u64::from(2 * FLOOD));
    scene.assert_unharmed().await;
}

/// Whether it rejects a registration or a deregistration for security.
fn rejects(answer: &[u8]) -> bool {
    let error = match crate::raw::decode(answer) {
        asap::Message::RegistrationResponse(response) if response.rejected => response.error,
        asap::Message::DeregistrationResponse(response) => response.error,
        _ => None,
    };
    error.is_some_and(|error| error.has(CauseCode::REJECTED_FOR_SECURITY))
}

/// 5355-2.2.3-01: whoever has an identity changes nothing where it has no permission, and not more than it may where it has.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_02_a_flood_of_an_identity_that_is_not_authorized() {
    let limits = RegistrarLimits {
        elements_per_identity: 20,
        registrations_per_second: 1_000,
        ..RegistrarLimits::default()
    };
    let scene = Scene::limited(limits).await;
    let mut flood = scene.link_of("pe-c").await;
    for n in 0..FLOOD {
        flood.send(registration("echo", element(n, 7)));
    }
    scene.assert_served().await;
    for _ in 0..FLOOD {
        let answer = flood.answer().await;
        assert!(rejects(&answer), "{answer:x?}");
    }
    scene.assert_unharmed().await;

    // In its own pool it does as much as one identity may, however many links it has.
    let mut granted = 0;
    for mut link in [flood, scene.link_of("pe-c").await] {
        for n in 0..30 {
            match link.register("chat", element(1_000 * granted + n, 7)).await {
                Ok(()) => granted += 1,
                Err(cause) => assert_eq!(cause, CauseCode::LACK_OF_RESOURCES),
            }
        }
    }
    assert_eq!((granted, elements(&scene.registrar)), (20, 21));
    let mut other = scene.link_of("pe-b").await;
    assert_eq!(other.register("chat", element(77, 7)).await, Ok(()), "the others have theirs");
    scene.assert_served().await;
}

/// The same where it comes faster than it may.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_02_a_flood_of_an_identity_that_is_faster_than_it_may_be() {
    let limits = RegistrarLimits { registrations_per_second: 1, ..RegistrarLimits::default() };
    let scene = Scene::limited(limits).await;
    let mut flood = scene.link_of("pe-c").await;
    for n in 0..FLOOD {
        flood.send(registration("chat", element(n, 7)));
    }
    scene.assert_served().await;
    let mut shed = 0;
    for _ in 0..FLOOD {
        let answer = flood.answer().await;
        if let asap::Message::RegistrationResponse(response) = crate::raw::decode(&answer)
            && response.error.is_some_and(|error| error.has(CauseCode::LACK_OF_RESOURCES))
        {
            shed += 1;
        }
    }
    assert!(shed > FLOOD * 9 / 10, "{shed}");
    assert_eq!(scene.refused(Refusal::RegistrationRate), u64::from(shed));
    scene.assert_served().await;
}

/// 5355-2.3.3-01: an element registers and deregisters itself, and nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_03_spoofed_registration_and_deregistration_of_another_element() {
    let scene = Scene::new().await;
    let victim = scene.element.identifier();
    let mut nobody = scene.link_of_nobody().await;
    assert_eq!(nobody.deregister("echo", victim).await, FORBIDDEN);
    // Somebody who may be in the pool, on the same host even, and knows the identifier.
    let mut insider = scene.link_of("pe-b").await;
    assert_eq!(insider.deregister("echo", victim).await, FORBIDDEN);
    assert_eq!(insider.register("echo", element(victim.0, 7)).await, FORBIDDEN);
    assert_eq!(scene.refused(Refusal::Owner), 2);
    // Nor does it send users to a host of its choice.
    assert_eq!(insider.register("echo", element_at(1, "192.0.2.1:80")).await, FORBIDDEN);
    assert_eq!(scene.refused(Refusal::Address), 1);
    scene.assert_unharmed().await;

    // Its owner may, over any link.
    let mut owner = scene.link_of("pe-a").await;
    assert_eq!(owner.deregister("echo", victim).await, Ok(()));
    assert_eq!(elements(&scene.registrar), 0);
}

/// 5355-2.4.3-01: an element that is not authorized for a pool does not get in by asking properly.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_04_registration_in_a_pool_without_authorization() {
    let scene = Scene::new().await;
    let result = PoolElement::builder("echo")
        .registrars(asap(&[&scene.registrar]))
        .security(by_key("pe-c"))
        .transport(std::net::SocketAddr::from(([127, 0, 0, 1], 7)))
        .register()
        .await;
    match result {
        Err(RegisterError::Rejected { error, .. }) => {
            assert!(error.has(CauseCode::REJECTED_FOR_SECURITY), "{error}");
        }
        other => panic!("{other:?}"),
    }
    let mut link = scene.link_of("pe-c").await;
    assert_eq!(link.deregister("echo", scene.element.identifier()).await, FORBIDDEN);
    assert_eq!(scene.refused(Refusal::Pool), 2);
    scene.assert_unharmed().await;
}
