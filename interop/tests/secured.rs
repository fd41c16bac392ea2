//! TLS over SCTP (RFC 3436) in every role: by certificate and by pre-shared key, taken over, multi-homed, and refused.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic; what JSON does not have is null"
)]
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rserpool_interop::{Hosts, Machine, Process, Scenario, UNHURRIED, project_tests, skipped, until};

const PATIENCE: Duration = Duration::from_secs(60);
const CONVENTIONS: [&str; 2] = ["--dialect=rfc", "--timers=fast"];
/// What the registrars on hosts 1 and 2 are reached by.
const BOTH: [&str; 2] = [
    "--registrar=sctp+tls://10.9.0.1:3864,10.10.0.1:3864",
    "--registrar=sctp+tls://10.9.0.2:3864,10.10.0.2:3864",
];

const POLICY: &str = "\
peers = ['registrar-1', 'registrar-2', 'tester']
identities = [
  { name = 'pe-a', pools = ['pool'] },
  { name = 'pe-k', pools = ['pool'] },
  { name = 'tester', pools = ['cf-*'], addresses = ['*'] },
]
";

/// 5352-9, 5353-6: both registrars, an element by certificate, one by pre-shared key, and a user, with nothing in clear.
#[test]
fn a_secured_registrar_is_taken_over_with_the_elements_that_prove_who_they_are() {
    Scenario::sealed("a_secured_registrar_is_taken_over_with_the_elements_that_prove_who_they_are")
        .hosts(4)
        .networks(2)
        .run(|hosts| {
            let keys = Keys::make(hosts);
            // Elements have the time of a keep-alive for the handshake as well.
            let timing = format!("--config={}", hosts.file("registrar.toml", UNHURRIED));
            let (first, _second) = (keys.registrar(1, &[&timing]), keys.registrar(2, &[PEER, &timing]));
            let _by_certificate = keys.element("pe-a", "0xa", &BOTH[..1], &keys.certificate("pe-a"));
            let _by_key = keys.element("pe-k", "0xb", &BOTH[..1], &keys.key("pe-k"));
            let mut user = keys.user();
            let watch = keys.watch();
            until("both are known", PATIENCE, || watch.printed().matches("added").count() == 2);
            answered(&mut user, 0);
            until("the second knows of them", PATIENCE, || homes(hosts) == ["0x00000001", "0x00000001"]);
            for element in elements(hosts) {
                let transport = element["asap_transport"].as_str().unwrap_or_default().to_owned();
                assert!(transport.contains("10.9.0.3") && transport.contains("10.10.0.3"), "{transport}");
            }
            first.kill();
            until("the second is their home", PATIENCE, || homes(hosts) == ["0x00000002", "0x00000002"]);
            answered(&mut user, 1);
            // The elements know the first registrar alone: the second has come to them, and proved who it is.
            assert_eq!(hosts.counter(2, "takeovers_completed"), 1);
            assert_eq!(watch.find("removed"), None, "{}", watch.printed());
        });
}

/// RFC 5355 §2.1 to §2.6: each is told why, or is not let in at least; users are served all the time.
#[test]
fn who_does_not_prove_who_they_are_is_not_let_in() {
    Scenario::unread("who_does_not_prove_who_they_are_is_not_let_in").hosts(4).networks(2).run(|hosts| {
        let keys = Keys::make(hosts);
        let registrar = keys.registrar(1, &[]);
        let _plain = hosts.registrar(2, &CONVENTIONS);
        let secured = "sctp+tls://10.9.0.1:3864";

        keys.pre_share("pe-k", "another-key");
        let wrong_key = keys.key_in("pe-k", "another-key");
        let wrong = keys.element("wrong", "0xc", &[&format!("--registrar={secured}")], &wrong_key);
        wrong.prints("not registered yet");
        registrar.prints("key for `pe-k` is another one");

        keys.pre_share("stranger", "unknown-key");
        let unknown_key = keys.key_in("stranger", "unknown-key");
        let resolved = keys.resolve(secured, &unknown_key).expect_err("nobody knows this key");
        assert!(resolved.contains("does not know it"), "{resolved}");

        let strangers = hosts.path("strangers");
        keygen(hosts, &["ca", "--out", &strangers]);
        let other_authority = [format!("--tls-ca={strangers}/ca.pem")];
        let resolved = keys.resolve(secured, &other_authority).expect_err("another authority");
        assert!(resolved.contains("certificate is refused"), "{resolved}");

        let resolved = keys.resolve("sctp://10.9.0.1:3864", &[]).expect_err("plain on a TLS port");
        assert!(resolved.contains("the other end speaks TLS"), "{resolved}");
        let resolved =
            keys.resolve("sctp+tls://10.9.0.2:3863", &keys.authority()).expect_err("TLS on a plain port");
        assert!(resolved.contains("TLS handshake"), "{resolved}");

        let resolved = keys.resolve(secured, &keys.authority()).expect_err("nobody has registered");
        assert!(!resolved.contains("TLS"), "it is answered: {resolved}");
        assert!(elements(hosts).is_empty());
    });
}

