//! How a case ends, and the checks that end it.
use std::fmt::Debug;

/// How a case ended.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The registrar does what is required.
    Passed,
    /// It does not.
    Failed {
        /// What is required.
        expected: String,
        /// What it did.
        seen: String,
    },
    /// The case could not be tried.
    Skipped {
        /// What is missing.
        reason: String,
    },
}

/// Why a case did not pass.
#[derive(Debug)]
pub(crate) enum Problem {
    Failed { expected: String, seen: String },
    Skipped { reason: String },
}

/// What a case, or a step of it, comes to.
pub(crate) type Verdict<T = ()> = Result<T, Problem>;

impl Problem {
    pub(crate) fn failed(expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::Failed { expected: expected.into(), seen: seen.into() }
    }

    pub(crate) fn skipped(reason: impl Into<String>) -> Self {
        Self::Skipped { reason: reason.into() }
    }
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Ok(()) => Self::Passed,
            Err(Problem::Failed { expected, seen }) => Self::Failed { expected, seen },
            Err(Problem::Skipped { reason }) => Self::Skipped { reason },
        }
    }
}

/// Fails unless `holds`; `seen` is what there was instead.
pub(crate) fn check(holds: bool, expected: impl Into<String>, seen: impl Debug) -> Verdict {
    if holds { Ok(()) } else { Err(Problem::failed(expected, format!("{seen:?}"))) }
}

/// Fails unless both are equal.
pub(crate) fn same<T: PartialEq + Debug + ?Sized>(what: &str, expected: &T, seen: &T) -> Verdict {
    check(expected == seen, format!("{what} {expected:?}"), seen)
}
