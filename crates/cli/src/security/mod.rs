//! Keys and certificates on the command line: flags to the settings of secured links, and what they must have of each other.
//!
//! A command whose endpoints are all `tcp://` takes none of these flags, and one with a `tls://` endpoint has no other: that
//! somebody believes a link to be secured that is not is the mistake to be kept from happening.
mod client;
mod diagnosis;
mod renewal;
mod server;
mod service;

use std::fmt::Display;
use std::path::{Path, PathBuf};

use rserpool::machine::Endpoint;
use rserpool::transport::{SecurityError, TlsIdentity, TlsRoots};

pub(crate) use self::client::ClientKeys;
pub(crate) use self::diagnosis::diagnose;
pub(crate) use self::renewal::Renewal;
pub(crate) use self::server::{Secured, ServerKeys};
pub(crate) use self::service::{ElementTls, UserTls};
use crate::failure::Failure;

/// Whether the endpoints are secured, all or none of them: a failure of one must not lead to a less secure one
/// (RFC 5355 §2.9, §2.15).
fn secured(endpoints: &[&Endpoint]) -> Result<bool, Failure> {
    let of = |secured: bool| endpoints.iter().find(|endpoint| endpoint.scheme().is_secured() == secured);
    match (of(true), of(false)) {
        (Some(secured), Some(plain)) => Err(Failure::usage(format!(
            "{secured} is secured and {plain} is not: write tls:// or sctp+tls:// for all endpoints, or for none"
        ))),
        (secured, _) => Ok(secured.is_some()),
    }
}

/// Refuses flags that would be without effect.
fn for_nothing(flag: &str, endpoint: &str) -> Failure {
    Failure::usage(format!(
        "{flag} is for TLS, but there is no tls:// or sctp+tls:// endpoint: write {endpoint} tls://HOST:PORT"
    ))
}

/// A certificate with its key, where the flags name them.
fn identity(cert: Option<&Path>, key: Option<&Path>) -> Result<Option<TlsIdentity>, Failure> {
    match (cert, key) {
        (Some(cert), Some(key)) => read("--tls-cert, --tls-key", TlsIdentity::read(cert, key)).map(Some),
        (Some(_), None) => {
            Err(Failure::usage("--tls-cert needs --tls-key: a certificate is of no use without its key"))
        }
        (None, Some(_)) => {
            Err(Failure::usage("--tls-key needs --tls-cert: the certificate that the key belongs to"))
        }
        (None, None) => Ok(None),
    }
}

/// The authorities, where the flag names them.
fn roots(ca: Option<&PathBuf>) -> Result<Option<TlsRoots>, Failure> {
    ca.map(|ca| read("--tls-ca", TlsRoots::read(ca))).transpose()
}

/// Tells what is wrong with the files of a flag.
fn read<T>(flag: impl Display, result: Result<T, SecurityError>) -> Result<T, Failure> {
    result.map_err(|error| Failure::usage(format!("{flag}: {error}")))
}
