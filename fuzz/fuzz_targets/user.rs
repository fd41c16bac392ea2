//! Any sequence of links, messages, pauses and commands as the life of a pool user: it must not panic, must not exceed its limits, and
//! must say nothing that cannot be decoded.
#![no_main]
#![forbid(unsafe_code)]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use rserpool_asap::{AsapTimers, Freshness, UserConfig, UserMachine};
use rserpool_fuzz::{World, endpoint};
use rserpool_wire::{PeIdentifier, PoolHandle};

fuzz_target!(|input: &[u8]| {
    let now = Instant::now();
    let config = UserConfig {
        registrars: vec![endpoint(3863), endpoint(3864)],
        timers: AsapTimers::fast(),
        max_requests: 8,
        max_cached_pools: 2,
        max_subscriptions: 2,
        ..UserConfig::default()
    };
    let machine = UserMachine::new(config, 1, now).expect("a valid configuration");
    let mut requests = Vec::new();
    World::new(machine, now).live(
        input,
        |machine, now, command, number| {
            let pool_handle = PoolHandle::from(["echo", "sip", "dns"][usize::from(number % 3)]);
            match command % 8 {
                0 => requests.push(machine.resolve(now, &pool_handle, None, Freshness::CacheAllowed)),
                1 => requests.push(machine.resolve(now, &pool_handle, Some(number.into()), Freshness::Fresh)),
                2 => requests.push(machine.resolve(now, &pool_handle, None, Freshness::StaleAllowed)),
                3 => drop(machine.select(now, &pool_handle, &[PeIdentifier(number.into())])),
                4 => machine.report_unreachable(now, &pool_handle, PeIdentifier(number.into())),
                // Too many are refused.
                5 => drop(machine.subscribe(now, &pool_handle)),
                6 => machine.unsubscribe(&pool_handle),
                _ => {
                    if let Some(request) = requests.pop() {
                        machine.cancel(request);
                    }
                }
            }
        },
        |_| {},
    );
});
