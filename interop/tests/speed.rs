//! Both implementations side by side, in one kernel and with the same clients: resolutions per second, processor time, and how
//! long it takes to go on after something has died. Tables on standard output; what is asserted is that everything worked.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, and these measure real time"
)]
use std::time::{Duration, Instant};

use rserpool_interop::{Hosts, Process, Scenario, until};
use serde_json::Value;

/// The timers of the RFCs take a minute to notice that a registrar is silent, and more on a slow machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// How often each is measured, in turns. The best counts: what else the machine does makes all of them worse.
const ROUNDS: usize = 5;

#[test]
fn resolutions_per_second_and_their_processor_time() {
    Scenario::new("resolutions_per_second_and_their_processor_time").hosts(5).unrecorded().run(|hosts| {
        let registrars = [(1, Kind::Ours), (2, Kind::Theirs)].map(|(host, kind)| {
            let registrar = match kind {
                // It does not announce itself: the two are to have nothing to do with each other.
                Kind::Ours | Kind::OursByRfc | Kind::OursFast => hosts.registrar(host, &[]),
                Kind::Theirs => registrar(hosts, kind, host),
            };
            (host, kind, registrar)
        });
        let _elements = [1, 2].map(|host| three_elements(hosts, host));
        println!(
            "| registrar | connections | outstanding each | resolutions/s | registrar's processor time each |"
        );
        println!("|---|---|---|---|---|");
        for (connections, outstanding) in [(1, 1), (4, 16)] {
            let mut best = [(0.0_f64, f64::INFINITY); 2];
            for _ in 0..ROUNDS {
                for ((host, _, registrar), (rate, each)) in registrars.iter().zip(&mut best) {
                    let before = registrar.processor_time();
                    let (responses, responses_per_second) = bench(hosts, *host, connections, outstanding);
                    let used = registrar.processor_time() - before;
                    *rate = rate.max(responses_per_second);
                    *each = each.min(used.as_secs_f64() * 1e6 / responses);
                }
            }
            for ((_, kind, _), (rate, each)) in registrars.iter().zip(best) {
                println!("| {} | {connections} | {outstanding} | {rate:.0} | {each:.0} µs |", kind.name());
            }
        }
    });
}

/// Three elements of the reference implementation at the registrar on this host, in `EchoPool`.
fn three_elements(hosts: &Hosts<'_>, registrar: u8) -> [Process; 3] {
    let at = format!("-registrar=10.9.0.{registrar}:3863");
    let alone = "-asapannounce=239.0.0.99:3863";
    let elements = ["0x1", "0x2", "0x3"]
        .map(|id| hosts.rsplib(3, "rspserver", &["-echo", &format!("-identifier={id}"), alone, &at]));
    let url = format!("--registrar=sctp://10.9.0.{registrar}:3863");
    let watch = hosts.rserpool(4, &["watch", &url, "--pool=EchoPool"]);
    until("three elements", PATIENCE, || watch.printed().matches("added").count() == 3);
    elements
}

/// How many resolutions our client has got from the registrar on this host, and how many in a second.
fn bench(hosts: &Hosts<'_>, registrar: u8, connections: u32, outstanding: u32) -> (f64, f64) {
    let settings = [
        format!("--registrar=sctp://10.9.0.{registrar}:3863"),
        format!("--connections={connections}"),
        format!("--pipeline={outstanding}"),
    ];
    let bench = ["bench", "resolve", "--pool=EchoPool", "--dialect=rsplib", "--json", "--seconds=2"];
    let report = hosts.ask(5, &[&bench[..], &settings.each_ref().map(String::as_str)].concat()).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    let number = |name| report.get(name).and_then(Value::as_f64).unwrap();
    assert!(number("responses") > 0.0 && number("rejected") == 0.0, "{report}");
    (number("responses"), number("responses_per_second"))
}

/// With which conventions and timers.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Ours,
    /// By the RFCs, with their timers.
    OursByRfc,
    /// By the RFCs, with our fast timers.
    OursFast,
    Theirs,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours, `--dialect=rsplib`",
            Self::OursByRfc => "ours, `--dialect=rfc`",
            Self::OursFast => "ours, `--timers=fast`",
            Self::Theirs => "rsplib",
        }
    }

    fn conventions(self) -> &'static [&'static str] {
        match self {
            Self::OursByRfc => &["--dialect=rfc"],
            Self::OursFast => &["--dialect=rfc", "--timers=fast"],
            Self::Ours | Self::Theirs => &["--dialect=rsplib"],
        }
    }
}

#[test]
fn times_of_take_over_and_fail_over_of_ours_with_the_timers_of_the_rfcs() {
    Scenario::new("times_of_take_over_and_fail_over_of_ours_with_the_timers_of_the_rfcs")
        .hosts(6)
        .unrecorded()
        .time_limit(2 * PATIENCE)
        .run(|hosts| times(hosts, Kind::OursByRfc));
}

#[test]
fn times_of_take_over_and_fail_over_of_ours_with_fast_timers() {
    Scenario::new("times_of_take_over_and_fail_over_of_ours_with_fast_timers")
        .hosts(6)
        .unrecorded()
        .run(|hosts| times(hosts, Kind::OursFast));
}

#[test]
fn times_of_take_over_and_fail_over_of_ours() {
    Scenario::new("times_of_take_over_and_fail_over_of_ours")
        .hosts(6)
        .unrecorded()
        .run(|hosts| times(hosts, Kind::Ours));
}

