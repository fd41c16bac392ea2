//! A certificate authority for tests, and links over TLS.
use std::net::Ipv4Addr;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, date_time_ymd,
};
use rserpool_machine::Endpoint;
use rserpool_transport::{
    ClientCertificates, ClientSecurity, Link, LinkConfig, Listener, PreSharedKey, PskTable, Security,
    SecurityConfig, ServerCertificate, ServerSecurity, TlsIdentity, TlsRoots, TransportError, connect,
    rustls,
};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{drive, endpoint, message, read_all};

/// Somebody who issues certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::default();
        // Authorities of the same name would be told apart by their signatures only.
        let name = key.public_key_raw().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = parameters.self_signed(&key).expect("a certificate");
        Self { issuer: Issuer::new(parameters, key), certificate }
    }

    pub(crate) fn roots(&self) -> TlsRoots {
        TlsRoots::from_pem(self.certificate.pem().as_bytes()).expect("an authority")
    }

    /// A list that revokes the certificate with this number.
    pub(crate) fn revocation(&self, serial: u64) -> String {
        let revoked = RevokedCertParams {
            serial_number: serial.into(),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2090, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("a list").pem().expect("a text")
    }

    /// A configuration as users may make it for themselves.
    pub(crate) fn rustls_client(
        &self,
        names: &[&str],
        version: &'static rustls::SupportedProtocolVersion,
    ) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.der().clone()).expect("an authority");
        let (certificate, key) = self.der(names);
        rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key)
            .expect("a certificate with its key")
    }

    /// The same for a server.
    pub(crate) fn rustls_server(&self, names: &[&str]) -> rustls::ServerConfig {
        let (certificate, key) = self.der(names);
        rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a certificate with its key")
    }

    /// A certificate for these names, with its key.
    fn der(&self, names: &[&str]) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let (certificate, key) = self.pem(names, |_| {});
        (
            CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate"),
            PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key"),
        )
    }

    /// A certificate for these names, in PEM form, with its key.
    pub(crate) fn pem(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut parameters = CertificateParams::new(names).expect("names");
        change(&mut parameters);
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// A certificate for these names.
    pub(crate) fn identity(&self, names: &[&str]) -> TlsIdentity {
        self.changed_identity(names, |_| {})
    }

    pub(crate) fn changed_identity(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> TlsIdentity {
        let (certificate, key) = self.pem(names, change);
        TlsIdentity::from_pem(certificate.as_bytes(), key.as_bytes()).expect("an identity")
    }
}

pub(crate) fn with(security: SecurityConfig) -> LinkConfig {
    LinkConfig { security: Some(Security::new(security).expect("settings")), ..LinkConfig::default() }
}

/// The configuration of a server with this certificate, for `names`.
pub(crate) fn server(identity: TlsIdentity, clients: ClientCertificates) -> LinkConfig {
    let certificate = Some(ServerCertificate::Identity { identity, clients });
    with(SecurityConfig {
        server: Some(ServerSecurity { certificate, ..ServerSecurity::default() }),
        client: None,
    })
}

/// The configuration of a server that takes this key only.
pub(crate) fn psk_server(keys: &[PreSharedKey]) -> LinkConfig {
    with(SecurityConfig { server: Some(psk(keys)), client: None })
}

pub(crate) fn psk(keys: &[PreSharedKey]) -> ServerSecurity {
    let table: PskTable = keys.iter().cloned().collect();
    ServerSecurity { psk: Some(std::sync::Arc::new(table)), ..ServerSecurity::default() }
}

/// The configuration of a client.
pub(crate) fn client(roots: TlsRoots, identity: Option<TlsIdentity>) -> LinkConfig {
    with(SecurityConfig { client: Some(ClientSecurity::Certificate { roots, identity }), server: None })
}

pub(crate) fn psk_client(key: PreSharedKey) -> LinkConfig {
    with(SecurityConfig { client: Some(ClientSecurity::Psk(key)), server: None })
}

pub(crate) fn key(identity: &str, byte: u8) -> PreSharedKey {
    PreSharedKey::new(identity, vec![byte; 32]).expect("a key")
}

/// The scheme of secured links: tests of what is the same over SCTP run over it where the environment says so.
fn scheme() -> String {
    std::env::var("RSERPOOL_TEST_SCHEME").unwrap_or_else(|_| "tls".to_owned())
}

pub(crate) async fn listen(config: &LinkConfig) -> Listener {
    Listener::bind(&endpoint(&format!("{}://127.0.0.1:0", scheme())), config).await.expect("a free port")
}

/// The listener's endpoint under this host name or address.
pub(crate) fn called(listener: &Listener, host: &str) -> Endpoint {
    let (scheme, port) = (listener.local_endpoint().scheme(), listener.local_endpoint().port());
    endpoint(&format!("{scheme}://{host}:{port}"))
}

/// Two ends of one link.
pub(crate) async fn meet(listener: &Listener, remote: &Endpoint, config: &LinkConfig) -> (Link, Link) {
    let (connected, accepted) = tokio::join!(connect(remote, config), listener.accept());
    (connected.expect("let in"), accepted.expect("somebody connects"))
}

/// What a client hears that is not let in: from connecting, or from its first read (TLS 1.3 clients are finished before the server is).
pub(crate) async fn turned_away(listener: &Listener, remote: &Endpoint, config: &LinkConfig) -> String {
    let attempt = async {
        match connect(remote, config).await {
            Ok(link) => drive(link).reader.fill().await.map(|_| ()),
            Err(error) => Err(error),
        }
    };
    tokio::select! {
        result = attempt => result.expect_err("not to be let in").to_string(),
        accepted = listener.accept() => panic!("let in: {accepted:?}"),
    }
}

/// The address of a listener for those who do without the protocol.
pub(crate) fn address(listener: &Listener) -> (Ipv4Addr, u16) {
    (Ipv4Addr::LOCALHOST, listener.local_endpoint().port())
}

/// What a client hears that does not get so far as to be turned away by a server.
pub(crate) async fn failure(remote: &Endpoint, config: &LinkConfig) -> TransportError {
    connect(remote, config).await.map(|_| ()).expect_err("no link")
}

/// What a client without TLS hears at `plain`, the same place as a TLS port; that lets nobody in.
pub(crate) async fn without_tls(plain: &Endpoint, listener: &Listener) -> TransportError {
    let client = async {
        let mut link = drive(connect(plain, &LinkConfig::default()).await.expect("it listens"));
        link.queue.push(message(1, 16)).expect("room");
        link.queue.try_flush();
        read_all(&mut link.reader).await.1.expect("no clean end")
    };
    tokio::select! {
        error = client => error,
        accepted = listener.accept() => panic!("let in: {accepted:?}"),
    }
}

/// What both ends hear when a client speaks TLS, at `remote`, to a listener without it.
pub(crate) async fn against_plain(
    listener: &Listener,
    remote: &Endpoint,
    config: &LinkConfig,
) -> (TransportError, TransportError) {
    let server = async {
        let mut link = drive(listener.accept().await.expect("somebody connects"));
        let error = read_all(&mut link.reader).await.1.expect("no clean end");
        link.queue.close();
        error
    };
    tokio::join!(failure(remote, config), server)
}

/// What is logged on this thread, for as long as the value lives.
#[derive(Clone, Default)]
pub(crate) struct Logged(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl Logged {
    pub(crate) fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        let logged = Self::default();
        let writer = logged.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (logged, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no panic")).into_owned()
    }
}

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
