//! Our registrar does everything that `rserpool conform` requires of any.
#![allow(clippy::expect_used, reason = "in tests, a panic is the report")]
mod support;

use std::path::PathBuf;

use support::{json, registrar, run};

/// Fast timers, but time enough for a busy machine to answer in.
const TIMING: &str = "\
[timing]
max_time_last_heard = 1.5
max_time_no_response = 1.5
takeover_watch = 4
keep_alive_timeout = 2
detached_grace = 1
";

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("conform-{name}"))
}

/// Tests a registrar of this dialect, which must pass; gives what was said, and the JUnit file.
fn passes(dialect: &str) -> (String, String) {
    let (config, junit) = (file(&format!("{dialect}.toml")), file(&format!("{dialect}.xml")));
    std::fs::write(&config, TIMING).expect("written");
    let config = config.display().to_string();
    let (_registrar, ready) = registrar(&["--dialect", dialect, "--config", &config]);
    let [asap, enrp, admin] = ["asap", "enrp", "admin"].map(|name| ready.get(name).expect("served").as_str());
    let junit = junit.display().to_string();
    let base = ["conform", "--asap", asap, "--enrp", enrp, "--admin", admin];
    let ended = run(&[&base[..], &["--dialect", dialect, "--junit", &junit]].concat(), "");
    assert_eq!(ended.status, Some(0), "{}{}", ended.stdout, ended.stderr);
    let left = json(&run(&["dump", "--json", "--admin", admin], ""));
    assert_eq!(left["handlespace"]["element_count"], 0, "{left}");
    (ended.stdout, std::fs::read_to_string(junit).expect("a JUnit file"))
}

#[test]
fn our_registrar_passes_every_case() {
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
    let (stdout, _) = passes("rsplib");
    assert!(
        stdout.lines().last().is_some_and(|summary| summary.contains(" 0 failed, 1 skipped in ")),
        "{stdout}"
    );
}

#[test]
fn cases_are_listed_by_name_group_and_requirement() {
    let all = run(&["conform", "--list"], "");
    assert_eq!(all.status, Some(0), "{}", all.stderr);
    assert!(all.stdout.lines().count() > 150, "{}", all.stdout);
    for (pattern, name) in [
        ("takeover", "proposal-is-agreed-to"),
        ("deregistered-element-is-gone", "deregistered-element-is-gone"),
        ("5353-3.6.2-02", "checksum-is-over-the-elements-owned"),
    ] {
        let some = run(&["conform", "--list", "--only", pattern], "");
        assert!(some.stdout.contains(name), "--only {pattern}: {}", some.stdout);
        assert!(some.stdout.lines().count() < all.stdout.lines().count());
    }
}

#[test]
fn a_registrar_that_fails_a_case_fails_the_command() {
    // One that holds an element to be unreachable at the first report, which is against the threshold that the RFC has.
    let config = file("strict.toml");
    std::fs::write(&config, format!("{TIMING}\n[limits]\nbad_reports = 0\n")).expect("written");
    let config = config.display().to_string();
    let (_registrar, ready) = registrar(&["--config", &config]);
    let asap = ready.get("asap").expect("served");
    let ended = run(&["conform", "--asap", asap, "--only", "unreachable", "--patience", "2"], "");
    assert_eq!(ended.status, Some(1), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("  FAIL  three-reports-do-not-remove-an-element"), "{}", ended.stdout);
    assert!(ended.stdout.contains("        expected "), "{}", ended.stdout);
}

#[test]
fn what_cannot_be_run_is_told() {
    let usage = run(&["conform", "--asap", "tcp://127.0.0.1:1", "--only", "no such case"], "");
    assert_eq!(usage.status, Some(2));
    assert!(usage.stderr.contains("--list"), "{}", usage.stderr);
    let nobody = run(&["conform", "--asap", "tcp://127.0.0.1:1", "--patience", "1"], "");
    assert_eq!(nobody.status, Some(1));
    assert!(nobody.stderr.contains("tcp://127.0.0.1:1"), "{}", nobody.stderr);
    let (_registrar, ready) = registrar(&[]);
    let asap = ready.get("asap").expect("served");
    let alone = run(&["conform", "--asap", asap, "--only", "takeover"], "");
    assert_eq!(alone.status, Some(0), "{}", alone.stderr);
    assert!(alone.stdout.contains("needs --enrp"), "{}", alone.stdout);
}