#[test]
fn times_of_take_over_and_fail_over_of_theirs() {
    Scenario::new("times_of_take_over_and_fail_over_of_theirs")
        .hosts(6)
        .unrecorded()
        .run(|hosts| times(hosts, Kind::Theirs));
}

/// Registrars on hosts 1 to 3, elements on 4 to 6, a user on 6, all of one kind; our `watch` looks on from host 6, at the second
/// registrar, while the first one is the home of all.
fn times(hosts: &Hosts<'_>, kind: Kind) {
    let _registrars = [1, 2, 3].map(|host| registrar(hosts, kind, host));
    let url = "--registrar=sctp://10.9.0.2:3863";
    let watch = hosts.rserpool(6, &[&["watch", url, "--pool=pool"], kind.conventions()].concat());
    let first = element(hosts, kind, 4);
    watch.prints_within(PATIENCE, "added 0x00000004");
    let mut user = User::start(hosts, kind);
    user.is_served("4");

    let _second = element(hosts, kind, 5);
    watch.prints_within(PATIENCE, "added 0x00000005");
    first.kill();
    let failed_over = after(|| user.is_served("5"));

    hosts.cut(5, 1).unwrap();
    let removed = after(|| drop(watch.prints_within(PATIENCE, "removed 0x00000005")));

    let _third = element(hosts, kind, 6);
    watch.prints_within(PATIENCE, "added 0x00000006");
    hosts.cut(1, 1).unwrap();
    let taken_over = after(|| {
        until("another home", PATIENCE, || home(hosts, kind).is_some_and(|home| home != "0x00000001"))
    });
    println!("| all of | killed element replaced | silent element removed | silent registrar taken over |");
    println!("|---|---|---|---|");
    let [failed_over, removed, taken_over] =
        [failed_over, removed, taken_over].map(|time| time.as_secs_f64());
    println!("| {} | {failed_over:.1} s | {removed:.1} s | {taken_over:.1} s |", kind.name());
}

fn registrar(hosts: &Hosts<'_>, kind: Kind, host: u8) -> Process {
    match kind {
        Kind::Ours | Kind::OursByRfc | Kind::OursFast => {
            hosts.registrar(host, &[kind.conventions(), &["--announce=eth1"]].concat())
        }
        Kind::Theirs => {
            let at = |port| format!("{}:{port}", hosts.addresses(host, 1)[0]);
            let (asap, enrp) = (format!("-asap={}", at(3863)), format!("-enrp={}", at(9901)));
            let id = format!("-identifier=0x{host}");
            let registrar = hosts.rsplib(host, "rspregistrar", &[&asap, &enrp, &id, "-disable-ipv6"]);
            registrar.prints("Max Handle Resolution");
            registrar
        }
    }
}

/// An element with the number of its host, at the first registrar.
fn element(hosts: &Hosts<'_>, kind: Kind, host: u8) -> Process {
    match kind {
        Kind::Ours | Kind::OursByRfc | Kind::OursFast => {
            let (id, listen) = (format!("--id={host}"), format!("--listen=sctp://10.9.0.{host}:0"));
            let service = ["pe", "--echo", "--pool=pool", &id, &listen, "--registrar=sctp://10.9.0.1:3863"];
            hosts.rserpool(host, &[&service, kind.conventions()].concat())
        }
        Kind::Theirs => {
            let id = format!("-identifier=0x{host}");
            let service = [
                "-pingpong",
                "-poolhandle=pool",
                "-asapannounce=239.0.0.99:3863",
                "-registrar=10.9.0.1:3863",
            ];
            hosts.rsplib(host, "rspserver", &[&service[..], &[&id]].concat())
        }
    }
}

/// Who is served all the time.
struct User(Kind, Process);

impl User {
    fn start(hosts: &Hosts<'_>, kind: Kind) -> Self {
        let process = match kind {
            Kind::Ours | Kind::OursByRfc | Kind::OursFast => {
                let user = ["call", "--pool=pool", "--registrar=sctp://10.9.0.2:3863"];
                hosts.rserpool(6, &[&user, kind.conventions()].concat())
            }
            Kind::Theirs => {
                let user = ["-poolhandle=pool", "-interval=100", "-registrar=10.9.0.2:3863"];
                hosts.rsplib(6, "pingpongclient", &user)
            }
        };
        Self(kind, process)
    }

    /// Waits until it is served, by this element.
    fn is_served(&mut self, element: &str) {
        let Self(kind, process) = self;
        match kind {
            // There is no other one left to answer.
            Kind::Ours | Kind::OursByRfc | Kind::OursFast => {
                process.tell(element);
                process.prints_within(PATIENCE, element);
            }
            Kind::Theirs => drop(process.prints_within(PATIENCE, &format!("from PE $0000000{element}"))),
        }
    }
}

/// The home of the first element that the second registrar knows.
fn home(hosts: &Hosts<'_>, kind: Kind) -> Option<String> {
    let user = ["resolve", "--json", "--pool=pool", "--registrar=sctp://10.9.0.2:3863", "--patience=5"];
    let answer = hosts.ask(6, &[&user, kind.conventions()].concat()).ok()?;
    let answer: Value = serde_json::from_str(&answer).ok()?;
    Some(answer.get("elements")?.get(0)?.get("home")?.as_str()?.to_owned())
}

fn after(what: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    what();
    begun.elapsed()
}
