//! Several addresses at both ends: who knows what, and what happens when a path fails.
use std::net::SocketAddr;
use std::time::Duration;

use rserpool_sctp::{
    AssocParams, Notification, PathParams, PathState, PeerAddrState, RtoInfo, SctpListener, SctpSocket,
    SctpStream, SendInfo, SocketConfig,
};

use crate::support::{Cut, change, in_laboratory, message, notified, with_sctp};

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn sorted(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    addresses.sort();
    addresses
}

fn ips(addresses: Vec<SocketAddr>) -> Vec<String> {
    sorted(addresses).iter().map(|address| address.ip().to_string()).collect()
}

#[test]
fn both_ends_know_all_addresses_and_one_port() {
    with_sctp(async {
        let config = SocketConfig::default();
        let near = SctpSocket::bind(&addresses(&["127.0.0.1:0", "127.0.0.2:0"]), &config).unwrap();
        let far = SctpSocket::bind(&addresses(&["127.0.0.3:0", "127.0.0.4:0"]), &config).unwrap();
        assert_eq!(ips(near.local_addrs().unwrap()), ["127.0.0.1", "127.0.0.2"]);
        let port = near.local_addrs().unwrap()[0].port();
        assert!(near.local_addrs().unwrap().iter().all(|address| address.port() == port && port != 0));

        let id = near.connectx(&far.local_addrs().unwrap()).unwrap();
        change(&near).await;
        let far_id = change(&far).await.assoc;
        let association = near.association(id);
        assert_eq!(sorted(association.peer_addrs().unwrap()), sorted(far.local_addrs().unwrap()));
        assert_eq!(
            sorted(far.association(far_id).peer_addrs().unwrap()),
            sorted(near.local_addrs().unwrap())
        );
        assert_eq!(sorted(association.local_addrs().unwrap()), sorted(near.local_addrs().unwrap()));

        for address in far.local_addrs().unwrap() {
            association.set_primary_addr(address).unwrap();
            assert_eq!(association.primary_addr().unwrap(), address);
            assert_eq!(association.status().unwrap().primary.unwrap().address, address);
        }
        association.set_primary_addr("127.0.0.9:9".parse().unwrap()).unwrap_err();
    });
}

#[test]
fn addresses_can_be_added_and_given_up() {
    with_sctp(async {
        let socket = SctpSocket::bind(&addresses(&["127.0.0.1:0"]), &SocketConfig::default()).unwrap();
        socket.bind_add(&addresses(&["127.0.0.2:0", "127.0.0.3:0"])).unwrap();
        assert_eq!(ips(socket.local_addrs().unwrap()), ["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
        socket.bind_remove(&addresses(&["127.0.0.1:0"])).unwrap();
        assert_eq!(ips(socket.local_addrs().unwrap()), ["127.0.0.2", "127.0.0.3"]);
    });
}

#[test]
fn ipv4_and_ipv6_mix_in_one_association_and_neither_is_mapped() {
    with_sctp(async {
        let config = SocketConfig::default();
        let listener = SctpListener::bind(&addresses(&["127.0.0.1:0", "[::1]:0"]), &config).unwrap();
        let local = listener.local_addrs().unwrap();
        assert_eq!(ips(local.clone()), ["127.0.0.1", "::1"]);
        let near = addresses(&["[::1]:0", "127.0.0.2:0"]);
        let (near, far) = tokio::join!(SctpStream::connect_from(&near, &local, &config), listener.accept());
        let (near, (far, _)) = (near.unwrap(), far.unwrap());
        assert_eq!(ips(near.association().peer_addrs().unwrap()), ["127.0.0.1", "::1"]);
        assert_eq!(ips(far.association().peer_addrs().unwrap()), ["127.0.0.2", "::1"]);
        // A socket for IPv4 only is no less welcome.
        let v4: Vec<_> = local.into_iter().filter(SocketAddr::is_ipv4).collect();
        let (near, far) = tokio::join!(SctpStream::connect(&v4, &config), listener.accept());
        let (_, from) = far.unwrap();
        assert!(from.is_ipv4(), "{from}");
        drop(near);
    });
}

#[test]
fn a_cut_path_is_told_and_bypassed_and_its_return_is_told() {
    in_laboratory(async {
        let config = SocketConfig {
            rto: RtoInfo {
                initial: Duration::from_millis(100),
                min: Duration::from_millis(100),
                max: Duration::from_millis(200),
            },
            paths: PathParams {
                heartbeat: Some(Duration::from_millis(100)),
                max_retransmissions: 2,
                ..PathParams::default()
            },
            // A machine that does much else answers late, on the path that is left too: that must not end the association.
            association: AssocParams { max_retransmissions: 1000, ..AssocParams::default() },
            ..SocketConfig::default()
        };
        let near = SctpSocket::bind(&addresses(&["127.0.1.1:0", "127.0.1.2:0"]), &config).unwrap();
        let far = SctpSocket::bind(&addresses(&["127.0.1.3:0", "127.0.1.4:0"]), &config).unwrap();
        let first = far.local_addrs().unwrap()[0];
        let id = near.connectx(&far.local_addrs().unwrap()).unwrap();
        change(&near).await;
        let association = near.association(id);
        association.set_primary_addr(first).unwrap();
        // On a busy machine, the path that is left may seem to fail for a while too.
        let told_of_first = async |wanted: PeerAddrState| {
            notified(&near, |notification| match notification {
                Notification::PeerAddrChange { address, state, .. } if address == first => {
                    (state == wanted).then_some(())
                }
                Notification::AssocChange(change) => panic!("{change:?}"),
                _ => None,
            })
            .await;
        };

        let cut = Cut::new("127.0.1.3");
        assert_eq!(first.ip().to_string(), "127.0.1.3");
        for number in 0..5_u8 {
            association.send(&SendInfo::new(0), &[number]).await.unwrap();
            assert_eq!(message(&far).await.bytes[..], [number], "nothing is lost");
        }
        told_of_first(PeerAddrState::Unreachable).await;
        assert_eq!(association.path_info(first).unwrap().state, PathState::Inactive);
        drop(cut);
        told_of_first(PeerAddrState::Available).await;
        assert_eq!(association.path_info(first).unwrap().state, PathState::Active);
    });
}
