//! TLS with implementations that are not ours: OpenSSL's and GnuTLS' commands as clients of a registrar, and as servers for our links, by
//! certificate and by pre-shared key. Skipped where the commands are missing, unless `RSERPOOL_LAB=required`.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "in tests, a panic is the report, and time is real"
)]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rserpool::transport::{
    self, ClientSecurity, LinkConfig, PskStore, PskTable, Security, SecurityConfig, TlsRoots,
};
use rserpool::wire::asap::{self, HandleResolution, Message, Registration};
use rserpool::wire::{
    CauseCode, Dialect, PeIdentifier, Policy, PoolElement, PoolHandle, RegistrationLife, ServerId, Transport,
    frame_length,
};
use rserpool::{Endpoint, machine::PeerIdentity};
use support::{Running, run, start};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// TLS 1.3 with pre-shared keys and ephemeral Diffie-Hellman, as GnuTLS wants it said.
const GNUTLS_PSK: &str = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+ECDHE-PSK";

/// Whether the commands are there.
fn installed(commands: &[&str]) -> bool {
    let is_there = |command: &str| Command::new(command).arg("--version").output().is_ok();
    let missing: Vec<_> = commands.iter().filter(|command| !is_there(command)).collect();
    let required = std::env::var("RSERPOOL_LAB").is_ok_and(|value| value == "required");
    assert!(missing.is_empty() || !required, "{missing:?} missing: install openssl and gnutls-bin");
    if !missing.is_empty() {
        eprintln!("skipped: {missing:?} missing; install openssl and gnutls-bin");
    }
    missing.is_empty()
}

/// An authority, certificates for the registrar and for another server, a pre-shared key, and the policy.
struct Keys(PathBuf);

impl Keys {
    fn make(test: &str) -> Self {
        let keys = Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-peers-{test}")));
        let _ = std::fs::remove_dir_all(&keys.0);
        done(&["keygen", "ca", "--out", &keys.path("")]);
        for name in ["registrar", "other"] {
            let (ca, out) = (keys.path(""), keys.path(name));
            done(&["keygen", "cert", "--ca", &ca, "--name", name, "--ip", "127.0.0.1", "--out", &out]);
        }
        let line = done(&["keygen", "psk", "--identity", "pe-a"]);
        std::fs::write(keys.path("psk"), line).expect("written");
        let only_ours = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(keys.path("psk"), only_ours).expect("ours");
        let policy = "identities = [{ name = \"pe-a\", pools = [\"echo\"] }]\n";
        std::fs::write(keys.path("policy.toml"), policy).expect("written");
        keys
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// The pre-shared key in hexadecimal digits.
    fn secret(&self) -> String {
        let line = std::fs::read_to_string(self.path("psk")).expect("there");
        line.trim().strip_prefix("pe-a:").expect("identity:hex").to_owned()
    }

    /// A registrar, and its port.
    fn registrar(&self) -> (Running, String) {
        let registrar = start(&[
            "registrar",
            "--asap",
            "tls://127.0.0.1:0",
            "--tls-cert",
            &self.path("registrar/cert.pem"),
            "--tls-key",
            &self.path("registrar/key.pem"),
            "--tls-ca",
            &self.path("ca.pem"),
            "--psk-file",
            &self.path("psk"),
            "--policy",
            &self.path("policy.toml"),
        ]);
        let at = registrar.ready();
        let port = at["asap"].rsplit(':').next().expect("a port").to_owned();
        (registrar, port)
    }

    /// What our links to servers are secured by, and who the server is then known to be.
    fn clients(&self) -> [(Security, PeerIdentity); 2] {
        let roots = TlsRoots::read(self.path("ca.pem")).expect("an authority");
        let key = PskTable::read(self.path("psk")).expect("keys").key("pe-a").expect("the key");
        let of =
            |client| Security::new(SecurityConfig { client: Some(client), server: None }).expect("settings");
        [
            (
                of(ClientSecurity::Certificate { roots, identity: None }),
                PeerIdentity::Authenticated("other".into()),
            ),
            (of(ClientSecurity::Psk(key)), PeerIdentity::Keyed("pe-a".into())),
        ]
    }
}

fn done(arguments: &[&str]) -> String {
    let ended = run(arguments, "");
    assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.stderr);
    ended.stdout
}

/// Another command, which is ended with the value.
struct Other {
    child: Child,
    input: ChildStdin,
    output: Receiver<Vec<u8>>,
}

impl Other {
    fn start(command: &mut Command) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = piped.spawn().expect("installed");
        let (input, mut stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, input, output }
    }

    fn say(&mut self, bytes: &[u8]) {
        // One that has ended already has something to say about that.
        let _ = self.input.write_all(bytes).and_then(|()| self.input.flush());
    }

    /// What it writes until `enough`; `None` if it ends before.
    fn until(&self, enough: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        let (started, mut all) = (Instant::now(), Vec::new());
        while !enough(&all) {
            match self.output.recv_timeout(PATIENCE.saturating_sub(started.elapsed())) {
                Ok(more) => all.extend(more),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(error) => panic!("{error}: {:?} only", String::from_utf8_lossy(&all)),
            }
        }
        Some(all)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn encoded<'a>(message: impl Into<Message<'a>>) -> Bytes {
    let mut buffer = BytesMut::new();
    message.into().encode(Dialect::Rfc, &mut buffer).expect("it fits");
    buffer.freeze()
}

