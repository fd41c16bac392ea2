//! Handshakes over a connection that is up: which library takes part is decided here, and what the other end has proven.
//!
//! A server reads the client's first message before it chooses. If that offers a pre-shared key that is known, s2n-tls answers,
//! which has this key and nothing else; if not, rustls answers with the certificate. So one port takes both kinds of
//! clients, each library does what it is made for, and a client with a wrong key cannot slip through by a certificate.
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::BytesMut;
use rserpool_machine::{Endpoint, Host, PeerIdentity};
use rustls::pki_types::ServerName;

use super::alert;
use super::carrier::Carrier;
use super::certificate::canonical;
use super::engine::{Engine, certificate};
use super::error::HandshakeError;
use super::hello::{self, Hello};
use super::settings::{Client, Ready, Server};

/// Room for what arrives at once during a handshake.
const ROOM: usize = 4 << 10;

/// Takes the client's part; returns who the server proved to be.
pub(super) async fn connect(
    carrier: &Carrier,
    remote: &Endpoint,
    client: &Client,
) -> Result<(Engine, PeerIdentity), HandshakeError> {
    match client {
        Client::Certificate(config) => {
            let name = server_name(remote)?;
            let mut engine = Engine::client(config, name.clone())?;
            shake(carrier, &mut engine, BytesMut::new()).await?;
            // One node is to have one name in both directions: the first of its certificate.
            let asked_for = match &name {
                ServerName::DnsName(name) => Some(canonical(name.as_ref())),
                _ => None,
            };
            let identity = proven_name(&engine)?.or(asked_for).ok_or(HandshakeError::Nameless)?;
            Ok((engine, PeerIdentity::Authenticated(identity)))
        }
        #[cfg(feature = "psk")]
        Client::Psk(settings, key) => {
            let mut engine = Engine::psk_client(settings, key.clone())?;
            shake(carrier, &mut engine, BytesMut::new()).await?;
            Ok((engine, PeerIdentity::Keyed(Arc::clone(key.identity()))))
        }
        #[cfg(feature = "psk")]
        Client::CallBack(settings, key) => {
            let mut engine = Engine::psk_client(settings, key.clone())?;
            shake(carrier, &mut engine, BytesMut::new()).await?;
            // The key is that of the client that we are calling back, and no other client's.
            Ok((engine, PeerIdentity::Authenticated(Arc::clone(key.identity()))))
        }
    }
}

/// Takes the server's part; returns who the client proved to be.
pub(super) async fn accept(
    carrier: &Carrier,
    ready: &Ready,
    called_back: bool,
) -> Result<(Engine, PeerIdentity), HandshakeError> {
    // Settings without a server, given by a reload: nobody is let in.
    if ready.server.is_none() && !(called_back && ready.is_called_back()) {
        return Err(HandshakeError::NoServer);
    }
    let (received, offered) = first_message(carrier).await.inspect_err(|error| {
        if matches!(error, HandshakeError::NotTls) {
            say(carrier, alert::UNEXPECTED_MESSAGE);
        }
    })?;
    let called = if called_back { by_own_key(ready, &offered) } else { None };
    let chosen = called.unwrap_or_else(|| choose(ready, &offered));
    let (mut engine, proving) = chosen.inspect_err(|error| {
        let alert = match error {
            HandshakeError::Selfie { .. } => alert::ACCESS_DENIED,
            HandshakeError::UnknownIdentity { .. } => alert::UNKNOWN_PSK_IDENTITY,
            _ => alert::HANDSHAKE_FAILURE,
        };
        say(carrier, alert);
    })?;
    shake(carrier, &mut engine, received).await?;
    let identity = match proving {
        Proving::Caller(identity) => return Ok((engine, PeerIdentity::Keyed(identity))),
        Proving::Key(identity) => Some(identity),
        Proving::Certificate => proven_name(&engine)?,
    };
    match identity {
        Some(identity) if ready.own.contains(&identity) => {
            Err(HandshakeError::Selfie { identity: identity.to_string() })
        }
        Some(identity) => Ok((engine, PeerIdentity::Authenticated(identity))),
        None => Ok((engine, PeerIdentity::Encrypted)),
    }
}

/// What a client has to prove.
enum Proving {
    /// What its certificate says, if it shows one.
    Certificate,
    /// That it knows the key of this identity.
    Key(Arc<str>),
    /// That it knows our key, of this identity, for the opposite direction.
    #[cfg_attr(not(feature = "psk"), allow(dead_code, reason = "there are no keys"))]
    Caller(Arc<str>),
}

