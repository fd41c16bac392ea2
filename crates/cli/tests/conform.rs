//! Our registrar does everything that `rserpool conform` requires of any.
#![allow(clippy::expect_used, reason = "in tests, a panic is the report")]
mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use support::{Ended, Running, json, run, start_with_log};

/// Fast timers, but time enough for a busy machine to answer in.
const TIMING: &str = "\
[timing]
max_time_last_heard = 2
max_time_no_response = 2.5
takeover_watch = 6
keep_alive_timeout = 3
detached_grace = 1
download_session = 3
resync_interval = 3
";

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("conform-{name}"))
}

/// A registrar with everything on free ports and this configuration, and the parts of its ready line.
fn registrar(name: &str, config: &str, more: &[&str]) -> (Running, BTreeMap<String, String>) {
    served("tcp", name, config, more)
}

/// The same over any transport.
fn served(scheme: &str, name: &str, config: &str, more: &[&str]) -> (Running, BTreeMap<String, String>) {
    let path = file(name);
    std::fs::write(&path, config).expect("written");
    let (path, url) = (path.display().to_string(), format!("{scheme}://127.0.0.1:0"));
    let endpoints = ["--asap", &url, "--enrp", &url, "--admin", "127.0.0.1:0"];
    let base = ["registrar", "--timers", "fast", "--config", &path];
    let mut running = start_with_log(&[&base[..], &endpoints, more].concat());
    // Peers by the dozen die on it: nobody wants to read that.
    let mut log = running.log().expect("on a pipe");
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    let ready = running.ready();
    (running, ready)
}

