//! Sessions between users and elements of both implementations, at registrars of both: data and cookies over SCTP, and what
//! fails over. The applications are the reference implementation's `pingpong` and `calcapp`; ours are in `peers/`.
use std::time::Duration;

use rserpool_interop::{Hosts, Process, Scenario, until};

const REGISTRAR: &str = "-registrar=10.9.0.1:3863";
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_session_goes_on_with_another_element_by_its_cookie() {
    Scenario::new("a_session_goes_on_with_another_element_by_its_cookie").hosts(4).run(|hosts| {
        let _registrar = hosts.registrar(1, &[]);
        // Each ends the session after three messages.
        let _elements =
            [their_pingpong(hosts, 2, "-identifier=0xa"), their_pingpong(hosts, 3, "-identifier=0xb")];
        registered(hosts, "PingPongPool", &["0x0000000a", "0x0000000b"]);
        let user = hosts.rsplib(4, "pingpongclient", &["-interval=200", REGISTRAR]);
        user.prints("Ack #3 ");
        user.prints("state=RSERPOOL_FAILOVER_COMPLETE, cookie=yes");
        // The count of the element that failed goes on.
        user.prints("(reply #4)");
        user.prints("state=RSERPOOL_FAILOVER_COMPLETE, cookie=yes");
        user.prints("(reply #7)");
    });
}

#[test]
fn sessions_of_both_users_go_on_between_elements_of_both_at_our_registrar() {
    Scenario::new("sessions_of_both_users_go_on_between_elements_of_both_at_our_registrar").hosts(4).run(
        |hosts| {
            let _registrar = hosts.registrar(1, &[]);
            ping_pong_between_both(hosts);
        },
    );
}

#[test]
fn sessions_of_both_users_go_on_between_elements_of_both_at_their_registrar() {
    Scenario::new("sessions_of_both_users_go_on_between_elements_of_both_at_their_registrar").hosts(4).run(
        |hosts| {
            let _registrar = their_registrar(hosts);
            ping_pong_between_both(hosts);
        },
    );
}

#[test]
fn a_job_of_our_user_that_their_element_has_begun_is_completed_by_ours() {
    Scenario::new("a_job_of_our_user_that_their_element_has_begun_is_completed_by_ours").hosts(4).run(
        |hosts| {
            let _registrar = hosts.registrar(1, &[]);
            // It would take a minute.
            let slow =
                ["-calcapp", "-capcapacity=50000", "-capcookiemaxtime=0.5", "-identifier=0xa", REGISTRAR];
            let theirs = hosts.rsplib(2, "rspserver", &slow);
            registered(hosts, "CalcAppPool", &["0x0000000a"]);
            let user = hosts.peer(4, "calcapp-user", &["--amount=3000000"]);
            user.prints("accepted job=1 by 0x0000000a");
            let ours = hosts.peer(3, "calcapp-element", &["--id=0xb", "--amount=1000000"]);
            ours.prints("ready pe=0x0000000b");
            user.prints("has a cookie");
            theirs.kill();
            user.prints("failed over from=0x0000000a to=0x0000000b cookie=true");
            let restored = ours.prints("restored job=1 size=3000000 completed=");
            assert!(!restored.ends_with("=0"), "nothing was done before: {restored}");
            user.prints_within(PATIENCE, "complete size=3000000 by 0x0000000b");
        },
    );
}

#[test]
fn a_job_of_their_user_that_our_element_has_begun_is_completed_by_theirs() {
    Scenario::new("a_job_of_their_user_that_our_element_has_begun_is_completed_by_theirs").hosts(4).run(
        |hosts| {
            let _registrar = hosts.registrar(1, &[]);
            // It would take half an hour.
            let ours = hosts.peer(2, "calcapp-element", &["--id=0xb", "--amount=1000"]);
            ours.prints("ready pe=0x0000000b");
            let jobs = ["-jobinterval=1", "-jobsize=2000000", "-vector=/dev/null", "-scalar=/dev/null"];
            let user = hosts.rsplib(4, "calcappclient", &[&[REGISTRAR][..], &jobs].concat());
            ours.prints_within(PATIENCE, "accepted job=1 ");
            let theirs = hosts.rsplib(
                3,
                "rspserver",
                &["-calcapp", "-capcapacity=1000000", "-identifier=0xa", REGISTRAR],
            );
            registered(hosts, "CalcAppPool", &["0x0000000a"]);
            ours.kill();
            theirs.prints("Job 1/1 of size ");
            theirs.prints_within(PATIENCE, "Job 1/1 is complete!");
            user.prints("Job #1 completed");
        },
    );
}

/// Elements of both end each session after three messages; users of both see every reply once, in order, from both.
fn ping_pong_between_both(hosts: &Hosts<'_>) {
    let _theirs = their_pingpong(hosts, 2, "-identifier=0xa");
    let ours = hosts.peer(3, "pingpong-element", &["--id=0xb", "--amount=3"]);
    ours.prints("ready pe=0x0000000b");
    registered(hosts, "PingPongPool", &["0x0000000a", "0x0000000b"]);
    let our_user = hosts.peer(4, "pingpong-user", &[]);
    let their_user = hosts.rsplib(4, "pingpongclient", &["-interval=200", REGISTRAR]);
    for number in 1..=10 {
        our_user.prints(&format!("ping {number} reply {number} from "));
        their_user.prints(&format!("(reply #{number})"));
    }
    let users = [(&our_user, "0x0000000a", "0x0000000b"), (&their_user, "$0000000a", "$0000000b")];
    for (user, their_element, our_element) in users {
        until("answers of both elements", PATIENCE, || {
            let printed = user.printed();
            printed.contains(their_element) && printed.contains(our_element)
        });
    }
    // Ours has gone on with sessions that another one has begun, and has not been the only one to.
    ours.prints("restored next=");
}

fn their_pingpong(hosts: &Hosts<'_>, host: u8, id: &str) -> Process {
    hosts.rsplib(host, "rspserver", &["-pingpong", "-pppfailureafter=3", REGISTRAR, id])
}

fn their_registrar(hosts: &Hosts<'_>) -> Process {
    let arguments = ["-asap=10.9.0.1:3863", "-enrp=10.9.0.1:9901", "-identifier=0x1234", "-disable-ipv6"];
    let registrar = hosts.rsplib(1, "rspregistrar", &arguments);
    registrar.prints("Max Handle Resolution");
    registrar
}

/// Waits until all these elements are in the pool.
fn registered(hosts: &Hosts<'_>, pool: &str, elements: &[&str]) {
    let watch = hosts.rserpool(4, &["watch", "--registrar=sctp://10.9.0.1:3863", "--pool", pool]);
    until("the elements are registered", PATIENCE, || {
        elements.iter().all(|element| watch.printed().contains(&format!("added {element}")))
    });
}