/// Who answers a client that offers keys with these identities.
fn choose(ready: &Ready, offered: &[Vec<u8>]) -> Result<(Engine, Proving), HandshakeError> {
    if let Some(server) = &ready.server
        && let Some((engine, identity)) = by_key(ready, server, offered)?
    {
        return Ok((engine, Proving::Key(identity)));
    }
    match ready.server.as_ref().and_then(|server| server.certificate.as_ref()) {
        Some(config) => Ok((Engine::server(config)?, Proving::Certificate)),
        None if offered.is_empty() => Err(HandshakeError::NoKey),
        None => {
            let names = offered.iter().map(|identity| format!("`{}`", identity.escape_ascii()));
            Err(HandshakeError::UnknownIdentity { identities: names.take(4).collect::<Vec<_>>().join(", ") })
        }
    }
}

/// The end of a conversation by the first of these keys that is known.
#[cfg(feature = "psk")]
fn by_key(
    ready: &Ready,
    server: &Server,
    offered: &[Vec<u8>],
) -> Result<Option<(Engine, Arc<str>)>, HandshakeError> {
    let Some((settings, store)) = &server.psk else { return Ok(None) };
    let known = |identity: &Vec<u8>| std::str::from_utf8(identity).ok().and_then(|name| store.key(name));
    let Some(key) = offered.iter().find_map(known) else { return Ok(None) };
    let identity = Arc::clone(key.identity());
    if ready.own.contains(&identity) {
        return Err(HandshakeError::Selfie { identity: identity.to_string() });
    }
    Ok(Some((Engine::psk_server(settings, key)?, identity)))
}

/// The end of a conversation with somebody whom we connect to by our own key, and who calls us back by it.
#[cfg(feature = "psk")]
fn by_own_key(ready: &Ready, offered: &[Vec<u8>]) -> Option<Result<(Engine, Proving), HandshakeError>> {
    let (settings, key) = ready.called_back.as_ref()?;
    if !offered.iter().any(|identity| identity == key.offered()) {
        return None;
    }
    let engine = Engine::psk_server(settings, key.clone());
    Some(engine.map(|engine| (engine, Proving::Caller(Arc::clone(key.identity())))))
}

#[cfg(not(feature = "psk"))]
fn by_own_key(_: &Ready, _: &[Vec<u8>]) -> Option<Result<(Engine, Proving), HandshakeError>> {
    None
}

#[cfg(not(feature = "psk"))]
fn by_key(_: &Ready, _: &Server, _: &[Vec<u8>]) -> Result<Option<(Engine, Arc<str>)>, HandshakeError> {
    Ok(None)
}

/// Reads until the client's first message is whole; returns everything read, and the identities that the client offers.
async fn first_message(carrier: &Carrier) -> Result<(BytesMut, Vec<Vec<u8>>), HandshakeError> {
    let mut received = BytesMut::new();
    loop {
        match hello::read(&received) {
            Hello::Whole { identities } => return Ok((received, identities)),
            Hello::NotTls => return Err(HandshakeError::NotTls),
            Hello::Partial if received.len() > hello::LONGEST => {
                return Err(HandshakeError::Protocol(format!(
                    "a first message of more than {} bytes",
                    hello::LONGEST
                )));
            }
            Hello::Partial => receive(carrier, &mut received).await?,
        }
    }
}

/// Exchanges messages until the handshake is finished. `received` is what has been read already.
async fn shake(carrier: &Carrier, engine: &mut Engine, mut received: BytesMut) -> Result<(), HandshakeError> {
    let mut first = received.is_empty();
    loop {
        let result = engine.shake(&received);
        let sent = send(carrier, engine).await;
        if result? {
            return sent;
        }
        // The other end may have said why it closed: reading tells.
        received.clear();
        receive(carrier, &mut received).await?;
        if std::mem::take(&mut first) && !hello::is_tls(&received) {
            return Err(HandshakeError::NotTls);
        }
    }
}

async fn send(carrier: &Carrier, engine: &mut Engine) -> Result<(), HandshakeError> {
    loop {
        match engine.send(&mut &*carrier) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                carrier.writable().await.map_err(HandshakeError::Broken)?;
            }
            sent => return sent.map_err(HandshakeError::Broken),
        }
    }
}

