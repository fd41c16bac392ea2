//! Elements and their users: echo, call, proxy, sidecar, and what happens when an element dies.
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use support::{Running, address, echo, eventually, json, registrar, run, start};

fn call(pool: &str, registrar: &str) -> Running {
    start(&["call", "--timers", "fast", "--pool", pool, "--registrar", registrar])
}

/// How many elements the registrar gives for the pool; 0 for none and for no such pool.
fn elements(pool: &str, registrar: &str) -> usize {
    let ended = run(&["resolve", "--json", "--timers", "fast", "--pool", pool, "--registrar", registrar], "");
    match ended.status {
        Some(0) => json(&ended).get("elements").and_then(|list| list.as_array()).map_or(0, Vec::len),
        _ => 0,
    }
}

#[test]
fn a_line_goes_to_an_element_and_its_answer_comes_back() {
    let (_registrar, at) = registrar(&[]);
    let (_element, _) = echo("echo", &at["asap"], &[]);
    let mut call = call("echo", &at["asap"]);
    call.say("hello");
    assert_eq!(call.line(), "hello");
    call.say("again");
    assert_eq!(call.line(), "again");
    call.hush();
    assert!(call.end().success(), "the end of the input is a good end");
}

#[test]
fn a_call_goes_on_with_another_element_when_one_crashes() {
    let (_registrar, at) = registrar(&[]);
    // By priority all users go to the first element for as long as it is there.
    let (mut first, _) = echo("echo", &at["asap"], &["--id", "0x00000001", "--policy", "prio:9"]);
    let (_second, _) = echo("echo", &at["asap"], &["--id", "0x00000002", "--policy", "prio:1"]);
    let mut call = call("echo", &at["asap"]);
    call.say("one");
    assert_eq!(call.line(), "one");
    first.crash();
    for line in ["two", "three", "four"] {
        call.say(line);
        assert_eq!(call.line(), line);
    }
    eventually("the registrar removes the element that crashed", || elements("echo", &at["asap"]) == 1);
}

#[test]
fn a_call_goes_on_with_another_element_when_one_is_silent() {
    let (_registrar, at) = registrar(&[]);
    // The kernel accepts connections for a listener that nobody serves: a service that hangs.
    let hanging = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let target = hanging.local_addr().expect("bound").to_string();
    let sidecar = start(&[
        "pe",
        "--timers",
        "fast",
        "--pool",
        "echo",
        "--registrar",
        &at["asap"],
        "--target",
        &target,
        "--policy",
        "prio:9",
    ]);
    sidecar.ready();
    let (_good, _) = echo("echo", &at["asap"], &["--policy", "prio:1"]);
    let mut call = call("echo", &at["asap"]);
    call.say("anybody?");
    assert_eq!(call.line(), "anybody?");
}

#[test]
fn a_call_to_an_unknown_pool_fails_at_once() {
    let (_registrar, at) = registrar(&[]);
    let ended =
        run(&["call", "--timers", "fast", "--pool", "nowhere", "--registrar", &at["asap"]], "hello\n");
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("nowhere"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
}

#[test]
fn any_tcp_client_reaches_an_element_through_the_proxy() {
    let (_registrar, at) = registrar(&[]);
    let (mut first, _) = echo("echo", &at["asap"], &["--policy", "prio:9"]);
    let (_second, _) = echo("echo", &at["asap"], &["--policy", "prio:1"]);
    let proxy = start(&[
        "proxy",
        "--timers",
        "fast",
        "--pool",
        "echo",
        "--registrar",
        &at["asap"],
        "--listen",
        "127.0.0.1:0",
    ]);
    let listening = address(&proxy.ready()["listen"]);
    let ask = |text: &str| {
        let mut stream = TcpStream::connect(listening).expect("the proxy listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a valid time");
        writeln!(stream, "{text}").expect("sent");
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).map(|_| answer)
    };
    assert_eq!(ask("one").expect("an answer"), "one\n");
    first.crash();
    assert_eq!(ask("two").expect("an answer of the other element"), "two\n");
    proxy.terminate();
    let mut proxy = proxy;
    assert!(proxy.end().success());
}

#[test]
fn a_sidecar_registers_its_target_while_it_can_be_connected_to() {
    let (_registrar, at) = registrar(&[]);
    let target = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let place = target.local_addr().expect("bound");
    let mut sidecar = start(&[
        "pe",
        "--timers",
        "fast",
        "--pool",
        "web",
        "--registrar",
        &at["asap"],
        "--target",
        &place.to_string(),
        "--check",
        "0.02",
    ]);
    let ready = sidecar.ready();
    assert_eq!(ready["service"], format!("tcp://{place}"));
    assert_eq!(elements("web", &at["asap"]), 1);

    drop(target);
    eventually("the target is deregistered while it is down", || elements("web", &at["asap"]) == 0);
    let _target = TcpListener::bind(place).expect("the port is free again");
    eventually("the target is registered when it is back", || elements("web", &at["asap"]) == 1);

    sidecar.terminate();
    assert!(sidecar.end().success());
    assert_eq!(elements("web", &at["asap"]), 0, "SIGTERM deregisters");
}

#[test]
fn an_element_waits_for_a_registrar_that_comes_later() {
    // A port that was free a moment ago; the registrar takes it when the element has tried in vain.
    let place =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("loopback");
    let url = format!("tcp://{place}");
    let watched = TcpListener::bind(place).expect("still free");
    let element = start(&["pe", "--echo", "--timers", "fast", "--pool", "echo", "--registrar", &url]);
    // It knocks here: whoever answers is no registrar yet, and goes away.
    let (mut knock, _) = watched.accept().expect("the element looks for its registrar");
    drop(watched);
    knock.set_read_timeout(Some(Duration::from_millis(1))).expect("a valid time");
    let _ = knock.read(&mut [0; 1024]);
    drop(knock);
    let registrar = start(&["registrar", "--timers", "fast", "--asap", &url]);
    registrar.ready();
    assert_eq!(element.ready()["service"].split(':').next(), Some("tcp"));
}

#[test]
fn a_rejected_element_fails_and_says_why() {
    let (_registrar, at) = registrar(&[]);
    let (_first, _) = echo("echo", &at["asap"], &["--policy", "rr"]);
    let ended = run(
        &[
            "pe",
            "--echo",
            "--timers",
            "fast",
            "--pool",
            "echo",
            "--registrar",
            &at["asap"],
            "--policy",
            "lu:0.5",
        ],
        "",
    );
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("inconsistent pooling policy"), "{}", ended.stderr);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (_registrar, at) = registrar(&[]);
    let (_element, _) = echo("echo", &at["asap"], &[]);
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_rserpool"))
        .args(["call", "--timers", "fast", "--pool", "echo", "--registrar", &at["asap"]])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the binary is built");
    drop(child.stdout.take());
    let mut input = child.stdin.take().expect("piped");
    writeln!(input, "hello").expect("it reads");
    let mut complaint = String::new();
    let mut stderr = child.stderr.take().expect("piped");
    let reading = thread::spawn(move || stderr.read_to_string(&mut complaint).map(|_| complaint));
    let mut status = None;
    eventually("the command notices", || {
        status = child.try_wait().expect("it ran");
        status.is_some()
    });
    assert!(status.is_some_and(|status| status.success()));
    assert!(!reading.join().expect("no panic").expect("text").contains("panic"));
}