/// One registrar at a time: it may look for a peer that is gone where the tester of another one listens now.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `rserpool conform`, however long it takes: all that it waits for has bounds of its own.
fn conform(arguments: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_rserpool")).arg("conform").args(arguments).output();
    let output = output.expect("the binary is built");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Ended { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// What it says without the cases that passed.
fn failures(ended: &Ended) -> String {
    ended.stdout.lines().filter(|line| !line.starts_with("  pass")).collect::<Vec<_>>().join("\n")
}

/// Tests a registrar of this dialect, which must pass; gives what was said, and the JUnit file.
fn passes(dialect: &str) -> (String, String) {
    let junit = file(&format!("{dialect}.xml"));
    let (_registrar, ready) = registrar(&format!("{dialect}.toml"), TIMING, &["--dialect", dialect]);
    let [asap, enrp, admin] = ["asap", "enrp", "admin"].map(|name| ready.get(name).expect("served").as_str());
    let junit = junit.display().to_string();
    let base = ["--asap", asap, "--enrp", enrp, "--admin", admin];
    let ended = conform(&[&base[..], &["--dialect", dialect, "--junit", &junit]].concat());
    assert_eq!(ended.status, Some(0), "{}{}", failures(&ended), ended.stderr);
    let left = json(&run(&["dump", "--json", "--admin", admin], ""));
    let elements = left.pointer("/handlespace/element_count").and_then(serde_json::Value::as_u64);
    assert_eq!(elements, Some(0), "something is left: {left}");
    (ended.stdout, std::fs::read_to_string(junit).expect("a JUnit file"))
}

#[test]
fn our_registrar_passes_every_case() {
    let _alone = alone();
    let (stdout, junit) = passes("rfc");
    let summary = stdout.lines().last().expect("a summary");
    assert!(summary.contains(" 0 failed, "), "{summary}");
    // Only what is about another transport is left out.
    assert!(summary.contains(" 1 skipped in "), "{summary}");
    assert!(stdout.contains("  pass  registration-is-granted"), "{stdout}");
    assert!(junit.contains("<testcase classname=\"registration\" name=\"registration-is-granted\""));
}

#[test]
fn our_registrar_passes_every_case_in_the_dialect_of_the_reference_implementation() {
    let _alone = alone();
    let (stdout, _) = passes("rsplib");
    assert!(
        stdout.lines().last().is_some_and(|summary| summary.contains(" 0 failed, 1 skipped in ")),
        "{stdout}"
    );
}

#[test]
fn our_registrar_passes_over_tls() {
    let _alone = alone();
    let keys = file("keys");
    let _ = std::fs::remove_dir_all(&keys);
    let path = |name: &str| keys.join(name).display().to_string();
    let done = |arguments: &[&str]| {
        let ended = run(arguments, "");
        assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.stderr);
    };
    done(&["keygen", "ca", "--out", &path("")]);
    for name in ["registrar", "tester"] {
        done(&[
            "keygen",
            "cert",
            "--ca",
            &path(""),
            "--name",
            name,
            "--ip",
            "127.0.0.1",
            "--out",
            &path(name),
        ]);
    }
    let policy =
        "peers = [\"tester\"]\n[[identities]]\nname = \"tester\"\npools = [\"cf-*\"]\naddresses = [\"*\"]\n";
    std::fs::write(keys.join("policy.toml"), policy).expect("written");
    let (ca, of_registrar) = (path("ca.pem"), (path("registrar/cert.pem"), path("registrar/key.pem")));
    let base = ["--tls-ca", &ca, "--tls-cert", &of_registrar.0, "--tls-key", &of_registrar.1];
    let policy = path("policy.toml");
    let (_registrar, ready) =
        served("tls", "tls.toml", TIMING, &[&base[..], &["--policy", &policy]].concat());
    let of_tester = (path("tester/cert.pem"), path("tester/key.pem"));
    let [asap, enrp] = ["asap", "enrp"].map(|name| ready.get(name).expect("served").as_str());
    let target = ["--asap", asap, "--enrp", enrp];
    let keys = ["--tls-ca", &ca, "--tls-cert", &of_tester.0, "--tls-key", &of_tester.1];
    let only =
        ["--only", "registration", "--only", "takeover", "--only", "unreachable", "--only", "presence"];
    let ended = conform(&[&target[..], &keys, &only].concat());
    assert_eq!(ended.status, Some(0), "{}{}", failures(&ended), ended.stderr);
    assert!(ended.stdout.contains("  pass  elements-taken-over-get-the-h-bit"), "{}", ended.stdout);
}

#[test]
fn cases_are_listed_by_name_group_and_requirement() {
    let all = conform(&["--list"]);
    assert_eq!(all.status, Some(0), "{}", all.stderr);
    assert!(all.stdout.lines().count() > 150, "{}", all.stdout);
    for (pattern, name) in [
        ("takeover", "proposal-is-agreed-to"),
        ("deregistered-element-is-gone", "deregistered-element-is-gone"),
        ("5353-3.6.2-02", "checksum-is-over-the-elements-owned"),
    ] {
        let some = conform(&["--list", "--only", pattern]);
        assert!(some.stdout.contains(name), "--only {pattern}: {}", some.stdout);
        assert!(some.stdout.lines().count() < all.stdout.lines().count());
    }
}

#[test]
fn a_registrar_that_fails_a_case_fails_the_command() {
    let _alone = alone();
    // One that holds an element to be unreachable at the first report, which is against the threshold that the RFC has.
    let config = format!("{TIMING}\n[limits]\nbad_reports = 0\n");
    let (_registrar, ready) = registrar("strict.toml", &config, &[]);
    let asap = ready.get("asap").expect("served");
    let ended = conform(&["--asap", asap, "--only", "unreachable", "--patience", "2"]);
    assert_eq!(ended.status, Some(1), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("  FAIL  three-reports-do-not-remove-an-element"), "{}", ended.stdout);
    assert!(ended.stdout.contains("        expected "), "{}", ended.stdout);
}

#[test]
fn what_cannot_be_run_is_told() {
    let _alone = alone();
    let usage = conform(&["--asap", "tcp://127.0.0.1:1", "--only", "no such case"]);
    assert_eq!(usage.status, Some(2));
    assert!(usage.stderr.contains("--list"), "{}", usage.stderr);
    let nobody = conform(&["--asap", "tcp://127.0.0.1:1", "--patience", "1"]);
    assert_eq!(nobody.status, Some(1));
    assert!(nobody.stderr.contains("tcp://127.0.0.1:1"), "{}", nobody.stderr);
    let (_registrar, ready) = registrar("alone.toml", TIMING, &[]);
    let asap = ready.get("asap").expect("served");
    let alone = conform(&["--asap", asap, "--only", "takeover"]);
    assert_eq!(alone.status, Some(0), "{}", alone.stderr);
    assert!(alone.stdout.contains("needs --enrp"), "{}", alone.stdout);
}
