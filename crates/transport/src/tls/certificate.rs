//! Certificates: our own with its key, those whose word we take, and whom a certificate names.
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::error::SecurityError;
use super::file;

/// A certificate with its chain and its private key. The key is wiped from memory with the last clone, and never printed.
#[derive(Clone)]
pub struct TlsIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<Zeroizing<PrivateKeyDer<'static>>>,
}

impl TlsIdentity {
    /// A chain, the certificate first, and the key.
    ///
    /// # Errors
    /// When the certificate names nobody.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, SecurityError> {
        let key = Arc::new(Zeroizing::new(key));
        chain.first().and_then(name_of).ok_or(SecurityError::Nameless)?;
        Ok(Self { chain, key })
    }

    /// The same from texts in PEM form.
    ///
    /// # Errors
    /// When there is no certificate or no private key in them, or the certificate names nobody.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, SecurityError> {
        Self::new(certificates(chain, "certificate chain")?, private_key(key, "private key")?)
    }

    /// The same from files in PEM form.
    ///
    /// # Errors
    /// As [`from_pem`](Self::from_pem), and when a file cannot be read, or that of the key by others as well.
    pub fn read(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, SecurityError> {
        let (chain, key) = (chain.as_ref(), key.as_ref());
        Self::new(
            certificates(&file::read(chain)?, &chain.display().to_string())?,
            private_key(&file::read_secret(key)?, &key.display().to_string())?,
        )
    }

    /// Whether the certificate is for this DNS name or IP address: the names that clients ask for are verified in the same way.
    #[must_use]
    pub fn is_for(&self, name: &str) -> bool {
        let certificate = self.chain.first().map(ParsedCertificate::try_from);
        let (Some(Ok(certificate)), Ok(name)) = (certificate, ServerName::try_from(name)) else {
            return false;
        };
        verify_server_name(&certificate, &name).is_ok()
    }

    /// Who this is.
    pub(super) fn name(&self) -> Option<Arc<str>> {
        self.chain.first().and_then(name_of)
    }

    pub(super) fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.chain.clone(), self.key.clone_key())
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsIdentity({:?})", self.name().unwrap_or_default())
    }
}

/// The authorities whose certificates we take, and the certificates of theirs that we do not take any more.
#[derive(Clone, Debug)]
pub struct TlsRoots {
    pub(super) authorities: Arc<RootCertStore>,
    pub(super) revoked: Vec<CertificateRevocationListDer<'static>>,
}

impl TlsRoots {
    /// Certificates of authorities, in PEM form.
    ///
    /// # Errors
    /// When there is none, or one that cannot be used.
    pub fn from_pem(authorities: &[u8]) -> Result<Self, SecurityError> {
        Self::new(certificates(authorities, "authorities")?)
    }

    /// The same from a file.
    ///
    /// # Errors
    /// As [`from_pem`](Self::from_pem), and when the file cannot be read.
    pub fn read(authorities: impl AsRef<Path>) -> Result<Self, SecurityError> {
        let path = authorities.as_ref();
        Self::new(certificates(&file::read(path)?, &path.display().to_string())?)
    }

    /// These certificates.
    ///
    /// # Errors
    /// When there is none, or one that cannot be used.
    pub fn new(authorities: Vec<CertificateDer<'static>>) -> Result<Self, SecurityError> {
        let mut store = RootCertStore::empty();
        for authority in authorities {
            store.add(authority).map_err(|source| SecurityError::Certificate {
                what: "an authority's certificate",
                source,
            })?;
        }
        if store.is_empty() {
            let problem = "there is none".to_owned();
            return Err(SecurityError::Roots { what: "authorities", problem });
        }
        Ok(Self { authorities: Arc::new(store), revoked: Vec::new() })
    }

