//! Opening links over TLS: connecting, the handshake, and 200 bytes there and back; both ends on one thread over loopback. As
//! nothing waits, the time is the processor time of both; a link that waited for a timer would show.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "criterion's macros generate undocumented functions")]
#![allow(clippy::expect_used, reason = "a benchmark whose links do not work shall fail")]
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rserpool_machine::Endpoint;
use rserpool_transport::{
    ClientCertificates, ClientSecurity, Link, LinkConfig, LinkReader, Listener, PreSharedKey, PskTable,
    Security, SecurityConfig, ServerCertificate, ServerSecurity, TlsIdentity, TlsRoots, connect,
};
use tokio::runtime::{Builder, Runtime};

/// A message of 200 bytes, of no type that there is.
static MESSAGE: [u8; 200] = {
    let mut message = [0; 200];
    message[0] = 0x3f;
    message[3] = 200;
    message
};

/// A registrar's keys, and what its clients need.
struct Keys {
    server: LinkConfig,
    roots: TlsRoots,
    client: TlsIdentity,
    psk: PreSharedKey,
}

impl Keys {
    fn new() -> Self {
        let authority_key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = parameters.self_signed(&authority_key).expect("a certificate");
        let roots = TlsRoots::from_pem(authority.pem().as_bytes()).expect("an authority");
        let issuer = Issuer::new(parameters, authority_key);
        let identity = |name: &str| {
            let key = KeyPair::generate().expect("a key");
            let parameters = CertificateParams::new(vec![name.to_owned()]).expect("a name");
            let certificate = parameters.signed_by(&key, &issuer).expect("a certificate");
            TlsIdentity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())
                .expect("an identity")
        };
        let psk = PreSharedKey::new("pe-a", vec![7; 32]).expect("a key");
        let (identity, client) = (identity("127.0.0.1"), identity("pe-a"));
        let clients = ClientCertificates::Optional(roots.clone());
        let server = ServerSecurity {
            certificate: Some(ServerCertificate::Identity { identity, clients }),
            psk: Some(Arc::new(PskTable::from_iter([psk.clone()]))),
        };
        let server = links(SecurityConfig { server: Some(server), client: None });
        Self { server, roots, client, psk }
    }

    fn by_certificate(&self, identity: Option<&TlsIdentity>) -> LinkConfig {
        let (roots, identity) = (self.roots.clone(), identity.cloned());
        let client = Some(ClientSecurity::Certificate { roots, identity });
        links(SecurityConfig { server: None, client })
    }

    fn by_key(&self) -> LinkConfig {
        links(SecurityConfig { server: None, client: Some(ClientSecurity::Psk(self.psk.clone())) })
    }
}

fn links(security: SecurityConfig) -> LinkConfig {
    LinkConfig { security: Some(Security::new(security).expect("settings")), ..LinkConfig::default() }
}

fn handshakes(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let keys = Keys::new();
    let mut group = criterion.benchmark_group("tls: a link and 200 bytes there and back");
    group.sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    let listen = || runtime.block_on(listen(&keys.server));

    // New settings each time: a client that has been there before resumes its session.
    let listener = listen();
    group.bench_function("server certificate", |bencher| {
        let settings = || keys.by_certificate(None);
        bencher.iter_batched(settings, |config| open(&runtime, &listener, &config), BatchSize::SmallInput);
    });
    let listener = listen();
    group.bench_function("both certificates", |bencher| {
        let settings = || keys.by_certificate(Some(&keys.client));
        bencher.iter_batched(settings, |config| open(&runtime, &listener, &config), BatchSize::SmallInput);
    });
    let (listener, config) = (listen(), keys.by_certificate(None));
    group.bench_function("server certificate, resumed", |bencher| {
        bencher.iter(|| open(&runtime, &listener, &config));
    });
    let (listener, config) = (listen(), keys.by_key());
    group.bench_function("pre-shared key", |bencher| {
        bencher.iter(|| open(&runtime, &listener, &config));
    });
}

async fn listen(config: &LinkConfig) -> Listener {
    let endpoint: Endpoint = "tls://127.0.0.1:0".parse().expect("an endpoint");
    Listener::bind(&endpoint, config).await.expect("a free port")
}

fn open(runtime: &Runtime, listener: &Listener, config: &LinkConfig) {
    runtime.block_on(async {
        let remote = listener.local_endpoint();
        let (near, far) = tokio::join!(connect(remote, config), listener.accept());
        there_and_back(near.expect("let in"), far.expect("somebody connects")).await;
    });
}

async fn there_and_back(near: Link, far: Link) {
    let ((mut near, near_writer), (mut far, far_writer)) = (near.split(), far.split());
    let (there, back) = (near_writer.queue(), far_writer.queue());
    tokio::spawn(near_writer.run());
    tokio::spawn(far_writer.run());
    there.push(Bytes::from_static(&MESSAGE)).expect("room");
    there.try_flush();
    receive(&mut far).await;
    back.push(Bytes::from_static(&MESSAGE)).expect("room");
    back.try_flush();
    receive(&mut near).await;
    there.close();
    back.close();
}

async fn receive(reader: &mut LinkReader) {
    loop {
        if reader.next_message().expect("a message").is_some() {
            return;
        }
        assert!(reader.fill().await.expect("more of it"));
    }
}

criterion_group!(benches, handshakes);
criterion_main!(benches);
