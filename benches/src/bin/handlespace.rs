//! Speed and memory of the handlespace, in one line for one workload:
//! `cargo run --release -p rserpool-benches --bin handlespace -- ELEMENTS POLICY ITEMS OPS POOLS`
//!
//! A registration adds an element, a re-registration changes the policy values of a random one, a resolution visits ITEMS
//! elements of a random pool without encoding a message, a deregistration finds an element by its name and removes it.
//! Drawing the random values is part of the time. Memory is what the handlespace has on the heap, per element.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output")]
use std::alloc::System;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rand::seq::SliceRandom as _;
use rserpool_benches::Workload;
use rserpool_handlespace::Handlespace;
use rserpool_wire::{Dialect, Policy};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

struct Arguments {
    elements: usize,
    policy: Policy,
    items: usize,
    operations: usize,
    pools: usize,
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!(
            "usage: handlespace ELEMENTS POLICY ITEMS OPS POOLS, such as: handlespace 1000 wrand:5 1 1000000 1"
        );
        return ExitCode::FAILURE;
    };
    println!("{}", measure(&arguments));
    ExitCode::SUCCESS
}

fn arguments() -> Option<Arguments> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [elements, policy, items, operations, pools] = arguments.as_slice() else { return None };
    Some(Arguments {
        elements: elements.parse().ok().filter(|n| *n > 0)?,
        policy: policy.parse().ok()?,
        items: items.parse().ok()?,
        operations: operations.parse().ok()?,
        pools: pools.parse().ok().filter(|n| *n > 0)?,
    })
}

fn measure(arguments: &Arguments) -> String {
    let Arguments { elements, ref policy, items, operations, pools } = *arguments;
    let mut workload = Workload::new(elements, pools, policy.clone());
    let heap = Region::new(ALLOCATOR);
    let mut handlespace = Handlespace::new(Dialect::Rfc, 1);

    let mut register = register_all(&mut handlespace, &mut workload);
    let stats = heap.change();
    let memory = stats.bytes_allocated.saturating_sub(stats.bytes_deallocated);
    let reregister = rate(operations, || reregister_any(&mut handlespace, &mut workload, operations));
    let resolve = rate(operations, || resolve_any(&mut handlespace, &mut workload, operations, items));
    let mut deregister = deregister_all(&mut handlespace, &mut workload);

    // A small handlespace is filled and emptied too fast to be timed once.
    let rounds = (operations / elements).max(1);
    for _ in 1..rounds {
        register += register_all(&mut handlespace, &mut workload);
        deregister += deregister_all(&mut handlespace, &mut workload);
    }
    let per_second = |time: Duration| (rounds * elements) as f64 / time.as_secs_f64();
    format!(
        "n={elements} pools={pools} pol={policy} items={items} reg={:.0}/s rereg={reregister:.0}/s \
         resolve={resolve:.0}/s dereg={:.0}/s mem/PE={}B",
        per_second(register),
        per_second(deregister),
        memory / elements,
    )
}

fn register_all(handlespace: &mut Handlespace, workload: &mut Workload) -> Duration {
    let mut element = workload.element();
    let start = Instant::now();
    for i in 0..workload.names.len() {
        let Some((pool, identifier)) = workload.names.get(i).copied() else { break };
        element.identifier = identifier;
        element.policy = workload.any_values();
        if let Some(pool_handle) = workload.pool_handles.get(pool) {
            let _ = black_box(handlespace.register(pool_handle, &element));
        }
    }
    start.elapsed()
}

fn reregister_any(handlespace: &mut Handlespace, workload: &mut Workload, operations: usize) {
    let mut element = workload.element();
    for _ in 0..operations {
        let (pool, identifier) = workload.any_name();
        element.identifier = identifier;
        element.policy = workload.any_values();
        if let Some(pool_handle) = workload.pool_handles.get(pool) {
            let _ = black_box(handlespace.register(pool_handle, &element));
        }
    }
}

fn resolve_any(handlespace: &mut Handlespace, workload: &mut Workload, operations: usize, items: usize) {
    for _ in 0..operations {
        let pool = workload.any_pool();
        if let Some(pool_handle) = workload.pool_handles.get(pool) {
            black_box(handlespace.resolve(pool_handle.as_bytes(), items, |element| {
                black_box(element);
                true
            }));
        }
    }
}

fn deregister_all(handlespace: &mut Handlespace, workload: &mut Workload) -> Duration {
    workload.names.shuffle(&mut workload.rng);
    let start = Instant::now();
    for (pool, identifier) in &workload.names {
        if let Some(pool_handle) = workload.pool_handles.get(*pool)
            && let Some(key) = handlespace.find(pool_handle.as_bytes(), *identifier)
        {
            black_box(handlespace.remove(key));
        }
    }
    start.elapsed()
}

fn rate(operations: usize, run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    operations as f64 / start.elapsed().as_secs_f64()
}
