//! How to prove who we are and whom to believe: what users set, and what becomes of it for the handshakes.
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ServerConfig};

use super::certificate::{TlsIdentity, TlsRoots};
#[cfg(feature = "psk")]
use super::engine::psk;
use super::error::SecurityError;
#[cfg(feature = "psk")]
use super::key::{PreSharedKey, PskStore};

/// How both directions of `tls://` and `sctp+tls://` links are secured. One that is `None` cannot be used.
#[derive(Clone, Default, Debug)]
pub struct SecurityConfig {
    /// For links that are opened. Default `None`.
    pub client: Option<ClientSecurity>,
    /// For links that are accepted. Default `None`.
    pub server: Option<ServerSecurity>,
}

/// How a link that is opened is secured: by certificates or by a pre-shared key, TLS 1.3 or 1.2, always with forward secrecy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientSecurity {
    /// The server shows a certificate for the DNS name or the IP address of the endpoint. A wildcard stands for the left-most
    /// label of a name only.
    Certificate {
        /// Who may have issued it.
        roots: TlsRoots,
        /// What to show to a server that asks for it. `None` lets servers not know who we are.
        identity: Option<TlsIdentity>,
    },
    /// Both ends prove that they know this key. It says nothing else about who the server is: give each server a key of its own
    /// where that matters.
    #[cfg(feature = "psk")]
    Psk(PreSharedKey),
    /// Whatever this configuration says. It is for its maker to see that it verifies the server.
    Rustls(Arc<ClientConfig>),
}

/// How links that are accepted are secured. With both fields set, one port takes clients of either kind.
#[derive(Clone, Default)]
pub struct ServerSecurity {
    /// What to show to clients, and what to ask of them. Default `None`: clients need a pre-shared key.
    pub certificate: Option<ServerCertificate>,
    /// The keys of clients. Default `None`: clients cannot use pre-shared keys.
    #[cfg(feature = "psk")]
    pub psk: Option<Arc<dyn PskStore>>,
}

/// The certificate of a server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ServerCertificate {
    /// This certificate.
    Identity {
        /// What to show. Its subject alternative names must have whatever clients connect to.
        identity: TlsIdentity,
        /// What to ask of clients.
        clients: ClientCertificates,
    },
    /// Whatever this configuration says. Our own name is not known then: see that nobody else can have it (RFC 9257 §4.1).
    Rustls(Arc<ServerConfig>),
}

/// What a server asks of clients that come without a pre-shared key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientCertificates {
    /// Nothing: they stay unknown.
    None,
    /// A certificate of these authorities, or none: those without it stay unknown.
    Optional(TlsRoots),
    /// A certificate of these authorities.
    Required(TlsRoots),
}

impl fmt::Debug for ServerSecurity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ServerSecurity");
        debug.field("certificate", &self.certificate);
        #[cfg(feature = "psk")]
        debug.field("psk", &self.psk.as_ref().map(|_| ".."));
        debug.finish()
    }
}

/// Settings ready for handshakes.
pub(super) struct Ready {
    pub(super) client: Option<Arc<Client>>,
    pub(super) server: Option<Server>,
    /// The identities that are ours: a client that comes with one of them is a reflection.
    pub(super) own: BTreeSet<Arc<str>>,
    /// Our own key for the opposite direction: of those that we connect to, when they connect to us.
    #[cfg(feature = "psk")]
    pub(super) called_back: Option<(psk::Settings, PreSharedKey)>,
}

pub(crate) enum Client {
    Certificate(Arc<ClientConfig>),
    #[cfg(feature = "psk")]
    Psk(psk::Settings, PreSharedKey),
    /// By the key of a client of ours, for the opposite direction.
    #[cfg(feature = "psk")]
    CallBack(psk::Settings, PreSharedKey),
}

pub(super) struct Server {
    pub(super) certificate: Option<Arc<ServerConfig>>,
    #[cfg(feature = "psk")]
    pub(super) psk: Option<(psk::Settings, Arc<dyn PskStore>)>,
}

impl Ready {
    pub(super) fn new(config: SecurityConfig) -> Result<Self, SecurityError> {
        let mut own = BTreeSet::new();
        #[cfg(feature = "psk")]
        let called_back = match &config.client {
            Some(ClientSecurity::Psk(key)) => Some((psk::Settings::new()?, key.for_calling_back()?)),
            _ => None,
        };
        let client = config.client.map(|client| Client::new(client, &mut own).map(Arc::new)).transpose()?;
        let server = config.server.map(|server| Server::new(server, &mut own)).transpose()?;
        #[cfg(feature = "psk")]
        return Ok(Self { client, server, own, called_back });
        #[cfg(not(feature = "psk"))]
        return Ok(Self { client, server, own });
    }

