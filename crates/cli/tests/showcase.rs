//! The demo and the benchmarks: what they promise.
mod support;

use support::{json, registrar, run};

#[test]
fn the_demo_loses_no_request_and_ends_whole() {
    let ended = run(&["demo"], "");
    assert_eq!(ended.status, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains(", 0 lost"), "{}", ended.stdout);
    let dead = ended.stdout.lines().filter(|line| line.contains(" dies: ")).count();
    assert_eq!(dead, 2, "{}", ended.stdout);
    assert!(!ended.stdout.contains('\u{1b}'), "no colours where there is no terminal");
}

#[test]
fn benchmarks_count_answers_and_leave_nothing_behind() {
    let (_registrar, at) = registrar(&[]);
    let common =
        ["--registrar", &at["asap"], "--connections", "3", "--pipeline", "4", "--seconds", "0.3", "--json"];
    for operation in ["resolve", "register"] {
        let ended = run(&[&["bench", operation], &common[..]].concat(), "");
        assert_eq!(ended.status, Some(0), "{operation}: {}", ended.stderr);
        let report = json(&ended);
        assert_eq!((&report["operation"], &report["rejected"]), (&operation.into(), &0.into()));
        assert!(report["responses"].as_u64().is_some_and(|responses| responses >= 12), "{report}");
        let latency = |name: &str| report["latency_us"][name].as_f64().expect("a number");
        assert!(latency("p50") > 0.0 && latency("p50") <= latency("p99") && latency("p99") <= latency("max"));
    }
    let handlespace = json(&run(&["dump", "--json", "--admin", &at["admin"]], ""));
    assert_eq!(handlespace["handlespace"]["element_count"], 0);
}

#[test]
fn a_benchmark_of_an_unknown_pool_fails() {
    let (_registrar, at) = registrar(&[]);
    let ended = run(&["bench", "resolve", "--registrar", &at["asap"], "--pool", "nowhere"], "");
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("pool nowhere: unknown pool handle"), "{}", ended.stderr);
}
