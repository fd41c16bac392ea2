//! A secured pool by the command line alone: keys made, registrars, an element and a user over TLS; and what does not get in.
#![allow(clippy::expect_used, reason = "in tests, a panic is the report")]
#[path = "support/keys.rs"]
mod keys;
mod support;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;

use keys::{Keys, done, resolve};
use support::{eventually, json, run, start, start_with_log};

fn refused(arguments: &[&str], named: &[&str]) {
    let ended = run(arguments, "");
    assert_eq!(ended.status, Some(2), "{arguments:?}: {}", ended.stderr);
    for name in named {
        assert!(ended.stderr.contains(name), "{arguments:?} does not say `{name}`: {}", ended.stderr);
    }
}

/// 5352-9.2-06, 5352-9.2-08, 5353-6.2-07: the commands of docs/security.md.
#[test]
fn a_secured_pool_takes_keygen_three_registrars_an_element_and_a_call() {
    let keys = Keys::make("pool", &["registrar-1", "registrar-2", "registrar-3", "pe-b"]);
    let first = keys.registrar("registrar-1", &[]);
    let at = first.ready();
    let others = ["registrar-2", "registrar-3"].map(|name| keys.registrar(name, &["--peer", &at["enrp"]]));
    let last = others.map(|registrar| (registrar.ready(), registrar));
    let element = keys.element(&at["asap"]);
    element.ready();
    // By a certificate, and then with an endpoint of its own that registrars may connect to.
    let certified = keys.certified_element("pe-b", &at["asap"]);
    certified.ready();
    for (there, _) in &last {
        eventually("every registrar knows both elements", || {
            let ended = keys.resolve(&there["asap"]);
            ended.status == Some(0) && json(&ended)["elements"].as_array().is_some_and(|all| all.len() == 2)
        });
    }
    let ca = keys.path("ca.pem");
    let there = &last[1].0["asap"];
    let mut call =
        start(&["call", "--timers", "fast", "--pool", "echo", "--registrar", there, "--tls-ca", &ca]);
    call.say("hello");
    assert_eq!(call.line(), "hello");
    let report = json(&done(&[
        "bench",
        "resolve",
        "--registrar",
        there,
        "--tls-ca",
        &ca,
        "--pool",
        "echo",
        "--connections",
        "2",
        "--seconds",
        "0.2",
        "--json",
    ]));
    assert_eq!(report["rejected"], 0);
}

/// 5355-2.6.3-01: a registrar of another authority is not believed, and the user is told that this is the reason.
#[test]
fn a_registrar_of_another_authority_is_refused_and_the_reason_is_told() {
    let (ours, stranger) = (Keys::make("ours", &[]), Keys::make("stranger", &["registrar-1"]));
    let registrar = stranger.registrar("registrar-1", &[]);
    let ended = ours.resolve(&registrar.ready()["asap"]);
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("certificate is refused"), "{}", ended.stderr);
}

#[test]
fn a_plain_client_at_a_tls_port_and_the_other_way_round_are_told_so() {
    let keys = Keys::make("plain", &["registrar-1"]);
    let secured = keys.registrar("registrar-1", &[]);
    let ended = resolve(&secured.ready()["asap"].replace("tls://", "tcp://"), &[]);
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("the other end speaks TLS"), "{}", ended.stderr);
    let (_plain, at) = support::registrar(&[]);
    let ended = keys.resolve(&at["asap"].replace("tcp://", "tls://"));
    assert_eq!(ended.status, Some(1));
    assert!(
        ended.stderr.contains("TLS handshake") || ended.stderr.contains("not speak TLS"),
        "{}",
        ended.stderr
    );
}

/// New keys hold after SIGHUP; a broken file changes nothing and is told.
#[test]
fn a_hangup_reloads_the_keys_and_keeps_the_old_ones_if_a_file_is_bad() {
    let keys = Keys::make("reload", &["registrar-1"]);
    let mut registrar = keys.registrar("registrar-1", &[]);
    let at = registrar.ready();
    let mut log = BufReader::new(registrar.log().expect("piped")).lines().map(|line| line.expect("text"));
    let element = keys.element(&at["asap"]);
    element.ready();

    let good = std::fs::read(keys.path("psk")).expect("there");
    std::fs::write(keys.path("psk"), "pe-a:no key").expect("written");
    registrar.hang_up();
    let line = log.find(|line| line.contains("reloaded")).expect("it says so");
    assert!(line.contains("not reloaded") && line.contains("line 1"), "{line}");
    assert_eq!(keys.resolve(&at["asap"]).status, Some(0), "served as before");

    // A new authority altogether: the old certificates are of no use for new links.
    std::fs::write(keys.path("psk"), good).expect("written");
    done(&["keygen", "ca", "--out", &keys.path(""), "--force"]);
    keys.issue("registrar-1", &["--force"]);
    assert_eq!(keys.resolve(&at["asap"]).status, Some(1), "it still shows the old certificate");
    registrar.hang_up();
    let line = log.find(|line| line.contains("reloaded")).expect("it says so");
    assert!(!line.contains("not reloaded"), "{line}");
    let ended = keys.resolve(&at["asap"]);
    assert_eq!(
        ended.status,
        Some(0),
        "the new certificate is shown, the element's link is still up: {}",
        ended.stderr
    );
}

