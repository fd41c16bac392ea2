//! Writes `docs/conformance.md` again, of what `conformance.toml` says.
#![forbid(unsafe_code)]
use std::process::ExitCode;

use rserpool_trace::{Conformance, PAGE, render, root};

fn main() -> ExitCode {
    let root = root();
    let written = Conformance::read(&root).map_err(|error| error.to_string()).and_then(|conformance| {
        let path = root.join(PAGE);
        std::fs::write(&path, render(&conformance)).map_err(|error| format!("{}: {error}", path.display()))
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
