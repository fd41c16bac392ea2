//! What came of a run: a table for people, JUnit XML for machines.
use std::fmt;
use std::time::Duration;

use crate::case::Case;
use crate::outcome::Outcome;

/// What came of one case.
#[derive(Debug)]
#[non_exhaustive]
pub struct CaseReport {
    /// The group of the case.
    pub group: &'static str,
    /// The case.
    pub case: &'static Case,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

/// What came of a run. Prints as a table by group, with a summary in the last line.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// What was tested.
    pub target: String,
    /// The cases that were selected, in the order of the catalogue.
    pub cases: Vec<CaseReport>,
    /// How long all of it took.
    pub took: Duration,
}

impl Report {
    /// How many cases passed.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Passed))
    }

    /// How many cases failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Failed { .. }))
    }

    /// How many cases could not be tried.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Skipped { .. }))
    }

    fn count(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.cases.iter().filter(|report| is(&report.outcome)).count()
    }

    fn groups(&self) -> impl Iterator<Item = (&'static str, &[CaseReport])> {
        let parts = self.cases.chunk_by(|a, b| a.group == b.group);
        parts.filter_map(|part| Some((part.first()?.group, part)))
    }

    /// Why cases failed, after the table: where it is read first, and where a log that was cut short still has it.
    fn write_failures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.failed() == 0 {
            return Ok(());
        }
        writeln!(f, "failed")?;
        for CaseReport { group, case, outcome, took } in &self.cases {
            if let Outcome::Failed { expected, seen } = outcome {
                writeln!(f, "  {group}: {}, after {:.1} s", case.name, took.as_secs_f64())?;
                writeln!(f, "        expected {expected}\n        seen {seen}")?;
            }
        }
        writeln!(f)
    }

    /// The report as JUnit XML: a suite per group, the requirements as properties of the cases.
    #[must_use]
    pub fn junit(&self) -> String {
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let totals = Totals::of(&self.cases);
        let target = escaped(&self.target);
        xml.push_str(&format!("<testsuites name=\"rserpool conform {target}\" {totals}>\n"));
        for (group, cases) in self.groups() {
            xml.push_str(&format!("  <testsuite name=\"{group}\" {}>\n", Totals::of(cases)));
            cases.iter().for_each(|report| junit_case(&mut xml, report));
            xml.push_str("  </testsuite>\n");
        }
        xml.push_str("</testsuites>\n");
        xml
    }
}

fn junit_case(xml: &mut String, report: &CaseReport) {
    let CaseReport { group, case, outcome, took } = report;
    let name = case.name;
    let seconds = took.as_secs_f64();
    xml.push_str(&format!("    <testcase classname=\"{group}\" name=\"{name}\" time=\"{seconds:.3}\">\n"));
    xml.push_str("      <properties>\n");
    for requirement in case.requirements {
        xml.push_str(&format!("        <property name=\"requirement\" value=\"{requirement}\"/>\n"));
    }
    xml.push_str("      </properties>\n");
    match outcome {
        Outcome::Passed => {}
        Outcome::Failed { expected, seen } => {
            let (expected, seen) = (escaped(expected), escaped(seen));
            xml.push_str(&format!("      <failure message=\"expected {expected}\">seen: {seen}</failure>\n"));
        }
        Outcome::Skipped { reason } => {
            xml.push_str(&format!("      <skipped message=\"{}\"/>\n", escaped(reason)));
        }
    }
    xml.push_str("    </testcase>\n");
}

/// The attributes of a suite.
struct Totals {
    tests: usize,
    failures: usize,
    skipped: usize,
    took: Duration,
}

impl Totals {
    fn of(cases: &[CaseReport]) -> Self {
        let count = |is: fn(&Outcome) -> bool| cases.iter().filter(|report| is(&report.outcome)).count();
        Self {
            tests: cases.len(),
            failures: count(|outcome| matches!(outcome, Outcome::Failed { .. })),
            skipped: count(|outcome| matches!(outcome, Outcome::Skipped { .. })),
            took: cases.iter().map(|report| report.took).sum(),
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tests, failures, skipped, took } = self;
        let seconds = took.as_secs_f64();
        write!(f, "tests=\"{tests}\" failures=\"{failures}\" skipped=\"{skipped}\" time=\"{seconds:.3}\"")
    }
}

/// Text as it may stand in XML 1.0, in attributes too.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(' '),
            control if control.is_control() || matches!(control, '\u{fffe}' | '\u{ffff}') => {
                escaped.push('\u{fffd}');
            }
            other => escaped.push(other),
        }
    }
    escaped
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.cases.iter().map(|report| report.case.name.len()).max().unwrap_or(0);
        for (group, cases) in self.groups() {
            writeln!(f, "{group}")?;
            for CaseReport { case, outcome, .. } in cases {
                let word = match outcome {
                    Outcome::Passed => "pass",
                    Outcome::Failed { .. } => "FAIL",
                    Outcome::Skipped { .. } => "skip",
                };
                let name = case.name;
                writeln!(f, "  {word}  {name:width$}  {}", case.requirements.join(" "))?;
                if let Outcome::Skipped { reason } = outcome {
                    writeln!(f, "        {reason}")?;
                }
            }
            writeln!(f)?;
        }
        self.write_failures(f)?;
        let (passed, failed, skipped) = (self.passed(), self.failed(), self.skipped());
        let seconds = self.took.as_secs_f64();
        write!(f, "{}: {passed} passed, {failed} failed, {skipped} skipped in {seconds:.1} s", self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::groups;

    fn report(outcomes: Vec<Outcome>) -> Report {
        let group = groups().first().expect("a group");
        let cases = group.cases.iter().zip(outcomes);
        let took = Duration::from_millis(1_500);
        let cases = cases.map(|(case, outcome)| CaseReport { group: group.name, case, outcome, took });
        Report { target: "tcp://192.0.2.1:3863".into(), cases: cases.collect(), took }
    }

    #[test]
    fn the_table_ends_with_a_summary_and_says_why_a_case_failed() {
        let failed = Outcome::Failed { expected: "silence".into(), seen: "<noise>".into() };
        let report = report(vec![Outcome::Passed, failed, Outcome::Skipped { reason: "needs more".into() }]);
        let text = report.to_string();
        let (table, end) = text.split_once("failed\n").expect("a part about failures");
        assert!(table.contains("  FAIL  ") && !table.contains("noise"), "{text}");
        assert!(end.contains("after 1.5 s\n        expected silence\n        seen <noise>\n\n"), "{text}");
        assert!(text.ends_with("tcp://192.0.2.1:3863: 1 passed, 1 failed, 1 skipped in 1.5 s"), "{text}");
    }

    #[test]
    fn junit_counts_escapes_and_names_requirements() {
        let failed = Outcome::Failed { expected: "\"silence\"".into(), seen: "<noise>\u{1}&".into() };
        let report = report(vec![Outcome::Passed, failed]);
        let xml = report.junit();
        assert!(xml.contains("tests=\"2\" failures=\"1\" skipped=\"0\" time=\"3.000\""), "{xml}");
        assert!(
            xml.contains("message=\"expected &quot;silence&quot;\">seen: &lt;noise&gt;\u{fffd}&amp;<"),
            "{xml}"
        );
        assert!(xml.contains("<property name=\"requirement\" value=\"5352-"), "{xml}");
        assert_eq!(xml.matches("<testcase").count(), xml.matches("</testcase>").count());
    }
}
