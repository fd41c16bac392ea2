//! The project's own stack over SCTP, by the RFCs: registrars and elements that die, and what their users notice.
#![allow(clippy::indexing_slicing, reason = "what JSON does not have is null")]
use std::time::Duration;

use rserpool_interop::{Hosts, Process, Scenario, until};
use rustix::process::Signal;

const CONVENTIONS: [&str; 2] = ["--dialect=rfc", "--timers=fast"];
const BOTH: [&str; 2] = ["--registrar=sctp://10.9.0.1:3863", "--registrar=sctp://10.9.0.2:3863"];
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_registrar_that_is_killed_is_taken_over_and_users_do_not_notice() {
    Scenario::new("a_registrar_that_is_killed_is_taken_over_and_users_do_not_notice").hosts(4).run(|hosts| {
        let (first, _second) = registrars(hosts);
        let _element = element(hosts, "0xabcd");
        let mut user = user(hosts);
        let watch = watch(hosts);
        watch.prints("added 0x0000abcd");
        answered(&mut user, 0);
        until("the second knows of it", PATIENCE, || homes(hosts) == ["0x00000001"]);
        first.kill();
        until("the second is its home", PATIENCE, || homes(hosts) == ["0x00000002"]);
        answered(&mut user, 1);
        assert_eq!(hosts.counter(2, "takeovers_completed"), 1);
        assert_eq!(watch.find("removed"), None, "{}", watch.printed());
    });
}

#[test]
fn a_registrar_whose_host_is_cut_off_is_taken_over() {
    Scenario::new("a_registrar_whose_host_is_cut_off_is_taken_over").hosts(4).run(|hosts| {
        let (_first, _second) = registrars(hosts);
        let _element = element(hosts, "0xabcd");
        let mut user = user(hosts);
        answered(&mut user, 0);
        until("the second knows of it", PATIENCE, || homes(hosts) == ["0x00000001"]);
        hosts.cut(1, 1).expect("host 1 is on network 1");
        until("the second is its home", PATIENCE, || homes(hosts) == ["0x00000002"]);
        assert_eq!(hosts.counter(2, "peers_failed"), 1);
        answered(&mut user, 1);
    });
}

#[test]
fn a_registrar_that_is_stopped_hands_its_elements_over() {
    Scenario::new("a_registrar_that_is_stopped_hands_its_elements_over").hosts(4).run(|hosts| {
        let (first, _second) = registrars(hosts);
        let _element = element(hosts, "0xabcd");
        until("the second knows of it", PATIENCE, || homes(hosts) == ["0x00000001"]);
        first.end(Signal::TERM);
        until("the second is its home", PATIENCE, || homes(hosts) == ["0x00000002"]);
        assert_eq!(hosts.counter(2, "handovers_taken"), 1);
    });
}

#[test]
fn an_element_that_is_killed_is_replaced_by_another() {
    Scenario::new("an_element_that_is_killed_is_replaced_by_another").hosts(4).run(|hosts| {
        let (_first, _second) = registrars(hosts);
        let elements = [element(hosts, "0xabcd"), element(hosts, "0xbcde")];
        let mut user = user(hosts);
        answered(&mut user, 0);
        let watch = watch(hosts);
        until("both are known", PATIENCE, || watch.printed().matches("added").count() == 2);
        let [first, _second] = elements;
        first.kill();
        watch.prints("removed 0x0000abcd");
        answered(&mut user, 1);
    });
}

/// Two that know each other, on hosts 1 and 2.
fn registrars(hosts: &Hosts<'_>) -> (Process, Process) {
    let first = hosts.registrar(1, &CONVENTIONS);
    let second = hosts.registrar(2, &[&CONVENTIONS[..], &["--peer=sctp://10.9.0.1:9901"]].concat());
    (first, second)
}

/// On host 3, serving SCTP. It knows the first registrar alone: any other has to tell it.
fn element(hosts: &Hosts<'_>, id: &str) -> Process {
    let service = ["pe", "--echo", "--pool=pool", "--listen=sctp://10.9.0.3:0", "--id", id];
    let arguments = [&service[..], &CONVENTIONS, &BOTH[..1]].concat();
    let element = hosts.rserpool(3, &arguments);
    element.prints("ready ");
    element
}

fn user(hosts: &Hosts<'_>) -> Process {
    hosts.rserpool(4, &[&["call", "--pool=pool"][..], &CONVENTIONS, &BOTH].concat())
}

fn watch(hosts: &Hosts<'_>) -> Process {
    hosts.rserpool(4, &[&["watch", "--pool=pool"][..], &CONVENTIONS, &BOTH].concat())
}

/// All of a few requests are answered.
fn answered(user: &mut Process, round: u32) {
    for request in 0..5 {
        let request = format!("request {round}.{request}");
        user.tell(&request);
        user.prints(&request);
    }
}

/// The homes of all elements, as the second registrar knows them.
fn homes(hosts: &Hosts<'_>) -> Vec<String> {
    let dump = hosts.dump(2);
    let pools = dump["handlespace"]["pools"].as_array().into_iter().flatten();
    let elements = pools.flat_map(|pool| pool["elements"].as_array().into_iter().flatten());
    elements.map(|element| element["home"].as_str().unwrap_or("?").to_owned()).collect()
}
