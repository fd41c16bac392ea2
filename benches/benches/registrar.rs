//! The registrar machine: answering a resolution from the message that comes in to the bytes that go out, and joining a
//! scope that has a large handlespace.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "criterion's macros generate undocumented functions")]
#![allow(clippy::expect_used, reason = "a benchmark whose workload is wrong shall fail")]
#![allow(clippy::disallowed_methods, reason = "a starting point for the machines' time")]
use std::hint::black_box;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rserpool_benches::Workload;
use rserpool_enrp::{RegistrarConfig, RegistrarMachine};
use rserpool_machine::{Input, LinkId, LinkKind, Machine, Output, PeerIdentity, Protocol, Scheme};
use rserpool_wire::asap::{HandleResolution, Message, Registration};
use rserpool_wire::{Dialect, Policy, PoolHandle, ServerId};

const CLIENT: LinkId = LinkId::accepted(1);
const PEER: LinkId = LinkId::accepted(2);

fn link_up(machine: &mut RegistrarMachine, now: Instant, link: LinkId, protocol: Protocol) {
    let remote = &["192.0.2.1:40000".parse().expect("an address")];
    let (kind, identity) = (LinkKind::PointToPoint(Scheme::Tcp), PeerIdentity::Anonymous);
    machine.handle_input(now, Input::LinkUp { link, protocol, kind, remote, identity });
}

fn encoded<'a>(message: impl Into<Message<'a>>) -> Bytes {
    let mut buffer = BytesMut::new();
    message.into().encode(Dialect::Rfc, &mut buffer).expect("it fits");
    buffer.freeze()
}

/// A registrar at which the elements of a workload have registered.
fn registrar(now: Instant, elements: usize, pools: usize) -> RegistrarMachine {
    let mut config = RegistrarConfig::new(ServerId(1));
    config.limits.elements_per_link = elements;
    let mut machine = RegistrarMachine::new(config, 1, now).expect("a valid configuration");
    link_up(&mut machine, now, CLIENT, Protocol::Asap);
    let workload = Workload::new(elements, pools, Policy::RoundRobin);
    let mut element = workload.element();
    for (pool, identifier) in &workload.names {
        element.identifier = *identifier;
        let pool_handle = workload.pool_handles.get(*pool).expect("a pool for each element").borrowed();
        let bytes = encoded(Registration { pool_handle, element: element.clone() });
        machine.handle_input(now, Input::Message { link: CLIENT, bytes: &bytes });
        while machine.poll_output().is_some() {}
    }
    assert_eq!(machine.handlespace().len(), elements, "all are registered");
    machine
}

/// From the request to the response, three elements of a thousand.
fn resolution(criterion: &mut Criterion) {
    let now = Instant::now();
    let mut machine = registrar(now, 1_000, 1);
    let pool_handle = PoolHandle::from("Pool-000000");
    let request = encoded(HandleResolution { pool_handle, subscribe: false, items: Some(3) });
    criterion.bench_function("registrar: resolution of 3 of 1000", |bencher| {
        bencher.iter(|| {
            machine.handle_input(now, Input::Message { link: CLIENT, bytes: &request });
            while let Some(output) = machine.poll_output() {
                black_box(output);
            }
        });
    });
}

/// Hands the messages of each to the other until there are none.
fn converse(now: Instant, a: &mut RegistrarMachine, b: &mut RegistrarMachine) {
    let mut quiet = false;
    while !quiet {
        quiet = true;
        for turn in 0..2 {
            let (from, to) = if turn == 0 { (&mut *a, &mut *b) } else { (&mut *b, &mut *a) };
            while let Some(output) = from.poll_output() {
                if let Output::Transmit { link: PEER, bytes } = output {
                    quiet = false;
                    to.handle_input(now, Input::Message { link: PEER, bytes: &bytes });
                }
            }
        }
    }
}

/// A newcomer downloads 100,000 elements from its mentor: the processor time of both.
fn joining(criterion: &mut Criterion) {
    const ELEMENTS: usize = 100_000;
    let now = Instant::now();
    let mut mentor = registrar(now, ELEMENTS, 1_000);
    let mut group = criterion.benchmark_group("registrar");
    group.throughput(Throughput::Elements(ELEMENTS as u64)).sample_size(10);
    group.bench_function("joining with 100,000 elements", |bencher| {
        bencher.iter(|| {
            let mut config = RegistrarConfig::new(ServerId(2));
            config.peers.push("tcp://192.0.2.1:9901".parse().expect("an endpoint"));
            let mut newcomer = RegistrarMachine::new(config, 2, now).expect("a valid configuration");
            link_up(&mut mentor, now, PEER, Protocol::Enrp);
            link_up(&mut newcomer, now, PEER, Protocol::Enrp);
            converse(now, &mut mentor, &mut newcomer);
            assert_eq!(newcomer.handlespace().len(), ELEMENTS);
            newcomer
        });
    });
    group.finish();
}

criterion_group!(benches, resolution, joining);
criterion_main!(benches);
