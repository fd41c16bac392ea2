//! Cases and groups of them, as data.
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::outcome::Verdict;
use crate::tester::Tester;

/// What runs a case.
pub(crate) type Running = Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// One thing that a registrar is held to.
pub struct Case {
    /// Says the behaviour; stable, unique, and in kebab-case.
    pub name: &'static str,
    /// The requirements that it holds: RFC, section, and number within the section, such as `5352-3.1-19`.
    pub requirements: &'static [&'static str],
    /// Whether nothing else may happen to the registrar meanwhile.
    pub(crate) alone: bool,
    pub(crate) run: fn(Tester) -> Running,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Case({} {:?})", self.name, self.requirements)
    }
}

/// Cases about one subject.
#[derive(Debug)]
pub struct Group {
    /// The subject, in kebab-case.
    pub name: &'static str,
    /// The cases, in the order in which they are listed.
    pub cases: &'static [Case],
}

/// Declares the group of a module: the name of each case, its requirements and the function that it is. `alone` stands before a
/// case during which nothing else may happen to the registrar.
macro_rules! group {
    ($group:literal: $($($alone:ident)? $name:literal $ids:tt $run:expr;)+) => {
        pub(crate) const GROUP: $crate::case::Group = $crate::case::Group {
            name: $group,
            cases: &[$($crate::case::Case {
                name: $name,
                requirements: &$ids,
                alone: $crate::case::group!(@alone $($alone)?),
                run: |tester| Box::pin($run(tester)),
            }),+],
        };
    };
    (@alone) => { false };
    (@alone alone) => { true };
}
pub(crate) use group;
