//! Keys and certificates for tests: an authority, and the settings of those who have something of it.
#![allow(dead_code, reason = "each test file uses a part of this")]
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rserpool::transport::{
    ClientCertificates, ClientSecurity, PreSharedKey, PskTable, Security, SecurityConfig, ServerCertificate,
    ServerSecurity, TlsIdentity, TlsRoots,
};

/// Who issues certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    roots: TlsRoots,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let roots = TlsRoots::from_pem(certificate.pem().as_bytes()).expect("an authority");
        Self { issuer: Issuer::new(parameters, key), roots }
    }

    /// A certificate for this name and for loopback, where everything runs.
    pub(crate) fn identity(&self, name: &str) -> TlsIdentity {
        self.identity_of(&[name, "127.0.0.1"])
    }

    /// A certificate for these names.
    pub(crate) fn identity_of(&self, names: &[&str]) -> TlsIdentity {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().expect("a key");
        let parameters = CertificateParams::new(names).expect("names");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        TlsIdentity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())
            .expect("an identity")
    }

    pub(crate) fn client(&self, identity: Option<TlsIdentity>) -> Option<ClientSecurity> {
        Some(ClientSecurity::Certificate { roots: self.roots.clone(), identity })
    }

    /// Of a registrar: takes users without certificates, and these pre-shared keys.
    pub(crate) fn registrar(&self, name: &str, keys: &[&str]) -> Security {
        let identity = self.identity(name);
        let clients = ClientCertificates::Optional(self.roots.clone());
        let certificate = ServerCertificate::Identity { identity: identity.clone(), clients };
        let keys: PskTable = keys.iter().map(|name| key(name)).collect();
        let server = ServerSecurity { certificate: Some(certificate), psk: Some(Arc::new(keys)) };
        security(SecurityConfig { client: self.client(Some(identity)), server: Some(server) })
    }

    /// Of an element with a certificate, that registrars with one may connect to.
    pub(crate) fn element(&self, name: &str) -> Security {
        let identity = self.identity(name);
        let clients = ClientCertificates::Required(self.roots.clone());
        let certificate = ServerCertificate::Identity { identity: identity.clone(), clients };
        let server = ServerSecurity { certificate: Some(certificate), psk: None };
        security(SecurityConfig { client: self.client(Some(identity)), server: Some(server) })
    }

    /// Of an element where it serves its pool, with a certificate for both of these names, and pre-shared keys of users.
    pub(crate) fn service(&self, name: &str, pool: &str, keys: &[&str]) -> Security {
        let clients = ClientCertificates::Optional(self.roots.clone());
        let certificate = ServerCertificate::Identity { identity: self.identity_of(&[name, pool]), clients };
        let keys: PskTable = keys.iter().map(|name| key(name)).collect();
        let server = ServerSecurity { certificate: Some(certificate), psk: Some(Arc::new(keys)) };
        security(SecurityConfig { client: None, server: Some(server) })
    }

    /// The same, for users with certificates only.
    pub(crate) fn mutual_service(&self, name: &str, pool: &str) -> Security {
        let clients = ClientCertificates::Required(self.roots.clone());
        let certificate = ServerCertificate::Identity { identity: self.identity_of(&[name, pool]), clients };
        let server = ServerSecurity { certificate: Some(certificate), psk: None };
        security(SecurityConfig { client: None, server: Some(server) })
    }

    /// Of somebody who verifies registrars and shows nothing.
    pub(crate) fn user(&self) -> Security {
        security(SecurityConfig { client: self.client(None), server: None })
    }

    /// Of somebody who shows a certificate with this name.
    pub(crate) fn named(&self, name: &str) -> Security {
        security(SecurityConfig { client: self.client(Some(self.identity(name))), server: None })
    }
}

/// Of somebody with this pre-shared key.
pub(crate) fn by_key(identity: &str) -> Security {
    security(SecurityConfig { client: Some(ClientSecurity::Psk(key(identity))), server: None })
}

pub(crate) fn security(config: SecurityConfig) -> Security {
    Security::new(config).expect("settings")
}

/// A key that everybody can work out: another one for each identity.
pub(crate) fn key(identity: &str) -> PreSharedKey {
    let secret = identity.bytes().cycle().take(32).collect::<Vec<u8>>();
    PreSharedKey::new(identity, secret).expect("a key")
}
