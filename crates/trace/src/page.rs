//! The page: how much of each RFC is held, section by section, and then every sentence.
use std::fmt::Write as _;

use crate::conformance::{Conformance, Requirement, Verdict};
use crate::outline::{OUTLINE, Section};

const INTRODUCTION: &str = "# Conformance

Every normative sentence of RFC 5352 (ASAP), 5353 (ENRP), 5354 (parameters), 5355 (threats) and 5356 (policies), in our own words,
and the tests that hold it. `5353-3.5.1-04` is the fourth such sentence of RFC 5353 §3.5.1.

* **held**: tests fail if it is not so.
* **partly**: tests hold a part; the remark says what is missing, and why.
* **gap**: not done on purpose, or not tested; the remark says why.
* **n/a**: it asks nothing of an implementation, or is about something that this one does not have.

This page is made of [`conformance.toml`](../conformance.toml): `cargo run -p rserpool-trace` writes it again, `cargo test -p
rserpool-trace` checks that no sentence is missing and that every test exists.
";

const COLUMNS: &str = "held | partly | gap | n/a | sentences | held of what asks |
|---|---:|---:|---:|---:|---:|---:|";

/// How many sentences became what.
#[derive(Clone, Copy, Default)]
struct Score([usize; 4]);

impl Score {
    fn of(conformance: &Conformance, sections: impl IntoIterator<Item = Section>) -> Self {
        let mut score = Self::default();
        for id in sections.into_iter().flat_map(Section::ids) {
            let verdict = conformance.requirements.get(&id).and_then(Requirement::verdict);
            if let Some(count) = verdict.and_then(|verdict| score.0.get_mut(verdict as usize)) {
                *count += 1;
            }
        }
        score
    }

    /// Of all that asks something, how much is held.
    fn row(self) -> String {
        let [held, partly, gap, not_applicable] = self.0;
        let asked = held + partly + gap;
        let percent =
            (100 * held).checked_div(asked).map_or("–".to_owned(), |percent| format!("{percent} %"));
        let total = asked + not_applicable;
        format!("{held} | {partly} | {gap} | {not_applicable} | {total} | {percent}")
    }
}

/// Renders the page.
#[must_use]
pub fn render(conformance: &Conformance) -> String {
    let mut page = INTRODUCTION.to_owned();
    line(&mut page, format_args!("\n| | {COLUMNS}"));
    for rfc in rfcs() {
        let score = Score::of(conformance, sections(rfc));
        line(&mut page, format_args!("| [RFC {rfc}](#rfc-{rfc}) | {} |", score.row()));
    }
    let all = Score::of(conformance, OUTLINE.iter().copied());
    line(&mut page, format_args!("| **all** | {} |", all.row()));
    for rfc in rfcs() {
        line(&mut page, format_args!("\n## RFC {rfc}\n"));
        line(&mut page, format_args!("| section | {COLUMNS}"));
        for section in sections(rfc) {
            let score = Score::of(conformance, [section]);
            line(&mut page, format_args!("| §{} {} | {} |", section.number, section.title, score.row()));
        }
        for section in sections(rfc) {
            line(&mut page, format_args!("\n### RFC {rfc} §{} {}\n", section.number, section.title));
            line(
                &mut page,
                format_args!("| id | | what it asks | | tests and remarks |\n|---|---|---|---|---|"),
            );
            for id in section.ids() {
                if let Some(requirement) = conformance.requirements.get(&id) {
                    line(&mut page, format_args!("{}", row(&id, requirement)));
                }
            }
        }
    }
    page
}

fn row(id: &str, requirement: &Requirement) -> String {
    let Requirement { level, says, tests, .. } = requirement;
    let verdict = match requirement.verdict() {
        Some(Verdict::Held) => "held",
        Some(Verdict::Partly) => "partly",
        Some(Verdict::Gap) => "**gap**",
        Some(Verdict::NotApplicable) | None => "n/a",
    };
    let tests = tests.iter().map(|test| {
        let (file, name) = test.split_once("::").unwrap_or((test, test));
        format!("[{name}](../{file})")
    });
    let remarks: Vec<String> = tests.chain(requirement.remarks().map(str::to_owned)).collect();
    format!("| {id} | {level} | {says} | {verdict} | {} |", remarks.join("<br>"))
}

fn rfcs() -> impl Iterator<Item = u16> {
    let starts = |pair: &[Section]| match pair {
        [before, section] => (before.rfc != section.rfc).then_some(section.rfc),
        _ => None,
    };
    OUTLINE.first().map(|first| first.rfc).into_iter().chain(OUTLINE.windows(2).filter_map(starts))
}

fn sections(rfc: u16) -> impl Iterator<Item = Section> {
    OUTLINE.iter().copied().filter(move |section| section.rfc == rfc)
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(page, "{text}");
}
