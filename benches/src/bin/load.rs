//! What a registrar costs that holds many elements: `cargo run --release -p rserpool-benches --bin load -- [ELEMENTS] [IDLE_SECONDS]`.
//!
//! Over loopback, it registers the elements (100,000 unless said otherwise) at one registrar, each in a pool of 100, and keeps
//! acknowledging their keep-alives; starts a second registrar that joins; and then watches both do nothing. Prints the
//! registrations per second, the time that the second one took to have everything, and the processor time that each of them
//! uses while idle, in percent of one core. Every registrar runs on a thread of its own, whose time `/proc` tells (Linux).
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::indexing_slicing, reason = "a panic is the report of a benchmark that went wrong")]
use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rserpool::transport::{LinkConfig, connect};
use rserpool::wire::{PoolElement, asap};
use rserpool::{
    Dialect, Endpoint, PeIdentifier, Policy, PoolHandle, Registrar, RegistrationLife, ServerId, Transport,
};
use tokio::sync::mpsc;

/// Elements of one connection, each of another pool, as RFC 5352's keep-alives name the pool only.
const PER_LINK: usize = 1_000;
/// Kernel clock ticks per second, in which `/proc` counts.
const TICKS: f64 = 100.0;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let elements: usize = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let idle = Duration::from_secs(arguments.next().map_or(Ok(10), |text| text.parse())?);

    let first = start("first", None)?;
    let clients = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let started = Instant::now();
    let mut registered = register(&clients, elements, first.asap_endpoints()[0].clone());
    for _ in 0..elements {
        clients.block_on(registered.recv()).ok_or("an element link failed")?;
    }
    let took = started.elapsed();
    println!("registered {elements} elements in {took:.2?}: {:.0}/s", elements as f64 / took.as_secs_f64());

    let started = Instant::now();
    let second = start("second", first.enrp_endpoint().cloned())?;
    let held = second.handlespace(|handlespace| handlespace.len());
    println!("a second registrar has {held} of them {:.2?} after its start", started.elapsed());

    let before = [cpu("first")?, cpu("second")?];
    std::thread::sleep(idle);
    let after = [cpu("first")?, cpu("second")?];
    let percent = |i: usize| (after[i] - before[i]) / idle.as_secs_f64() * 100.0;
    println!("idle: the owner of them uses {:.1} % of a core, the other one {:.1} %", percent(0), percent(1));
    let left = first.handlespace(|handlespace| handlespace.len());
    println!("elements left: {left}");
    Ok(())
}

/// A registrar on a thread of that name, ready.
fn start(name: &'static str, peer: Option<Endpoint>) -> Result<Registrar, Failure> {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let run = async {
            let mut builder = Registrar::builder().asap("tcp://127.0.0.1:0").enrp("tcp://127.0.0.1:0");
            if let Some(peer) = peer {
                builder = builder.peer(peer);
            }
            let started: Result<Registrar, Failure> = async {
                let registrar = builder.start().await?;
                registrar.ready().await;
                Ok(registrar)
            }
            .await;
            if sender.send(started).is_ok() {
                std::future::pending::<()>().await;
            }
        };
        if let Ok(runtime) = runtime {
            runtime.block_on(run);
        }
    })?;
    receiver.recv()?
}

/// Registers `elements` over as many connections as it takes; each one that is accepted is told.
fn register(
    runtime: &tokio::runtime::Runtime,
    elements: usize,
    registrar: Endpoint,
) -> mpsc::UnboundedReceiver<()> {
    let (sender, receiver) = mpsc::unbounded_channel();
    for first in (0..elements).step_by(PER_LINK) {
        let (registrar, sender) = (registrar.clone(), sender.clone());
        let count = PER_LINK.min(elements - first);
        runtime.spawn(async move {
            if let Err(error) = run_link(first, count, &registrar, sender).await {
                eprintln!("{error}");
            }
        });
    }
    receiver
}

/// The elements `first..first + count` on one connection.
async fn run_link(
    first: usize,
    count: usize,
    registrar: &Endpoint,
    registered: mpsc::UnboundedSender<()>,
) -> Result<(), Failure> {
    let (mut reader, writer) = connect(registrar, &LinkConfig::default()).await?.split();
    let queue = writer.queue();
    tokio::spawn(writer.run());
    let address: SocketAddr = ([127, 0, 0, 1], 7).into();
    let mut buffer = BytesMut::new();
    for i in 0..count {
        let element = PoolElement {
            identifier: PeIdentifier(u32::try_from(first + i)?),
            home: ServerId::NONE,
            life: RegistrationLife::Infinite,
            user_transport: Transport::Tcp(address),
            policy: Policy::RoundRobin,
            asap_transport: None,
        };
        let pool_handle = PoolHandle::from(format!("pool-{i}"));
        asap::Message::from(asap::Registration { pool_handle, element }).encode(Dialect::Rfc, &mut buffer)?;
    }
    queue.push(buffer.split().freeze())?;
    queue.try_flush();
    while reader.fill().await? {
        while let Some(bytes) = reader.next_message()? {
            match asap::decode(bytes, Dialect::Rfc)?.message {
                asap::Message::RegistrationResponse(response) if !response.rejected => {
                    registered.send(())?;
                }
                asap::Message::EndpointKeepAlive(keep_alive) => {
                    // The number in the handle tells which element of this connection is meant.
                    let number = std::str::from_utf8(&keep_alive.pool_handle.as_bytes()[5..])?;
                    let identifier = PeIdentifier(u32::try_from(first + number.parse::<usize>()?)?);
                    let pool_handle = keep_alive.pool_handle;
                    asap::Message::from(asap::EndpointKeepAliveAck { pool_handle, identifier })
                        .encode(Dialect::Rfc, &mut buffer)?;
                }
                other => return Err(format!("unexpected {}", other.name()).into()),
            }
        }
        queue.push(buffer.split().freeze())?;
        queue.try_flush();
    }
    Err("the registrar closed a link".into())
}

/// Seconds of processor time of this process's thread of that name.
fn cpu(thread: &str) -> Result<f64, Failure> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let stat = std::fs::read_to_string(task?.path().join("stat"))?;
        let (name, fields) = stat.rsplit_once(')').ok_or("an odd /proc")?;
        if name.ends_with(&format!("({thread}")) {
            let mut fields = fields.split_whitespace().skip(11);
            let mut ticks =
                || fields.next().and_then(|field| field.parse::<f64>().ok()).ok_or("an odd /proc");
            return Ok((ticks()? + ticks()?) / TICKS);
        }
    }
    Err(format!("no thread {thread}").into())
}
