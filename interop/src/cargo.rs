//! Building the tests of a package on the host, where there is a compiler and more than one processor.
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Builds the tests of a package, of the workspace whose manifest this is, and returns the programs. Documentation tests are
/// not among them.
///
/// # Errors
/// If they cannot be built; why is on standard error.
pub fn test_programs(manifest: &Path, package: &str) -> io::Result<Vec<PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["test", "--no-run", "--quiet", "--message-format=json", "-p", package, "--manifest-path"])
        .arg(manifest)
        .stderr(Stdio::inherit())
        .output()?;
    if !built.status.success() {
        return Err(io::Error::other(format!("the tests of {package} cannot be built")));
    }
    let mut programs = Vec::new();
    for line in built.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let message: serde_json::Value = serde_json::from_slice(line)?;
        let is_test = message.pointer("/profile/test").is_some_and(|test| test == true);
        if let Some(program) = message.get("executable").and_then(serde_json::Value::as_str)
            && is_test
        {
            programs.push(PathBuf::from(program));
        }
    }
    Ok(programs)
}
