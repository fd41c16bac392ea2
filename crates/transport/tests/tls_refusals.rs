//! Who is not let in, and that both ends are told why. RFC 5355 §2.3 to §2.6 and §3: nobody without the right key or
//! certificate gets a link.
#![cfg(feature = "psk")]
#![allow(clippy::expect_used, reason = "a failed step of the scaffolding fails the test")]
mod support;

use rcgen::date_time_ymd;
use rserpool_transport::{
    ClientCertificates, ClientSecurity, LinkConfig, Listener, SecurityConfig, ServerCertificate,
    ServerSecurity, TlsIdentity, TlsRoots,
};
use support::tls::{
    Authority, Logged, client, key, listen, psk, psk_client, psk_server, server, turned_away, with,
};

/// Connects to a server on loopback; what the client says, and what the server has in its log.
async fn refused(server: &LinkConfig, client: &LinkConfig) -> (String, String) {
    let (logged, _guard) = Logged::begin();
    let listener = listen(server).await;
    let said = turned_away(&listener, listener.local_endpoint(), client).await;
    settled(&listener).await;
    (said, logged.text())
}

/// Waits until the server is done with the client, too.
async fn settled(listener: &Listener) {
    let done = async {
        while listener.refused() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = done => {}
        accepted = listener.accept() => panic!("let in: {accepted:?}"),
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused() {
    let (said, logged) = refused(&psk_server(&[key("pe-a", 1)]), &psk_client(key("pe-a", 2))).await;
    assert!(said.contains("our keys differ"), "{said}");
    assert!(logged.contains("its key for `pe-a` is another one"), "{logged}");
}

#[tokio::test]
async fn an_unknown_identity_is_refused() {
    let (said, logged) = refused(&psk_server(&[key("pe-a", 1)]), &psk_client(key("pe-b", 1))).await;
    assert!(said.contains("does not know our pre-shared key identity"), "{said}");
    assert!(logged.contains("`pe-b`"), "{logged}");
}

/// A server's certificate must not stand in for the key, even where the system trusts it.
#[tokio::test]
async fn a_client_with_a_key_is_not_content_with_a_certificate() {
    let authority = Authority::new();
    let certificate = server(authority.identity(&["127.0.0.1"]), ClientCertificates::None);
    let (said, _) = refused(&certificate, &psk_client(key("pe-a", 1))).await;
    assert!(said.contains("did not take the pre-shared key `pe-a`"), "{said}");
}

/// Whoever knows an identity, which travels in clear, but not the key, is not let in by the certificate of the same port.
#[tokio::test]
async fn a_wrong_key_is_refused_where_certificates_are_taken_too() {
    let authority = Authority::new();
    let identity = authority.identity(&["127.0.0.1"]);
    let certificate = ServerCertificate::Identity { identity, clients: ClientCertificates::None };
    let both = ServerSecurity { certificate: Some(certificate), ..psk(&[key("pe-a", 1)]) };
    let both = with(SecurityConfig { server: Some(both), client: None });
    let (said, logged) = refused(&both, &psk_client(key("pe-a", 2))).await;
    assert!(said.contains("our keys differ"), "{said}");
    assert!(logged.contains("another one"), "{logged}");
    let (said, _) = refused(&both, &psk_client(key("pe-b", 1))).await;
    assert!(said.contains("did not take the pre-shared key"), "{said}");
}

#[tokio::test]
async fn a_client_without_a_key_is_refused_where_only_keys_are_taken() {
    let (said, logged) =
        refused(&psk_server(&[key("pe-a", 1)]), &client(Authority::new().roots(), None)).await;
    assert!(said.contains("no way of authentication"), "{said}");
    assert!(logged.contains("offers no pre-shared key"), "{logged}");
}

/// 5352-9: the server's certificate must be for the name or the address that was meant, valid now, and of a trusted authority.
#[tokio::test]
async fn a_client_refuses_a_server_that_is_not_what_it_should_be() {
    let (authority, other) = (Authority::new(), Authority::new());
    let good = |_: &mut rcgen::CertificateParams| {};
    let cases: [(TlsIdentity, &str); 6] = [
        (
            authority.changed_identity(&["127.0.0.1"], |parameters| {
                parameters.not_after = date_time_ymd(2020, 1, 1);
            }),
            "expired",
        ),
        (
            authority.changed_identity(&["127.0.0.1"], |parameters| {
                parameters.not_before = date_time_ymd(2090, 1, 1);
                parameters.not_after = date_time_ymd(2091, 1, 1);
            }),
            "not valid yet",
        ),
        (authority.changed_identity(&["127.0.0.2"], good), "not for 127.0.0.1"),
        (authority.changed_identity(&["localhost", "*.0.0.1"], good), "not for 127.0.0.1"),
        (other.changed_identity(&["127.0.0.1"], good), "nobody among the trusted roots issued it"),
        (self_signed(&["127.0.0.1"]), "self-signed"),
    ];
    for (identity, problem) in cases {
        let (said, logged) =
            refused(&server(identity, ClientCertificates::None), &client(authority.roots(), None)).await;
        assert!(said.contains(problem), "`{said}` without `{problem}`");
        assert!(logged.contains("the other end refused"), "{logged}");
    }
}

/// 5355-2.3, 5355-2.4: who registers must prove who it is.
#[tokio::test]
async fn a_server_refuses_clients_without_a_good_certificate() {
    let (authority, other) = (Authority::new(), Authority::new());
    let required =
        server(authority.identity(&["127.0.0.1"]), ClientCertificates::Required(authority.roots()));
    let expired =
        |parameters: &mut rcgen::CertificateParams| parameters.not_after = date_time_ymd(2020, 1, 1);
    let cases = [
        (None, "requires a certificate", "shows no certificate"),
        (Some(other.identity(&["pe-a"])), "does not trust the issuer", "nobody among the trusted roots"),
        (Some(self_signed(&["pe-a"])), "does not trust the issuer", "self-signed"),
        (Some(authority.changed_identity(&["pe-a"], expired)), "expired", "expired"),
    ];
    for (identity, here, there) in cases {
        let (said, logged) = refused(&required, &client(authority.roots(), identity)).await;
        assert!(said.contains(here), "`{said}` without `{here}`");
        assert!(logged.contains(there), "`{logged}` without `{there}`");
    }
}

#[tokio::test]
async fn a_certificate_that_names_nobody_is_no_identity() {
    let authority = Authority::new();
    let (certificate, key) = authority.pem(&[], |_| {});
    let error = TlsIdentity::from_pem(certificate.as_bytes(), key.as_bytes()).expect_err("no name");
    assert!(error.to_string().contains("names nobody"), "{error}");
    let (certificate, _) = authority.pem(&["pe-a"], |_| {});
    let error = TlsIdentity::from_pem(certificate.as_bytes(), key.as_bytes())
        .and_then(|identity| {
            let client = ClientSecurity::Certificate { roots: authority.roots(), identity: Some(identity) };
            rserpool_transport::Security::new(SecurityConfig { client: Some(client), server: None })
        })
        .expect_err("the key of another certificate");
    assert!(error.to_string().contains("client certificate"), "{error}");
}

/// RFC 9257 §4.1: a relay that leads us back to ourselves finds that we do not talk to ourselves.
#[tokio::test]
async fn a_node_refuses_its_own_identity_as_a_client() {
    let authority = Authority::new();
    let node = with(SecurityConfig {
        client: Some(ClientSecurity::Psk(key("registrar-a", 1))),
        server: Some(psk(&[key("registrar-a", 1), key("registrar-b", 2)])),
    });
    let (said, logged) = refused(&node, &node).await;
    assert!(said.contains("does not let us in"), "{said}");
    assert!(logged.contains("our own identity"), "{logged}");

    let identity = authority.identity(&["registrar-a", "127.0.0.1"]);
    let certificate = ServerCertificate::Identity {
        identity: identity.clone(),
        clients: ClientCertificates::Required(authority.roots()),
    };
    let node = with(SecurityConfig {
        client: Some(ClientSecurity::Certificate { roots: authority.roots(), identity: Some(identity) }),
        server: Some(ServerSecurity { certificate: Some(certificate), ..ServerSecurity::default() }),
    });
    let (_, logged) = refused(&node, &node).await;
    assert!(logged.contains("our own identity"), "{logged}");
}

fn self_signed(names: &[&str]) -> TlsIdentity {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let key = rcgen::KeyPair::generate().expect("a key");
    let parameters = rcgen::CertificateParams::new(names).expect("names");
    let certificate = parameters.self_signed(&key).expect("a certificate").pem();
    assert!(TlsRoots::from_pem(certificate.as_bytes()).is_ok());
    TlsIdentity::from_pem(certificate.as_bytes(), key.serialize_pem().as_bytes()).expect("an identity")
}
