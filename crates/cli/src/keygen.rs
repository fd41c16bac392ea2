//! `rserpool keygen`: pre-shared keys, a certificate authority for one scope, and certificates of it.
//!
//! Files with secrets are readable by their owner only from the moment they exist, and nothing is overwritten by accident.
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use rand::TryRng;
use rand::rngs::SysRng;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rserpool::transport::{PreSharedKey, TlsIdentity};

use crate::arguments;
use crate::failure::Failure;
use crate::output;

/// How long a pre-shared key is (RFC 9257 §6 asks for 16 bytes at least).
const KEY_LENGTH: usize = 32;
/// How long an authority lasts, in days: it is replaced with everything that it has issued.
const AUTHORITY_DAYS: u32 = 3650;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How far clocks of the hosts of a scope may be apart.
const CLOCKS: Duration = Duration::from_secs(60 * 60);

const AUTHORITY: Names = Names { certificate: "ca.pem", key: "ca-key.pem" };
const CERTIFICATE: Names = Names { certificate: "cert.pem", key: "key.pem" };

/// Make keys and certificates for tls:// and sctp+tls:// endpoints
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// Print a pre-shared key of 32 random bytes, as the line identity:hex of a --psk-file
    ///
    /// The file must be for its owner only: umask 077 before writing it.
    Psk {
        /// The name of the key, and of whoever has it
        #[arg(long, value_name = "ID")]
        identity: String,
    },
    /// Make a certificate authority: ca.pem for everybody, ca-key.pem to issue certificates with
    Ca {
        #[command(flatten)]
        place: Place,
    },
    /// Issue a certificate: cert.pem and key.pem, for servers and for clients
    #[command(group(clap::ArgGroup::new("subject").required(true).multiple(true).args(["name", "ip"])))]
    Cert {
        /// The directory of the authority
        #[arg(long, value_name = "DIR")]
        ca: PathBuf,
        /// A DNS name that it is reached by; may be given several times: the first one is its identity
        #[arg(long, value_name = "DNS")]
        name: Vec<String>,
        /// An IP address that it is reached by; may be given several times
        #[arg(long, value_name = "ADDR")]
        ip: Vec<IpAddr>,
        /// How long it is valid
        #[arg(long, value_name = "N", value_parser = arguments::count, default_value = "365")]
        days: u32,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
struct Place {
    /// The directory to write to; made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

/// What the two files of a certificate are called.
struct Names {
    certificate: &'static str,
    key: &'static str,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.kind {
        Kind::Psk { identity } => pre_shared_key(identity),
        Kind::Ca { place } => authority(place),
        Kind::Cert { ca, name, ip, days, place } => certificate(ca, name, ip, *days, place),
    }
}

fn pre_shared_key(identity: &str) -> Result<(), Failure> {
    let secret: [u8; KEY_LENGTH] = random()?;
    PreSharedKey::new(identity, secret.to_vec())
        .map_err(|error| Failure::usage(format!("--identity: {error}")))?;
    if identity.starts_with('#') {
        return Err(Failure::usage(
            "--identity: a line that begins with # is a comment; choose another name",
        ));
    }
    output::line(format_args!("{identity}:{}", hex::encode(secret)))
}

fn authority(place: &Place) -> Result<(), Failure> {
    let mut parameters = valid_for(AUTHORITY_DAYS)?;
    // Different authorities have different names, so that a refused certificate is told to be of an unknown one.
    let name = format!("RSerPool authority {}", hex::encode(random::<4>()?));
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    place.write(&AUTHORITY, &certificate.pem(), &key.serialize_pem())
}

fn certificate(
    authority: &Path,
    names: &[String],
    addresses: &[IpAddr],
    days: u32,
    place: &Place,
) -> Result<(), Failure> {
    let issuer = issuer(authority)?;
    let mut parameters = valid_for(days)?;
    for name in names {
        let name = name.as_str().try_into();
        let name =
            name.map_err(|_| Failure::usage("--name: write international names in their ASCII form (xn--)"))?;
        parameters.subject_alt_names.push(SanType::DnsName(name));
    }
    parameters.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
    if let Some(subject) = names.first().cloned().or(addresses.first().map(IpAddr::to_string)) {
        parameters.distinguished_name.push(DnType::CommonName, subject);
    }
    parameters.use_authority_key_identifier_extension = true;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Registrars are servers of some links and clients of others.
    parameters.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    let (certificate, key) = (parameters.signed_by(&key, &issuer)?.pem(), key.serialize_pem());
    // Wildcards alone name nobody, who could then not be told from others.
    TlsIdentity::from_pem(certificate.as_bytes(), key.as_bytes())
        .map_err(|error| Failure::usage(format!("--name: {error}")))?;
    place.write(&CERTIFICATE, &certificate, &key)
}

/// The authority that `keygen ca` has written.
fn issuer(directory: &Path) -> Result<Issuer<'static, KeyPair>, Failure> {
    let read = |name| {
        let path = directory.join(name);
        fs::read_to_string(&path).map_err(|error| {
            Failure::new(format!("--ca: cannot read {} ({error}); `keygen ca` makes it", path.display()))
        })
    };
    let (certificate, key) = (read(AUTHORITY.certificate)?, read(AUTHORITY.key)?);
    let broken = |error| Failure::new(format!("--ca {}: {error}", directory.display()));
    let key = KeyPair::from_pem(&key).map_err(broken)?;
    Issuer::from_ca_cert_pem(&certificate, key).map_err(broken)
}

/// A certificate that is valid now and for so many days more.
fn valid_for(days: u32) -> Result<CertificateParams, Failure> {
    let now = SystemTime::now();
    let end = DAY.checked_mul(days).filter(|end| *end < DAY * 365 * 100);
    let end = end.ok_or_else(|| Failure::usage("--days: write a number that makes less than a century"))?;
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.not_before = (now - CLOCKS).into();
    parameters.not_after = (now + end).into();
    Ok(parameters)
}

impl Place {
    /// Writes both files, the key for its owner only, and says where they are.
    fn write(&self, names: &Names, certificate: &str, key: &str) -> Result<(), Failure> {
        fs::create_dir_all(&self.out)
            .map_err(|error| Failure::new(format!("--out {}: {error}", self.out.display())))?;
        let (certificate_path, key_path) = (self.out.join(names.certificate), self.out.join(names.key));
        // Both are free or none is written: a key that fits no certificate would be left behind.
        for path in [&certificate_path, &key_path] {
            if !self.force && path.symlink_metadata().is_ok() {
                let path = path.display();
                return Err(Failure::new(format!("{path} is there already; --force replaces it")));
            }
        }
        self.create(&key_path, 0o600, key)?;
        self.create(&certificate_path, 0o644, certificate)?;
        output::line(format_args!("{}\n{}", certificate_path.display(), key_path.display()))
    }

    fn create(&self, path: &Path, mode: u32, content: &str) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::new(format!("{}: {error}", path.display()));
        if self.force {
            // Written to, an old file would keep its access rights.
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
        file.write_all(content.as_bytes()).map_err(failed)
    }
}

/// Bytes from the system's random number generator.
fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes)?;
    Ok(bytes)
}
