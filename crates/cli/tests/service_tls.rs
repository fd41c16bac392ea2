//! TLS between users and elements by the command line: `pe --echo`, `pe --target`, `call` and `proxy`, and what they refuse.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "in tests, a panic is the report")]
#[path = "support/keys.rs"]
mod keys;
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use keys::Keys;
use socket2::{Domain, Socket, Type};
use support::{Ended, Running, address, echo, registrar, run, start, start_with_log};

/// A scope with keys for TLS between users and elements, and links to the registrar without it: all the tests need.
struct Scope {
    keys: Keys,
    _registrar: Running,
    asap: String,
}

impl Scope {
    fn new(test: &str) -> Self {
        let keys = Keys::make(&format!("service-{test}"), &["user-1"]);
        keys.issue("pe-a", &["--name", "echo"]);
        let (running, at) = registrar(&[]);
        Self { keys, _registrar: running, asap: at["asap"].clone() }
    }

    fn path(&self, name: &str) -> String {
        self.keys.path(name)
    }

    /// The flags of an element with a certificate for the pool.
    fn certificate(&self) -> Vec<String> {
        let (cert, key) = (self.path("pe-a/cert.pem"), self.path("pe-a/key.pem"));
        ["--service-tls", "--tls-cert", &cert, "--tls-key", &key].map(str::to_owned).into()
    }

    /// The flags of a user who verifies elements.
    fn authority(&self) -> Vec<String> {
        ["--service-tls", "--tls-ca", &self.path("ca.pem")].map(str::to_owned).into()
    }

    /// Somebody in the pool `echo`.
    fn arguments<'a>(&'a self, command: &'a str, more: &[&'a str], flags: &'a [String]) -> Vec<&'a str> {
        let base = [command, "--timers", "fast", "--pool", "echo", "--registrar", &self.asap];
        [&base[..], more, &flags.iter().map(String::as_str).collect::<Vec<_>>()].concat()
    }

    fn element(&self, more: &[&str], flags: &[String]) -> (Running, String) {
        let running = start(&self.arguments("pe", more, flags));
        let service = running.ready()["service"].clone();
        (running, service)
    }

    /// A line asked and answered.
    fn assert_called(&self, flags: &[String]) {
        let mut call = start(&self.arguments("call", &["--timeout", "5"], flags));
        call.say("hello");
        assert_eq!(call.line(), "hello");
    }

    /// A call that finds nobody in a second.
    fn refused_call(&self, flags: &[String]) -> Ended {
        let ended = run(&self.arguments("call", &["--patience", "1"], flags), "hello\n");
        assert_eq!((ended.status, &*ended.stdout), (Some(1), ""), "{}", ended.stderr);
        ended
    }
}

