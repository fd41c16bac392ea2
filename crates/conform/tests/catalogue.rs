//! The catalogue is in order: names that last, requirements that exist.
#![allow(clippy::expect_used, reason = "in tests, a panic is the report")]
use std::collections::BTreeSet;
use std::path::Path;

use rserpool_conform::{Case, groups};

fn cases() -> impl Iterator<Item = &'static Case> {
    groups().iter().flat_map(|group| group.cases)
}

#[test]
fn no_name_is_used_twice() {
    let mut names = BTreeSet::new();
    let all = groups().iter().map(|group| group.name).chain(cases().map(|case| case.name));
    all.for_each(|name| assert!(names.insert(name), "{name} is there twice"));
}

#[test]
fn names_are_kebab_case() {
    for name in groups().iter().map(|group| group.name).chain(cases().map(|case| case.name)) {
        let is_word = |word: &str| {
            !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        };
        assert!(name.split('-').all(is_word), "{name}");
    }
}

#[test]
fn every_case_cites_requirements_that_exist() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance.toml");
    let text = std::fs::read_to_string(&path).expect("the requirements are listed at the top of the project");
    let known: toml::Table = text.parse().expect("TOML");
    for case in cases() {
        assert!(!case.requirements.is_empty(), "{} cites nothing", case.name);
        for requirement in case.requirements {
            assert!(known.contains_key(*requirement), "{}: {requirement} does not exist", case.name);
        }
        let cited: BTreeSet<_> = case.requirements.iter().collect();
        assert_eq!(cited.len(), case.requirements.len(), "{} cites one twice", case.name);
    }
}
