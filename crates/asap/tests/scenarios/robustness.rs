//! Whatever comes in, in whatever order: no machine panics, grows without bound, or asks to be called in a loop.
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Instant;

use bytes::BytesMut;
use proptest::prelude::*;
use rserpool_asap::{
    ElementConfig, ElementMachine, Freshness, RegistrationId, UserConfig, UserEvent, UserMachine,
};
use rserpool_machine::{
    DownReason, Input, LinkId, LinkKind, Machine, Output, PeerIdentity, Protocol, Scheme,
};
use rserpool_wire::asap::{self, Message};
use rserpool_wire::{CauseCode, Dialect, ErrorCause, PeIdentifier, Policy, PoolHandle, ServerId};

use crate::support::*;

/// What can happen to a machine. Links are named by small numbers, so that they are hit often.
#[derive(Clone, Debug)]
enum Happening {
    Up(u64, bool),
    Down(u64, bool),
    Bytes(u64, bool, Vec<u8>),
    Message(u64, bool, u8, u32, bool),
    Announcement(u8),
    Time(u64),
    Command(u8, u32),
}

fn happening() -> impl Strategy<Value = Happening> {
    let link = || (0_u64..12, any::<bool>());
    prop_oneof![
        3 => link().prop_map(|(link, opened)| Happening::Up(link, opened)),
        2 => link().prop_map(|(link, opened)| Happening::Down(link, opened)),
        1 => (link(), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|((link, opened), bytes)| Happening::Bytes(link, opened, bytes)),
        6 => (link(), any::<u8>(), 0_u32..4, any::<bool>())
            .prop_map(|((link, opened), kind, number, flag)| Happening::Message(link, opened, kind, number, flag)),
        1 => (0_u8..20).prop_map(Happening::Announcement),
        3 => (0_u64..100_000).prop_map(Happening::Time),
        3 => (any::<u8>(), 0_u32..4).prop_map(|(command, number)| Happening::Command(command, number)),
    ]
}

fn message(kind: u8, number: u32, flag: bool) -> Message<'static> {
    let (pool_handle, identifier) = (echo(), PeIdentifier(number));
    let error = flag.then(|| ErrorCause::new(CauseCode(number as u16 * 3)).into());
    match kind % 8 {
        0 => asap::RegistrationResponse { rejected: flag, pool_handle, identifier, error }.into(),
        1 => asap::DeregistrationResponse { pool_handle, identifier, error }.into(),
        2 | 3 => {
            let server = ServerId(number);
            asap::EndpointKeepAlive { home: flag, server, pool_handle, identifier: None }.into()
        }
        4 | 5 => {
            let elements = (0..number).map(element).collect();
            let policy = Some(Policy::Random);
            asap::HandleResolutionResponse {
                accept_updates: flag,
                pool_handle,
                policy,
                elements,
                error: None,
            }
            .into()
        }
        6 => asap::ErrorReport { error: ErrorCause::new(CauseCode::UNSPECIFIED).into() }.into(),
        _ => asap::Registration { pool_handle, element: element(number) }.into(),
    }
}

fn link(number: u64, opened: bool) -> LinkId {
    if opened { LinkId::opened(number) } else { LinkId::accepted(number) }
}

/// Plays a script to a machine, with `command` for the commands of the application and `told` for what it is told.
fn play<M: Machine>(
    machine: &mut M,
    mut now: Instant,
    script: &[Happening],
    mut command: impl FnMut(&mut M, Instant, u8, u32),
    mut told: impl FnMut(M::Event),
) {
    for happening in script {
        let mut bytes = BytesMut::new();
        match happening {
            Happening::Up(number, opened) => machine.handle_input(
                now,
                Input::LinkUp {
                    link: link(*number, *opened),
                    protocol: Protocol::Asap,
                    kind: LinkKind::PointToPoint(Scheme::Tcp),
                    remote: &[([10, 0, 0, 1], 3863).into()],
                    identity: PeerIdentity::Anonymous,
                },
            ),
            Happening::Down(number, opened) => {
                let (link, reason) = (link(*number, *opened), DownReason::Closed);
                machine.handle_input(now, Input::LinkDown { link, reason });
            }
            Happening::Bytes(number, opened, bytes) => {
                machine.handle_input(now, Input::Message { link: link(*number, *opened), bytes });
            }
            Happening::Message(number, opened, kind, of, flag) => {
                message(*kind, *of, *flag).encode(Dialect::Rfc, &mut bytes).expect("a message that fits");
                machine.handle_input(now, Input::Message { link: link(*number, *opened), bytes: &bytes });
            }
            Happening::Announcement(host) => {
                let announce = asap::ServerAnnounce { server: ServerId(1), transports: Vec::new() };
                Message::from(announce).encode(Dialect::Rfc, &mut bytes).expect("a message that fits");
                let source = ([10, 0, 9, *host], 3863).into();
                let link = LinkId::accepted(99);
                machine.handle_input(now, Input::Announcement { link, source, bytes: &bytes });
            }
            Happening::Time(passed) => {
                let end = now + millis(*passed);
                for calls in 0.. {
                    let Some(at) = machine.poll_timeout().filter(|at| *at <= end) else { break };
                    now = now.max(at);
                    machine.handle_timeout(now);
                    drain(machine, &mut told);
                    assert!(calls < 5_000, "called again and again");
                }
                now = end;
            }
            Happening::Command(kind, number) => command(machine, now, *kind, *number),
        }
        drain(machine, &mut told);
    }
}

