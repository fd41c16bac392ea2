//! Lets elements come and go on a bad network for long: see [`Soak`].
use std::process::ExitCode;
use std::time::Duration;

use rserpool_interop::{Kernel, Machine, Network, project_command, run_as_first_process};
use rserpool_interop_net::{Soak, Timers};

const USAGE: &str = "\
Lets elements come and go on a bad network for long: none that lives may be taken for dead, no request lost, and nothing may grow.
Runs on hosts that are namespaces of this machine's kernel. Needs root.

  soak [OPTION]...

  --minutes N      for how long (default 30)
  --loss SHARE     which share of packets gets lost (default 0.05)
  --timers NAME    rfc, with a keep-alive per second and element, or fast (default rfc)
  --rto-min MS     after which time TCP sends again what was lost, at least (default the system's 200)";

type Problem = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    run_as_first_process();
    match run(std::env::args().skip(1).collect()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("soak: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<String>) -> Result<bool, Problem> {
    let time = Duration::from_secs(30 * 60);
    let mut soak = Soak { time, loss: 0.05, timers: Timers::Rfc, retransmission: None };
    let (mut is_inside, mut rest) = (false, arguments.iter());
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "inside" => is_inside = true,
            "--minutes" => soak.time = Duration::try_from_secs_f64(value()?.parse::<f64>()? * 60.0)?,
            "--loss" => soak.loss = value()?.parse()?,
            "--rto-min" => soak.retransmission = Some(Duration::from_millis(value()?.parse()?)),
            "--timers" => {
                soak.timers = match value()?.as_str() {
                    "rfc" => Timers::Rfc,
                    "fast" => Timers::Fast,
                    other => return Err(format!("timers are rfc or fast, not `{other}`").into()),
                }
            }
            "--help" | "-h" => {
                println!("{USAGE}");
                return Ok(true);
            }
            _ => return Err(format!("`{argument}` is not understood\n\n{USAGE}").into()),
        }
    }
    if is_inside {
        let soaked = soak.run(&Network::current()?);
        let problems = soaked.problems();
        print!("{soaked}");
        problems.iter().for_each(|problem| println!("PROBLEM: {problem}"));
        return Ok(problems.is_empty());
    }
    let program = std::env::current_exe()?;
    let mut machine = Machine {
        kernel: Kernel::Own,
        first_process: Some(program.clone()),
        hosts: Soak::HOSTS,
        time_limit: soak.time + Duration::from_secs(300),
        ..Machine::default()
    };
    machine.use_command(&project_command()?);
    let inside = [vec![program.to_string_lossy().into_owned(), "inside".into()], arguments].concat();
    let outcome = machine.run("soak", &[inside])?;
    if outcome.status != 0 {
        eprintln!("soak: logs: {}", outcome.kept.folder().display());
    }
    Ok(outcome.status == 0)
}
