//! Traces the RFCs to tests: reads `conformance.toml`, checks it against the outline of the RFCs and the sources, and renders
//! `docs/conformance.md`. Every normative sentence has an identifier: `5353-3.5.1-04` is the fourth one of RFC 5353 §3.5.1.
//!
//! `cargo test -p rserpool-trace` checks, `cargo run -p rserpool-trace` renders the page again.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod conformance;
mod outline;
mod page;
mod sources;

use std::path::{Path, PathBuf};

pub use conformance::{Conformance, Level, ReadError, Requirement, Verdict};
pub use outline::{OUTLINE, Section, ids};
pub use page::render;
pub use sources::{cited, problem_with};

/// The page, from the root of the workspace.
pub const PAGE: &str = "docs/conformance.md";

/// The root of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    crates.into_iter().nth(2).unwrap_or(Path::new(".")).to_path_buf()
}
