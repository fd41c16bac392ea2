//! All tests of the laboratory, some side by side: each boots a kernel that waits more than it works. One line for each as it
//! ends, with the time it took, and a table at the end.
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::cargo::{COMMAND_VARIABLE, project_command, test_programs};

/// The test programs that take longest. They go first, so that none is left to run alone at the end.
const LONG: [&str; 7] = ["stack-", "secured-", "registrars-", "multihoming-", "speed-", "sctp-", "elements-"];

/// In the names of tests that run alone, after the others: a tester that plays dozens of users, elements and registrars at
/// once leaves no time to neighbours, and holds a registrar to what it must do in time.
const ALONE: &str = "conforms";

/// Which tests to run, and how many at once.
#[derive(Clone, Debug)]
pub struct Suite {
    /// How many tests run at once, each with a kernel of its own. Default: one more than there are processors.
    pub kernels: usize,
    /// Runs those tests alone in whose names, or in those of their programs, this stands. Default: empty, all.
    pub filter: String,
}

/// One test, and how it ended.
struct Run {
    test: Test,
    took: Duration,
    output: io::Result<Output>,
}

#[derive(Clone)]
struct Test {
    program: PathBuf,
    name: String,
}

impl Default for Suite {
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self { kernels: processors + 1, filter: String::new() }
    }
}

impl Suite {
    /// Builds all tests, and the command that they need; runs them; prints how they end. Returns whether all have passed.
    ///
    /// # Errors
    /// If they cannot be built or listed, or there is none.
    pub fn run(&self) -> io::Result<bool> {
        let command = project_command()?;
        let tests = self.tests()?;
        if tests.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("no test has `{}` in its name", self.filter),
            ));
        }
        println!("{} tests, {} at once", tests.len(), self.kernels);
        let started = Instant::now();
        let (alone, beside): (Vec<_>, Vec<_>) = tests.into_iter().partition(|test| test.name.contains(ALONE));
        let mut ended = run_at_once(self.kernels.max(1), beside, &command);
        ended.extend(run_at_once(1, alone, &command));
        summarize(&ended, started.elapsed());
        Ok(ended.iter().all(Run::passed))
    }

    /// All tests, the long ones first.
    fn tests(&self) -> io::Result<Vec<Test>> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let mut programs = test_programs(&manifest, env!("CARGO_PKG_NAME"))?;
        programs.sort_by_key(|program| {
            let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
            LONG.iter().position(|long| name.starts_with(long)).unwrap_or(LONG.len())
        });
        let mut tests = Vec::new();
        for program in programs {
            let listed = Command::new(&program).args(["--list", "--format=terse"]).output()?;
            let names = String::from_utf8_lossy(&listed.stdout).into_owned();
            let names = names.lines().filter_map(|line| line.strip_suffix(": test"));
            let of_program =
                program.file_name().is_some_and(|name| name.to_string_lossy().contains(&self.filter));
            let wanted = names.filter(|name| of_program || name.contains(&self.filter));
            tests.extend(wanted.map(|name| Test { program: program.clone(), name: name.to_owned() }));
        }
        Ok(tests)
    }
}

/// Runs so many at the same time, and tells of each as it ends.
fn run_at_once(kernels: usize, tests: Vec<Test>, command: &Path) -> Vec<Run> {
    let (queue, ended) = (Mutex::new(tests.into_iter()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..kernels {
            scope.spawn(|| {
                while let Some(test) = next(&queue) {
                    let run = test.run(command);
                    run.report();
                    lock(&ended).push(run);
                }
            });
        }
    });
    ended.into_inner().unwrap_or_default()
}

impl Test {
    fn run(self, project_command: &Path) -> Run {
        let started = Instant::now();
        let output = Command::new(&self.program)
            .args(["--exact", &self.name, "--nocapture"])
            // Where cargo starts test programs.
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env(COMMAND_VARIABLE, project_command)
            .output();
        Run { test: self, took: started.elapsed(), output }
    }
}

impl Run {
    fn passed(&self) -> bool {
        self.output.as_ref().is_ok_and(|output| output.status.success())
    }

    /// One line if it has passed, all that it has written otherwise.
    fn report(&self) {
        let (verdict, took) = (if self.passed() { "ok    " } else { "FAILED" }, self.took.as_secs_f64());
        let mut report = format!("{verdict} {took:6.1} s  {}", self.test.name);
        match &self.output {
            Err(error) => report += &format!("\n{}: {error}", self.test.program.display()),
            Ok(output) => {
                let written = |bytes| String::from_utf8_lossy(bytes).into_owned();
                let standard_error = written(&output.stderr);
                if !self.passed() {
                    report += &format!("\n{}\n{standard_error}", written(&output.stdout));
                } else {
                    // What was skipped or tried again, and what was measured: that stands in a table.
                    let standard_output = written(&output.stdout);
                    let measured = standard_output.lines().filter(|line| line.starts_with('|'));
                    for line in standard_error.lines().chain(measured) {
                        report += &format!("\n{line}");
                    }
                }
            }
        }
        println!("{report}");
    }
}

fn summarize(ended: &[Run], wall: Duration) {
    let mut by_time: Vec<_> = ended.iter().collect();
    by_time.sort_by_key(|run| std::cmp::Reverse(run.took));
    let all: Duration = by_time.iter().map(|run| run.took).sum();
    println!("\nThe longest:");
    for run in by_time.iter().take(8) {
        println!("{:6.1} s  {}", run.took.as_secs_f64(), run.test.name);
    }
    let failed: Vec<_> = by_time.iter().filter(|run| !run.passed()).collect();
    for run in &failed {
        println!("FAILED: {}", run.test.name);
    }
    let (all, wall) = (all.as_secs_f64(), wall.as_secs_f64());
    println!(
        "{} passed, {} failed, in {wall:.0} s ({all:.0} s one after the other)",
        ended.len() - failed.len(),
        failed.len()
    );
}

fn next(queue: &Mutex<std::vec::IntoIter<Test>>) -> Option<Test> {
    lock(queue).next()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