    /// Refuses what these revocation lists of the authorities name, in PEM form. Certificates of an authority without a list
    /// are taken.
    ///
    /// # Errors
    /// When there is no list.
    pub fn revoke_pem(mut self, lists: &[u8]) -> Result<Self, SecurityError> {
        let found = CertificateRevocationListDer::pem_slice_iter(lists).collect::<Result<Vec<_>, _>>();
        let lists = found.map_err(|problem| pem_error("revocation lists", "revocation list", problem))?;
        if lists.is_empty() {
            return Err(pem_error("revocation lists", "revocation list", "there is none"));
        }
        self.revoked.extend(lists);
        Ok(self)
    }
}

/// Whom a certificate names: its first DNS name, else its first IP address, else its first URI, of the subject alternative names.
/// Wildcards name nobody in particular.
pub(super) fn name_of(certificate: &CertificateDer<'_>) -> Option<Arc<str>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let names = &names.value.general_names;
    let dns = || {
        names.iter().find_map(|name| match name {
            GeneralName::DNSName(name) if !name.contains('*') => Some(canonical(name)),
            _ => None,
        })
    };
    let address = || {
        names.iter().find_map(|name| match name {
            GeneralName::IPAddress(bytes) => ip_address(bytes).map(|ip| ip.to_string().into()),
            _ => None,
        })
    };
    let uri = || {
        names.iter().find_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).into()),
            _ => None,
        })
    };
    dns().or_else(address).or_else(uri)
}

/// A DNS name as it is compared: in small letters, without the final dot.
pub(super) fn canonical(name: &str) -> Arc<str> {
    name.trim_end_matches('.').to_ascii_lowercase().into()
}

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?));
    let v6 = || Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?));
    v4().or_else(v6)
}

fn certificates(pem: &[u8], place: &str) -> Result<Vec<CertificateDer<'static>>, SecurityError> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = found.map_err(|problem| pem_error(place, "certificate", problem))?;
    if certificates.is_empty() {
        return Err(pem_error(place, "certificate", "there is none"));
    }
    Ok(certificates)
}

fn private_key(pem: &[u8], place: &str) -> Result<PrivateKeyDer<'static>, SecurityError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|problem| pem_error(place, "private key", problem))
}

fn pem_error(place: &str, what: &'static str, problem: impl fmt::Display) -> SecurityError {
    SecurityError::Pem { place: place.to_owned(), what, problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(names: &[&str]) -> Option<String> {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let key = rcgen::KeyPair::generate().expect("a key");
        let parameters = rcgen::CertificateParams::new(names).expect("names");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        name_of(certificate.der()).map(|name| name.to_string())
    }

    #[test]
    fn a_certificate_names_its_first_dns_name_else_an_address() {
        assert_eq!(
            name(&["10.0.0.1", "*.example", "PE-A.example", "b.example"]).as_deref(),
            Some("pe-a.example")
        );
        assert_eq!(name(&["2001:db8::1", "10.0.0.1"]).as_deref(), Some("2001:db8::1"));
    }

    #[test]
    fn a_certificate_without_alternative_names_or_with_a_wildcard_only_names_nobody() {
        assert_eq!(name(&[]), None);
        assert_eq!(name(&["*.example"]), None);
    }

    #[test]
    fn a_certificate_is_for_all_its_names_and_no_other() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let names = ["pe-a".to_owned(), "*.pool.example".to_owned(), "10.0.0.1".to_owned()];
        let parameters = rcgen::CertificateParams::new(names).expect("names");
        let certificate = parameters.self_signed(&key).expect("a certificate").pem();
        let identity = TlsIdentity::from_pem(certificate.as_bytes(), key.serialize_pem().as_bytes());
        let identity = identity.expect("an identity");
        for name in ["pe-a", "PE-A", "a.pool.example", "10.0.0.1"] {
            assert!(identity.is_for(name), "{name}");
        }
        for name in ["pe-b", "pool.example", "10.0.0.2", "no name", ""] {
            assert!(!identity.is_for(name), "{name}");
        }
    }

    #[test]
    fn what_is_not_pem_is_said() {
        let error = TlsIdentity::from_pem(b"nothing", b"nothing").expect_err("nothing");
        assert!(error.to_string().contains("certificate"), "{error}");
        let error = TlsRoots::from_pem(b"").expect_err("nothing");
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}
