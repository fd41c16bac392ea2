//! Wrong usage: exit status 2, the flag's name, and the right form.
mod support;

use support::run;

fn assert_refused(arguments: &[&str], named: &[&str]) {
    let ended = run(arguments, "");
    assert_eq!(ended.status, Some(2), "{arguments:?}: {}", ended.stderr);
    assert_eq!(ended.stdout, "", "{arguments:?}");
    for name in named {
        assert!(ended.stderr.contains(name), "{arguments:?} does not say `{name}`: {}", ended.stderr);
    }
}

#[test]
fn a_value_that_cannot_be_read_is_told_with_its_flag_and_the_right_form() {
    let pe = ["pe", "--echo", "--pool", "p", "--registrar", "tcp://127.0.0.1:1"];
    let user = ["resolve", "--pool", "p", "--registrar", "tcp://127.0.0.1:1"];
    let with = |base: &[&'static str], more: &[&'static str]| [base, more].concat();
    assert_refused(&["registrar", "--asap", "127.0.0.1:3863"], &["--asap", "tcp://HOST:PORT"]);
    assert_refused(&["registrar", "--asap", "tcp://a:1", "--id", "0"], &["--id", "any other number"]);
    assert_refused(
        &["registrar", "--asap", "tcp://a:1", "--timers", "slow"],
        &["--timers", "`rfc` or `fast`"],
    );
    assert_refused(&with(&pe, &["--policy", "best"]), &["--policy", "wrr:W"]);
    let sidecar = ["pe", "--pool", "p", "--registrar", "tcp://127.0.0.1:1", "--target"];
    for place in ["127.0.0.1", "tcp://127.0.0.1:80", "::1:80", ":80"] {
        assert_refused(&with(&sidecar, &[place]), &["--target", place, "[::1]:8080"]);
    }
    assert_refused(&with(&pe, &["--listen", "4711"]), &["--listen", "HOST:PORT"]);
    assert_refused(&with(&pe, &["--listen", "http://127.0.0.1:0"]), &["--listen", "sctp://HOST:PORT"]);
    assert_refused(&["registrar", "--asap", "tcp://a:1", "--admin", "http://a:2"], &["--admin", "HOST:PORT"]);
    assert_refused(&["registrar", "--asap", "tcp://a:1", "--peer", "tcp://a:0"], &["--peer", "port 0"]);
    assert_refused(&["resolve", "--pool", "p", "--registrar", "tcp://a:0"], &["--registrar", "port 0"]);
    assert_refused(&["resolve", "--pool", "p", "--registrar", "tcp://[fe80::1%eth0]:1"], &["zone (%)"]);
    assert_refused(&["resolve", "--pool", "", "--registrar", "tcp://a:1"], &["--pool", "not empty"]);
    assert_refused(&with(&pe, &["--id", "0xyz"]), &["--id", "8 hexadecimal digits"]);
    assert_refused(&with(&pe, &["--life", "0"]), &["--life", "2.5"]);
    assert_refused(&with(&user, &["--dialect", "old"]), &["--dialect", "rsplib"]);
    assert_refused(&with(&user, &["--items", "0"]), &["--items", "from 1 on"]);
    assert_refused(&["dump", "--admin", "127.0.0.1:80"], &["--admin", "http://HOST:PORT"]);
    assert_refused(&["decode", "--protocol", "sctp"], &["--protocol", "asap, enrp"]);
    assert_refused(
        &["bench", "resolve", "--registrar", "tcp://127.0.0.1:1", "--pipeline", "0"],
        &["--pipeline", "whole number"],
    );
}

#[test]
fn a_missing_flag_is_named() {
    assert_refused(&["registrar"], &["--asap"]);
    assert_refused(&["resolve", "--pool", "p"], &["--registrar"]);
    assert_refused(&["call", "--registrar", "tcp://127.0.0.1:1"], &["--pool"]);
    assert_refused(&["pe", "--pool", "p", "--registrar", "tcp://127.0.0.1:1"], &["--echo", "--target"]);
    assert_refused(&["decode"], &["--protocol"]);
}

#[test]
fn flags_that_exclude_each_other_are_named() {
    assert_refused(
        &["pe", "--pool", "p", "--registrar", "tcp://a:1", "--echo", "--target", "a:1"],
        &["--echo", "--target"],
    );
    assert_refused(
        &["pe", "--pool", "p", "--registrar", "tcp://a:1", "--target", "a:1", "--listen", "a:2"],
        &["--listen", "--target"],
    );
}

#[test]
fn a_mistake_in_the_configuration_file_is_told_with_key_and_line() {
    let path = format!("{}/wrong.toml", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&path, "asap = [\"tcp://127.0.0.1:0\"]\nmentor = \"tcp://10.0.0.1:9901\"\n")
        .expect("written");
    assert_refused(
        &["registrar", "--config", &path],
        &["--config", "wrong.toml", "line 2", "mentor", "peers"],
    );
    std::fs::write(&path, "timers = \"fast\"\n").expect("written");
    assert_refused(&["registrar", "--config", &path], &["--asap"]);
    assert_refused(&["registrar", "--config", "/nonexistent.toml"], &["--config /nonexistent.toml"]);
}

#[test]
fn values_that_cannot_work_are_told_with_the_file_and_the_field() {
    let path = format!("{}/contradictory.toml", env!("CARGO_TARGET_TMPDIR"));
    let fields = [
        ("[links]\nsend_queue = 10", "send_queue"),
        ("[sctp]\nrto_initial = 100", "rto_initial"),
        ("[timing]\nmax_time_last_heard = 0", "heartbeat_cycle"),
    ];
    for (table, field) in fields {
        std::fs::write(&path, format!("asap = [\"tcp://127.0.0.1:0\"]\n{table}\n")).expect("written");
        assert_refused(&["registrar", "--config", &path], &["--config", "contradictory.toml", field]);
    }
}

#[test]
fn help_and_version_are_no_mistake() {
    for arguments in [&["--help"][..], &["pe", "--help"], &["bench", "resolve", "--help"], &["--version"]] {
        let ended = run(arguments, "");
        assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(!ended.stdout.is_empty());
    }
}
