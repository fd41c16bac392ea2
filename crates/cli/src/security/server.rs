//! Registrars: a certificate for everybody, certificates or pre-shared keys of elements, certificates of peers, and the policy
//! that says which of them may do what; and taking renewed files without dropping links.
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use rserpool::Registrar;
use rserpool::enrp::{AccessPolicy, PolicyError};
use rserpool::machine::Endpoint;
use rserpool::transport::{
    ClientCertificates, ClientSecurity, PskTable, Security, SecurityConfig, ServerCertificate, ServerSecurity,
};
use tokio::signal::unix::Signal;
use tracing::warn;

use super::{for_nothing, identity, read, renewal, roots, secured};
use crate::failure::Failure;

/// How a registrar with tls:// or sctp+tls:// endpoints is secured; SIGHUP reads the files again.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ServerKeys {
    /// The certificate (PEM) of a registrar with tls:// or sctp+tls:// endpoints, for the names and addresses that it is reached by
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of that certificate (PEM)
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub(crate) tls_key: Option<PathBuf>,
    /// The authorities (PEM) that peers are verified by; elements and users may show a certificate of theirs
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Take the pre-shared keys in this file, one a line, identity:hex
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub(crate) psk_file: Option<PathBuf>,
    /// Who may register in which pools, and be a registrar (TOML) [default: nobody]
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub(crate) policy: Option<PathBuf>,
}

/// What the files say.
#[derive(Debug)]
pub(crate) struct Secured {
    pub(crate) security: Security,
    pub(crate) policy: AccessPolicy,
}

impl ServerKeys {
    /// What is missing here is taken from `file`.
    pub(crate) fn or(self, file: Self) -> Self {
        Self {
            tls_cert: self.tls_cert.or(file.tls_cert),
            tls_key: self.tls_key.or(file.tls_key),
            tls_ca: self.tls_ca.or(file.tls_ca),
            psk_file: self.psk_file.or(file.psk_file),
            policy: self.policy.or(file.policy),
        }
    }

    /// The settings of a registrar that serves on `asap` and `enrp` and knows `peers`; `None`, pointed out in the log, where
    /// nothing is secured.
    pub(crate) fn security(
        &self,
        asap: &[Endpoint],
        enrp: Option<&Endpoint>,
        peers: &[Endpoint],
    ) -> Result<Option<Secured>, Failure> {
        let policy = self.access_policy()?;
        // Users without security can be answered beside the others; nothing else is ever taken from them.
        let is_counted = |endpoint: &&Endpoint| endpoint.scheme().is_secured() || !policy.answers_unsecured();
        let endpoints: Vec<_> = asap.iter().filter(is_counted).chain(enrp).chain(peers).collect();
        if !secured(&endpoints)? {
            if let Some(flag) = self.first_flag() {
                return Err(for_nothing(flag, "--asap"));
            }
            let reached: Vec<_> = asap.iter().chain(enrp).map(Endpoint::to_string).collect();
            warn!(
                "unsecured: anybody who reaches {} can register, deregister and read",
                reached.join(" or ")
            );
            return Ok(None);
        }
        let config = self.config()?;
        if let (Some(with_peers), None) = (enrp.or(peers.first()), &config.client) {
            let message =
                format!("{with_peers} needs --tls-ca: what are other registrars to be verified by?");
            return Err(Failure::usage(message));
        }
        if self.policy.is_none() {
            warn!("no --policy: nobody may register here, and no registrar may join");
        } else if policy.is_empty() {
            warn!("the policy names no identities: nobody may register here");
        }
        let security = read("TLS", Security::new(config))?;
        Ok(Some(Secured { security, policy }))
    }

    /// Reads the files again at each of the signals, for as long as the process runs. Bad ones leave everything as it is.
    pub(crate) async fn reload(self, hangups: Signal, security: Security, registrar: Registrar) {
        let consequence = "links that are up go on, but for those that may not be any more";
        let renew = || {
            let policy = self.access_policy()?;
            read("TLS", security.reload(self.config()?))?;
            registrar.set_authorization(Arc::new(policy));
            Ok(())
        };
        renewal::at(hangups, "keys, certificates and policy", consequence, renew).await;
    }

    /// The signals to reload at, from now on.
    pub(crate) fn hangups() -> Result<Signal, Failure> {
        renewal::hangups()
    }

    /// What the policy file says now.
    fn access_policy(&self) -> Result<AccessPolicy, Failure> {
        let Some(path) = &self.policy else { return Ok(AccessPolicy::default()) };
        let failed =
            |problem: &dyn Display| Failure::usage(format!("--policy {}: {problem}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
        text.parse().map_err(|error: PolicyError| failed(&error))
    }

    /// What the files say now.
    fn config(&self) -> Result<SecurityConfig, Failure> {
        let identity = identity(self.tls_cert.as_deref(), self.tls_key.as_deref())?;
        let Some(identity) = identity else {
            let message =
                "a tls:// endpoint needs --tls-cert and --tls-key: what is the registrar to be known by?";
            return Err(Failure::usage(message));
        };
        let roots = roots(self.tls_ca.as_ref())?;
        let keys = self.psk_file.as_ref().map(|path| read("--psk-file", PskTable::read(path))).transpose()?;
        let clients = roots.clone().map_or(ClientCertificates::None, ClientCertificates::Optional);
        let client =
            roots.map(|roots| ClientSecurity::Certificate { roots, identity: Some(identity.clone()) });
        let certificate = Some(ServerCertificate::Identity { identity, clients });
        let psk = keys.map(|keys| Arc::new(keys) as Arc<_>);
        Ok(SecurityConfig { client, server: Some(ServerSecurity { certificate, psk }) })
    }

    fn first_flag(&self) -> Option<&'static str> {
        let Self { tls_cert, tls_key, tls_ca, psk_file, policy } = self;
        let flags = [
            ("--tls-cert", tls_cert),
            ("--tls-key", tls_key),
            ("--tls-ca", tls_ca),
            ("--psk-file", psk_file),
            ("--policy", policy),
        ];
        flags.into_iter().find_map(|(flag, value)| value.as_ref().map(|_| flag))
    }
}
