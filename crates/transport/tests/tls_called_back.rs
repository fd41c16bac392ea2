//! A server that calls a client back by the pre-shared key that they have in common, and that neither direction's handshake is
//! good for the other (RFC 9257 §4.1, "Selfie"; RFC 9258).
#![cfg(feature = "psk")]
#![allow(clippy::expect_used, reason = "a failed step of the scaffolding fails the test")]
mod support;

use rserpool_machine::{Endpoint, PeerIdentity};
use rserpool_transport::{
    ClientCertificates, ClientSecurity, Link, LinkConfig, Listener, SecurityConfig, ServerCertificate,
    ServerSecurity, TransportError, connect, connect_to,
};
use support::tls::{Authority, key, listen, psk, psk_client, psk_server, with};

/// A client that may be called back, such as an element.
fn called_back(client: &LinkConfig) -> LinkConfig {
    LinkConfig { called_back: true, ..client.clone() }
}

/// What becomes of an attempt to connect, while `listener` lets in whom it takes.
async fn attempt(
    listener: &Listener,
    connecting: impl Future<Output = Result<Link, TransportError>>,
) -> Result<(Link, Link), TransportError> {
    tokio::pin!(connecting);
    let accepting = listener.accept();
    tokio::pin!(accepting);
    tokio::select! {
        connected = &mut connecting => Ok((connected?, accepting.await?)),
        accepted = &mut accepting => Ok((connecting.await?, accepted?)),
    }
}

async fn refused(
    listener: &Listener,
    connecting: impl Future<Output = Result<Link, TransportError>>,
) -> String {
    let before = listener.refused();
    let error = attempt(listener, connecting).await.map(|_| ()).expect_err("refused").to_string();
    let settled = async {
        while listener.refused() == before {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = settled => error,
        accepted = listener.accept() => panic!("let in: {accepted:?}"),
    }
}

/// 5352-9.2-06, in the opposite direction.
#[tokio::test]
async fn a_client_is_called_back_by_the_key_that_it_connects_by() {
    let element = listen(&called_back(&psk_client(key("pe-a", 1)))).await;
    let registrar = psk_server(&[key("pe-a", 1), key("pe-b", 2)]);
    let connecting = connect_to("pe-a", element.local_endpoint(), &registrar);
    let (connected, accepted) = attempt(&element, connecting).await.expect("both know the key");
    assert_eq!(connected.identity, PeerIdentity::Authenticated("pe-a".into()), "it is whom we called");
    assert_eq!(accepted.identity, PeerIdentity::Keyed("pe-a".into()), "it knows our key");
}

#[tokio::test]
async fn nobody_is_called_back_by_another_key_or_without_having_said_so() {
    let element = listen(&called_back(&psk_client(key("pe-a", 1)))).await;
    let at = element.local_endpoint();
    let said = refused(&element, connect_to("pe-a", at, &psk_server(&[key("pe-a", 2)]))).await;
    assert!(said.contains("our keys differ"), "{said}");
    // Whoever has a key, but not this one.
    let said = refused(&element, connect_to("pe-b", at, &psk_server(&[key("pe-b", 1)]))).await;
    assert!(said.contains("does not know our pre-shared key identity"), "{said}");
    let without = connect_to("pe-c", at, &psk_server(&[key("pe-b", 1)])).await.map(|_| ());
    assert!(matches!(without, Err(TransportError::SecurityMissing { .. })), "{without:?}");
    // One that does not say so cannot even listen.
    let silent = Listener::bind(&support::endpoint("tls://127.0.0.1:0"), &psk_client(key("pe-a", 1))).await;
    assert!(matches!(silent.map(|_| ()), Err(TransportError::SecurityMissing { .. })));
    let server = SecurityConfig { client: Some(ClientSecurity::Psk(key("pe-a", 1))), server: Some(psk(&[])) };
    let silent = listen(&with(server)).await;
    refused(&silent, connect_to("pe-a", silent.local_endpoint(), &psk_server(&[key("pe-a", 1)]))).await;
}

/// RFC 9257 §4.1: an attacker without any key sends a handshake back to where it came from, which is as if one connected to oneself.
#[tokio::test]
async fn neither_end_takes_its_own_handshake_for_the_other_s() {
    let client = called_back(&psk_client(key("pe-a", 1)));
    let element = listen(&client).await;
    let said = refused(&element, connect(element.local_endpoint(), &client)).await;
    assert!(said.contains("does not know our pre-shared key identity"), "{said}");

    let authority = Authority::new();
    let registrar = |certificate| {
        let server = ServerSecurity { certificate, ..psk(&[key("pe-a", 1)]) };
        with(SecurityConfig { server: Some(server), client: None })
    };
    let identity = authority.identity(&["127.0.0.1", "registrar-a"]);
    let certificate = ServerCertificate::Identity { identity, clients: ClientCertificates::None };
    for config in [registrar(None), registrar(Some(certificate))] {
        let registrar = listen(&config).await;
        refused(&registrar, connect_to("pe-a", registrar.local_endpoint(), &config)).await;
    }
}

/// Somebody with a key of its own and a certificate to listen by is called by certificate.
#[tokio::test]
async fn where_the_key_is_not_taken_certificates_decide() {
    let authority = Authority::new();
    let (roots, required) = (authority.roots(), ClientCertificates::Required(authority.roots()));
    let identity = authority.identity(&["127.0.0.1", "element-a"]);
    let certificate = Some(ServerCertificate::Identity { identity, clients: required });
    let server = Some(ServerSecurity { certificate, ..ServerSecurity::default() });
    let element = listen(&with(SecurityConfig { server, client: None })).await;
    let identity = Some(authority.identity(&["registrar-a"]));
    let client = Some(ClientSecurity::Certificate { roots, identity });
    let registrar = with(SecurityConfig { server: Some(psk(&[key("pe-a", 1)])), client });
    let (connected, accepted) =
        attempt(&element, connect_to("pe-a", element.local_endpoint(), &registrar)).await.expect("linked");
    assert_eq!(connected.identity, PeerIdentity::Authenticated("element-a".into()));
    assert_eq!(accepted.identity, PeerIdentity::Authenticated("registrar-a".into()));
    // Over TCP there are no keys at all.
    let open = Listener::bind(&support::endpoint("tcp://127.0.0.1:0"), &LinkConfig::default()).await;
    let open = open.expect("a free port");
    let at: &Endpoint = open.local_endpoint();
    let (connected, _) = attempt(&open, connect_to("pe-a", at, &registrar)).await.expect("linked");
    assert_eq!(connected.identity, PeerIdentity::Anonymous);
}
