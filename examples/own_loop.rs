//! The registrar machine in an event loop of your own, on no socket at all: `cargo run -p rserpool-examples --example own_loop`.
//! This is all that a driver does: give inputs, perform outputs, mind the deadline.
use std::error::Error;
use std::net::SocketAddr;
use std::time::Instant;

use rserpool::enrp::{RegistrarConfig, RegistrarMachine};
use rserpool::machine::{Input, LinkId, LinkKind, Machine, Output, PeerIdentity, Protocol, Scheme};
use rserpool::wire::{Dialect, PeIdentifier, PoolElement, RegistrationLife, asap};
use rserpool::{Policy, PoolHandle, ServerId, Transport};

#[allow(clippy::disallowed_methods, reason = "the driver is where time comes from")]
fn main() -> Result<(), Box<dyn Error>> {
    let config = RegistrarConfig::new(ServerId(0x0000_0001));
    let mut registrar = RegistrarMachine::new(config, 42, Instant::now())?;

    // Somebody connects to us …
    let link = LinkId::accepted(1);
    let remote: [SocketAddr; 1] = ["192.0.2.7:40000".parse()?];
    let up = Input::LinkUp {
        link,
        protocol: Protocol::Asap,
        kind: LinkKind::PointToPoint(Scheme::Tcp),
        remote: &remote,
        identity: PeerIdentity::Anonymous,
    };
    step(&mut registrar, up);

    // … registers an element, and asks for the pool.
    let pool_handle = PoolHandle::from("echo");
    let element = PoolElement {
        identifier: PeIdentifier(0x0000_00aa),
        home: ServerId::NONE,
        life: RegistrationLife::Infinite,
        user_transport: Transport::Tcp("192.0.2.7:7".parse()?),
        policy: Policy::RoundRobin,
        asap_transport: None,
    };
    let requests = [
        asap::Message::from(asap::Registration { pool_handle: pool_handle.borrowed(), element }),
        asap::Message::from(asap::HandleResolution {
            pool_handle: pool_handle.borrowed(),
            subscribe: false,
            items: None,
        }),
    ];
    for request in requests {
        let mut bytes = bytes::BytesMut::new();
        request.encode(Dialect::Rfc, &mut bytes)?;
        println!("→ {}", request.name());
        step(&mut registrar, Input::Message { link, bytes: &bytes });
    }
    println!("{} element in {} pool", registrar.handlespace().len(), registrar.handlespace().pool_count());
    Ok(())
}

/// One turn of the loop.
#[allow(clippy::disallowed_methods, reason = "the driver is where time comes from")]
fn step(registrar: &mut RegistrarMachine, input: Input<'_>) {
    registrar.handle_input(Instant::now(), input);
    while let Some(output) = registrar.poll_output() {
        match output {
            Output::Transmit { bytes, .. } => match asap::decode(&bytes, Dialect::Rfc) {
                Ok(decoded) => println!("← {:?}", decoded.message),
                Err(error) => println!("← {error}"),
            },
            Output::Event(event) => println!("  {event:?}"),
            other => println!("  asks for {other:?}"),
        }
    }
    // A real loop would sleep until `registrar.poll_timeout()` and call `handle_timeout` then.
}
