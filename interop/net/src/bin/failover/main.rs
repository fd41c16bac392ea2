//! Measures how long users wait when something fails, for `docs/failover.md`. It is also the first process on the hosts of this
//! package's tests.
#![allow(clippy::disallowed_methods, reason = "what measures needs a clock")]

mod cases;
mod table;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rserpool_interop::{Kernel, Machine, Network, project_command, run_as_first_process};
use rserpool_interop_net::Timers;

use cases::Case;
use table::Table;

const USAGE: &str = "\
Measures how long users wait when something fails, on hosts that are namespaces of this machine's kernel. Needs root.

  failover [OPTION]...

  --runs N         how often each failure is measured (default 20)
  --timers NAME    rfc or fast (default both)
  --case NAME      one of the failures; without, all of them
  --jobs N         how many are measured at once (default 1; with more, the machine must have the processors)";

/// Where a run leaves what it has measured.
const MEASURED: &str = "measured.json";
/// More than any failure takes with the slowest timers.
const TIME_LIMIT: Duration = Duration::from_secs(600);
const HOSTS: u8 = 6;

type Problem = Box<dyn std::error::Error + Send + Sync>;
/// Milliseconds, by what they were waited for.
type Measured = BTreeMap<String, f64>;

fn main() -> ExitCode {
    run_as_first_process();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["inside", case, timers] => inside(case, timers),
        _ => outside(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("failover: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// One run, on the hosts that were laid out for it.
fn inside(case: &str, timers: &str) -> Result<(), Problem> {
    let network = Network::current()?;
    let measured = Case::named(case).ok_or("no such case")?.measure(&network, named(timers)?);
    Ok(std::fs::write(network.folder().join(MEASURED), serde_json::to_vec(&measured)?)?)
}

fn outside(arguments: Vec<String>) -> Result<(), Problem> {
    let (mut runs, mut jobs) = (20, 1);
    let (mut all_timers, mut cases) = (vec![Timers::Rfc, Timers::Fast], Case::ALL.to_vec());
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--runs" => runs = value()?.parse()?,
            "--jobs" => jobs = value()?.parse()?,
            "--timers" => all_timers = vec![named(&value()?)?],
            "--case" => {
                cases = vec![Case::named(&value()?).ok_or_else(|| format!("no such case\n\n{USAGE}"))?]
            }
            "--help" | "-h" => {
                println!("{USAGE}\n\nThe failures: {}", Case::ALL.map(Case::name).join(", "));
                return Ok(());
            }
            _ => return Err(format!("`{argument}` is not understood\n\n{USAGE}").into()),
        }
    }
    let command = project_command()?;
    let mut table = Table::default();
    for case in cases {
        for timers in &all_timers {
            eprintln!("{} with {timers} timers, {runs} times", case.name());
            table.add(case.what_fails(), *timers, &repeat(runs, jobs, || run(case, *timers, &command))?);
        }
    }
    print!("{table}");
    Ok(())
}

/// Runs something so many times, so many at once.
fn repeat<T: Send>(
    runs: usize,
    jobs: usize,
    run: impl Fn() -> Result<T, Problem> + Sync,
) -> Result<Vec<T>, Problem> {
    let (started, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while started.fetch_add(1, Ordering::Relaxed) < runs {
                    let result = run();
                    if let Ok(mut results) = results.lock() {
                        results.push(result);
                    }
                }
            });
        }
    });
    results.into_inner().unwrap_or_default().into_iter().collect()
}

fn run(case: Case, timers: Timers, command: &Path) -> Result<Measured, Problem> {
    let program = std::env::current_exe()?;
    let mut machine = Machine {
        kernel: Kernel::Own,
        first_process: Some(program.clone()),
        hosts: HOSTS,
        time_limit: TIME_LIMIT,
        ..Machine::default()
    };
    machine.use_command(command);
    let program = program.to_string_lossy();
    let mut outcome = machine.run(case.name(), &[[&*program, "inside", case.name(), &timers.to_string()]])?;
    let folder = outcome.kept.folder().to_owned();
    if outcome.status != 0 {
        outcome.kept.keep(true);
        return Err(
            format!("{} ended with {}; logs: {}", case.name(), outcome.status, folder.display()).into()
        );
    }
    Ok(serde_json::from_slice(&std::fs::read(folder.join(MEASURED))?)?)
}

fn named(timers: &str) -> Result<Timers, Problem> {
    [Timers::Rfc, Timers::Fast]
        .into_iter()
        .find(|one| one.to_string() == timers)
        .ok_or_else(|| format!("timers are rfc or fast, not `{timers}`").into())
}
