//! Renewed keys and certificates of elements and proxies: SIGHUP takes them without dropping anything, or not at all.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "in tests, a panic is the report")]
#[path = "support/keys.rs"]
mod keys;
mod support;

use std::io::{BufRead, BufReader, Lines, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ChildStderr;
use std::time::Duration;

use keys::{Keys, done};
use support::{Running, address, eventually, json, registrar, start_with_log};

/// What a command logs.
struct Log(Lines<BufReader<ChildStderr>>);

impl Log {
    fn of(running: &mut Running) -> Self {
        Self(BufReader::new(running.log().expect("piped")).lines())
    }

    /// The next line with this text.
    fn next(&mut self, text: &str) -> String {
        self.0.by_ref().map(|line| line.expect("text")).find(|line| line.contains(text)).expect("it says so")
    }

    /// Has the command renew its keys, which it says.
    fn renewed(&mut self, running: &Running) {
        running.hang_up();
        let line = self.next("reloaded");
        assert!(!line.contains("not reloaded"), "{line}");
    }
}

/// A client of the proxy.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(proxy: SocketAddr) -> Self {
        let stream = TcpStream::connect(proxy).expect("the proxy listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a valid time");
        Self(BufReader::new(stream))
    }

    /// What comes back for a line; nothing where the client is turned away.
    fn ask(&mut self, line: &str) -> String {
        let mut answer = String::new();
        // A connection that is closed already may be reset.
        let _ = writeln!(self.0.get_mut(), "{line}").and_then(|()| self.0.read_line(&mut answer));
        answer
    }

    fn assert_served(&mut self) {
        assert_eq!(self.ask("hello"), "hello\n");
    }
}

/// The service's certificate and the authority that users believe, renewed on both sides one after the other.
#[test]
fn a_hangup_renews_what_is_between_users_and_elements_and_sessions_go_on() {
    let keys = Keys::make("renewal-service", &[]);
    keys.issue("pe-a", &["--name", "echo"]);
    let (_registrar, at) = registrar(&[]);
    let begin = |command: &str, more: &[&str]| {
        let base =
            [command, "--timers", "fast", "--pool", "echo", "--registrar", &at["asap"], "--service-tls"];
        start_with_log(&[&base[..], more].concat())
    };
    let (cert, key, ca) = (keys.path("pe-a/cert.pem"), keys.path("pe-a/key.pem"), keys.path("ca.pem"));
    let mut element = begin("pe", &["--echo", "--tls-cert", &cert, "--tls-key", &key]);
    element.ready();
    let mut proxy = begin("proxy", &["--patience", "0.2", "--listen", "127.0.0.1:0", "--tls-ca", &ca]);
    let listening = address(&proxy.ready()["listen"]);
    let (mut of_element, mut of_proxy) = (Log::of(&mut element), Log::of(&mut proxy));
    let mut before = Client::connect(listening);
    before.assert_served();

    let good = std::fs::read(&cert).expect("there");
    std::fs::write(&cert, "no certificate").expect("written");
    element.hang_up();
    let line = of_element.next("reloaded");
    assert!(line.contains("not reloaded") && line.contains("--tls-cert"), "{line}");
    Client::connect(listening).assert_served();
    std::fs::write(&cert, good).expect("written");

    done(&["keygen", "ca", "--out", &keys.path(""), "--force"]);
    keys.issue("pe-a", &["--name", "echo", "--force"]);
    of_element.renewed(&element);
    assert_eq!(Client::connect(listening).ask("hello"), "", "the proxy believes the old authority");
    of_proxy.renewed(&proxy);
    Client::connect(listening).assert_served();
    before.assert_served();
}

/// The key that an element registers by: the link that is up stays, the next one needs the new key.
#[test]
fn a_hangup_renews_the_key_of_links_and_those_that_are_up_stay() {
    let keys = Keys::make("renewal-links", &["registrar-1", "registrar-2"]);
    let [mut first, mut second] = ["registrar-1", "registrar-2"].map(|name| keys.registrar(name, &[]));
    let asap = [&first, &second].map(|registrar| registrar.ready()["asap"].clone());
    let psk = keys.path("psk");
    let knows_both = |base: &[&str]| start_with_log(&[base, &["--registrar", &asap[1]]].concat());
    let mut element = keys.element_by(knows_both, &asap[0]);
    element.ready();
    let registered = |registrar: &str| {
        let ended = keys.resolve(registrar);
        ended.status == Some(0) && json(&ended)["elements"].as_array().is_some_and(|all| all.len() == 1)
    };
    // The two registrars know nothing of each other.
    let home = usize::from(!registered(&asap[0]));
    assert!(registered(&asap[home]));
    let (running, other) = if home == 0 { (&mut first, &mut second) } else { (&mut second, &mut first) };
    let (mut log, mut of_other) = (Log::of(&mut element), Log::of(other));

    let good = std::fs::read_to_string(&psk).expect("there");
    std::fs::write(&psk, good.replace("pe-a", "pe-c")).expect("written");
    element.hang_up();
    let line = log.next("reloaded");
    assert!(line.contains("not reloaded") && line.contains("--psk-identity pe-a"), "{line}");
    keys.pre_share("pe-a");
    of_other.renewed(other);
    log.renewed(&element);
    // Its home has the old key still: a link that were made anew would not come up there.
    assert!(registered(&asap[home]) && !registered(&asap[1 - home]));

    running.crash();
    log.next("home registrar lost");
    eventually("it registers at the other registrar, by the new key", || registered(&asap[1 - home]));
}
