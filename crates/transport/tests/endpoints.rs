//! Listening and connecting: addresses, names, ports, and errors that say where.
#![allow(clippy::expect_used, reason = "a failed step of the scaffolding fails the test")]
mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rserpool_machine::{DownReason, Endpoint};
use rserpool_transport::{LinkConfig, Listener, TransportError, connect};
use support::endpoint;

fn address(endpoint: &Endpoint) -> SocketAddr {
    endpoint.socket_addresses().flatten().next().expect("an address")
}

#[tokio::test]
async fn a_listener_says_its_real_port() {
    let listener =
        Listener::bind(&endpoint("tcp://127.0.0.1:0"), &LinkConfig::default()).await.expect("free");
    assert_ne!(listener.local_endpoint().port(), 0);
    let error = Listener::bind(listener.local_endpoint(), &LinkConfig::default()).await.map(|_| ());
    let error = error.expect_err("the port is taken");
    assert!(error.to_string().contains(&listener.local_endpoint().to_string()), "{error}");
}

#[tokio::test]
async fn the_unspecified_ipv6_address_takes_both_families_and_ipv4_peers_keep_their_address() {
    let config = LinkConfig::default();
    let listener = match Listener::bind(&endpoint("tcp://[::]:0"), &config).await {
        Ok(listener) => listener,
        Err(error) => return eprintln!("skipped: no IPv6 here ({error})"),
    };
    let port = listener.local_endpoint().port();
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let connected = connect(&Endpoint::tcp((ip, port).into()), &config).await.expect("dual stack");
        let accepted = listener.accept().await.expect("somebody connected");
        assert_eq!(accepted.remote, [connected.local]);
        assert_eq!((accepted.remote[0].ip(), accepted.local.ip()), (ip, ip));
    }
}

#[tokio::test]
async fn names_are_looked_up() {
    let config = LinkConfig::default();
    let listener = Listener::bind(&endpoint("tcp://localhost:0"), &config).await.expect("a free port");
    let by_name = endpoint(&format!("tcp://localhost:{}", listener.local_endpoint().port()));
    let connected = connect(&by_name, &config).await.expect("somebody listens");
    assert_eq!(connected.remote, [address(listener.local_endpoint())]);

    let error = connect(&endpoint("tcp://no-such-host.invalid:1"), &config).await.expect_err("no such name");
    assert!(
        matches!(error, TransportError::NameLookup { .. } | TransportError::ConnectTimeout { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_refused_connection_is_an_error_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let gone = listener.local_addr().expect("bound");
    drop(listener);
    let error = connect(&Endpoint::tcp(gone), &LinkConfig::default()).await.expect_err("nobody listens");
    assert!(matches!(error, TransportError::Connect { address, .. } if address == gone), "{error}");
    assert!(matches!(error.down_reason(), DownReason::ConnectFailed(_)));
}

/// A full backlog on loopback behaves as a host that drops packets.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_silent_host_is_given_up_after_the_connect_timeout() {
    let deaf = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    deaf.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    deaf.listen(0).expect("listening");
    let address = deaf.local_addr().ok().and_then(|address| address.as_socket()).expect("bound");
    let mut filling = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
        filling.push(stream);
    }
    let config = LinkConfig { connect_timeout: Duration::from_millis(50), ..LinkConfig::default() };
    let error = connect(&Endpoint::tcp(address), &config).await.expect_err("silence");
    assert!(matches!(error, TransportError::ConnectTimeout { .. }), "{error}");
}

#[cfg(not(all(feature = "tls", target_os = "linux")))]
#[tokio::test]
async fn transports_that_are_not_built_in_say_so() {
    let config = LinkConfig::default();
    let text = "sctp+tls://127.0.0.1:1";
    let connecting = connect(&endpoint(text), &config).await.map(|_| ()).expect_err(text);
    let listening = Listener::bind(&endpoint(text), &config).await.map(|_| ()).expect_err(text);
    for error in [connecting, listening] {
        assert!(matches!(error, TransportError::UnsupportedScheme { .. }), "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_before_anything_happens() {
    let wrong = LinkConfig { max_message: 0, ..LinkConfig::default() };
    let error = connect(&endpoint("tcp://127.0.0.1:1"), &wrong).await.expect_err("wrong");
    assert!(matches!(error, TransportError::Config(_)), "{error}");
}
