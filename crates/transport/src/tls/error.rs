//! What can go wrong with keys and certificates, before and during a handshake, said so that it can be put right.
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustls::CertificateError;

use super::alert::explain;

/// Why keys and certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecurityError {
    /// A file cannot be read.
    #[error("cannot read {} ({source})", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file with secrets can be read by others.
    #[error("{} holds a secret, but others have access to it (mode {mode:o}): chmod 600 {}", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its access rights.
        mode: u32,
    },
    /// Nothing usable in PEM form is there.
    #[error("{place}: no {what} in PEM form ({problem})")]
    Pem {
        /// The file, or what it is.
        place: String,
        /// What should have been there.
        what: &'static str,
        /// What the parser said.
        problem: String,
    },
    /// A certificate, or its key, cannot be used.
    #[error("{what}: {source}")]
    Certificate {
        /// Which of them.
        what: &'static str,
        /// What is wrong.
        source: rustls::Error,
    },
    /// A list of roots or of revocations cannot be used.
    #[error("{what}: {problem}")]
    Roots {
        /// Which of them.
        what: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A certificate names nobody.
    #[error(
        "the certificate has no DNS name, IP address or URI among its subject alternative names: it names nobody"
    )]
    Nameless,
    /// A line of a key file is wrong.
    #[error("{place}: {why}")]
    KeyLine {
        /// The file and the line.
        place: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A key is too short.
    #[error("the key of `{identity}` has {length} bytes: at least 16 are needed, 32 random ones are good")]
    ShortKey {
        /// Whose key.
        identity: String,
        /// Its length.
        length: usize,
    },
    /// An identity cannot be used.
    #[error("`{identity}` is no identity: 1 to 128 bytes without blanks and control characters are")]
    Identity {
        /// The identity.
        identity: String,
    },
    /// A server has nothing to prove itself by.
    #[error("`ServerSecurity` has neither a certificate nor pre-shared keys: set one of them, or both")]
    NothingToProve,
    /// The TLS library for pre-shared keys does not start.
    #[error("pre-shared keys cannot be used ({problem})")]
    Psk {
        /// What it said.
        problem: String,
    },
}

/// Why a TLS handshake failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// Plain bytes came from the other end.
    #[error("the other end does not speak TLS; is it a plain tcp:// or sctp:// endpoint?")]
    NotTls,
    /// It took too long.
    #[error("the TLS handshake was not finished after {after:?}")]
    Timeout {
        /// How long.
        after: Duration,
    },
    /// The other end closed the connection.
    #[error(
        "the other end closed the connection during the TLS handshake; its log may say why, if it speaks TLS"
    )]
    Closed,
    /// The connection broke.
    #[error("connection lost during the TLS handshake ({0})")]
    Broken(#[source] io::Error),
    /// The other end refused, and said why.
    #[error("the other end refused: {reason} (TLS alert {alert})")]
    Refused {
        /// The alert (RFC 8446 §6).
        alert: u8,
        /// What it means here.
        reason: &'static str,
    },
    /// The other end's certificate does not hold.
    #[error("its certificate is refused: {problem}")]
    Certificate {
        /// Why.
        problem: String,
    },
    /// A client shows no certificate where one is required.
    #[error("it shows no certificate, and `ClientCertificates::Required` is set")]
    NoCertificate,
    /// A certificate holds, but names nobody.
    #[error(
        "its certificate has no DNS name, IP address or URI among its subject alternative names: it names nobody"
    )]
    Nameless,
    /// A client offers a key that is not known.
    #[error("no pre-shared key of the identities that it offers is known ({identities})")]
    UnknownIdentity {
        /// What it offers.
        identities: String,
    },
    /// A client has the name of a key, but another key.
    #[error("its key for `{identity}` is another one")]
    WrongKey {
        /// The identity.
        identity: String,
    },
    /// A server did not take the key.
    #[error(
        "the server did not take the pre-shared key `{identity}`: it does not know it, or takes certificates only"
    )]
    KeyNotTaken {
        /// The identity.
        identity: String,
    },
    /// A client has no key where nothing else is taken.
    #[error("it offers no pre-shared key, and there is no certificate to show it")]
    NoKey,
    /// A client comes while no clients are taken.
    #[error("the settings that were loaded last have no `SecurityConfig::server`")]
    NoServer,
    /// A client comes under our own name: somebody leads us back to ourselves (RFC 9257 §4.1, the Selfie attack), or two
    /// nodes share an identity.
    #[error("it comes as `{identity}`, which is our own identity: a reflection, or a name given twice")]
    Selfie {
        /// The identity.
        identity: String,
    },
    /// The host cannot be the name of a certificate.
    #[error("`{name}` cannot stand in a certificate; write international names in their ASCII form (xn--)")]
    ServerName {
        /// The host.
        name: String,
    },
    /// The other end breaks the rules of TLS, or has no version or cipher suite in common with us.
    #[error("TLS failed: {0}")]
    Protocol(String),
}

impl HandshakeError {
    pub(super) fn refused(alert: u8) -> Self {
        Self::Refused { alert, reason: explain(alert) }
    }
}

impl From<rustls::Error> for HandshakeError {
    fn from(error: rustls::Error) -> Self {
        use rustls::Error as E;
        match error {
            E::AlertReceived(alert) => Self::refused(alert.into()),
            E::NoCertificatesPresented => Self::NoCertificate,
            E::InvalidCertificate(error) => Self::Certificate { problem: describe(error) },
            E::PeerIncompatible(why) => Self::Protocol(format!(
                "nothing in common with it; TLS 1.2 and 1.3 are spoken here ({why:?})"
            )),
            error => Self::Protocol(error.to_string()),
        }
    }
}

/// A failure after the handshake: of a link that was up already.
impl From<HandshakeError> for io::Error {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::Broken(error) => error,
            error => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}

/// What a certificate lacks, in words; the library's own where they do.
fn describe(error: CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::UnknownIssuer => {
            "nobody among the trusted roots issued it (self-signed, or of another authority)".to_owned()
        }
        E::BadSignature => {
            "its signature is wrong: it was altered, or comes from another authority of the same name"
                .to_owned()
        }
        E::Revoked => "it is revoked".to_owned(),
        E::NotValidForNameContext { expected, presented } => {
            let names: Vec<_> = presented.iter().map(|name| bare(name)).collect();
            format!("it is not for {}, but for {}", expected.to_str(), names.join(", "))
        }
        error => error.to_string(),
    }
}

/// A name without its kind: rustls says `DnsName("a.example")`.
fn bare(name: &str) -> &str {
    name.split_once('(').map_or(name, |(_, name)| name.trim_end_matches(')').trim_matches('"'))
}