/// RFC 5355 §2.15: `sctp://` beside `sctp+tls://` is as `tcp://` beside `tls://`.
#[test]
fn a_plain_port_beside_a_secured_one_is_for_users_alone() {
    Scenario::unread("a_plain_port_beside_a_secured_one_is_for_users_alone").hosts(4).networks(2).run(
        |hosts| {
            let keys = Keys::make(hosts);
            hosts.file("policy.toml", &format!("resolution = 'anybody'\n{POLICY}"));
            let _registrar = keys.registrar(1, &["--asap=sctp://10.9.0.1:3863"]);
            let _secured = keys.element("pe-a", "0xa", &BOTH[..1], &keys.certificate("pe-a"));
            let resolved = keys.resolve("sctp://10.9.0.1:3863", &[]).expect("users without TLS are answered");
            assert!(resolved.contains("0x0000000a"), "{resolved}");
            let plain = ["pe", "--echo", "--pool=pool", "--registrar=sctp://10.9.0.1:3863"];
            let rejected = hosts.rserpool(3, &[&plain[..], &CONVENTIONS].concat());
            rejected.prints("security considerations");
            assert_eq!(hosts.counter(1, "registrations"), 1);
        },
    );
}

#[test]
fn secured_links_stay_when_the_registrar_loses_a_network() {
    Scenario::sealed("secured_links_stay_when_the_registrar_loses_a_network").hosts(4).networks(2).run(
        |hosts| {
            let keys = Keys::make(hosts);
            let (_first, _second) = (keys.registrar(1, &[]), keys.registrar(2, &[PEER]));
            let life = ["--life=6"];
            let more = |of: Vec<String>| [of, life.map(str::to_owned).to_vec()].concat();
            let _by_certificate = keys.element("pe-a", "0xa", &BOTH[..1], &more(keys.certificate("pe-a")));
            let _by_key = keys.element("pe-k", "0xb", &BOTH[..1], &more(keys.key("pe-k")));
            let watch = keys.watch();
            until("both are known", PATIENCE, || watch.printed().matches("added").count() == 2);
            until("the second knows of them", PATIENCE, || homes(hosts).len() == 2);

            hosts.cut(1, 1).expect("host 1 is on network 1");
            let (before, registrations) =
                (hosts.counter(1, "reregistrations"), hosts.counter(1, "registrations"));
            until("six more", PATIENCE, || hosts.counter(1, "reregistrations") >= before + 6);
            assert_eq!(watch.find("removed"), None, "{}", watch.printed());
            assert_eq!(hosts.counter(1, "registrations"), registrations, "on the same links");
            assert_eq!(hosts.counter(1, "elements_failed"), 0);
            assert_eq!(hosts.counter(2, "peers_failed"), 0);
        },
    );
}

