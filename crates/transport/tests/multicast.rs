//! Multicast groups on whatever interface of this machine can do multicast; skipped, with a message, where none can.
#![allow(clippy::expect_used, reason = "a failed step of the scaffolding fails the test")]
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use rserpool_transport::{Interface, Multicast, MulticastConfig, TransportError};
use tokio::time::timeout;

/// A port that is free now: groups are shared, so the port must not be one that others may use.
fn free_port() -> u16 {
    std::net::UdpSocket::bind("[::]:0")
        .or_else(|_| std::net::UdpSocket::bind("0.0.0.0:0"))
        .and_then(|socket| socket.local_addr())
        .expect("a free port")
        .port()
}

/// Two members of `group` that hear each other, on the first interface where that works.
async fn members(
    group: SocketAddr,
    config: &MulticastConfig,
) -> Option<(Multicast, Multicast, MulticastConfig)> {
    for index in 1..16 {
        let config = MulticastConfig { interface: Interface::Index(index), ..config.clone() };
        let (Ok(one), Ok(two)) = (Multicast::join(group, &config), Multicast::join(group, &config)) else {
            continue;
        };
        let mut buffer = BytesMut::new();
        if one.send(b"probe").await.is_err() {
            continue;
        }
        let heard = timeout(Duration::from_millis(200), async {
            one.recv(&mut buffer).await.and(two.recv(&mut buffer).await)
        });
        if matches!(heard.await, Ok(Ok(_))) {
            return Some((one, two, config));
        }
    }
    eprintln!("skipped: no interface here carries {group}");
    None
}

#[tokio::test]
async fn members_of_an_ipv4_group_hear_each_other() {
    hear_each_other(SocketAddr::from(([239, 255, 77, 1], free_port()))).await;
}

#[tokio::test]
async fn members_of_an_ipv6_group_hear_each_other() {
    hear_each_other(SocketAddr::from(([0xff02, 0, 0, 0, 0, 0, 0x7777, 1], free_port()))).await;
}

async fn hear_each_other(group: SocketAddr) {
    let Some((one, two, _)) = members(group, &MulticastConfig::default()).await else { return };
    two.send(b"hello").await.expect("it worked before");
    let mut buffer = BytesMut::from(&b"something old"[..]);
    let source = one.recv(&mut buffer).await.expect("a datagram");
    assert_eq!((&buffer[..], source.port()), (&b"hello"[..], group.port()));
    assert_eq!(two.source().expect("it was sent from somewhere"), source.ip());
}

#[tokio::test]
async fn a_source_port_of_its_own_is_what_others_see() {
    let group = SocketAddr::from(([239, 255, 77, 2], free_port()));
    let Some((one, _, config)) = members(group, &MulticastConfig::default()).await else { return };
    let source_port = Some(free_port());
    let announcer = Multicast::join(group, &MulticastConfig { source_port, ..config }).expect("a free port");
    announcer.send(b"from there").await.expect("it worked before");
    let source = one.recv(&mut BytesMut::new()).await.expect("a datagram");
    assert_eq!(Some(source.port()), source_port);
}

#[tokio::test]
async fn wrong_groups_and_interfaces_are_named_in_the_error() {
    let group = SocketAddr::from(([239, 255, 77, 3], 1));
    let config =
        MulticastConfig { interface: Interface::Name("no-such-if".to_owned()), ..MulticastConfig::default() };
    let error = Multicast::join(group, &config).map(|_| ()).expect_err("no such interface");
    assert!(matches!(error, TransportError::Interface { .. }) && error.to_string().contains("no-such-if"));

    let unicast = SocketAddr::from(([127, 0, 0, 1], 1));
    let error = Multicast::join(unicast, &MulticastConfig::default()).map(|_| ()).expect_err("no group");
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_interface_is_found_by_name() {
    let group = SocketAddr::from(([239, 255, 77, 4], free_port()));
    let Some((one, _, config)) = members(group, &MulticastConfig::default()).await else { return };
    let Interface::Index(index) = config.interface else { panic!("members() joins by index") };
    let name = std::fs::read_dir("/sys/class/net").expect("sysfs").flatten().find_map(|entry| {
        let found = std::fs::read_to_string(entry.path().join("ifindex")).ok()?;
        (found.trim() == index.to_string()).then(|| entry.file_name().into_string().ok()).flatten()
    });
    let interface = Interface::Name(name.expect("the interface has a name"));
    let named = Multicast::join(group, &MulticastConfig { interface, ..config }).expect("the same interface");
    named.send(b"by name").await.expect("it worked before");
    let mut buffer = BytesMut::new();
    one.recv(&mut buffer).await.expect("a datagram");
    assert_eq!(&buffer[..], b"by name");
}