    /// Whether there is a key by which those that we connect to may connect to us.
    pub(super) const fn is_called_back(&self) -> bool {
        #[cfg(feature = "psk")]
        return self.called_back.is_some();
        #[cfg(not(feature = "psk"))]
        return false;
    }

    /// The client's part toward a client of ours with this identity, if it has a key.
    #[cfg(feature = "psk")]
    pub(super) fn caller(&self, identity: &str) -> Option<Client> {
        let (settings, store) = self.server.as_ref()?.psk.as_ref()?;
        let key = store.key(identity).filter(|key| !self.own.contains(key.identity()))?;
        Some(Client::CallBack(settings.clone(), key.for_calling_back().ok()?))
    }
}

impl Client {
    fn new(security: ClientSecurity, own: &mut BTreeSet<Arc<str>>) -> Result<Self, SecurityError> {
        Ok(match security {
            ClientSecurity::Certificate { roots, identity } => {
                own.extend(identity.as_ref().and_then(TlsIdentity::name));
                Self::Certificate(Arc::new(client_config(roots, identity)?))
            }
            #[cfg(feature = "psk")]
            ClientSecurity::Psk(key) => {
                own.insert(Arc::clone(key.identity()));
                Self::Psk(psk::Settings::new()?, key)
            }
            ClientSecurity::Rustls(config) => Self::Certificate(config),
        })
    }
}

impl Server {
    fn new(security: ServerSecurity, own: &mut BTreeSet<Arc<str>>) -> Result<Self, SecurityError> {
        let certificate = match security.certificate {
            Some(ServerCertificate::Identity { identity, clients }) => {
                own.extend(identity.name());
                Some(Arc::new(server_config(&identity, clients)?))
            }
            Some(ServerCertificate::Rustls(config)) => Some(config),
            None => None,
        };
        #[cfg(feature = "psk")]
        let server = {
            let settings = |store| Ok::<_, SecurityError>((psk::Settings::new()?, store));
            Self { certificate, psk: security.psk.map(settings).transpose()? }
        };
        #[cfg(not(feature = "psk"))]
        let server = Self { certificate };
        if server.certificate.is_none() && !server.takes_keys() {
            return Err(SecurityError::NothingToProve);
        }
        Ok(server)
    }

    #[cfg(feature = "psk")]
    fn takes_keys(&self) -> bool {
        self.psk.is_some()
    }

    #[cfg(not(feature = "psk"))]
    fn takes_keys(&self) -> bool {
        false
    }
}

/// TLS 1.2 and 1.3 with what this provider has: AEAD suites with ephemeral keys and nothing else (RFC 9325 §4.2).
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn client_config(roots: TlsRoots, identity: Option<TlsIdentity>) -> Result<ClientConfig, SecurityError> {
    let refused = |what| move |source| SecurityError::Certificate { what, source };
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.authorities, provider())
        .with_crls(roots.revoked)
        .only_check_end_entity_revocation()
        .allow_unknown_revocation_status()
        .build()
        .map_err(|error| SecurityError::Roots { what: "roots of servers", problem: error.to_string() })?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(refused("TLS versions"))?
        .with_webpki_verifier(verifier);
    let mut config = match identity {
        Some(identity) => {
            let (chain, key) = identity.parts();
            builder.with_client_auth_cert(chain, key).map_err(refused("client certificate"))?
        }
        None => builder.with_no_client_auth(),
    };
    // Without it, two TLS 1.2 sessions could be given the same keys (RFC 7627).
    config.require_ems = true;
    Ok(config)
}

fn server_config(identity: &TlsIdentity, clients: ClientCertificates) -> Result<ServerConfig, SecurityError> {
    let refused = |what| move |source| SecurityError::Certificate { what, source };
    let verifier = |roots: TlsRoots, required: bool| {
        let builder = WebPkiClientVerifier::builder_with_provider(roots.authorities, provider())
            .with_crls(roots.revoked)
            .only_check_end_entity_revocation()
            .allow_unknown_revocation_status();
        let builder = if required { builder } else { builder.allow_unauthenticated() };
        builder
            .build()
            .map_err(|error| SecurityError::Roots { what: "roots of clients", problem: error.to_string() })
    };
    let verifier = match clients {
        ClientCertificates::None => WebPkiClientVerifier::no_client_auth(),
        ClientCertificates::Optional(roots) => verifier(roots, false)?,
        ClientCertificates::Required(roots) => verifier(roots, true)?,
    };
    let (chain, key) = identity.parts();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(refused("TLS versions"))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(refused("server certificate"))?;
    config.require_ems = true;
    // Thousands of users reconnect after a crash of their registrar: tickets make that cheap, and cost no memory here. Their
    // keys live as long as this configuration, so that whoever a new one does not let in cannot resume.
    config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(refused("session tickets"))?;
    Ok(config)
}
