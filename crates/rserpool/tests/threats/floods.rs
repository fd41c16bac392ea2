//! Floods by those who are let in: RFC 5355 §2.13 and §2.14.
use std::time::Duration;

use rserpool::enrp::{Refusal, RegistrarTimers};
use rserpool::wire::asap::{EndpointKeepAliveAck, EndpointUnreachable, Message};
use rserpool::{PeIdentifier, PoolHandle};
use tokio::time::{Instant, timeout};

use crate::raw::{Raw, decode, element};
use crate::scene::Scene;

const FLOOD: usize = 5_000;

fn report(link: &Raw, identifier: PeIdentifier) {
    link.send(EndpointUnreachable { pool_handle: PoolHandle::from("echo"), identifier });
}

/// 5355-2.13.3-01: reports are limited in number, and a user that repeats itself does not get an element removed that lives.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_13_a_flood_of_reports_that_an_element_is_unreachable() {
    let scene = Scene::new().await;
    let keep_alives = scene.registrar.statistics().keep_alives;
    let mut links = Vec::new();
    for _ in 0..4 {
        let link = scene.link_of_nobody().await;
        for n in 0..FLOOD {
            report(&link, scene.element.identifier());
            report(&link, PeIdentifier(u32::try_from(n).expect("small")));
        }
        links.push(link);
    }
    scene.assert_served().await;
    for mut link in links {
        // Once everything is read, the limit was told, once.
        let answer = link.answer().await;
        assert!(matches!(decode(&answer), Message::Error(_)), "{answer:x?}");
        assert_eq!(link.resolve("echo").await, Ok(1), "and this user is served as well");
    }
    assert!(scene.refused(Refusal::ReportRate) > 10 * 1_000, "{}", scene.refused(Refusal::ReportRate));
    // One check a second at most, whatever users say; this took some.
    let checked = scene.registrar.statistics().keep_alives - keep_alives;
    assert!(checked <= 60, "{checked} keep-alives");
    scene.assert_unharmed().await;
}

/// 5355-2.14.3-01: however much users want it, and however many of them, an element is asked no more often than configured.
#[tokio::test(flavor = "multi_thread")]
async fn threat_2_14_a_flood_of_keep_alives() {
    const INTERVAL: Duration = Duration::from_millis(250);
    let timers = RegistrarTimers { probe_interval: INTERVAL, ..RegistrarTimers::rfc() };
    let scene = Scene::changed(|builder| builder.custom_timers(timers)).await;
    let mut asked = scene.link_of("pe-b").await;
    let identifier = PeIdentifier(7);
    assert_eq!(asked.register("echo", element(identifier.0, 7)).await, Ok(()));
    let attackers = [scene.link_of_nobody().await, scene.link_of_nobody().await];
    let begun = Instant::now();
    let mut keep_alives = 0_u32;
    while begun.elapsed() < 6 * INTERVAL {
        attackers.iter().for_each(|attacker| (0..20).for_each(|_| report(attacker, identifier)));
        if let Ok(message) = timeout(Duration::from_millis(10), asked.next()).await {
            let message = message.expect("the link is up");
            assert!(matches!(decode(&message), Message::EndpointKeepAlive(_)));
            keep_alives += 1;
            asked.send(EndpointKeepAliveAck { pool_handle: PoolHandle::from("echo"), identifier });
        }
    }
    let most = u32::try_from(begun.elapsed().as_millis() / INTERVAL.as_millis()).expect("small") + 2;
    assert!((1..=most).contains(&keep_alives), "{keep_alives} keep-alives, at most {most} are due");
    scene.assert_served().await;
    assert_eq!(asked.deregister("echo", identifier).await, Ok(()), "it lives, and is not removed");
    scene.assert_unharmed().await;
}
