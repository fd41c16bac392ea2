//! `rserpool conform`: holds any registrar to the requirements of the RFCs, from outside.
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use rserpool::machine::Endpoint;
use rserpool::wire::Dialect;
use rserpool_conform::{Case, Group, Outcome, Patience, Target, groups, run as hold};

use crate::arguments;
use crate::dump;
use crate::failure::Failure;
use crate::output;
use crate::security::{ClientKeys, diagnose};
use crate::table::Table;

/// Test whether a registrar does what the RFCs require
///
/// Plays elements, users and other registrars, and knows nothing of the registrar but what comes back. Each case cites the
/// requirements that it holds: RFC, section and number. Registers in pools of its own and takes everything back, but do not
/// run it against a registrar on which somebody depends. Fails if a case does.
///
/// A secured registrar must let the tester register in pools `cf-*`, with any address, and be a peer.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where the registrar serves elements and users
    #[arg(long, value_name = "URL", required_unless_present = "list")]
    asap: Option<Endpoint>,
    /// Where it serves other registrars; without, cases that play one are skipped
    #[arg(long, value_name = "URL")]
    enrp: Option<Endpoint>,
    /// Its administrative service; without, cases that look there are skipped
    #[arg(long, value_name = "http://HOST:PORT", value_parser = dump::address)]
    admin: Option<String>,
    /// Print the cases and their requirements, and test nothing
    #[arg(long)]
    list: bool,
    /// Take only cases with this in their name, group or requirements; may be given several times
    #[arg(long, value_name = "PATTERN")]
    only: Vec<String>,
    /// Write JUnit XML there
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// The wire format: of the RFCs, or of the reference implementation where it deviates [rfc, rsplib]
    #[arg(long, value_name = "DIALECT", default_value_t)]
    dialect: Dialect,
    /// How long an answer may take; what the registrar's timers bring may take 12 times that [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = arguments::seconds)]
    patience: Option<Duration>,
    #[command(flatten)]
    keys: ClientKeys,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let selected = arguments.count();
    if selected == 0 {
        let patterns = arguments.only.join(", ");
        return Err(Failure::usage(format!("--only {patterns}: no such case; --list has their names")));
    }
    let asap = match &arguments.asap {
        Some(asap) if !arguments.list => asap.clone(),
        _ => return output::line(arguments.table()),
    };
    let target = arguments.target(asap.clone())?;
    let mut progress = Progress::new(selected);
    let report = hold(&target, |case| arguments.selects(case), |_| progress.step()).await;
    progress.end();
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            let reason = diagnose(&[asap], target.security.as_ref(), target.dialect).await;
            return Err(Failure::new(reason.unwrap_or_else(|| error.to_string())));
        }
    };
    if let Some(path) = &arguments.junit {
        std::fs::write(path, report.junit())
            .map_err(|error| Failure::new(format!("--junit {}: {error}", path.display())))?;
    }
    output::line(&report)?;
    let failed = report.cases.iter().any(|case| matches!(case.outcome, Outcome::Failed { .. }));
    if failed { Err(Failure::Told) } else { Ok(()) }
}

impl Arguments {
    fn target(&self, asap: Endpoint) -> Result<Target, Failure> {
        let endpoints: Vec<_> = [Some(&asap), self.enrp.as_ref()].into_iter().flatten().cloned().collect();
        let mut target = Target::new(asap);
        target.security = self.keys.security(&endpoints, None)?;
        target.enrp = self.enrp.clone();
        target.admin = self.admin.as_deref().and_then(|url| url.strip_prefix("http://")).map(str::to_owned);
        target.dialect = self.dialect;
        target.patience = self.patience.map_or_else(Patience::default, Patience::new);
        Ok(target)
    }

    fn selects(&self, case: &Case) -> bool {
        let group = groups().iter().find(|group| group.cases.iter().any(|other| other.name == case.name));
        let contains = |pattern: &String| {
            let names = [Some(case.name), group.map(|group| group.name)];
            let mut texts = names.into_iter().flatten().chain(case.requirements.iter().copied());
            texts.any(|text| text.contains(pattern.as_str()))
        };
        self.only.is_empty() || self.only.iter().any(contains)
    }

    fn count(&self) -> usize {
        groups().iter().flat_map(|group| group.cases).filter(|case| self.selects(case)).count()
    }

    /// The cases that are selected.
    fn table(&self) -> Table {
        let mut table = Table::new(["GROUP", "CASE", "REQUIREMENTS"]);
        for Group { name, cases, .. } in groups() {
            for case in cases.iter().filter(|case| self.selects(case)) {
                table.row([(*name).into(), case.name.into(), case.requirements.join(" ")]);
            }
        }
        table
    }
}

/// How far it is, for whoever waits at a terminal.
struct Progress {
    ended: usize,
    all: usize,
    shown: bool,
}

impl Progress {
    fn new(all: usize) -> Self {
        Self { ended: 0, all, shown: io::stderr().is_terminal() }
    }

    fn step(&mut self) {
        self.ended += 1;
        self.show(&format!("\r{} of {} cases", self.ended, self.all));
    }

    fn end(&self) {
        self.show("\r\x1b[K");
    }

    fn show(&self, text: &str) {
        if self.shown {
            let mut stderr = io::stderr().lock();
            // Nobody needs it.
            let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
        }
    }
}