/// Both look for each other while neither is heard.
#[test]
fn secured_registrars_find_each_other_again_after_a_cut() {
    Scenario::sealed("secured_registrars_find_each_other_again_after_a_cut").hosts(4).networks(2).run(
        |hosts| {
            let keys = Keys::make(hosts);
            let second = "--peer=sctp+tls://10.9.0.2:9902,10.10.0.2:9902";
            let (_first, _second) = (keys.start_registrar(1, &[second]), keys.start_registrar(2, &[PEER]));
            let _early = keys.element("pe-a", "0xa", &BOTH[..1], &keys.certificate("pe-a"));
            until("the second knows of it", PATIENCE, || homes(hosts) == ["0x00000001"]);
            for network in [1, 2] {
                hosts.partition(&[2], network).expect("host 2 is on both networks");
            }
            until("the second has taken it over", PATIENCE, || homes(hosts) != ["0x00000001"]);
            for network in [1, 2] {
                hosts.heal(2, network).expect("host 2 is on both networks");
            }
            let _late = keys.element("pe-k", "0xb", &BOTH[1..], &keys.key("pe-k"));
            until("both know both", PATIENCE, || {
                [1, 2].iter().all(|host| elements_at(hosts, *host).len() == 2)
            });
        },
    );
}

#[test]
fn our_registrar_conforms_over_tls_on_sctp() {
    let scenario = Scenario::unread("our_registrar_conforms_over_tls_on_sctp").hosts(2).networks(2);
    scenario.time_limit(Duration::from_secs(270)).run(|hosts| {
        let keys = Keys::make(hosts);
        let timing = format!("--config={}", hosts.file("registrar.toml", UNHURRIED));
        let _registrar = keys.registrar(1, &[&timing]);
        let arguments = [
            "conform",
            "--asap=sctp+tls://10.9.0.1:3864",
            "--enrp=sctp+tls://10.9.0.1:9902",
            "--admin=http://10.9.0.1:8080",
            "--dialect=rfc",
            "--patience=10",
        ];
        let tester = keys.start(2, &arguments, &keys.certificate("tester"));
        tester.conforms_within(Duration::from_secs(240));
    });
}

/// The tests of secured links, and of secured scopes, that do without TCP of their own.
#[test]
fn secured_links_are_over_sctp_what_they_are_over_tcp() {
    if skipped() {
        return;
    }
    let links = project_tests("rserpool-transport", &["tls_links", "tls_refusals", "tls_sctp"]);
    let scopes = project_tests("rserpool", &["secured"]);
    let programs = [links, scopes].map(|built| built.expect("they can be built")).concat();
    let commands =
        programs.iter().map(|program| [&*program.to_string_lossy(), "--test-threads=1"].map(str::to_owned));
    let commands: Vec<_> = commands.collect();
    let mut machine = Machine { time_limit: Duration::from_secs(300), ..Machine::default() };
    machine.environment.insert("RSERPOOL_TEST_SCHEME".to_owned(), "sctp+tls".to_owned());
    let outcome = machine.run("secured", &commands).expect("it boots");
    assert_eq!(outcome.status, 0, "log: {}", outcome.kept.folder().display());
}

const PEER: &str = "--peer=sctp+tls://10.9.0.1:9902,10.10.0.1:9902";

/// An authority, certificates and pre-shared keys, and who comes with them.
struct Keys<'a> {
    hosts: &'a Hosts<'a>,
}

impl<'a> Keys<'a> {
    fn make(hosts: &'a Hosts<'a>) -> Self {
        let keys = Self { hosts };
        keygen(hosts, &["ca", "--out", &hosts.path("pki")]);
        for (name, host) in [("registrar-1", 1), ("registrar-2", 2), ("pe-a", 3), ("tester", 2)] {
            let (ca, out) = (hosts.path("pki"), hosts.path(name));
            let addresses = [format!("--ip=10.9.0.{host}"), format!("--ip=10.10.0.{host}")];
            let [first, second] = addresses.each_ref().map(String::as_str);
            keygen(hosts, &["cert", "--ca", &ca, "--name", name, first, second, "--out", &out]);
        }
        keys.pre_share("pe-k", "psk");
        hosts.file("policy.toml", POLICY);
        keys
    }

    /// Makes a key of this name, in a file of its own.
    fn pre_share(&self, identity: &str, file: &str) {
        let path = self.hosts.file(file, &keygen(self.hosts, &["psk", "--identity", identity]));
        fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("ours");
    }

    fn authority(&self) -> Vec<String> {
        vec![format!("--tls-ca={}", self.hosts.path("pki/ca.pem"))]
    }