/// Takes all outputs, and checks that they make sense.
fn drain<M: Machine>(machine: &mut M, mut told: impl FnMut(M::Event)) {
    for count in 0.. {
        match machine.poll_output() {
            None => break,
            Some(Output::Transmit { bytes, .. }) => {
                asap::decode(&bytes, Dialect::Rfc).expect("only well-formed messages go out");
            }
            Some(Output::Event(event)) => told(event),
            Some(Output::Connect { .. } | Output::Disconnect { .. }) => {}
        }
        assert!(count < 100, "too much for one input");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn an_element_survives_anything(seed: u64, script in prop::collection::vec(happening(), 0..200)) {
        let now = Driver::user_of(&[]).now;
        let config = ElementConfig { registrars: endpoints(&[R1, R2, R3]), ..ElementConfig::default() };
        let mut machine = ElementMachine::new(config, seed, now).expect("a configuration");
        let mut ids: Vec<RegistrationId> = Vec::new();
        play(&mut machine, now, &script, |machine, now, command, number| match command % 4 {
            0 | 1 => ids.extend(machine.register(now, registration(number))),
            2 => for id in &ids {
                let load = rserpool_wire::Load(number);
                let _ = machine.set_policy(now, *id, Policy::LeastUsed { load });
            },
            _ => if let Some(id) = ids.pop() {
                machine.deregister(now, id);
            },
        }, |_| {});
    }

    #[test]
    fn a_user_survives_anything(seed: u64, script in prop::collection::vec(happening(), 0..200)) {
        let now = Driver::user_of(&[]).now;
        let config = UserConfig { registrars: endpoints(&[R1, R2, R3]), ..UserConfig::default() };
        let mut machine = UserMachine::new(config, seed, now).expect("a configuration");
        let mut requests = Vec::new();
        play(&mut machine, now, &script, |machine, now, command, number| {
            let pool_handle = if number == 0 { PoolHandle::from("other") } else { echo() };
            match command % 8 {
                0 => requests.push(machine.resolve(now, &pool_handle, None, Freshness::CacheAllowed)),
                1 => requests.push(machine.resolve(now, &pool_handle, Some(number), Freshness::Fresh)),
                2 => requests.push(machine.resolve(now, &pool_handle, None, Freshness::StaleAllowed)),
                3 => { machine.select(now, &pool_handle, &[PeIdentifier(number)]); }
                4 => machine.report_unreachable(now, &pool_handle, PeIdentifier(number)),
                5 => { let _ = machine.subscribe(now, &pool_handle); }
                6 => machine.unsubscribe(&pool_handle),
                _ => if let Some(request) = requests.pop() {
                    machine.cancel(request);
                },
            }
        }, |_| {});
    }

    /// However requests come, are cancelled and fail: every one that was not cancelled is answered exactly once.
    #[test]
    fn every_request_is_answered_exactly_once(
        seed: u64,
        script in prop::collection::vec(happening(), 0..200),
    ) {
        let now = Driver::user_of(&[]).now;
        let config = UserConfig { registrars: endpoints(&[R1, R2]), ..UserConfig::default() };
        let mut machine = UserMachine::new(config, seed, now).expect("a configuration");
        let (open, answered) = (RefCell::new(BTreeSet::new()), RefCell::new(BTreeSet::new()));
        let command = |machine: &mut UserMachine, now, command, number| {
            let mut open = open.borrow_mut();
            if command % 4 == 0 {
                if let Some(request) = open.pop_last() {
                    machine.cancel(request);
                }
            } else {
                open.insert(machine.resolve(now, &echo(), Some(number), Freshness::Fresh));
            }
        };
        let told = |event| {
            if let UserEvent::Resolved { request, .. } | UserEvent::ResolveFailed { request, .. } = event {
                open.borrow_mut().remove(&request);
                assert!(answered.borrow_mut().insert(request), "an answer twice");
            }
        };
        // In the end, enough time for the request on its way and the one that follows it.
        let script: Vec<_> = script.into_iter().chain([Happening::Time(91_000)]).collect();
        play(&mut machine, now, &script, command, told);
        prop_assert!(open.borrow().is_empty(), "{} requests were forgotten", open.borrow().len());
    }
}