/// A new policy holds from SIGHUP on, for what there is already too; one that cannot be read changes nothing.
#[test]
fn a_hangup_reloads_the_policy_and_keeps_the_old_one_if_it_is_bad() {
    let keys = Keys::make("policy", &["registrar-1"]);
    let mut registrar = keys.registrar("registrar-1", &[]);
    let at = registrar.ready();
    let mut log = BufReader::new(registrar.log().expect("piped")).lines().map(|line| line.expect("text"));
    let element = keys.element(&at["asap"]);
    element.ready();
    assert_eq!(keys.resolve(&at["asap"]).status, Some(0));

    keys.permit("peers = []\nidentity = []\n");
    registrar.hang_up();
    let line = log.find(|line| line.contains("reloaded")).expect("it says so");
    assert!(
        line.contains("not reloaded") && line.contains("line 2") && line.contains("identities"),
        "{line}"
    );
    assert_eq!(keys.resolve(&at["asap"]).status, Some(0), "the element stays");

    keys.permit("identities = [{ name = \"pe-a\", pools = [\"other\"] }]\n");
    registrar.hang_up();
    let line = log.find(|line| line.contains("reloaded")).expect("it says so");
    assert!(!line.contains("not reloaded"), "{line}");
    let ended = keys.resolve(&at["asap"]);
    assert_eq!(ended.status, Some(1), "the element is not let be there any more");
}

/// Without a policy nobody gets in, and the registrar says so; a bad one keeps it from starting.
#[test]
fn a_secured_registrar_without_a_policy_lets_nobody_register_and_says_so() {
    let keys = Keys::make("nobody", &["registrar-1"]);
    let (cert, key) = (keys.path("registrar-1/cert.pem"), keys.path("registrar-1/key.pem"));
    let psk = keys.path("psk");
    let base = ["registrar", "--asap", "tls://127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
    let mut registrar = start_with_log(&[&base[..], &["--psk-file", &psk]].concat());
    let at = registrar.ready();
    let ended = run(
        &[
            "pe",
            "--echo",
            "--pool",
            "echo",
            "--registrar",
            &at["asap"],
            "--psk-identity",
            "pe-a",
            "--psk-file",
            &psk,
        ],
        "",
    );
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("ecurity"), "{}", ended.stderr);
    let log = registrar.log().expect("piped");
    registrar.terminate();
    registrar.end();
    let lines: Vec<_> = BufReader::new(log).lines().map(|line| line.expect("text")).collect();
    let said = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!((said("no --policy: nobody may register"), said("refused")), (1, 1), "{lines:?}");

    keys.permit("identities = [{ name = \"pe-a\", pool = [\"echo\"] }]\n");
    refused(
        &[&base[..], &["--policy", &keys.path("policy.toml")]].concat(),
        &["policy.toml", "line 1", "pools"],
    );
    refused(&[&base[..], &["--policy", "/nonexistent.toml"]].concat(), &["--policy /nonexistent.toml"]);
    let plain = ["registrar", "--asap", "tcp://127.0.0.1:0", "--policy", &keys.path("policy.toml")];
    keys.permit("");
    refused(&plain, &["--policy", "tls://"]);
}

/// 5355-2.15.3-04: users without security are answered where the policy says so, on an endpoint of their own.
#[test]
fn an_endpoint_without_security_is_for_resolving_only_and_has_to_be_permitted() {
    let keys = Keys::make("open", &["registrar-1"]);
    let (cert, key) = (keys.path("registrar-1/cert.pem"), keys.path("registrar-1/key.pem"));
    let (psk, policy) = (keys.path("psk"), keys.path("policy.toml"));
    let arguments = [
        "registrar",
        "--timers",
        "fast",
        "--asap",
        "tls://127.0.0.1:0",
        "--asap",
        "tcp://127.0.0.1:0",
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
        "--psk-file",
        &psk,
        "--policy",
        &policy,
    ];
    refused(&arguments, &["tcp://127.0.0.1:0", "tls://"]);
    keys.permit("resolution = \"anybody\"\nidentities = [{ name = \"pe-a\", pools = [\"echo\"] }]\n");
    let registrar = start_with_log(&arguments);
    let line = registrar.line();
    let asap = |scheme: &str| {
        let found =
            line.split(' ').filter_map(|part| part.strip_prefix("asap=")).find(|url| url.starts_with(scheme));
        found.expect("an endpoint").to_owned()
    };
    let element = keys.element(&asap("tls://"));
    element.ready();
    let ended = resolve(&asap("tcp://"), &[]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let ended = run(&["pe", "--echo", "--pool", "echo", "--registrar", &asap("tcp://")], "");
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("ecurity"), "{}", ended.stderr);
}

