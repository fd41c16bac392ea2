//! The `rserpool` command: every role of Reliable Server Pooling, and tools to look at what they do.
//!
//! Each subcommand is a module with its arguments first. What they say on standard output is for programs as well as for
//! people; logs go to standard error. Exit status: 0 done, 1 failed, 2 wrong usage.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "a program reads the clock; the sans-IO crates may not")]

mod arguments;
mod bench;
mod call;
mod conform;
mod conversation;
mod decode;
mod demo;
mod dump;
mod failure;
mod keygen;
mod listening;
mod logging;
mod output;
mod pe;
mod proxy;
mod registrar;
mod resolve;
mod security;
mod shutdown;
mod table;
mod values;
mod watch;

use std::future::Future;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;
use crate::logging::LogFormat;

/// Reliable Server Pooling: services that survive the death of their servers and of their registrars
#[derive(Debug, Parser)]
#[command(name = "rserpool", version, propagate_version = true, max_term_width = 110)]
struct Cli {
    /// How to log to standard error; RUST_LOG says how much (default: info)
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    log: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Registrar(registrar::Arguments),
    Pe(pe::Arguments),
    Call(call::Arguments),
    Proxy(proxy::Arguments),
    Resolve(resolve::Arguments),
    Watch(watch::Arguments),
    Dump(dump::Arguments),
    Bench(bench::Arguments),
    Conform(conform::Arguments),
    Keygen(keygen::Arguments),
    Decode(decode::Arguments),
    Demo(demo::Arguments),
}

impl Command {
    /// How much to log unless `RUST_LOG` says otherwise.
    const fn log_level(&self) -> &'static str {
        match self {
            // It tells its own story; the logs of a dozen roles in one process would drown it.
            Self::Demo(_) => "off",
            // The elements that it brings along are of no interest while all is well.
            Self::Bench(_) => "warn",
            _ => "info",
        }
    }

    fn run(self) -> Result<(), Failure> {
        match self {
            Self::Registrar(arguments) => on_runtime(registrar::run(arguments)),
            Self::Pe(arguments) => on_runtime(pe::run(arguments)),
            Self::Call(arguments) => on_runtime(call::run(arguments)),
            Self::Proxy(arguments) => on_runtime(proxy::run(arguments)),
            Self::Resolve(arguments) => on_runtime(resolve::run(arguments)),
            Self::Watch(arguments) => on_runtime(watch::run(arguments)),
            Self::Bench(arguments) => on_runtime(bench::run(arguments)),
            Self::Conform(arguments) => on_runtime(conform::run(arguments)),
            Self::Demo(arguments) => on_runtime(demo::run(arguments)),
            Self::Dump(arguments) => dump::run(&arguments),
            Self::Keygen(arguments) => keygen::run(&arguments),
            Self::Decode(arguments) => decode::run(&arguments),
        }
    }
}

fn main() -> ExitCode {
    let Cli { log, command } = Cli::parse();
    logging::start(log, command.log_level());
    match command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn on_runtime(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(command);
    // What still runs, such as a connection being copied, ends with the command.
    runtime.shutdown_background();
    result
}
