//! A black-box conformance tester for registrars: named cases, each citing the requirements of RFC 5352, 5353, 5354 and 5356
//! that it holds a registrar to.
//!
//! A case plays elements and users over ASAP links, and other registrars over ENRP links, and knows nothing of the registrar
//! but what comes back. Cases use pools of their own, run side by side, and take back what they registered.
//!
//! * [`groups`] is the catalogue: what is tested.
//! * [`run`] tests a [`Target`] and gives a [`Report`], which prints as a table and as JUnit XML.
//!
//! ```no_run
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use rserpool_conform::{Target, run};
//!
//! let mut target = Target::new("tcp://192.0.2.1:3863".parse()?);
//! target.enrp = Some("tcp://192.0.2.1:9901".parse()?);
//! let report = run(&target, |case| case.name.starts_with("registration-"), |_| {}).await?;
//! println!("{report}");
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a tester of what runs elsewhere waits in real time")]

mod admin;
mod case;
mod cases;
mod checksum;
mod conduct;
mod host;
mod inspect;
mod line;
mod outcome;
mod peer;
mod probe;
mod raw;
mod report;
mod run;
mod target;
mod tester;

pub use case::{Case, Group};
pub use cases::groups;
pub use outcome::Outcome;
pub use report::{CaseReport, Report};
pub use run::run;
pub use target::{Patience, Target};
