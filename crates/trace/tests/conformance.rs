//! Whether every normative sentence of the RFCs is accounted for, by tests that exist.
#![allow(clippy::expect_used, reason = "a failed step of the scaffolding fails the test")]
use std::collections::BTreeSet;

use rserpool_trace::{Conformance, OUTLINE, PAGE, cited, ids, problem_with, render, root};

fn conformance() -> Conformance {
    Conformance::read(&root()).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn assert_none(what: &str, problems: &[String]) {
    assert!(problems.is_empty(), "{what}:\n  {}", problems.join("\n  "));
}

#[test]
fn the_outline_has_all_sentences_of_the_five_rfcs() {
    let count = |rfc| -> u32 {
        OUTLINE.iter().filter(|section| section.rfc == rfc).map(|section| u32::from(section.sentences)).sum()
    };
    assert_eq!([5352, 5353, 5354, 5355, 5356].map(count), [161, 133, 23, 20, 31]);
    assert_eq!(ids().collect::<BTreeSet<_>>().len(), 368, "each of them once");
}

#[test]
fn every_sentence_is_accounted_for_and_nothing_else_is() {
    let known: BTreeSet<String> = ids().collect();
    let listed: BTreeSet<String> = conformance().requirements.into_keys().collect();
    let missing: Vec<_> = known.difference(&listed).cloned().collect();
    assert_none("sentences that conformance.toml does not have", &missing);
    let unknown: Vec<_> = listed.difference(&known).cloned().collect();
    assert_none("identifiers that no sentence has", &unknown);
}

#[test]
fn every_sentence_has_tests_or_a_reason() {
    let mut problems = Vec::new();
    for (id, requirement) in &conformance().requirements {
        if requirement.verdict().is_none() {
            problems.push(format!("{id}: give it `tests`, `tests` and `gap`, `gap`, or `not_applicable`"));
        }
        let texts = requirement.remarks().chain([requirement.says.as_str()]);
        if texts.into_iter().any(|text| text.len() < 12 || text.contains(['|', '\n'])) {
            problems.push(format!("{id}: a text is too short, or has a `|` or a line break"));
        }
        if requirement.tests.iter().collect::<BTreeSet<_>>().len() != requirement.tests.len() {
            problems.push(format!("{id}: a test is named twice"));
        }
    }
    assert_none("entries that are not complete", &problems);
}

#[test]
fn every_named_test_exists() {
    let (root, mut problems) = (root(), Vec::new());
    for (id, requirement) in &conformance().requirements {
        for test in &requirement.tests {
            problems.extend(problem_with(&root, test).map(|problem| format!("{id}: {test}: {problem}")));
        }
    }
    assert_none("tests that are named and not there", &problems);
}

#[test]
fn every_cited_identifier_exists() {
    let known: BTreeSet<String> = ids().collect();
    // Tests of what is no identifier have some.
    let cited =
        cited(&root()).expect("the sources").into_iter().filter(|(_, at)| !at.starts_with("crates/trace"));
    let unknown: Vec<_> =
        cited.filter(|(id, _)| !known.contains(id)).map(|(id, at)| format!("{at}: {id}")).collect();
    assert_none("identifiers that no sentence has", &unknown);
}

#[test]
fn the_page_is_up_to_date() {
    let page = std::fs::read_to_string(root().join(PAGE)).expect("the page");
    assert!(page == render(&conformance()), "{PAGE} is out of date: run `cargo run -p rserpool-trace`");
}
