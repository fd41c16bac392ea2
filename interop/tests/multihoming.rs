//! Two networks, of which one fails: associations go on over the other, and nobody is missed.
use std::time::Duration;

use rserpool_interop::{Hosts, Process, Scenario, until};

/// Longer than it takes until a path has failed, and its messages come by the other one.
const PATIENCE: Duration = Duration::from_secs(60);
const REGISTRAR: &str = "--registrar=sctp://10.9.0.1:3863,10.10.0.1:3863";

#[test]
fn elements_of_both_implementations_stay_when_the_registrar_loses_a_network() {
    Scenario::new("elements_of_both_implementations_stay_when_the_registrar_loses_a_network")
        .hosts(4)
        .networks(2)
        .run(|hosts| {
            let _registrar = registrar(hosts, 1, &[]);
            let _ours = element(hosts, 2, "0x2", "sctp://10.9.0.1:3863,10.10.0.1:3863");
            let registrar = "-registrar=10.9.0.1:3863,10.10.0.1:3863";
            let theirs = ["-echo", "-identifier=0x3", "-rereginterval=5000", registrar];
            let _theirs = hosts.rsplib(3, "rspserver", &theirs);
            let [ours, theirs] =
                ["--pool=pool", "--pool=EchoPool"].map(|pool| hosts.rserpool(4, &["watch", pool, REGISTRAR]));
            ours.prints("added 0x00000002");
            let theirs_is = theirs.prints("added 0x00000003");
            assert!(theirs_is.contains(",10.10.0.3:"), "it serves on both networks: {theirs_is}");

            hosts.cut(1, 1).expect("host 1 is on network 1");
            // Their registrations last for 6 s and 15 s: without new ones, they would be gone by then.
            let before = hosts.counter(1, "reregistrations");
            until("ten more", PATIENCE, || hosts.counter(1, "reregistrations") >= before + 10);
            assert_eq!((ours.find("removed"), theirs.find("removed")), (None, None));
            assert_eq!(hosts.counter(1, "elements_failed"), 0);
            assert_eq!(hosts.counter(1, "elements_expired"), 0);
            // The news comes over the other network too.
            let _other = element(hosts, 3, "0x4", "sctp://10.9.0.1:3863,10.10.0.1:3863");
            ours.prints("added 0x00000004");
        });
}

#[test]
fn registrars_stay_together_when_one_loses_a_network() {
    Scenario::new("registrars_stay_together_when_one_loses_a_network").hosts(3).networks(2).run(|hosts| {
        let _first = registrar(hosts, 1, &[]);
        let _second = registrar(hosts, 2, &["--peer=sctp://10.9.0.1:9901,10.10.0.1:9901"]);
        let watch =
            hosts.rserpool(3, &["watch", "--pool=pool", "--registrar=sctp://10.9.0.2:3863,10.10.0.2:3863"]);
        let _early = element(hosts, 3, "0x3", "sctp://10.9.0.1:3863,10.10.0.1:3863");
        watch.prints("added 0x00000003");

        hosts.cut(1, 1).expect("host 1 is on network 1");
        let _late = element(hosts, 3, "0x4", "sctp://10.9.0.1:3863,10.10.0.1:3863");
        watch.prints("added 0x00000004");
        // Each of the two registers again every few seconds; silence for ten would be the end of the peer.
        let before = hosts.counter(1, "reregistrations");
        until("a while", PATIENCE, || hosts.counter(1, "reregistrations") >= before + 10);
        assert_eq!(watch.find("removed"), None, "{}", watch.printed());
        assert_eq!(hosts.counter(2, "peers_failed"), 0);
    });
}

/// Our registrar, on both networks.
fn registrar(hosts: &Hosts<'_>, host: u8, more: &[&str]) -> Process {
    let asap = format!("--asap=sctp://10.9.0.{host}:3863,10.10.0.{host}:3863");
    let enrp = format!("--enrp=sctp://10.9.0.{host}:9901,10.10.0.{host}:9901");
    let (admin, id) = (format!("--admin=10.9.0.{host}:8080"), format!("--id={host}"));
    let registrar = hosts.rserpool(host, &[&["registrar", &asap, &enrp, &admin, &id], more].concat());
    registrar.prints("ready ");
    registrar
}

/// Our element, whose registration lasts for 6 s.
fn element(hosts: &Hosts<'_>, host: u8, id: &str, registrar: &str) -> Process {
    let element = hosts
        .rserpool(host, &["pe", "--echo", "--pool=pool", "--life=6", "--id", id, "--registrar", registrar]);
    element.prints("ready ");
    element
}