#[test]
fn an_unsecured_registrar_says_so_once() {
    let mut registrar = start_with_log(&[
        "registrar",
        "--timers",
        "fast",
        "--asap",
        "tcp://127.0.0.1:0",
        "--enrp",
        "tcp://127.0.0.1:0",
    ]);
    registrar.ready();
    let log = registrar.log().expect("piped");
    registrar.terminate();
    assert!(registrar.end().success());
    let lines: Vec<_> = BufReader::new(log).lines().map(|line| line.expect("text")).collect();
    let unsecured =
        lines.iter().filter(|line| line.contains("unsecured: anybody who reaches tcp://")).count();
    assert_eq!(unsecured, 1, "{lines:?}");
}

#[test]
fn keys_are_for_their_owner_only_and_never_overwritten_by_accident() {
    let keys = Keys::make("files", &["a"]);
    for secret in ["ca-key.pem", "a/key.pem"] {
        let mode = std::fs::metadata(keys.path(secret)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    let before = std::fs::read(keys.path("ca-key.pem")).expect("there");
    let ended = run(&["keygen", "ca", "--out", &keys.path("")], "");
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("--force"), "{}", ended.stderr);
    assert_eq!(std::fs::read(keys.path("ca-key.pem")).expect("there"), before);
    keys.issue("a", &["--force"]);
    let (one, two) =
        (done(&["keygen", "psk", "--identity", "x"]), done(&["keygen", "psk", "--identity", "x"]));
    assert!(one.stdout.starts_with("x:") && one.stdout.len() == "x:".len() + 64 + 1, "{}", one.stdout);
    assert_ne!(one.stdout, two.stdout);
    refused(&["keygen", "psk", "--identity", "a b"], &["--identity"]);
    refused(&["keygen", "cert", "--ca", &keys.path(""), "--out", &keys.path("b")], &["--name", "--ip"]);
    refused(
        &["keygen", "cert", "--ca", &keys.path(""), "--name", "*.x", "--out", &keys.path("b")],
        &["--name"],
    );
}

#[test]
fn flags_that_do_not_go_together_are_named() {
    let keys = Keys::make("usage", &["a"]);
    let (ca, cert, key, psk) =
        (keys.path("ca.pem"), keys.path("a/cert.pem"), keys.path("a/key.pem"), keys.path("psk"));
    let with = |base: &[&str], more: &[&str], named: &[&str]| refused(&[base, more].concat(), named);
    let tls = ["resolve", "--pool", "p", "--registrar", "tls://127.0.0.1:1"];
    with(&tls, &[], &["tls://", "--tls-ca", "--psk-identity"]);
    with(&tls, &["--tls-ca", &ca, "--tls-cert", &cert], &["--tls-cert", "--tls-key"]);
    with(&tls, &["--tls-ca", &ca, "--tls-key", &key], &["--tls-cert", "--tls-key"]);
    with(&tls, &["--psk-identity", "pe-a"], &["--psk-identity", "--psk-file"]);
    with(&tls, &["--psk-file", &psk], &["--psk-identity", "--psk-file"]);
    with(&tls, &["--psk-identity", "pe-b", "--psk-file", &psk], &["--psk-identity pe-b", "--psk-file"]);
    with(&tls, &["--tls-ca", "/nonexistent.pem"], &["--tls-ca", "/nonexistent.pem"]);
    with(
        &tls,
        &["--tls-ca", &ca, "--registrar", "tcp://127.0.0.1:2"],
        &["tls://127.0.0.1:1", "tcp://127.0.0.1:2"],
    );
    with(
        &["resolve", "--pool", "p", "--registrar", "tcp://127.0.0.1:1"],
        &["--tls-ca", &ca],
        &["--tls-ca", "tls://"],
    );
    let pe =
        ["pe", "--echo", "--pool", "p", "--registrar", "tls://127.0.0.1:1", "--asap", "tls://127.0.0.1:0"];
    with(&pe, &["--tls-ca", &ca], &["--asap tls://127.0.0.1:0", "--tls-cert"]);
    with(&pe, &["--registrar-name", "registrar-1"], &["--tls-ca"]);
    let keyed = ["--registrar-name", "registrar-1", "--tls-ca", &ca, "--psk-identity", "pe-a"];
    with(&pe, &keyed, &["--registrar-name", "--psk-identity"]);
    let alone = ["registrar", "--asap", "tls://127.0.0.1:0"];
    with(&alone, &[], &["--tls-cert", "--tls-key"]);
    with(&alone, &["--tls-cert", &cert], &["--tls-key"]);
    with(&alone, &["--tls-cert", &cert, "--tls-key", &key, "--enrp", "tls://127.0.0.1:0"], &["--tls-ca"]);
    with(&alone, &["--enrp", "tcp://127.0.0.1:0"], &["tls://127.0.0.1:0", "tcp://127.0.0.1:0"]);
    with(&["registrar", "--asap", "tcp://127.0.0.1:0"], &["--psk-file", &psk], &["--psk-file", "tls://"]);
    let path = keys.path("registrar.toml");
    std::fs::write(&path, format!("asap = [\"tls://127.0.0.1:0\"]\ntls-cert = \"{cert}\"\n"))
        .expect("written");
    refused(&["registrar", "--config", &path], &["--tls-key"]);
}
