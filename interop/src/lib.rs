//! A laboratory for network protocols on one machine: boots user-mode Linux, a kernel that runs as an ordinary process on
//! the file system of its host, lays out hosts and networks in it as network namespaces and bridges, and runs commands.
//! Its kernel has SCTP, whatever the host's has. What needs no such kernel runs on the host's own, in namespaces ([`Kernel`]).
//!
//! * [`Machine`] boots the kernel with a list of commands, forwards what they write, and has their status.
//! * [`Lab`] runs the body of a test in such a kernel: the same test program is started again inside.
//! * [`Network`] is what such a body works with: hosts to start processes on, and cables to cut.
//! * [`test_programs`] and [`project_command`] build outside what is to be run inside.
//! * [`Suite`] runs all such tests, some side by side.
//! * The `lab` command does the same by hand, and is the first process of the kernel.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![allow(
    clippy::disallowed_methods,
    reason = "the clock is banned from the crates without I/O; this one is all I/O"
)]

mod cargo;
mod guest;
mod impair;
mod job;
mod kernel;
mod lab;
mod machine;
mod network;
mod scenario;
mod suite;
mod tshark;

pub use cargo::{project_command, project_tests, test_programs};
pub use guest::run_as_first_process;
pub use kernel::Kernel;
pub use lab::{Lab, inside, skipped};
pub use machine::{Kept, LabError, Machine, Outcome, TIMED_OUT, missing};
pub use network::{Network, Running};
pub use scenario::{Hosts, Process, Scenario, UNHURRIED, until};
pub use suite::Suite;
pub use tshark::no_message_is_objectionable;