/// Appends what arrives next; the end is an error here.
async fn receive(carrier: &Carrier, received: &mut BytesMut) -> Result<(), HandshakeError> {
    let broken = |error: io::Error| match error.kind() {
        io::ErrorKind::ConnectionReset => HandshakeError::Closed,
        _ => HandshakeError::Broken(error),
    };
    loop {
        poll_fn(|cx| carrier.poll_read_ready(cx)).await.map_err(broken)?;
        let mut room = [0; ROOM];
        match (&*carrier).read(&mut room) {
            Ok(0) => return Err(HandshakeError::Closed),
            Ok(count) => {
                received.extend_from_slice(room.get(..count).unwrap_or_default());
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(broken(error)),
        }
    }
}

/// Says an alert in the open, as far as there is room.
fn say(carrier: &Carrier, description: u8) {
    // Nobody is waited for who is not let in.
    let _ = (&*carrier).write(&alert::record(description));
}

fn proven_name(engine: &Engine) -> Result<Option<Arc<str>>, HandshakeError> {
    match engine {
        Engine::Certificate(connection) => certificate::proven_name(connection),
        #[cfg(feature = "psk")]
        Engine::Psk(_) => Ok(None),
    }
}

/// What the server's certificate must be for: the host of the endpoint (RFC 5352 §9), the first one where it has several.
fn server_name(remote: &Endpoint) -> Result<ServerName<'static>, HandshakeError> {
    match remote.authorities().first().map(|authority| &authority.host) {
        Some(Host::Address(ip)) => Ok(ServerName::from(ip.to_canonical())),
        Some(Host::Name(name)) => ServerName::try_from(name.to_string())
            .map_err(|_| HandshakeError::ServerName { name: name.to_string() }),
        None => Err(HandshakeError::ServerName { name: remote.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use tokio::net::{TcpListener, TcpStream};

    use super::super::settings::{
        ClientCertificates, ClientSecurity, SecurityConfig, ServerCertificate, ServerSecurity,
    };
    use super::super::{TlsIdentity, TlsRoots};
    use super::*;

    /// Settings of a client and of a server that has a certificate for `name`.
    #[allow(clippy::needless_update, reason = "there is another field with pre-shared keys")]
    fn settings(name: &str) -> Ready {
        let authority_key = KeyPair::generate().expect("a key");
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let roots = authority.self_signed(&authority_key).expect("a certificate").pem();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().expect("a key");
        let names = vec![name.to_owned(), "registrar.test".to_owned()];
        let certificate = CertificateParams::new(names).and_then(|names| names.signed_by(&key, &issuer));
        let certificate = certificate.expect("a certificate").pem();
        let identity = TlsIdentity::from_pem(certificate.as_bytes(), key.serialize_pem().as_bytes());
        let certificate = ServerCertificate::Identity {
            identity: identity.expect("an identity"),
            clients: ClientCertificates::None,
        };
        let roots = TlsRoots::from_pem(roots.as_bytes()).expect("an authority");
        let config = SecurityConfig {
            client: Some(ClientSecurity::Certificate { roots, identity: None }),
            server: Some(ServerSecurity { certificate: Some(certificate), ..ServerSecurity::default() }),
        };
        Ready::new(config).expect("settings")
    }

    /// Whether a server with a certificate for `name` is taken for `host`; no name is looked up for that.
    async fn is_taken(name: &str, host: &str) -> Result<PeerIdentity, HandshakeError> {
        let ready = settings(name);
        let Some(client) = &ready.client else { unreachable!("it is set") };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (socket, accepted) =
            tokio::join!(TcpStream::connect(listener.local_addr().expect("bound")), listener.accept());
        let (socket, (accepted, _)) = (socket.expect("listening"), accepted.expect("connected"));
        let (socket, accepted) = (Carrier::Tcp(socket), Carrier::Tcp(accepted));
        let remote = format!("tls://{host}:1").parse().expect("an endpoint");
        let accepting = async {
            let accepted = accept(&accepted, &ready, false).await;
            std::future::pending::<()>().await;
            accepted
        };
        tokio::select! {
            connected = connect(&socket, &remote, client) => connected.map(|(_, identity)| identity),
            _ = accepting => unreachable!("it never ends"),
        }
    }

    /// RFC 5352 §9, RFC 6125 §6.4.3: "wildcard as the complete left-most label" and nowhere else.
    #[tokio::test]
    async fn a_wildcard_stands_for_one_whole_left_most_label_only() {
        let identity = is_taken("*.pool.example", "A.pool.example").await.expect("covered");
        assert_eq!(identity, PeerIdentity::Authenticated("registrar.test".into()), "the name that is one");
        for (name, host) in [
            ("*.pool.example", "a.b.pool.example"),
            ("*.pool.example", "pool.example"),
            ("a.*.example", "a.pool.example"),
            ("a*.pool.example", "ab.pool.example"),
        ] {
            let error = is_taken(name, host).await.map(|_| ()).expect_err(host);
            assert!(matches!(error, HandshakeError::Certificate { .. }), "{name} for {host}: {error}");
        }
    }

    #[tokio::test]
    async fn international_names_are_compared_in_their_ascii_form() {
        is_taken("xn--bcher-kva.example", "xn--bcher-kva.example").await.expect("the same");
        let error =
            is_taken("xn--bcher-kva.example", "bücher.example").await.map(|_| ()).expect_err("no ASCII");
        assert!(matches!(error, HandshakeError::ServerName { .. }), "{error}");
    }
}
