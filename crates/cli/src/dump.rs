//! `rserpool dump`: one registrar's handlespace, peers and checksums, read from its administrative service.
use std::time::Duration;

use clap::Args;
use rserpool::admin::{ElementReport, HandlespaceReport, PeerReport, PeersReport};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::output;
use crate::table::Table;

/// How long the registrar may take to answer; a large handlespace takes its time.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest answer: about a million elements.
const LARGEST: u64 = 512 << 20;

/// Print one registrar's handlespace, peers and checksums
///
/// Registrars agree when they print the same checksums.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The administrative service of the registrar: what it prints as `admin=URL`
    #[arg(long, value_name = "http://HOST:PORT", value_parser = address)]
    admin: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Dump {
    handlespace: HandlespaceReport,
    peers: PeersReport,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build().into();
    let dump = Dump {
        handlespace: fetch(&agent, &arguments.admin, "/v1/handlespace")?,
        peers: fetch(&agent, &arguments.admin, "/v1/peers")?,
    };
    if arguments.json { output::json(&dump) } else { output::line(text(&dump)) }
}

/// Reads the flag: a URL without a path.
pub(crate) fn address(text: &str) -> Result<String, String> {
    let host = text.trim_end_matches('/').strip_prefix("http://");
    match host {
        Some(host) if !host.is_empty() && !host.contains('/') => Ok(format!("http://{host}")),
        _ => Err("write http://HOST:PORT".into()),
    }
}

fn fetch<T: DeserializeOwned>(agent: &ureq::Agent, address: &str, path: &str) -> Result<T, Failure> {
    let failed = |error: ureq::Error| {
        let problem = match error {
            ureq::Error::Timeout(_) => {
                format!("no answer within {PATIENCE:?}; is it an administrative service?")
            }
            ureq::Error::Io(error) => error.to_string(),
            other => format!("{path}: {other}; is it an administrative service?"),
        };
        Failure::new(format!("--admin {address}: {problem}"))
    };
    let mut response = agent.get(format!("{address}{path}")).call().map_err(failed)?;
    response.body_mut().with_config().limit(LARGEST).read_json().map_err(failed)
}

fn text(Dump { handlespace, peers }: &Dump) -> String {
    let mut elements = Table::new(["POOL", "ELEMENT", "HOME", "POLICY", "LIFE", "SERVICE", "ASAP"]);
    for pool in &handlespace.pools {
        for ElementReport { id, home, policy, life_seconds, user_transport, asap_transport, .. } in
            &pool.elements
        {
            elements.row([
                pool.handle.clone(),
                id.clone(),
                home.clone(),
                policy.clone(),
                life_seconds.map_or("infinite".into(), |seconds| format!("{seconds}s")),
                user_transport.clone(),
                or_dash(asap_transport.as_ref()),
            ]);
        }
    }
    let mut owners = Table::new(["OWNER", "ELEMENTS", "CHECKSUM"]);
    for owner in &handlespace.owners {
        owners.row([owner.server.clone(), owner.elements.to_string(), owner.checksum.clone()]);
    }
    let mut known = Table::new(["PEER", "STATE", "LINK", "HEARD", "ELEMENTS", "CHECKSUM", "ENDPOINT"]);
    for PeerReport { server, state, linked, last_heard_ms, elements, checksum, endpoint, .. } in &peers.peers
    {
        known.row([
            server.clone(),
            state.clone(),
            if *linked { "up".into() } else { "-".into() },
            format!("{last_heard_ms} ms ago"),
            elements.to_string(),
            checksum.clone(),
            or_dash(endpoint.as_ref()),
        ]);
    }
    let HandlespaceReport { server, ready, pool_count, element_count, .. } = handlespace;
    let ready = if *ready { "ready" } else { "not ready" };
    format!(
        "registrar {server}, {ready}: {pool_count} pools, {element_count} elements\n\n{elements}\n\n{owners}\n\n{known}"
    )
}

fn or_dash(text: Option<&String>) -> String {
    text.cloned().unwrap_or_else(|| "-".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url_without_a_path() {
        assert_eq!(address("http://127.0.0.1:80/"), Ok("http://127.0.0.1:80".into()));
        for wrong in ["127.0.0.1:80", "https://a:1", "http://", "http://a:1/v1"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
