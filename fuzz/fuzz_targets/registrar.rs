//! Any sequence of links, messages and pauses as the life of a registrar: it must not panic, must not exceed its limits, and must
//! say nothing that cannot be decoded.
#![no_main]
#![forbid(unsafe_code)]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use rserpool_enrp::{RegistrarConfig, RegistrarLimits, RegistrarMachine, RegistrarTimers};
use rserpool_fuzz::{World, endpoint};
use rserpool_wire::ServerId;

const ELEMENTS: usize = 32;

fuzz_target!(|input: &[u8]| {
    let now = Instant::now();
    let config = RegistrarConfig {
        asap: vec![endpoint(3863)],
        enrp: Some(endpoint(9901)),
        peers: vec![endpoint(9902)],
        timers: RegistrarTimers::fast(),
        limits: RegistrarLimits { elements: ELEMENTS, pools: 8, peers: 4, ..RegistrarLimits::default() },
        ..RegistrarConfig::new(ServerId(0x1111_1111))
    };
    let registrar = RegistrarMachine::new(config, 1, now).expect("a valid configuration");
    World::new(registrar, now).live(
        input,
        |registrar, now, command, _| {
            if command == 0 {
                registrar.shutdown(now);
            }
        },
        |registrar| assert!(registrar.handlespace().len() <= ELEMENTS),
    );
});
