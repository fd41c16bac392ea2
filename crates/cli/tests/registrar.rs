//! Registrars as processes: what they say, what they tell operators, and how they go.
mod support;

use support::{echo, eventually, json, registrar, run, start};

fn dump(admin: &str) -> serde_json::Value {
    let ended = run(&["dump", "--json", "--admin", admin], "");
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    json(&ended)
}

#[test]
fn resolve_lists_the_elements_of_a_pool() {
    let (_registrar, at) = registrar(&["--id", "0x0000000a"]);
    let (_element, served) =
        echo("echo", &at["asap"], &["--id", "0x00000007", "--policy", "wrr:3", "--life", "60"]);
    assert_eq!(served["pe"], "0x00000007");
    let arguments = ["resolve", "--timers", "fast", "--pool", "echo", "--registrar", &at["asap"]];
    let value = json(&run(&[&arguments[..], &["--json"]].concat(), ""));
    assert_eq!(value["pool_handle"], "echo");
    let element = &value["elements"][0];
    assert_eq!(element["identifier"], "0x00000007");
    assert_eq!(element["home"], "0x0000000a");
    assert_eq!(element["life_seconds"], 60.0);
    assert_eq!(element["policy"]["spec"], "wrr:3");
    assert_eq!(element["user_transport"]["url"], *served["service"]);
    let text = run(&arguments, "").stdout;
    assert!(text.contains("0x00000007") && text.contains("wrr:3"), "{text}");
}

#[test]
fn resolve_asks_for_as_many_elements_as_it_is_told() {
    let (_registrar, at) = registrar(&[]);
    let _elements: Vec<_> = (0..3).map(|_| echo("echo", &at["asap"], &[])).collect();
    let count = |items: &str| {
        let ended = run(
            &[
                "resolve",
                "--json",
                "--timers",
                "fast",
                "--pool",
                "echo",
                "--registrar",
                &at["asap"],
                "--items",
                items,
            ],
            "",
        );
        json(&ended)["elements"].as_array().map(Vec::len)
    };
    assert_eq!(count("2"), Some(2));
    assert_eq!(count("100"), Some(3));
}

#[test]
fn an_unknown_pool_is_a_failure() {
    let (_registrar, at) = registrar(&[]);
    let ended = run(&["resolve", "--timers", "fast", "--pool", "nowhere", "--registrar", &at["asap"]], "");
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("pool nowhere"), "{}", ended.stderr);
}

#[test]
fn watch_prints_a_line_per_change() {
    let (_registrar, at) = registrar(&[]);
    let mut watch = start(&["watch", "--timers", "fast", "--pool", "echo", "--registrar", &at["asap"]]);
    let (mut first, served) = echo("echo", &at["asap"], &["--id", "1"]);
    assert!(watch.line().starts_with(&format!("added 0x00000001 service={} policy=rr", served["service"])));
    let (_second, _) = echo("echo", &at["asap"], &["--id", "2"]);
    assert!(watch.line().starts_with("added 0x00000002"));
    first.terminate();
    assert!(first.end().success());
    assert_eq!(watch.line(), "removed 0x00000001");
    watch.terminate();
    assert!(watch.end().success());
}

#[test]
fn dump_shows_the_handlespace_the_peers_and_equal_checksums() {
    let (_first, one) = registrar(&["--id", "1"]);
    let (_second, two) = registrar(&["--id", "2", "--peer", &one["enrp"]]);
    let (_element, served) = echo("echo", &one["asap"], &["--id", "7"]);
    eventually("both registrars have the element", || {
        dump(&two["admin"])["handlespace"]["element_count"] == 1
    });
    let (left, right) = (dump(&one["admin"]), dump(&two["admin"]));
    assert_eq!(left["handlespace"]["server"], "0x00000001");
    assert_eq!(left["handlespace"]["ready"], true);
    let pool = &left["handlespace"]["pools"][0];
    assert_eq!((&pool["handle"], &pool["handle_hex"]), (&"echo".into(), &"6563686f".into()));
    assert_eq!(pool["elements"][0]["id"], "0x00000007");
    assert_eq!(pool["elements"][0]["home"], "0x00000001");
    assert_eq!(pool["elements"][0]["user_transport"], *served["service"]);
    assert_eq!(pool, &right["handlespace"]["pools"][0]);
    assert_eq!(left["peers"]["peers"][0]["server"], "0x00000002");
    assert_eq!(left["peers"]["peers"][0]["endpoint"], *two["enrp"]);
    assert_eq!(right["peers"]["peers"][0]["state"], "active");
    let owner = |dump: &serde_json::Value| {
        let owners = dump["handlespace"]["owners"].as_array().cloned().unwrap_or_default();
        owners.into_iter().find(|owner| owner["server"] == "0x00000001").expect("it owns an element")
    };
    assert_eq!(owner(&left), owner(&right));
    assert_eq!(owner(&left)["checksum"].as_str().map(str::len), Some(4));
    let text = run(&["dump", "--admin", &one["admin"]], "").stdout;
    assert!(text.contains("registrar 0x00000001, ready: 1 pools, 1 elements"), "{text}");
}

