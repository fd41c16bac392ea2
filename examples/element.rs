//! A server that registers and reports its load: `cargo run -p rserpool-examples --example element REGISTRAR…`.
//! It counts the messages of each session and keeps the count in a cookie, so that the next server goes on where it stopped.
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rserpool::{Load, Policy, PoolElement, ServiceEvent, ServiceSession, SessionError, TimerProfile};
use tokio::net::{TcpListener, TcpStream};

/// How many sessions are full load.
const CAPACITY: u32 = 10;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let element = PoolElement::builder("counter")
        .registrars(std::env::args().skip(1))
        .policy(Policy::LeastUsed { load: Load::ZERO })
        .transport(listener.local_addr()?)
        .timers(TimerProfile::Fast)
        .register()
        .await?;
    println!("serving as {} at {}", element.identifier(), element.transport());

    let sessions = Arc::new(AtomicU32::new(0));
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            _ = tokio::signal::ctrl_c() => break,
        };
        let (element, sessions) = (element.clone(), Arc::clone(&sessions));
        tokio::spawn(async move {
            let load = |count: u32| Load::from_fraction(f64::from(count) / f64::from(CAPACITY));
            element.set_load(load(sessions.fetch_add(1, Ordering::Relaxed) + 1));
            if let Err(error) = count(stream, &element).await {
                eprintln!("{error}");
            }
            element.set_load(load(sessions.fetch_sub(1, Ordering::Relaxed) - 1));
        });
    }
    element.deregister().await;
    Ok(())
}

async fn count(stream: TcpStream, element: &PoolElement) -> Result<(), SessionError> {
    let mut session = ServiceSession::accept(stream, element).await?;
    let mut count = 0_u64;
    while let Some(event) = session.recv().await? {
        match event {
            ServiceEvent::Restored(cookie) => {
                count = cookie.as_ref().try_into().map_or(0, u64::from_be_bytes);
            }
            ServiceEvent::Message(message) => {
                count += 1;
                session.set_cookie(&count.to_be_bytes()).await?;
                session.send(format!("{count}: {}", String::from_utf8_lossy(&message)).as_bytes()).await?;
            }
            _ => {}
        }
    }
    Ok(())
}
