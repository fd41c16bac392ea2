//! Elements and users: they verify registrars by an authority or by a pre-shared key, and show who they are by a certificate
//! or by that key (RFC 5352 §9.2).
use std::path::PathBuf;

use clap::Args;
use rserpool::machine::Endpoint;
use rserpool::transport::{
    ClientCertificates, ClientSecurity, PreSharedKey, PskStore, PskTable, Security, SecurityConfig,
    ServerCertificate, ServerSecurity,
};

use super::{Renewal, for_nothing, identity, read, roots, secured};
use crate::failure::Failure;

/// How links to tls:// and sctp+tls:// registrars are secured.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ClientKeys {
    /// The authorities (PEM) one of which a secured registrar's certificate must come from
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub(super) tls_ca: Option<PathBuf>,
    /// The certificate (PEM) to show to registrars
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub(super) tls_cert: Option<PathBuf>,
    /// The private key of that certificate (PEM)
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub(super) tls_key: Option<PathBuf>,
    /// Use the pre-shared key of this name in the place of certificates
    #[arg(long, value_name = "ID", help_heading = "TLS")]
    pub(super) psk_identity: Option<String>,
    /// The file with the pre-shared key, in a line identity:hex
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub(super) psk_file: Option<PathBuf>,
    /// What they are for besides.
    #[arg(skip)]
    pub(super) service: Service,
}

/// What keys are for besides links to registrars: the connections between users and elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Service {
    /// Nothing.
    #[default]
    None,
    /// The user's end of them.
    Used,
    /// The element's end.
    Served,
}

impl ClientKeys {
    /// The settings for links to `registrars`, and for those that are accepted on `own`; `None` where nothing is secured.
    pub(crate) fn security(
        &self,
        registrars: &[Endpoint],
        own: Option<&Endpoint>,
    ) -> Result<Option<Security>, Failure> {
        let endpoints: Vec<_> = registrars.iter().chain(own).collect();
        if !secured(&endpoints)? {
            let unused = self.first_flag().filter(|_| self.service == Service::None);
            return unused.map_or(Ok(None), |flag| Err(for_nothing(flag, "--registrar")));
        }
        read("TLS", Security::new(self.config(own)?)).map(Some)
    }

    /// The same, to be renewed.
    pub(crate) fn renewed_security(
        &self,
        registrars: &[Endpoint],
        own: Option<&Endpoint>,
        renewal: &mut Renewal,
    ) -> Result<Option<Security>, Failure> {
        let security = self.security(registrars, own)?;
        if let Some(security) = &security {
            let (keys, own) = (self.clone(), own.cloned());
            renewal.add(security.clone(), move || keys.config(own.as_ref()));
        }
        Ok(security)
    }

    /// What the files say now.
    fn config(&self, own: Option<&Endpoint>) -> Result<SecurityConfig, Failure> {
        let identity = identity(self.tls_cert.as_deref(), self.tls_key.as_deref())?;
        let roots = roots(self.tls_ca.as_ref())?;
        // Whoever has taken an element over connects to it. It lets nobody in who does not prove who they are: by certificate, or
        // by knowing the key that the element has registered by.
        let server = identity.zip(roots).map(|(identity, roots)| {
            let clients = ClientCertificates::Required(roots);
            let certificate = Some(ServerCertificate::Identity { identity, clients });
            ServerSecurity { certificate, psk: None }
        });
        let client = self.client("a tls:// registrar needs", "is it")?;
        if let (Some(own), None, ClientSecurity::Certificate { .. }) = (own, &server, &client) {
            let message = format!(
                "--asap {own} needs --tls-ca, --tls-cert and --tls-key, or a pre-shared key: registrars connect there"
            );
            return Err(Failure::usage(message));
        }
        Ok(SecurityConfig { client: Some(client), server })
    }

    /// How others are verified, and shown who this is; `needs` and `verified` say what for if nothing is there.
    pub(super) fn client(&self, needs: &str, verified: &str) -> Result<ClientSecurity, Failure> {
        let identity = identity(self.tls_cert.as_deref(), self.tls_key.as_deref())?;
        match (self.key()?, roots(self.tls_ca.as_ref())?) {
            // The certificate of a service is for its users.
            (Some(_), _) if identity.is_some() && self.service != Service::Served => {
                Err(Failure::usage("--psk-identity and --tls-cert both say who this is: give one of them"))
            }
            (Some(key), _) => Ok(ClientSecurity::Psk(key)),
            (None, Some(roots)) => Ok(ClientSecurity::Certificate { roots, identity }),
            (None, None) => Err(Failure::usage(format!(
                "{needs} --tls-ca, or --psk-identity and --psk-file: what {verified} to be verified by?"
            ))),
        }
    }

    /// Whether others have to show certificates.
    pub(super) const fn verifies_names(&self) -> bool {
        self.psk_identity.is_none()
    }

    /// The pre-shared key, where the flags name one.
    fn key(&self) -> Result<Option<PreSharedKey>, Failure> {
        match (&self.psk_identity, &self.psk_file) {
            (Some(identity), Some(path)) => {
                let keys = read("--psk-file", PskTable::read(path))?;
                let missing = || {
                    Failure::usage(format!(
                        "--psk-identity {identity}: no such key in --psk-file {}",
                        path.display()
                    ))
                };
                keys.key(identity).ok_or_else(missing).map(Some)
            }
            (Some(_), None) => Err(Failure::usage("--psk-identity needs --psk-file: where is the key?")),
            // The keys of users.
            (None, Some(_)) if self.service == Service::Served => Ok(None),
            (None, Some(_)) => {
                Err(Failure::usage("--psk-file needs --psk-identity: which of the keys is it?"))
            }
            (None, None) => Ok(None),
        }
    }

    fn first_flag(&self) -> Option<&'static str> {
        let Self { tls_ca, tls_cert, tls_key, psk_identity, psk_file, service: _ } = self;
        let flags = [
            ("--tls-ca", tls_ca.is_some()),
            ("--tls-cert", tls_cert.is_some()),
            ("--tls-key", tls_key.is_some()),
            ("--psk-identity", psk_identity.is_some()),
            ("--psk-file", psk_file.is_some()),
        ];
        flags.into_iter().find_map(|(flag, given)| given.then_some(flag))
    }
}
