//! Elements of the reference implementation at our registrar: they register, stay, and are missed when they are gone.
use std::time::Duration;

use rserpool_interop::{Hosts, Process, Scenario, until};
use rustix::process::Signal;

const REGISTRAR: &str = "-registrar=10.9.0.1:3863";
const URL: &str = "sctp://10.9.0.1:3863";
/// How long the slowest of these may take on a busy machine. Only a defect makes a test wait for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `rspserver -policy=` takes, and what our command calls it. The last three are not in RFC 5356.
const POLICIES: [(&str, &str); 12] = [
    ("RoundRobin", "rr"),
    ("WeightedRoundRobin:2", "wrr:2"),
    ("Random", "rand"),
    ("WeightedRandom:3", "wrand:3"),
    ("Priority:7", "prio:7"),
    ("LeastUsed", "lu:0.0"),
    ("LeastUsedDegradation:0.1", "lud:0.0:0.1"),
    ("PriorityLeastUsed:0.2", "plu:0.0:0.2"),
    ("RandomizedLeastUsed", "rlu:0.0"),
    // Load, load factor 0.5, distance.
    ("LeastUsedDPF:0.5", "0xb0002002:000000008000000000000000"),
    // Weight 2, weight factor 0.5, distance.
    ("WeightedRandomDPF:2:0.5", "0xb0002001:000000028000000000000000"),
    // Load, degradation 0.1.
    ("PriorityLeastUsedDegradation:0.1:0.2", "0xb0001003:000000001999999a"),
];

#[test]
fn elements_of_every_policy_register_and_are_resolved() {
    Scenario::new("elements_of_every_policy_register_and_are_resolved").hosts(3).run(|hosts| {
        let _registrar = hosts.registrar(1, &[]);
        let start = |(number, (policy, _)): (usize, &(&str, &str))| {
            let (pool, policy) = (format!("-poolhandle=pool{number}"), format!("-policy={policy}"));
            hosts.rsplib(2, "rspserver", &["-echo", REGISTRAR, &pool, &policy])
        };
        let _elements: Vec<Process> = POLICIES.iter().enumerate().map(start).collect();
        for (number, (_, policy)) in POLICIES.iter().enumerate() {
            let pool = format!("pool{number}");
            let resolved = || {
                hosts.ask(
                    3,
                    &["resolve", "--dialect=rsplib", "--registrar", URL, "--patience=1", "--pool", &pool],
                )
            };
            let mut last = resolved();
            until(&pool, PATIENCE, || {
                let found = last.as_ref().is_ok_and(|table| table.contains(&format!(" {policy} ")));
                last = if found { last.clone() } else { resolved() };
                found
            });
        }
    });
}

#[test]
fn an_element_registers_again_and_again_until_it_deregisters() {
    Scenario::new("an_element_registers_again_and_again_until_it_deregisters").hosts(3).run(|hosts| {
        let _registrar = hosts.registrar(1, &[]);
        let watch = watch(hosts, "EchoPool");
        // The registration lives for three times as long: longer than it takes to the first keep-alive.
        let element = echo(hosts, &["-rereginterval=3500"]);
        watch.prints("added 0x0000abcd service=sctp://10.9.0.2:");
        until("three more registrations", PATIENCE, || hosts.counter(1, "reregistrations") >= 3);
        assert_eq!(watch.find("removed"), None);
        element.end(Signal::INT);
        watch.prints("removed 0x0000abcd");
        assert_eq!(hosts.counter(1, "deregistrations"), 1);
    });
}

#[test]
fn an_element_registers_with_its_new_load() {
    Scenario::new("an_element_registers_with_its_new_load").hosts(4).run(|hosts| {
        let _registrar = hosts.registrar(1, &[]);
        let speed = ["-capcapacity=1000000", "-policy=LeastUsed", "-identifier=0xabcd"];
        let _element = hosts.rsplib(2, "rspserver", &[&["-calcapp", REGISTRAR][..], &speed].concat());
        let watch = watch(hosts, "CalcAppPool");
        watch.prints("added 0x0000abcd service=sctp://10.9.0.2:");
        let jobs = ["-jobinterval=1", "-jobsize=2000000", "-vector=/dev/null", "-scalar=/dev/null"];
        let _user = hosts.rsplib(4, "calcappclient", &[&[REGISTRAR][..], &jobs].concat());
        let loaded = watch.prints("updated 0x0000abcd");
        assert!(loaded.contains(" policy=lu:0.1 "), "one job of ten: {loaded}");
    });
}

#[test]
fn an_element_that_is_killed_is_gone_at_once() {
    Scenario::new("an_element_that_is_killed_is_gone_at_once").hosts(3).run(|hosts| {
        let _registrar = hosts.registrar(1, &["--config", &rarely_asks(hosts)]);
        let watch = watch(hosts, "EchoPool");
        let element = echo(hosts, &[]);
        watch.prints("added 0x0000abcd");
        element.kill();
        // Its association is aborted; the keep-alive that follows is not acknowledged.
        watch.prints("removed 0x0000abcd");
    });
}

#[test]
fn an_element_whose_host_is_cut_off_is_gone_after_a_keep_alive() {
    Scenario::new("an_element_whose_host_is_cut_off_is_gone_after_a_keep_alive").hosts(3).run(|hosts| {
        let _registrar = hosts.registrar(1, &[]);
        let watch = watch(hosts, "EchoPool");
        let _element = echo(hosts, &[]);
        watch.prints("added 0x0000abcd");
        hosts.cut(2, 1).expect("host 2 is on network 1");
        // 5 s, half as much again at most, then 5 s for the answer. Its registration would last for minutes.
        watch.prints_within(PATIENCE, "removed 0x0000abcd");
    });
}

#[test]
fn an_element_that_its_user_cannot_reach_is_gone_at_once() {
    Scenario::new("an_element_that_its_user_cannot_reach_is_gone_at_once").hosts(4).run(|hosts| {
        let _registrar = hosts.registrar(1, &["--config", &rarely_asks(hosts)]);
        let watch = watch(hosts, "EchoPool");
        let _element = echo(hosts, &[]);
        watch.prints("added 0x0000abcd");
        hosts.cut(2, 1).expect("host 2 is on network 1");
        let _user = hosts.rsplib(4, "rspterminal", &["-poolhandle=EchoPool", REGISTRAR]);
        watch.prints("removed 0x0000abcd");
        assert!(hosts.counter(1, "unreachable_reports") > 0);
    });
}

fn echo(hosts: &Hosts<'_>, more: &[&str]) -> Process {
    hosts.rsplib(2, "rspserver", &[&["-echo", REGISTRAR, "-identifier=0xabcd"], more].concat())
}

/// The settings of a registrar that asks its elements for a sign of life so rarely that no test sees it.
fn rarely_asks(hosts: &Hosts<'_>) -> String {
    hosts.file("registrar.toml", "[timing]\nkeep_alive_interval = 300\n")
}

fn watch(hosts: &Hosts<'_>, pool: &str) -> Process {
    hosts.rserpool(3, &["watch", "--registrar", URL, "--pool", pool])
}
