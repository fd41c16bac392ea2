//! Any sequence of links, messages, pauses and commands as the life of pool elements: they must not panic, and must say nothing that
//! cannot be decoded.
#![no_main]
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use rserpool_asap::{AsapTimers, ElementConfig, ElementMachine, ElementRegistration};
use rserpool_fuzz::{World, endpoint};
use rserpool_wire::{Load, PeIdentifier, Policy, PoolHandle, RegistrationLife, Transport};

fuzz_target!(|input: &[u8]| {
    let now = Instant::now();
    let config = ElementConfig {
        registrars: vec![endpoint(3863), endpoint(3864)],
        asap_transport: Some(Transport::Tcp(([127, 0, 0, 1], 3865).into())),
        timers: AsapTimers::fast(),
        max_registrations: 4,
        ..ElementConfig::default()
    };
    let machine = ElementMachine::new(config, 1, now).expect("a valid configuration");
    let mut registrations = Vec::new();
    World::new(machine, now).live(
        input,
        |machine, now, command, number| match command % 4 {
            0 | 1 => registrations.extend(machine.register(now, registration(number))),
            2 => {
                for id in &registrations {
                    // One that was deregistered meanwhile says so.
                    let _ = machine.set_policy(now, *id, Policy::LeastUsed { load: Load(number.into()) });
                }
            }
            _ => {
                if let Some(id) = registrations.pop() {
                    machine.deregister(now, id);
                }
            }
        },
        |_| {},
    );
});

fn registration(number: u8) -> ElementRegistration {
    ElementRegistration {
        pool_handle: PoolHandle::from("echo"),
        identifier: PeIdentifier(u32::from(number % 4) + 1),
        user_transport: Transport::Tcp(([127, 0, 0, 1], 7).into()),
        policy: Policy::RoundRobin,
        life: RegistrationLife::Finite(Duration::from_secs(number.into())),
    }
}