fn flags(all: &[&str]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

fn tls_address(url: &str) -> SocketAddr {
    url.strip_prefix("tls://").and_then(|address| address.parse().ok()).expect("a tls:// URL with an address")
}

/// What a client in clear gets for a line.
fn ask_in_clear(address: SocketAddr, line: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a valid time");
    writeln!(stream, "{line}").expect("sent");
    let mut answer = Vec::new();
    // It may be reset.
    let _ = BufReader::new(stream).read_until(b'\n', &mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// 5355-2.11.3-01: the echo service and its users speak TLS, by certificates as by pre-shared keys.
#[test]
fn a_call_and_an_echo_service_speak_tls_with_each_other() {
    let scope = Scope::new("call");
    let (mut element, service) = scope.element(&["--echo"], &scope.certificate());
    assert!(!ask_in_clear(tls_address(&service), "hello").contains("hello"), "nothing is answered in clear");
    scope.assert_called(&scope.authority());
    element.terminate();
    assert!(element.end().success());

    let psk = scope.path("psk");
    let (_element, _) = scope.element(&["--echo"], &flags(&["--service-tls", "--psk-file", &psk]));
    scope.assert_called(&flags(&["--service-tls", "--psk-identity", "pe-a", "--psk-file", &psk]));
}

/// Only what can be nothing but the alert of a server in a conversation in clear is taken for one.
#[test]
fn an_answer_may_begin_as_tls_does() {
    let scope = Scope::new("beginning");
    let answered = |flags: &[String], line: &str| {
        let mut call = start(&scope.arguments("call", &["--timeout", "5"], flags));
        call.say(line);
        assert_eq!(call.line(), line);
    };
    let plain = echo("echo", &scope.asap, &[]);
    answered(&[], "\u{15}\u{3} in clear");
    drop(plain);
    let _element = scope.element(&["--echo"], &scope.certificate());
    answered(&scope.authority(), "\u{15}\u{3}\u{3}\0\u{2} over TLS");
}

/// 5355-2.9.3-01: an element that does not speak TLS, or cannot prove that it is of the pool, is never spoken to.
#[test]
fn a_call_refuses_elements_that_do_not_prove_themselves_and_says_why() {
    let scope = Scope::new("refused");
    let (plain, _) = echo("echo", &scope.asap, &[]);
    scope.refused_call(&scope.authority());
    drop(plain);

    let (element, _) = scope.element(&["--echo"], &scope.certificate());
    let ended = scope.refused_call(&[scope.authority(), flags(&["--service-name", "bank"])].concat());
    assert!(ended.stderr.contains("not for bank, but for pe-a, echo"), "{}", ended.stderr);
    let stranger = Keys::make("service-stranger", &[]);
    let ended = scope.refused_call(&flags(&["--service-tls", "--tls-ca", &stranger.path("ca.pem")]));
    assert!(ended.stderr.contains("another authority"), "{}", ended.stderr);
    let ended = scope.refused_call(&[]);
    assert!(ended.stderr.contains("speaks TLS: --service-tls"), "{}", ended.stderr);
    scope.assert_called(&[scope.authority(), flags(&["--service-name", "pe-a"])].concat());
    drop(element);
}

#[test]
fn an_element_may_take_identified_users_only() {
    let scope = Scope::new("identified");
    let ca = scope.path("ca.pem");
    let identified = flags(&["--service-users", "identified", "--tls-ca", &ca]);
    let (_element, _) = scope.element(&["--echo"], &[scope.certificate(), identified].concat());
    let (cert, key) = (scope.path("user-1/cert.pem"), scope.path("user-1/key.pem"));
    let user = flags(&["--tls-cert", &cert, "--tls-key", &key]);
    scope.assert_called(&[scope.authority(), user].concat());
    let ended = scope.refused_call(&scope.authority());
    assert!(ended.stderr.contains("certificate"), "{}", ended.stderr);
}

/// A call goes on with an element that is as secure.
#[test]
fn a_call_over_tls_goes_on_with_another_element_when_one_crashes() {
    let scope = Scope::new("fail-over");
    let (mut first, _) = scope.element(&["--echo", "--policy", "prio:9"], &scope.certificate());
    let (_plain, _) = echo("echo", &scope.asap, &["--policy", "prio:5"]);
    let (_second, _) = scope.element(&["--echo", "--policy", "prio:1"], &scope.certificate());
    let user = scope.authority();
    let mut call = start(&scope.arguments("call", &["--timeout", "5"], &user));
    call.say("one");
    assert_eq!(call.line(), "one");
    first.crash();
    call.say("two");
    assert_eq!(call.line(), "two");
}

/// Neither the client nor the service knows of TLS: the proxy and the sidecar in front of the service do.
#[test]
fn a_proxy_and_a_sidecar_put_tls_between_a_plain_client_and_a_plain_service() {
    let scope = Scope::new("proxy");
    let service = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let target = service.local_addr().expect("bound").to_string();
    thread::spawn(move || {
        for stream in service.incoming() {
            let mut stream = BufReader::new(stream.expect("a client"));
            let mut line = String::new();
            if stream.read_line(&mut line).is_ok() {
                // The checks of the sidecar say nothing, and are gone.
                let _ = write!(stream.get_mut(), "you said {line}");
            }
        }
    });
    let more = ["--target", &target, "--listen", "127.0.0.1:0"];
    let (_sidecar, reached_at) = scope.element(&more, &scope.certificate());
    assert_ne!(tls_address(&reached_at).to_string(), target);
    assert!(!ask_in_clear(tls_address(&reached_at), "hello").contains("hello"));

    let user = scope.authority();
    let proxy = start(&scope.arguments("proxy", &["--listen", "127.0.0.1:0"], &user));
    let listening = address(&proxy.ready()["listen"]);
    assert_eq!(ask_in_clear(listening, "hello"), "you said hello\n");
}

/// A user is not kept waiting by a service that accepts nothing: it loses its connection, and goes on elsewhere.
#[test]
fn a_sidecar_turns_users_away_while_its_service_accepts_no_connections() {
    let scope = Scope::new("stalled");
    let service = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    service.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("loopback");
    service.listen(1).expect("bound");
    let target = service.local_addr().ok().and_then(|address| address.as_socket()).expect("bound");
    // One check, at the start, while connections are accepted still.
    let (place, once) = (target.to_string(), ["--check", "3600", "--policy", "prio:9"]);
    let arguments = [&["--target", &*place, "--listen", "127.0.0.1:0"][..], &once].concat();
    let certificate = scope.certificate();
    let mut sidecar = start_with_log(&scope.arguments("pe", &arguments, &certificate));
    sidecar.ready();
    let log = sidecar.log().expect("piped");
    let (_good, _) = scope.element(&["--echo", "--policy", "prio:1"], &certificate);

    // The system drops what exceeds the queue of connections that nobody accepts.
    let connect = || TcpStream::connect_timeout(&target, Duration::from_secs(1));
    let _queued: Vec<_> = std::iter::from_fn(|| connect().ok()).collect();
    scope.assert_called(&scope.authority());
    let mut lines = BufReader::new(log).lines().map(|line| line.expect("text"));
    let line = lines.find(|line| line.contains("turned away")).expect("it says so");
    assert!(line.contains(&place) && line.contains("has not accepted"), "{line}");
}

/// What an element has logged when it is asked to end as soon as it serves.
fn all_that_is_said(mut element: Running) -> String {
    element.ready();
    let mut log = element.log().expect("piped");
    element.terminate();
    element.end();
    let mut text = String::new();
    log.read_to_string(&mut text).expect("text");
    text
}

/// 5355-2.9, 5355-2.15: what is not encrypted is said once.
#[test]
fn what_is_not_encrypted_is_said_at_the_start() {
    let scope = Scope::new("told");
    let keys = Keys::make("service-told-links", &["registrar-1"]);
    let secured = keys.registrar("registrar-1", &[]);
    let (asap, ca) = (secured.ready()["asap"].clone(), keys.path("ca.pem"));
    let user = ["call", "--timers", "fast", "--patience", "1", "--pool", "echo", "--registrar"];
    let said = |more: &[&str], text: &str| {
        let ended = run(&[&user[..], more].concat(), "");
        assert_eq!(ended.stderr.matches(text).count(), 1, "{more:?}: {}", ended.stderr);
    };
    said(&[&asap, "--tls-ca", &ca], "is not encrypted: --service-tls");
    let own = scope.authority();
    let own: Vec<_> = own.iter().map(String::as_str).collect();
    said(&[&[&*scope.asap][..], &own].concat(), "links to registrars are not secured");

    let text = all_that_is_said(keys.element_by(start_with_log, &asap));
    assert_eq!(text.matches("is not encrypted here: --service-tls").count(), 1, "{text}");
}

#[test]
fn flags_that_cannot_work_are_refused_by_name() {
    let scope = Scope::new("flags");
    let (cert, key) = (scope.path("user-1/cert.pem"), scope.path("user-1/key.pem"));
    let (psk, ca) = (scope.path("psk"), scope.path("ca.pem"));
    for (command, named) in [
        ("call --service-tls", &["--service-tls needs", "--tls-ca", "elements"][..]),
        ("call --service-name echo", &["--service-tls"]),
        (&format!("call --tls-ca {ca}"), &["--tls-ca", "tls://"]),
        (&format!("call --service-tls --tls-ca {ca} --service-name no:name"), &["--service-name no:name"]),
        ("pe --echo --service-tls", &["--service-tls needs", "--tls-cert", "--psk-file"]),
        ("pe --echo --service-users identified", &["--service-tls"]),
        (&format!("pe --echo --tls-cert {cert} --tls-key {key}"), &["--tls-cert", "tls://"]),
        (
            &format!("pe --echo --service-tls --tls-cert {cert} --tls-key {key} --service-users identified"),
            &["--service-users identified", "--tls-ca"],
        ),
        (
            &format!("pe --echo --service-tls --psk-file {psk} --listen sctp://127.0.0.1:0"),
            &["--listen sctp://127.0.0.1:0", "--service-tls"],
        ),
        ("pe --target 127.0.0.1:1 --listen 127.0.0.1:0", &["--listen", "--target", "--service-tls"]),
    ] {
        let mut arguments: Vec<_> = command.split(' ').collect();
        arguments.extend(["--pool", "echo", "--registrar", &scope.asap]);
        let ended = run(&arguments, "");
        assert_eq!(ended.status, Some(2), "{command}: {}", ended.stderr);
        for name in named {
            assert!(ended.stderr.contains(name), "{command} does not say `{name}`: {}", ended.stderr);
        }
    }
}

/// A certificate that users would not take is told when the element starts, not when the first user fails.
#[test]
fn a_certificate_that_is_not_for_the_pool_is_told() {
    let scope = Scope::new("not-for");
    let (cert, key) = (scope.path("user-1/cert.pem"), scope.path("user-1/key.pem"));
    let element = flags(&["--service-tls", "--tls-cert", &cert, "--tls-key", &key]);
    let text = all_that_is_said(start_with_log(&scope.arguments("pe", &["--echo"], &element)));
    assert!(text.contains("not for `echo`") && text.contains("--service-name"), "{text}");
}
