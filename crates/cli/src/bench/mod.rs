//! `rserpool bench`: how many requests a registrar answers, and how fast.
//!
//! Raw protocol clients, each with a fixed number of requests outstanding on one link. They do as little as can be done, so
//! that the registrar is what is measured: requests are encoded once, all that are due go out in one write, and of the
//! responses only the type is looked at.
mod client;
mod load;

use std::time::Duration;

use clap::{Args, Subcommand};
use hdrhistogram::Histogram;
use rserpool::machine::Endpoint;
use rserpool::transport::{LinkConfig, Security};
use rserpool::wire::Dialect;
use serde::Serialize;

use crate::arguments;
use crate::failure::Failure;
use crate::output;
use crate::security::ClientKeys;

/// Measure how fast a registrar answers
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    operation: Operation,
}

#[derive(Debug, Subcommand)]
enum Operation {
    /// Resolve a pool handle, over and over
    Resolve {
        #[command(flatten)]
        measurement: Measurement,
        /// An existing pool [default: one with elements registered for the measurement]
        #[arg(long, value_name = "NAME")]
        pool: Option<String>,
        /// How many elements to register where no pool is given
        #[arg(long, value_name = "N", value_parser = arguments::count, default_value = "3", conflicts_with = "pool")]
        elements: u32,
        /// How many elements to ask for [default: as many as the registrar gives]
        #[arg(long, value_name = "N", value_parser = arguments::count)]
        items: Option<u32>,
    },
    /// Register elements, different ones on each connection, over and over
    Register {
        #[command(flatten)]
        measurement: Measurement,
    },
}

#[derive(Debug, Args)]
struct Measurement {
    /// The registrar: tcp://HOST:PORT, sctp://HOST:PORT,HOST:PORT, and with TLS tls://… or sctp+tls://…
    #[arg(long, value_name = "URL")]
    registrar: Endpoint,
    /// How many connections
    #[arg(long, value_name = "N", value_parser = arguments::count, default_value = "50")]
    connections: u32,
    /// For how long
    #[arg(long, value_name = "S", value_parser = arguments::seconds, default_value = "5")]
    seconds: Duration,
    /// How many requests to keep outstanding on each connection
    #[arg(long, value_name = "N", value_parser = pipeline, default_value = "16")]
    pipeline: u32,
    /// The wire format: of the RFCs, or of the reference implementation where it deviates [rfc, rsplib]
    #[arg(long, value_name = "DIALECT", default_value_t)]
    dialect: Dialect,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    keys: ClientKeys,
}

impl Measurement {
    /// The settings of its links.
    fn links(&self) -> Result<LinkConfig, Failure> {
        Ok(LinkConfig { security: self.security()?, ..LinkConfig::default() })
    }

    fn security(&self) -> Result<Option<Security>, Failure> {
        self.keys.security(std::slice::from_ref(&self.registrar), None)
    }
}

/// What was measured.
#[derive(Serialize)]
struct Report {
    operation: &'static str,
    connections: u32,
    pipeline: u32,
    seconds: f64,
    responses: u64,
    rejected: u64,
    responses_per_second: f64,
    latency_us: Latency,
}

#[derive(Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

/// The counts of one client, or of all of them.
struct Outcome {
    responses: u64,
    rejected: u64,
    /// From first to last.
    elapsed: Duration,
    /// Nanoseconds from a request's write to its response's read.
    latency: Histogram<u64>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let (operation, measurement, outcome) = match arguments.operation {
        Operation::Resolve { measurement, pool, elements, items } => {
            let pool = load::Pool::find(&measurement, pool, elements).await?;
            let outcome =
                client::measure(&measurement, |_| load::resolve(&measurement, pool.handle(), items)).await;
            pool.leave().await;
            ("resolve", measurement, outcome)
        }
        Operation::Register { measurement } => {
            let outcome = client::measure(&measurement, |client| load::register(&measurement, client)).await;
            ("register", measurement, outcome)
        }
    };
    let report = Report::new(operation, &measurement, &outcome?);
    if measurement.json { output::json(&report) } else { output::line(report.text()) }
}

impl Report {
    fn new(operation: &'static str, measurement: &Measurement, outcome: &Outcome) -> Self {
        let seconds = outcome.elapsed.as_secs_f64();
        let microseconds = |quantile| outcome.latency.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            operation,
            connections: measurement.connections,
            pipeline: measurement.pipeline,
            seconds,
            responses: outcome.responses,
            rejected: outcome.rejected,
            responses_per_second: outcome.responses as f64 / seconds,
            latency_us: Latency {
                p50: microseconds(0.5),
                p90: microseconds(0.9),
                p99: microseconds(0.99),
                max: outcome.latency.max() as f64 / 1e3,
            },
        }
    }

    fn text(&self) -> String {
        let Self {
            operation,
            connections,
            pipeline,
            seconds,
            responses,
            rejected,
            responses_per_second,
            latency_us,
        } = self;
        let Latency { p50, p90, p99, max } = latency_us;
        format!(
            "{operation}: {responses_per_second:.0} responses/s ({responses} in {seconds:.2} s, {rejected} rejected; \
             {connections} connections with {pipeline} requests outstanding)\n\
             latency: p50 {p50:.0} us, p90 {p90:.0} us, p99 {p99:.0} us, max {max:.0} us"
        )
    }
}

/// Reads the depth of a pipeline: requests are encoded in advance, so it has a bound.
fn pipeline(text: &str) -> Result<u32, String> {
    const MOST: u32 = 4096;
    match arguments::count(text)? {
        depth @ 1..=MOST => Ok(depth),
        _ => Err(format!("write a whole number from 1 to {MOST}")),
    }
}