fn resolution(pool: &str) -> Bytes {
    encoded(HandleResolution { pool_handle: PoolHandle::from(pool), subscribe: false, items: None })
}

fn registration() -> Bytes {
    let element = PoolElement {
        identifier: PeIdentifier(7),
        home: ServerId::NONE,
        life: RegistrationLife::Infinite,
        user_transport: Transport::Tcp(([127, 0, 0, 1], 7).into()),
        policy: Policy::RoundRobin,
        asap_transport: None,
    };
    encoded(Registration { pool_handle: PoolHandle::from("echo"), element })
}

/// Why the registrar rejects what a client sends; `None` if it does not. `Err` where there is no conversation.
fn rejection(client: &mut Command, message: &[u8]) -> Result<Option<CauseCode>, ()> {
    let mut client = Other::start(client);
    client.say(message);
    let whole = |bytes: &[u8]| {
        bytes
            .first_chunk()
            .is_some_and(|header| bytes.len() >= frame_length(*header).expect("an ASAP message"))
    };
    let answer = client.until(whole).ok_or(())?;
    let error = match asap::decode(&answer, Dialect::Rfc).expect("well-formed").message {
        Message::RegistrationResponse(response) => response.error,
        Message::HandleResolutionResponse(response) => response.error,
        other => panic!("{other:?}"),
    };
    Ok(error.map(|error| error.causes[0].code))
}

fn command(line: &[&str]) -> Command {
    let mut command = Command::new(line[0]);
    command.args(&line[1..]);
    command
}

/// What each says to the registrar: one without an identity asks, one with a key registers.
fn as_client(by_certificate: &[&str], by_key: &[&str], by_wrong_key: &[&str]) {
    let unknown = Ok(Some(CauseCode::UNKNOWN_POOL_HANDLE));
    assert_eq!(rejection(&mut command(by_certificate), &resolution("echo")), unknown);
    let forbidden = Ok(Some(CauseCode::REJECTED_FOR_SECURITY));
    assert_eq!(rejection(&mut command(by_certificate), &registration()), forbidden);
    assert_eq!(rejection(&mut command(by_key), &registration()), Ok(None));
    assert_eq!(rejection(&mut command(by_wrong_key), &registration()), Err(()));
}

