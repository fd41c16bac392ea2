//! What a registrar turns down because a limit is reached: it is answered, counted by reason, reported once, and costs the others
//! nothing.
use rserpool_enrp::{Refusal, RegistrarEvent};
use rserpool_machine::Protocol;
use rserpool_wire::asap::{EndpointUnreachable, Message};
use rserpool_wire::{CauseCode, PeIdentifier, PoolHandle};

use crate::support::{Net, config, element, millis, secs};

fn refused(net: &Net, reason: Refusal) -> (u64, usize) {
    let told =
        |event: &&RegistrarEvent| matches!(event, RegistrarEvent::Refused { reason: r, .. } if *r == reason);
    (net.machine(1).statistics().refusals.of(reason), net.events(1).iter().filter(told).count())
}

#[test]
fn links_of_one_source_are_limited_for_each_protocol_by_itself() {
    let mut net = Net::new();
    let mut limited = config(1, &[]);
    limited.limits.links_per_source = 2;
    net.start(limited);
    // Links of one client come from one address.
    let crowd = net.client_at(1, 1);
    for _ in 0..4 {
        net.connect(crowd, 1, Protocol::Asap);
    }
    assert_eq!(refused(&net, Refusal::LinksOfSource).0, 3);
    net.connect(crowd, 1, Protocol::Enrp);
    assert_eq!(refused(&net, Refusal::LinksOfSource).0, 3, "links between registrars are counted apart");
    let other = net.client_at(2, 1);
    net.register(other, "echo", element(other, 1));
    // One that ends makes room for another.
    net.kill(crowd);
    net.run(millis(10));
    let back = net.client_at(1, 1);
    net.resolve(back, "echo", false);
    assert_eq!(net.answers(back).len(), 1);
}

#[test]
fn resolutions_on_a_link_are_limited_in_rate() {
    let mut net = Net::new();
    let mut limited = config(1, &[]);
    limited.limits.resolutions_per_second = 2;
    net.start(limited);
    let (host, greedy, modest) = (net.client_at(1, 1), net.client_at(2, 1), net.client_at(3, 1));
    net.register(host, "echo", element(host, 1));
    let mut causes = Vec::new();
    for _ in 0..4 {
        net.resolve(greedy, "echo", false);
        causes.push(net.answer(greedy, |message| match message {
            Message::HandleResolutionResponse(response) => response.error.map(|error| error.causes[0].code),
            other => panic!("{other:?}"),
        }));
    }
    let lack = Some(CauseCode::LACK_OF_RESOURCES);
    assert_eq!(causes, [None, None, lack, lack]);
    assert_eq!(refused(&net, Refusal::ResolutionRate), (2, 1), "counted each time, reported once");
    net.resolve(modest, "echo", false);
    let elements = |message: Message<'_>| match message {
        Message::HandleResolutionResponse(response) => response.elements.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(net.answer(modest, elements), 1);
    net.run(secs(1));
    net.resolve(greedy, "echo", false);
    assert_eq!(net.answer(greedy, elements), 1);
}

#[test]
fn reports_of_a_user_are_limited_in_rate_and_it_is_told_once() {
    // 5355-2.13.3-01
    let mut net = Net::new();
    let mut limited = config(1, &[]);
    limited.limits.reports_per_second = 2;
    net.start(limited);
    let (host, user) = (net.client_at(1, 1), net.client_at(2, 1));
    net.register(host, "echo", element(host, 1));
    for _ in 0..10 {
        let pool_handle = PoolHandle::from("echo");
        net.send(user, EndpointUnreachable { pool_handle, identifier: PeIdentifier(1) });
    }
    assert_eq!(refused(&net, Refusal::ReportRate), (8, 1));
    assert!(net.answer(user, |message| matches!(message, Message::Error(_))));
    assert_eq!(net.view(1).len(), 1, "ten reports would have been too many");
}

#[test]
fn announcements_are_limited_in_rate() {
    let mut net = Net::new();
    let mut limited = config(1, &[]);
    limited.limits.announcements_per_second = 3;
    limited.discovers_peers = true;
    net.start(limited);
    net.start(config(2, &[]));
    net.join(1, Protocol::Enrp);
    net.join(2, Protocol::Enrp);
    net.run(secs(20));
    // A heartbeat of the other one, and its own coming back to it, five times a second.
    let (count, told) = refused(&net, Refusal::AnnouncementRate);
    assert!(count > 50 && told == 1, "{count} ignored, told {told} times");
    let is_linked = net.machine(1).peers().any(|peer| peer.is_linked);
    assert!(is_linked, "some are listened to, and links do without");
}