    fn certificate(&self, name: &str) -> Vec<String> {
        let path = |file: &str| self.hosts.path(&format!("{name}/{file}"));
        let own = [format!("--tls-cert={}", path("cert.pem")), format!("--tls-key={}", path("key.pem"))];
        [self.authority(), own.to_vec()].concat()
    }

    fn key(&self, identity: &str) -> Vec<String> {
        self.key_in(identity, "psk")
    }

    fn key_in(&self, identity: &str, file: &str) -> Vec<String> {
        vec![format!("--psk-identity={identity}"), format!("--psk-file={}", self.hosts.path(file))]
    }

    /// On both networks, at the ports assigned for TLS.
    fn start_registrar(&self, host: u8, more: &[&str]) -> Process {
        let asap = format!("--asap=sctp+tls://10.9.0.{host}:3864,10.10.0.{host}:3864");
        let enrp = format!("--enrp=sctp+tls://10.9.0.{host}:9902,10.10.0.{host}:9902");
        let (admin, id) = (format!("--admin=10.9.0.{host}:8080"), format!("--id={host}"));
        let arguments = [&["registrar", &asap, &enrp, &admin, &id][..], &CONVENTIONS, more].concat();
        let files = [
            format!("--psk-file={}", self.hosts.path("psk")),
            format!("--policy={}", self.hosts.path("policy.toml")),
        ];
        let files = [self.certificate(&format!("registrar-{host}")), files.to_vec()].concat();
        self.start(host, &arguments, &files)
    }

    fn registrar(&self, host: u8, more: &[&str]) -> Process {
        let registrar = self.start_registrar(host, more);
        registrar.prints("ready ");
        registrar
    }

    /// On host 3, reached by registrars on both networks.
    fn element(&self, name: &str, id: &str, registrars: &[&str], proof: &[String]) -> Process {
        let arguments = ["pe", "--echo", "--pool=pool", "--listen=10.9.0.3:0", "--id", id];
        let element = self.start(3, &[&arguments[..], &CONVENTIONS, registrars].concat(), proof);
        if name.starts_with("pe-") {
            element.prints("ready ");
        }
        element
    }

    fn user(&self) -> Process {
        self.start(4, &[&["call", "--pool=pool"][..], &CONVENTIONS, &BOTH].concat(), &self.authority())
    }

    fn watch(&self) -> Process {
        self.start(4, &[&["watch", "--pool=pool"][..], &CONVENTIONS, &BOTH].concat(), &self.authority())
    }

    fn resolve(&self, registrar: &str, proof: &[String]) -> Result<String, String> {
        let registrar = format!("--registrar={registrar}");
        let arguments = ["resolve", "--json", "--pool=pool", "--patience=3", &registrar];
        let proof: Vec<_> = proof.iter().map(String::as_str).collect();
        self.hosts.ask(4, &[&arguments[..], &CONVENTIONS, &proof].concat())
    }

    fn start(&self, host: u8, arguments: &[&str], proof: &[String]) -> Process {
        let proof: Vec<_> = proof.iter().map(String::as_str).collect();
        self.hosts.rserpool(host, &[arguments, &proof].concat())
    }
}

fn keygen(hosts: &Hosts<'_>, arguments: &[&str]) -> String {
    hosts.ask(1, &[&["keygen"], arguments].concat()).expect("keys")
}

/// All of a few requests are answered.
fn answered(user: &mut Process, round: u32) {
    for request in 0..5 {
        let request = format!("request {round}.{request}");
        user.tell(&request);
        user.prints(&request);
    }
}

/// All elements, as the registrar on a host knows them.
fn elements_at(hosts: &Hosts<'_>, host: u8) -> Vec<serde_json::Value> {
    let dump = hosts.dump(host);
    let pools = dump["handlespace"]["pools"].as_array().into_iter().flatten();
    pools.flat_map(|pool| pool["elements"].as_array().into_iter().flatten()).cloned().collect()
}

fn elements(hosts: &Hosts<'_>) -> Vec<serde_json::Value> {
    elements_at(hosts, 2)
}

/// Their homes, as the second registrar knows them.
fn homes(hosts: &Hosts<'_>) -> Vec<String> {
    elements(hosts).iter().map(|element| element["home"].as_str().unwrap_or("?").to_owned()).collect()
}
