//! Building on the host, where there is a compiler and more than one processor: the tests of a package, and the project's
//! command.
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Names the project's command to the commands inside; outside, one that is built already.
pub(crate) const COMMAND_VARIABLE: &str = "RSERPOOL_COMMAND";

/// Builds all tests of a package, of the workspace whose manifest this is, and returns the programs. Documentation tests are
/// not among them.
///
/// # Errors
/// If they cannot be built; why is on standard error.
pub fn test_programs(manifest: &Path, package: &str) -> io::Result<Vec<PathBuf>> {
    let is_test = |message: &Value| message.pointer("/profile/test").is_some_and(|test| test == true);
    build(&["test", "--no-run", "-p", package], manifest, is_test)
}

/// Builds these tests of a package of the project, in the order of their names, and returns the programs. Features are those of
/// `cargo test --workspace`: what that has built is not built again.
///
/// # Errors
/// If they cannot be built, or one is missing; why is on standard error.
pub fn project_tests(package: &str, tests: &[&str]) -> io::Result<Vec<PathBuf>> {
    let selected = tests.iter().flat_map(|test| ["--test", test]);
    let arguments: Vec<&str> = ["test", "--no-run", "--workspace"].into_iter().chain(selected).collect();
    let ends = [format!("#{package}@"), format!("/{package}#")];
    let is_wanted = |message: &Value| {
        let text = |pointer| message.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        tests.contains(&text("/target/name")) && ends.iter().any(|end| text("/package_id").contains(end))
    };
    let mut programs = build(&arguments, &project(), is_wanted)?;
    programs.sort();
    if programs.len() == tests.len() {
        Ok(programs)
    } else {
        Err(io::Error::other(format!("{package} has these of {tests:?} alone: {programs:?}")))
    }
}

/// The manifest of the project that this package belongs to.
pub(crate) fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml")
}

/// Builds the `rserpool` command of the project that this package belongs to, and returns it; beside it is then
/// `rserpool-peer`. What `RSERPOOL_COMMAND` names is taken instead.
///
/// # Errors
/// If it cannot be built; why is on standard error.
pub fn project_command() -> io::Result<PathBuf> {
    if let Some(command) = std::env::var_os(COMMAND_VARIABLE) {
        return Ok(command.into());
    }
    let is_command = |message: &Value| message.pointer("/target/name").is_some_and(|name| name == "rserpool");
    // As optimized as this program: what is measured is worth as much as what measures.
    let profile = if cfg!(debug_assertions) { "--profile=dev" } else { "--profile=release" };
    let programs = ["build", "-p", "rserpool-cli", "-p", "rserpool-interop-peers", profile];
    let built = build(&programs, &project(), is_command)?;
    built.into_iter().next().ok_or_else(|| io::Error::other("rserpool-cli has no program `rserpool`"))
}

/// Runs cargo, and returns those programs that are `wanted`, by what cargo says of each.
fn build(arguments: &[&str], manifest: &Path, wanted: impl Fn(&Value) -> bool) -> io::Result<Vec<PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(arguments)
        .args(["--quiet", "--message-format=json", "--manifest-path"])
        .arg(manifest)
        .stderr(Stdio::inherit())
        .output()?;
    if !built.status.success() {
        return Err(io::Error::other(format!("`cargo {}` fails", arguments.join(" "))));
    }
    let mut programs = Vec::new();
    for line in built.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let message: Value = serde_json::from_slice(line)?;
        if let Some(program) = message.get("executable").and_then(Value::as_str)
            && wanted(&message)
        {
            programs.push(PathBuf::from(program));
        }
    }
    Ok(programs)
}
