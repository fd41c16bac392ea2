//! Decoding and encoding of the messages that registrars see most.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "criterion's macros generate undocumented functions")]
#![allow(clippy::expect_used, reason = "a benchmark whose messages are wrong shall fail")]
use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rserpool_benches::Workload;
use rserpool_wire::{Dialect, PeIdentifier, Policy, PoolElement, PoolHandle, ServerId, asap, enrp};

fn element(identifier: u32) -> PoolElement {
    let workload = Workload::new(1, 1, Policy::WeightedRandom { weight: 5 });
    PoolElement { identifier: PeIdentifier(identifier), ..workload.element() }
}

fn asap_messages() -> Vec<asap::Message<'static>> {
    let pool_handle = || PoolHandle::from("ComputePool");
    vec![
        asap::Registration { pool_handle: pool_handle(), element: element(1) }.into(),
        asap::HandleResolution { pool_handle: pool_handle(), subscribe: false, items: Some(3) }.into(),
        asap::HandleResolutionResponse {
            accept_updates: false,
            pool_handle: pool_handle(),
            policy: Some(Policy::WeightedRandom { weight: 5 }),
            elements: (1..=3).map(element).collect(),
            error: None,
        }
        .into(),
        asap::EndpointKeepAliveAck { pool_handle: pool_handle(), identifier: PeIdentifier(1) }.into(),
    ]
}

fn enrp_messages() -> Vec<enrp::Message<'static>> {
    let pool_handle = || PoolHandle::from("ComputePool");
    let update = enrp::HandleUpdate {
        action: enrp::UpdateAction::Add,
        takeover_suggested: false,
        pool_handle: pool_handle(),
        element: element(1),
        owner: None,
    };
    let table = enrp::HandleTableResponse {
        rejected: false,
        more: true,
        entries: vec![enrp::PoolEntry {
            pool_handle: pool_handle(),
            elements: (0..1_000).map(|n| element(n).into()).collect(),
        }],
    };
    [enrp::Body::HandleUpdate(update), enrp::Body::HandleTableResponse(table)]
        .map(|body| enrp::Message { sender: ServerId(1), receiver: ServerId(2), body })
        .into()
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    let mut buffer = BytesMut::new();
    for message in asap_messages() {
        buffer.clear();
        message.encode(Dialect::Rfc, &mut buffer).expect("encodes");
        let bytes = buffer.clone().freeze();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("decode {}", message.name()), |bencher| {
            bencher.iter(|| asap::decode(black_box(&bytes), Dialect::Rfc).expect("decodes"));
        });
        group.bench_function(format!("encode {}", message.name()), |bencher| {
            bencher.iter(|| {
                buffer.clear();
                black_box(&message).encode(Dialect::Rfc, &mut buffer)
            });
        });
    }
    for message in enrp_messages() {
        buffer.clear();
        message.encode(Dialect::Rfc, &mut buffer).expect("encodes");
        let bytes = buffer.clone().freeze();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("decode {}", message.body.name()), |bencher| {
            bencher.iter(|| enrp::decode(black_box(&bytes), Dialect::Rfc).expect("decodes"));
        });
        group.bench_function(format!("encode {}", message.body.name()), |bencher| {
            bencher.iter(|| {
                buffer.clear();
                black_box(&message).encode(Dialect::Rfc, &mut buffer)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
