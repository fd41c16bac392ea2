//! What commands say and do when something is missing: a registrar, a service, a peer, an element that answers.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "in tests, a panic is the report"
)]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::{Running, address, echo, registrar, run, start, start_with_log};

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("loopback")
}

/// The next line that a command logs with this text.
fn logged(running: &mut Running, text: &str) -> String {
    let mut lines = BufReader::new(running.log().expect("piped")).lines().map(|line| line.expect("text"));
    lines.find(|line| line.contains(text)).expect("it says so")
}

/// Whatever the registrar's timers are.
#[test]
fn users_give_up_when_their_patience_ends_and_say_why() {
    let registrar = format!("tcp://{}", nobody());
    for command in ["resolve", "call"] {
        let ended = run(&[command, "--pool", "echo", "--patience", "0.2", "--registrar", &registrar], "");
        assert_eq!((ended.status, &*ended.stdout), (Some(1), ""), "{}", ended.stderr);
        assert!(ended.stderr.contains("echo") && ended.stderr.contains("refused"), "{}", ended.stderr);
    }
}

#[test]
fn those_who_wait_for_a_registrar_say_so_before_long() {
    let registrar = format!("tcp://{}", nobody());
    let waiting = ["resolve", "call", "watch"]
        .map(|command| start_with_log(&[command, "--pool", "echo", "--registrar", &registrar]));
    for mut running in waiting {
        let line = logged(&mut running, "still trying");
        assert!(line.contains(&registrar) && line.contains("refused"), "{line}");
    }
}

/// The service may be started after its sidecar.
#[test]
fn a_sidecar_says_that_it_waits_for_its_service() {
    let (_registrar, at) = registrar(&[]);
    let service = nobody();
    let target = service.to_string();
    let base = ["pe", "--timers", "fast", "--pool", "web", "--registrar", &at["asap"], "--target"];
    let mut sidecar = start_with_log(&[&base[..], &[&target]].concat());
    // Nobody reads the log from here on.
    let line = logged(&mut sidecar, "waiting for the service");
    assert!(line.contains(&target), "{line}");
    let _service = TcpListener::bind(service).expect("still free");
    assert_eq!(sidecar.ready()["service"], format!("tcp://{target}"));
}

/// The ENRP port of a registrar for its ASAP port, and the other way round.
#[test]
fn a_wrong_port_of_a_registrar_is_pointed_out() {
    let (_registrar, at) = registrar(&[]);
    let mut element =
        start_with_log(&["pe", "--timers", "fast", "--pool", "web", "--echo", "--registrar", &at["enrp"]]);
    let line = logged(&mut element, "home registrar lost");
    assert!(line.contains("reason=it does not answer"), "{line}");
    let user = ["--timers", "fast", "--pool", "web", "--patience", "0.5", "--registrar", &at["enrp"]];
    let ended = run(&[&["resolve"][..], &user].concat(), "");
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("ENRP port"), "{}", ended.stderr);

    let mut alone = start_with_log(&[
        "registrar",
        "--timers",
        "fast",
        "--asap",
        "tcp://127.0.0.1:0",
        "--enrp",
        "tcp://127.0.0.1:0",
        "--peer",
        &at["asap"],
    ]);
    assert!(logged(&mut alone, "alone").contains("--peer"));
}

/// The reader of a log may be restarted, or full.
#[test]
fn a_log_that_cannot_be_written_changes_nothing() {
    let (_registrar, at) = registrar(&[]);
    let (_element, _) = echo("echo", &at["asap"], &[]);
    let base = ["--timers", "fast", "--pool", "echo", "--registrar", &at["asap"]];
    let mut proxy = start_with_log(&[&["proxy", "--listen", "127.0.0.1:0"][..], &base].concat());
    let listening = address(&proxy.ready()["listen"]);
    drop(proxy.log());
    for _ in 0..2 {
        // It logs each client.
        let mut stream = TcpStream::connect(listening).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a valid time");
        stream.write_all(b"hello").expect("sent");
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"hello");
    }
    proxy.terminate();
    assert!(proxy.end().success());
}

#[test]
fn a_dump_of_something_else_is_told_as_such() {
    let service = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let admin = format!("http://{}", service.local_addr().expect("bound"));
    thread::spawn(move || {
        for stream in service.incoming() {
            let mut stream = stream.expect("a client");
            let _ = stream.read(&mut [0; 1024]).and_then(|_| stream.write_all(b"220 smtp.example ready\r\n"));
        }
    });
    let ended = run(&["dump", "--admin", &admin], "");
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("is it an administrative service?"), "{}", ended.stderr);
}

#[test]
fn a_call_lets_elements_that_close_at_once_have_a_rest() {
    let (_registrar, at) = registrar(&[]);
    let service = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let target = service.local_addr().expect("bound").to_string();
    let connections = Arc::new(AtomicUsize::new(0));
    let accepted = Arc::clone(&connections);
    thread::spawn(move || {
        for stream in service.incoming() {
            drop(stream.expect("a client"));
            accepted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let base = ["--timers", "fast", "--pool", "web", "--registrar", &at["asap"]];
    let sidecar = start(&[&["pe", "--target", &target, "--check", "3600"][..], &base].concat());
    sidecar.ready();
    let started = Instant::now();
    let ended = run(&[&["call", "--patience", "1"][..], &base].concat(), "hello\n");
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    let rests = started.elapsed().as_millis() / Duration::from_millis(50).as_millis();
    let connections = connections.load(Ordering::SeqCst);
    // One is the sidecar's check, and the first to fail gets another chance at once.
    assert!(connections as u128 <= rests + 5, "{connections} connections with {rests} rests between them");
}
