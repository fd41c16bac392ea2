//! The operations of the handlespace, policy by policy, and the download of a large one.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "criterion's macros generate undocumented functions")]
#![allow(clippy::expect_used, reason = "a benchmark whose workload is wrong shall fail")]
use std::hint::black_box;

use bytes::BytesMut;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rserpool_benches::Workload;
use rserpool_handlespace::{Cursor, Handlespace};
use rserpool_wire::asap::ResolutionResponseWriter;
use rserpool_wire::enrp::TableResponseWriter;
use rserpool_wire::{Dialect, Policy, PoolHandle, ServerId};

const POLICIES: [&str; 9] =
    ["rr", "wrr:5", "rand", "wrand:5", "prio:5", "lu:0.4", "lud:0.4:0.01", "plu:0.4:0.01", "rlu:0.4"];

fn filled(workload: &mut Workload) -> Handlespace {
    let mut handlespace = Handlespace::new(Dialect::Rfc, 1);
    let mut element = workload.element();
    for (pool, identifier) in workload.names.clone() {
        element.identifier = identifier;
        element.policy = workload.any_values();
        let pool_handle = workload.pool_handles.get(pool).expect("a pool for each element");
        handlespace.register(pool_handle, &element).expect("consistent with the pool");
    }
    handlespace
}

fn one_pool(policy: &str) -> (Workload, Handlespace) {
    let policy: Policy = policy.parse().expect("a policy");
    let mut workload = Workload::new(1_000, 1, policy);
    let handlespace = filled(&mut workload);
    (workload, handlespace)
}

/// A whole answer: three elements of a thousand, selected and encoded.
fn resolution(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resolution of 3 of 1000");
    let pool_handle = PoolHandle::from("Pool-000000");
    let mut buffer = BytesMut::new();
    for policy in POLICIES {
        let (workload, mut handlespace) = one_pool(policy);
        let pool_policy = workload.element().policy;
        group.bench_function(policy, |bencher| {
            bencher.iter(|| {
                buffer.clear();
                let mut response = ResolutionResponseWriter::start(
                    Dialect::Rfc,
                    &mut buffer,
                    &pool_handle,
                    &pool_policy,
                    false,
                )?;
                handlespace.resolve(pool_handle.as_bytes(), 3, |element| response.element(element));
                response.finish()
            });
        });
    }
    group.finish();
}

fn reregistration(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reregistration of 1 of 1000");
    for policy in POLICIES {
        let (mut workload, mut handlespace) = one_pool(policy);
        let mut element = workload.element();
        let pool_handle = workload.pool_handles.first().expect("one pool").clone();
        group.bench_function(policy, |bencher| {
            bencher.iter_batched(
                || (workload.any_name().1, workload.any_values()),
                |(identifier, values)| {
                    (element.identifier, element.policy) = (identifier, values);
                    handlespace.register(&pool_handle, &element)
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// 100,000 elements in 1,000 pools, as a new registrar gets them.
fn download(criterion: &mut Criterion) {
    let mut workload = Workload::new(100_000, 1_000, Policy::RoundRobin);
    let handlespace = filled(&mut workload);
    let mut group = criterion.benchmark_group("download");
    group.throughput(Throughput::Elements(handlespace.len() as u64));
    let mut buffer = BytesMut::new();
    group.bench_function("100000 elements", |bencher| {
        bencher.iter(|| {
            let (mut cursor, mut more) = (Cursor::default(), true);
            while more {
                buffer.clear();
                let mut table =
                    TableResponseWriter::start(Dialect::Rfc, &mut buffer, ServerId(1), ServerId(2));
                more = handlespace.next_part(&mut cursor, None, |first, view| {
                    if first {
                        table.pool(&view.pool_handle(), view.encoded(), None)
                    } else {
                        table.element(view.encoded(), None)
                    }
                });
                table.finish(more).expect("within the limit");
                black_box(&buffer);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, resolution, reregistration, download);
criterion_main!(benches);
