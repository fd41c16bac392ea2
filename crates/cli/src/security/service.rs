//! TLS between users and elements: the same flags and files as for tls:// registrars, and a switch, for the registrar does not say
//! what an element speaks. Who uses neither is told what is not encrypted.
use std::sync::Arc;

use clap::{Args, ValueEnum};
use rserpool::machine::Endpoint;
use rserpool::transport::rustls::pki_types::ServerName;
use rserpool::transport::{
    ClientCertificates, LinkConfig, PreSharedKey, PskStore, PskTable, Security, SecurityConfig,
    ServerCertificate, ServerSecurity,
};
use rserpool::{ServiceSecurity, TimerProfile};
use tracing::warn;

use super::client::{ClientKeys, Service};
use super::{Renewal, identity, read, roots};
use crate::failure::Failure;

/// How a user secures what it says to elements.
#[derive(Clone, Debug, Args)]
pub(crate) struct UserTls {
    /// Speak TLS with the elements: they are verified, and shown who this is, as tls:// registrars are
    #[arg(long, help_heading = "TLS")]
    service_tls: bool,
    /// The name that the certificates of the pool's elements are for [default: the pool handle]
    #[arg(long, value_name = "NAME", help_heading = "TLS", requires = "service_tls")]
    service_name: Option<String>,
}

/// How an element secures what users say to it.
#[derive(Clone, Debug, Args)]
pub(crate) struct ElementTls {
    /// Have users speak TLS: shows --tls-cert, which is to be for the pool handle too, and takes pre-shared keys of users in --psk-file
    #[arg(long, help_heading = "TLS")]
    pub(crate) service_tls: bool,
    /// Which users to let in
    #[arg(
        long,
        value_enum,
        value_name = "WHO",
        help_heading = "TLS",
        requires = "service_tls",
        default_value_t
    )]
    service_users: Users,
}

/// Which users are let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
enum Users {
    /// Whoever comes over TLS
    #[default]
    Secured,
    /// Who proves an identity: by a certificate of --tls-ca, or by a pre-shared key
    Identified,
}

impl UserTls {
    /// The settings, `None` where elements are spoken to in clear. To be called before the settings for `registrars` are asked for.
    pub(crate) fn security(
        &self,
        pool: &str,
        registrars: &[Endpoint],
        keys: &mut ClientKeys,
        renewal: &mut Renewal,
    ) -> Result<Option<ServiceSecurity>, Failure> {
        if !self.service_tls {
            if is_secured(registrars) {
                warn!("what is said to the elements is not encrypted: --service-tls secures it");
            }
            return Ok(None);
        }
        keys.service = Service::Used;
        let name = self.service_name.as_deref().unwrap_or(pool);
        if keys.verifies_names() && ServerName::try_from(name).is_err() {
            let flag = if self.service_name.is_some() { "--service-name" } else { "--pool" };
            return Err(Failure::usage(format!(
                "{flag} {name}: no certificate can be for this name: write one that the elements' are for, as --service-name"
            )));
        }
        let keys = keys.clone();
        let config = move || {
            let client = Some(keys.client("--service-tls needs", "are elements")?);
            Ok(SecurityConfig { client, server: None })
        };
        let security = read("TLS", Security::new(config()?))?;
        renewal.add(security.clone(), config);
        tell_of_plain_links(registrars);
        Ok(Some(ServiceSecurity::new(security).name(name)))
    }
}

impl ElementTls {
    /// The limits and keys of the connections that an element takes, `None` where they are in clear. To be called before the settings
    /// for `registrars` are asked for.
    pub(crate) fn links(
        &self,
        pool: &str,
        registrars: &[Endpoint],
        timers: TimerProfile,
        keys: &mut ClientKeys,
        renewal: &mut Renewal,
    ) -> Result<Option<LinkConfig>, Failure> {
        if !self.service_tls {
            if is_secured(registrars) {
                warn!("what users say to the service is not encrypted here: --service-tls secures it");
            }
            return Ok(None);
        }
        keys.service = Service::Served;
        let (tls, pool, keys) = (self.clone(), pool.to_owned(), keys.clone());
        let config = move || Ok(SecurityConfig { client: None, server: Some(tls.server(&pool, &keys)?) });
        let security = read("TLS", Security::new(config()?))?;
        renewal.add(security.clone(), config);
        tell_of_plain_links(registrars);
        // A user that does not read for a while is none that is gone.
        Ok(Some(LinkConfig { security: Some(security), user_timeout: None, ..timers.links() }))
    }

    fn server(&self, pool: &str, keys: &ClientKeys) -> Result<ServerSecurity, Failure> {
        let identity = identity(keys.tls_cert.as_deref(), keys.tls_key.as_deref())?;
        let roots = roots(keys.tls_ca.as_ref())?;
        let shared =
            keys.psk_file.as_ref().map(|path| read("--psk-file", PskTable::read(path))).transpose()?;
        if identity.is_none() && shared.is_none() {
            return Err(Failure::usage(
                "--service-tls needs --tls-cert and --tls-key, or --psk-file: what is the service to be verified by?",
            ));
        }
        let clients = match (self.service_users, roots) {
            (Users::Secured, roots) => {
                Some(roots.map_or(ClientCertificates::None, ClientCertificates::Optional))
            }
            (Users::Identified, Some(roots)) => Some(ClientCertificates::Required(roots)),
            // By pre-shared keys only.
            (Users::Identified, None) if shared.is_some() => None,
            (Users::Identified, None) => {
                return Err(Failure::usage(
                    "--service-users identified needs --tls-ca or --psk-file: what are users to be known by?",
                ));
            }
        };
        if identity.as_ref().is_some_and(|identity| !identity.is_for(pool)) {
            warn!(
                "the certificate is not for `{pool}`: users must ask for a name that it is for, by --service-name"
            );
        }
        let certificate = identity
            .zip(clients)
            .map(|(identity, clients)| ServerCertificate::Identity { identity, clients });
        let own = keys.psk_identity.clone();
        let psk = shared.map(|keys| Arc::new(KeysOfUsers { keys, own }) as Arc<_>);
        Ok(ServerSecurity { certificate, psk })
    }
}

/// The keys in a file but the one that we register by: whoever comes with that would be a reflection of ourselves (RFC 9257 §4.1).
struct KeysOfUsers {
    keys: PskTable,
    own: Option<String>,
}

impl PskStore for KeysOfUsers {
    fn key(&self, identity: &str) -> Option<PreSharedKey> {
        self.keys.key(identity).filter(|_| self.own.as_deref() != Some(identity))
    }
}

fn is_secured(registrars: &[Endpoint]) -> bool {
    registrars.iter().any(|registrar| registrar.scheme().is_secured())
}

fn tell_of_plain_links(registrars: &[Endpoint]) {
    if !is_secured(registrars) {
        warn!("links to registrars are not secured, those between users and elements are");
    }
}