#[test]
fn dump_of_nobody_fails_and_names_the_flag() {
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|gone| gone.local_addr()).expect("loopback");
    let ended = run(&["dump", "--admin", &format!("http://{free}")], "");
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("--admin http://127.0.0.1"), "{}", ended.stderr);
}

#[test]
fn a_registrar_that_is_terminated_hands_its_elements_over() {
    let (_first, one) = registrar(&["--id", "1"]);
    let (mut second, two) = registrar(&["--id", "2", "--peer", &one["enrp"]]);
    let (_element, _) = echo("echo", &two["asap"], &["--id", "7"]);
    second.terminate();
    assert!(second.end().success());
    eventually("the other registrar is the home", || {
        dump(&one["admin"])["handlespace"]["pools"][0]["elements"][0]["home"] == "0x00000001"
    });
}

#[test]
fn a_registrar_takes_its_settings_from_a_file_and_flags_win() {
    let path = format!("{}/registrar.toml", env!("CARGO_TARGET_TMPDIR"));
    let text = "asap = [\"tcp://127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\nid = 5\ntimers = \"fast\"\n\
                [timing]\nkeep_alive_interval = 0.2\n[limits]\ndefault_items = 1\n";
    std::fs::write(&path, text).expect("the directory is there");
    let (id, at) = {
        let running = start(&["registrar", "--config", &path, "--id", "6"]);
        let at = running.ready();
        let id = dump(&at["admin"])["handlespace"]["server"].clone();
        let _elements: Vec<_> = (0..2).map(|_| echo("echo", &at["asap"], &[])).collect();
        let ended =
            run(&["resolve", "--json", "--timers", "fast", "--pool", "echo", "--registrar", &at["asap"]], "");
        assert_eq!(json(&ended)["elements"].as_array().map(Vec::len), Some(1), "one is the limit");
        (id, at)
    };
    assert_eq!(id, "0x00000006");
    assert!(!at.contains_key("enrp"));
}

#[test]
fn metrics_and_health_are_served() {
    let (_registrar, at) = registrar(&[]);
    let (_element, _) = echo("echo", &at["asap"], &[]);
    let text = |path: &str| {
        let mut response = ureq::get(format!("{}{path}", at["admin"])).call().expect("200");
        response.body_mut().read_to_string().expect("text")
    };
    assert_eq!(text("/livez"), "alive\n");
    assert_eq!(text("/readyz"), "ready\n");
    let metrics = text("/metrics");
    assert!(metrics.contains("\nrserpool_registrations_total 1\n"), "{metrics}");
    assert!(metrics.contains("\nrserpool_owned_elements 1\n"), "{metrics}");
}

#[test]
fn a_registrar_is_not_ready_while_it_looks_for_a_mentor() {
    // A peer that accepts and says nothing: with the RFCs' timers it is waited for 5 s and more.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let peer = format!("tcp://{}", mute.local_addr().expect("bound"));
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|gone| gone.local_addr()).expect("loopback");
    let mut registrar = start(&[
        "registrar",
        "--asap",
        "tcp://127.0.0.1:0",
        "--enrp",
        "tcp://127.0.0.1:0",
        "--peer",
        &peer,
        "--admin",
        &free.to_string(),
    ]);
    let _link = mute.accept().expect("the registrar asks its mentor");
    let refused = ureq::get(format!("http://{free}/readyz")).call();
    assert!(matches!(refused, Err(ureq::Error::StatusCode(503))), "{refused:?}");
    registrar.terminate();
    assert!(registrar.end().success());
}
