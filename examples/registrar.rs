//! A registrar inside a program of your own: `cargo run -p rserpool-examples --example registrar [PEER]`.
//! Prints what happens until Ctrl-C, then hands its elements over to its peer, if it has one.
use std::error::Error;

use rserpool::{Registrar, TimerProfile};
use tokio_stream::StreamExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut builder =
        Registrar::builder().asap("tcp://127.0.0.1:0").enrp("tcp://127.0.0.1:0").timers(TimerProfile::Fast);
    if let Some(peer) = std::env::args().nth(1) {
        builder = builder.peer(peer);
    }
    let registrar = builder.start().await?;
    let mut events = registrar.events();
    for endpoint in registrar.asap_endpoints() {
        println!("elements and users: {endpoint}");
    }
    if let Some(endpoint) = registrar.enrp_endpoint() {
        println!("other registrars:   {endpoint}");
    }
    loop {
        tokio::select! {
            Some(event) = events.next() => println!("{event:?}"),
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    registrar.shutdown().await;
    Ok(())
}
