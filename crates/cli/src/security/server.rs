//! Registrars: a certificate for everybody, certificates or pre-shared keys of elements, certificates of peers; and taking
//! renewed files without dropping links.
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use rserpool::machine::Endpoint;
use rserpool::transport::{
    ClientCertificates, ClientSecurity, PskTable, Security, SecurityConfig, ServerCertificate, ServerSecurity,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use super::{for_nothing, identity, read, roots, secured};
use crate::failure::Failure;

/// How a registrar with tls:// endpoints is secured; SIGHUP reads the files again.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ServerKeys {
    /// The certificate (PEM) of a registrar with tls:// endpoints, for the names and addresses that it is reached by
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
}

impl ServerKeys {
    /// What is missing here is taken from `file`.
    pub(crate) fn or(self, file: Self) -> Self {
        Self {
            tls_cert: self.tls_cert.or(file.tls_cert),
            tls_key: self.tls_key.or(file.tls_key),
            tls_ca: self.tls_ca.or(file.tls_ca),
            psk_file: self.psk_file.or(file.psk_file),
        }
    }

    /// The settings of a registrar that serves on `asap` and `enrp` and knows `peers`; `None`, pointed out in the log, where
    /// nothing is secured.
    pub(crate) fn security(
        &self,
        asap: &[Endpoint],
        enrp: Option<&Endpoint>,
        peers: &[Endpoint],
    ) -> Result<Option<Security>, Failure> {
        let endpoints: Vec<_> = asap.iter().chain(enrp).chain(peers).collect();
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
        read("TLS", Security::new(config)).map(Some)
    }

    /// Reads the files again at each SIGHUP, for as long as the process runs. Bad ones leave everything as it is.
    pub(crate) fn reload_on_hangup(self, security: Security) -> Result<(), Failure> {
        let mut hangups = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                let read = self.config().and_then(|config| read("TLS", security.reload(config)));
                match read {
                    Ok(()) => {
                        info!("keys and certificates reloaded; links that are up go on with the old ones")
                    }
                    Err(error) => {
                        error!(%error, "keys and certificates not reloaded; the old ones stay in use")
                    }
                }
            }
        });
        Ok(())
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
        let Self { tls_cert, tls_key, tls_ca, psk_file } = self;
        let flags = [
            ("--tls-cert", tls_cert),
            ("--tls-key", tls_key),
            ("--tls-ca", tls_ca),
            ("--psk-file", psk_file),
        ];
        flags.into_iter().find_map(|(flag, value)| value.as_ref().map(|_| flag))
    }
}