/// 5352-9.2-06, 5352-9.2-08
#[test]
fn openssl_is_a_client_by_certificate_and_by_key() {
    if !installed(&["openssl"]) {
        return;
    }
    let keys = Keys::make("openssl-client");
    let (_registrar, port) = keys.registrar();
    let (at, ca, secret) = (format!("127.0.0.1:{port}"), keys.path("ca.pem"), keys.secret());
    let base = ["openssl", "s_client", "-quiet", "-connect", &at];
    let verifying = ["-CAfile", &ca, "-verify_return_error", "-verify_ip", "127.0.0.1"];
    let keyed = |secret| ["-tls1_3", "-psk_identity", "pe-a", "-psk", secret];
    let wrong = secret.chars().rev().collect::<String>();
    as_client(
        &[&base[..], &verifying].concat(),
        &[&base[..], &keyed(&secret)].concat(),
        &[&base[..], &keyed(&wrong)].concat(),
    );
    // TLS 1.2 is fine with suites that are; older versions and suites are not.
    let only =
        |more: &[&str]| rejection(&mut command(&[&base[..], &verifying, more].concat()), &resolution("echo"));
    assert!(only(&["-tls1_2"]).is_ok());
    assert_eq!(only(&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]), Err(()));
    assert_eq!(only(&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"]), Err(()));
    assert_eq!(only(&["-tls1_2", "-cipher", "AES128-GCM-SHA256:@SECLEVEL=0"]), Err(()), "RSA key exchange");
}

/// RFC 9325 §3.5: whoever wants to negotiate anew is cut off, and costs the others nothing.
#[test]
fn openssl_does_not_get_a_renegotiation() {
    if !installed(&["openssl"]) {
        return;
    }
    let keys = Keys::make("renegotiation");
    let (_registrar, port) = keys.registrar();
    let (at, ca) = (format!("127.0.0.1:{port}"), keys.path("ca.pem"));
    let base = ["openssl", "s_client", "-connect", &at, "-CAfile", &ca, "-tls1_2"];
    // It says what it does on its standard error.
    let mut client = Other::start(&mut command(&["sh", "-c", &format!("exec {} 2>&1", base.join(" "))]));
    let is_up = |text: &[u8]| text.windows(18).any(|window| window == b"Verify return code");
    client.until(is_up).expect("a session");
    client.say(b"R\n");
    let begun = |text: &[u8]| text.windows(13).any(|window| window == b"RENEGOTIATING");
    client.until(begun).expect("it tries");
    assert_eq!(client.until(|_| false), None, "its end");
    let quiet = [&base[..], &["-quiet"]].concat();
    assert_eq!(
        rejection(&mut command(&quiet), &resolution("echo")),
        Ok(Some(CauseCode::UNKNOWN_POOL_HANDLE))
    );
}

#[test]
fn gnutls_is_a_client_by_certificate_and_by_key() {
    if !installed(&["gnutls-cli"]) {
        return;
    }
    let keys = Keys::make("gnutls-client");
    let (_registrar, port) = keys.registrar();
    let (ca, secret, log) = (keys.path("ca.pem"), keys.secret(), keys.path("gnutls.log"));
    let base = ["gnutls-cli", "--logfile", &log, "-p", &port, "127.0.0.1"];
    let verifying = ["--x509cafile", &ca];
    let keyed = |secret| ["--priority", GNUTLS_PSK, "--pskusername", "pe-a", "--pskkey", secret];
    let wrong = secret.chars().rev().collect::<String>();
    as_client(
        &[&base[..], &verifying].concat(),
        &[&base[..], &keyed(&secret)].concat(),
        &[&base[..], &keyed(&wrong)].concat(),
    );
}

/// Opens a link to the server, sends `message`, and returns the first one that comes back.
fn exchange(
    port: u16,
    security: &Security,
    identity: &PeerIdentity,
    message: Bytes,
    sent: impl FnOnce(),
) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let exchange = async {
        let config = LinkConfig { security: Some(security.clone()), ..LinkConfig::default() };
        let endpoint: Endpoint = format!("tls://127.0.0.1:{port}").parse().expect("an endpoint");
        let started = Instant::now();
        // The server may not listen yet.
        let link = loop {
            match transport::connect(&endpoint, &config).await {
                Ok(link) => break link,
                Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        assert_eq!(&link.identity, identity);
        let (mut reader, writer) = link.split();
        let queue = writer.queue();
        tokio::spawn(writer.run());
        queue.push(message).expect("room");
        queue.try_flush();
        sent();
        loop {
            if let Some(message) = reader.next_message().expect("in step") {
                return message.to_vec();
            }
            assert!(reader.fill().await.expect("the link is up"), "closed");
        }
    };
    runtime.block_on(async { tokio::time::timeout(PATIENCE, exchange).await }).expect("an answer in time")
}

#[test]
fn openssl_is_a_server_by_certificate_and_by_key() {
    if !installed(&["openssl"]) {
        return;
    }
    let keys = Keys::make("openssl-server");
    let (cert, key, secret) = (keys.path("other/cert.pem"), keys.path("other/key.pem"), keys.secret());
    let by_certificate = ["-cert", &cert, "-key", &key];
    let by_key = ["-tls1_3", "-nocert", "-psk_identity", "pe-a", "-psk", &secret];
    for (secured, (security, identity)) in [&by_certificate[..], &by_key].into_iter().zip(keys.clients()) {
        let base = ["openssl", "s_server", "-accept", "127.0.0.1:0"];
        let mut server = Other::start(&mut command(&[&base[..], secured].concat()));
        let port = |text: &[u8]| -> Option<u16> {
            let mut lines = BufReader::new(text).lines().map_while(Result::ok);
            lines.find_map(|line| line.strip_prefix("ACCEPT 127.0.0.1:")?.parse().ok())
        };
        let said = server.until(|text| port(text).is_some()).expect("it listens");
        let answer = resolution("from OpenSSL");
        let back =
            exchange(port(&said).expect("checked"), &security, &identity, resolution("from us"), || {
                let has_it = |text: &[u8]| text.windows(7).any(|window| window == b"from us");
                server.until(has_it).expect("it prints what it receives");
                server.say(&answer);
            });
        assert_eq!(back, answer);
    }
}

#[test]
fn gnutls_is_a_server_by_certificate_and_by_key() {
    if !installed(&["gnutls-serv"]) {
        return;
    }
    let keys = Keys::make("gnutls-server");
    for (security, identity) in keys.clients() {
        // It does not say which port it was given, so that one has to be found for it.
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
        let _server = Other::start(&mut command(&[
            "gnutls-serv",
            "--echo",
            "--port",
            &free.to_string(),
            "--x509certfile",
            &keys.path("other/cert.pem"),
            "--x509keyfile",
            &keys.path("other/key.pem"),
            "--pskpasswd",
            &keys.path("psk"),
            "--priority",
            GNUTLS_PSK,
        ]));
        // It echoes a line of text, so that no byte of it may be 0: what a link cares for is the length in the third and fourth.
        let mut message = vec![b'x'; 0x0104];
        message[..4].copy_from_slice(&[0x05, 0x01, 0x01, 0x04]);
        message[0x0103] = b'\n';
        let message = Bytes::from(message);
        assert_eq!(exchange(free, &security, &identity, message.clone(), || ()), message);
    }
}
