//! Users and elements of both implementations, at registrars of both, found by address or by multicast.
use std::time::Duration;

use rserpool_interop::{Hosts, Process, Scenario, until};
use rustix::process::Signal;

const PATIENCE: Duration = Duration::from_secs(60);
const REGISTRAR: &str = "-registrar=10.9.0.1:3863";
const URL: &str = "--registrar=sctp://10.9.0.1:3863";

#[test]
fn users_of_the_reference_implementation_reach_its_elements_through_our_registrar() {
    Scenario::new("users_of_the_reference_implementation_reach_its_elements_through_our_registrar")
        .hosts(4)
        .run(|hosts| {
            let _registrar = hosts.registrar(1, &[]);
            let element = hosts.rsplib(2, "rspserver", &["-echo", "-identifier=0xabcd", REGISTRAR]);
            let watch = hosts.rserpool(3, &["watch", URL, "--pool=EchoPool"]);
            watch.prints("added 0x0000abcd");
            let mut user = hosts.rsplib(4, "rspterminal", &["-poolhandle=EchoPool", REGISTRAR]);
            says(&mut user, "$0000abcd", "one");
            // Its element dies; there is another one.
            let _other = hosts.rsplib(3, "rspserver", &["-echo", "-identifier=0xbcde", REGISTRAR]);
            watch.prints("added 0x0000bcde");
            element.kill();
            says(&mut user, "$0000bcde", "two");
        });
}

#[test]
fn lines_go_over_sctp_between_users_and_elements_of_both() {
    Scenario::new("lines_go_over_sctp_between_users_and_elements_of_both").hosts(4).run(|hosts| {
        let _registrar = hosts.registrar(1, &[]);
        let element = hosts
            .rserpool(2, &["pe", "--echo", "--id=0xabcd", "--pool=ours", "--listen=sctp://10.9.0.2:0", URL]);
        element.prints("ready pe=0x0000abcd service=sctp://10.9.0.2:");
        let _their_element = hosts.rsplib(3, "rspserver", &["-echo", "-identifier=0xbcde", REGISTRAR]);
        hosts.rserpool(4, &["watch", URL, "--pool=EchoPool"]).prints("added 0x0000bcde");
        for pool in ["--pool=ours", "--pool=EchoPool"] {
            let mut user = hosts.rserpool(4, &["call", URL, pool]);
            for line in ["one", "two"] {
                user.tell(line);
                user.prints(line);
            }
        }
        let mut user = hosts.rsplib(4, "rspterminal", &["-poolhandle=ours", REGISTRAR]);
        says(&mut user, "$0000abcd", "three");
    });
}

#[test]
fn our_registrar_is_found_by_multicast_at_any_port() {
    Scenario::new("our_registrar_is_found_by_multicast_at_any_port").hosts(4).run(|hosts| {
        let [asap, id] = ["--asap=sctp://10.9.0.1:4000", "--id=1"];
        let registrar = hosts.rserpool(1, &["registrar", asap, id, "--announce=eth1"]);
        registrar.prints("ready ");
        let _element = hosts.rsplib(2, "rspserver", &["-echo", "-identifier=0xabcd"]);
        let watch = hosts.rserpool(3, &["watch", "--discover=eth1", "--pool=EchoPool"]);
        watch.prints("added 0x0000abcd service=sctp://10.9.0.2:");
        let mut user = hosts.rsplib(4, "rspterminal", &["-poolhandle=EchoPool"]);
        says(&mut user, "$0000abcd", "hello");
    });
}

#[test]
fn our_element_and_user_work_with_the_registrar_of_the_reference_implementation() {
    Scenario::new("our_element_and_user_work_with_the_registrar_of_the_reference_implementation")
        .hosts(4)
        .run(|hosts| {
            let _registrar = their_registrar(hosts);
            let watch = hosts.rserpool(3, &["watch", URL, "--pool=ours"]);
            let element = hosts.rserpool(2, &["pe", "--echo", "--id=0xabcd", "--pool=ours", "--life=6", URL]);
            element.prints("ready pe=0x0000abcd");
            watch.prints("added 0x0000abcd service=tcp://10.9.0.2:");
            let mut user = hosts.rserpool(4, &["call", URL, "--pool=ours"]);
            user.tell("hello");
            user.prints("hello");
            let (_, seen) = (&element, their_table(hosts));
            assert!(seen.contains("$0000abcd") && seen.contains("home=$00001234"), "{seen}");
            element.end(Signal::TERM);
            watch.prints("removed 0x0000abcd");
        });
}

#[test]
fn our_element_and_user_find_the_registrar_of_the_reference_implementation_by_multicast() {
    Scenario::new("our_element_and_user_find_the_registrar_of_the_reference_implementation_by_multicast")
        .hosts(4)
        .run(|hosts| {
            let _registrar = their_registrar(hosts);
            let element =
                hosts.rserpool(2, &["pe", "--echo", "--id=0xabcd", "--pool=ours", "--discover=eth1"]);
            element.prints("ready pe=0x0000abcd");
            let mut user = hosts.rserpool(4, &["call", "--discover=eth1", "--pool=ours"]);
            user.tell("hello");
            user.prints("hello");
        });
}

#[test]
fn our_element_stays_with_their_registrar_until_it_is_killed() {
    Scenario::new("our_element_stays_with_their_registrar_until_it_is_killed").hosts(4).run(|hosts| {
        let registrar = their_registrar(hosts);
        let pe = |host, id, more: &[&str]| {
            hosts.rserpool(host, &[&["pe", "--echo", "--pool=ours", URL, "--id", id], more].concat())
        };
        // One registers every 4 s, so that no keep-alive is due; the other one lives by keep-alives.
        let element = pe(2, "0xabcd", &["--life=6"]);
        let _calm = pe(4, "0xbcde", &[]);
        let watch = hosts.rserpool(3, &["watch", URL, "--pool=ours"]);
        watch.prints("added");
        watch.prints("added");
        // Longer than the 10 s after which theirs gives up an element that acknowledges nothing.
        (0..4).for_each(|_| drop(registrar.prints("Successfully registered ours/$0000abcd")));
        assert_eq!(watch.find("removed"), None);
        element.kill();
        watch.prints("removed 0x0000abcd");
    });
}

/// A line to a terminal is answered by this element, however often the terminal has to be told.
fn says(terminal: &mut Process, element: &str, line: &str) {
    let answer = format!("from PE {element}> {line}");
    until(&answer, PATIENCE, || {
        terminal.tell(line);
        std::thread::sleep(Duration::from_millis(500));
        terminal.find(&answer).is_some()
    });
}

fn their_registrar(hosts: &Hosts<'_>) -> Process {
    let arguments = ["-asap=10.9.0.1:3863", "-enrp=10.9.0.1:9901", "-identifier=0x1234", "-disable-ipv6"];
    let registrar = hosts.rsplib(1, "rspregistrar", &[&arguments[..], &["-loglevel=5"]].concat());
    registrar.prints("Max Handle Resolution");
    registrar
}

fn their_table(hosts: &Hosts<'_>) -> String {
    let dump = hosts.rsplib(3, "hsdump", &["10.9.0.1:9901"]);
    dump.prints("Ownership:");
    dump.printed()
}
