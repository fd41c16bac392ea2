//! How much a large scope costs: registrars, elements and users for a while on virtual time, and the messages and bytes
//! that each kind of node sends and receives.
//!
//! ```sh
//! cargo run --release -p rserpool-sim --bin scale -- --registrars 64 --elements 100000 --users 10000 --minutes 60
//! ```
use std::process::ExitCode;
use std::time::Duration;

use rserpool_sim::{Disturbance, Fault, NodeId, Scenario, Settings, Traffic, Weather, at_rest};

/// What to simulate.
#[derive(Clone, Copy)]
struct Size {
    registrars: u32,
    elements: u32,
    users: u32,
    pools: u32,
    minutes: u64,
}

fn main() -> ExitCode {
    match size(std::env::args().skip(1)) {
        Ok(size) => run(size),
        Err(why) => {
            eprintln!(
                "{why}\nusage: scale [--registrars N] [--elements N] [--users N] [--pools N] [--minutes N]"
            );
            ExitCode::FAILURE
        }
    }
}

fn size(mut arguments: impl Iterator<Item = String>) -> Result<Size, String> {
    let mut size = Size { registrars: 8, elements: 1_000, users: 100, pools: 100, minutes: 10 };
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} wants a number"))?;
        let number: u32 = value.parse().map_err(|_| format!("{value} is no number"))?;
        match name.as_str() {
            "--registrars" => size.registrars = number.max(1),
            "--elements" => size.elements = number,
            "--users" => size.users = number,
            "--pools" => size.pools = number.max(1),
            "--minutes" => size.minutes = number.max(1).into(),
            _ => return Err(format!("{name} is no option")),
        }
    }
    Ok(size)
}

fn run(size: Size) -> ExitCode {
    let Size { registrars, elements, users, pools, minutes } = size;
    // A user resolves once a minute or so: the values of the RFCs, an application that is not in a hurry.
    let mut settings = Settings { weather: Weather::wide(4), ..Settings::rfc() };
    settings.pace.life = Duration::from_secs(3_600);
    settings.pace.call_interval = Duration::from_secs(60);
    let mut scenario = Scenario::new("scale", settings).with(registrars, elements, users);
    scenario.pools = pools;
    let mut world = scenario.build(1);
    let start = world.now();
    let pace = scenario.settings.pace;
    // Registrars first, and the others once these have met: a scope that is started in order.
    (0..registrars).for_each(|n| world.start(NodeId(n)));
    world.run(pace.start() + pace.reunion());
    (registrars..registrars + elements + users).for_each(|n| world.start(NodeId(n)));
    let settled = world.settle(pace.settling(), Duration::from_secs(5));
    let Ok(settled) = settled else {
        eprintln!("not all became well: {settled:?}");
        return ExitCode::FAILURE;
    };
    let kinds = [
        ("registrar", 0, registrars),
        ("element", registrars, elements),
        ("user", registrars + elements, users),
    ];
    println!(
        "{registrars} registrars, {elements} elements in {pools} pools, {users} users; started in {settled:?}"
    );
    let traffic = |world: &rserpool_sim::World, (_, first, count): (&str, u32, u32)| {
        (first..first + count).map(|n| world.traffic(NodeId(n))).fold(Traffic::default(), Traffic::sum)
    };
    let before = kinds.map(|kind| traffic(&world, kind));
    let length = Duration::from_secs(minutes * 60);
    if !world.run(length) {
        eprintln!("{:?}", world.violations());
        return ExitCode::FAILURE;
    }
    println!("| each, per second | sent | bytes | received | bytes |\n|---|---|---|---|---|");
    for (kind, before) in kinds.into_iter().zip(before).filter(|((_, _, count), _)| *count > 0) {
        let now = traffic(&world, kind);
        let per_second =
            |now: u64, before: u64| (now - before) as f64 / length.as_secs_f64() / f64::from(kind.2);
        println!(
            "| {} | {:.3} | {:.1} | {:.3} | {:.1} |",
            kind.0,
            per_second(now.sent, before.sent),
            per_second(now.sent_bytes, before.sent_bytes),
            per_second(now.received, before.received),
            per_second(now.received_bytes, before.received_bytes),
        );
    }
    println!("{} things happened until {:?}", world.events(), world.now() - start);
    takeover(&mut world, registrars, pace)
}

/// The last registrar dies without a word: how long until all is well, and what it costs the others.
fn takeover(world: &mut rserpool_sim::World, registrars: u32, pace: rserpool_sim::Pace) -> ExitCode {
    if registrars < 2 {
        return ExitCode::SUCCESS;
    }
    let survivors = registrars - 1;
    let sent =
        |world: &rserpool_sim::World| -> u64 { (0..survivors).map(|n| world.traffic(NodeId(n)).sent).sum() };
    let before = sent(world);
    let what = Disturbance::Death { node: NodeId(survivors), silent: true };
    world.plan([Fault { at: world.now(), lasts: Duration::ZERO, what }]);
    world.run(Duration::from_secs(1));
    match world.settle(pace.settling() * 4, Duration::from_secs(5)) {
        Ok(settled) => {
            let each = (sent(world) - before) / u64::from(survivors.max(1));
            println!(
                "a registrar dies: all is well after {settled:?}, each other one has sent {each} messages"
            );
            debug_assert!(at_rest(world).is_ok(), "that is what it waited for");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            eprintln!("a registrar dies: {violation}");
            ExitCode::FAILURE
        }
    }
}
