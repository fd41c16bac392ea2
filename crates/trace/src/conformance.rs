//! What `conformance.toml` says: for every normative sentence, what it asks in our own words, and the tests that hold it, or
//! why there are none.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use serde::Deserialize;

/// One normative sentence.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// MUST, SHOULD or MAY; a MUST NOT is a MUST.
    pub level: Level,
    /// What it asks, in our own words.
    pub says: String,
    /// The tests that hold it: path of the file from the root of the workspace, `::`, name of the function.
    #[serde(default)]
    pub tests: Vec<String>,
    /// What of it is not done, or not held by a test, and why.
    pub gap: Option<String>,
    /// Why it asks nothing of this implementation.
    pub not_applicable: Option<String>,
    /// How it is met, where the tests do not say so by themselves.
    pub note: Option<String>,
}

/// How strongly a sentence asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "the names are those of RFC 2119")]
pub enum Level {
    Must,
    Should,
    May,
}

/// What became of a sentence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verdict {
    /// Tests hold all of it.
    Held,
    /// Tests hold a part of it.
    Partly,
    /// It is not done, or done and not tested.
    Gap,
    /// It asks nothing of this implementation.
    NotApplicable,
}

impl Requirement {
    /// What became of it; `None` for an entry that contradicts itself, or says nothing.
    #[must_use]
    pub const fn verdict(&self) -> Option<Verdict> {
        match (self.tests.is_empty(), &self.gap, &self.not_applicable) {
            (false, None, None) => Some(Verdict::Held),
            (false, Some(_), None) => Some(Verdict::Partly),
            (true, Some(_), None) => Some(Verdict::Gap),
            (true, None, Some(_)) => Some(Verdict::NotApplicable),
            _ => None,
        }
    }

    /// Everything that it says beside its tests.
    pub fn remarks(&self) -> impl Iterator<Item = &str> {
        [&self.gap, &self.not_applicable, &self.note].into_iter().flatten().map(String::as_str)
    }
}

/// All of the file, by identifier.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(transparent)]
pub struct Conformance {
    /// The sentences.
    pub requirements: BTreeMap<String, Requirement>,
}

impl Conformance {
    /// Reads `conformance.toml` in `root`. An identifier that is there twice is an error.
    ///
    /// # Errors
    /// When the file cannot be read, or is not what it should be; the error says where.
    pub fn read(root: &Path) -> Result<Self, ReadError> {
        let path = root.join("conformance.toml");
        let text =
            fs::read_to_string(&path).map_err(|source| ReadError::Io { path: path.clone(), source })?;
        toml::from_str(&text).map_err(|source| ReadError::Syntax { path, source: Box::new(source) })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::May => "MAY",
        })
    }
}

/// Why the file could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{path}: {source}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: Box<toml::de::Error>,
    },
}
