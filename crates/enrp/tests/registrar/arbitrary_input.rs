//! Whatever comes in whatever order: no panic, time moves on, and everything stays within the limits.
use std::collections::BTreeSet;
use std::time::Instant;

use bytes::BytesMut;
use proptest::prelude::*;
use rserpool_enrp::RegistrarMachine;
use rserpool_machine::{
    DownReason, Endpoint, Input, LinkId, LinkKind, Machine, Output, PeerIdentity, Protocol, Scheme,
};
use rserpool_wire::asap::{self, Message};
use rserpool_wire::enrp::{self, Body, Presence};
use rserpool_wire::{Dialect, PeIdentifier, PoolHandle, ServerId, ServerInformation};

use crate::support::{ClientId, Net, config, element, millis};

const MAX_ELEMENTS: usize = 6;
const MAX_PEERS: usize = 3;

/// One input. Links are picked by a number among those that are there.
#[derive(Clone, Debug)]
enum Arbitrary {
    /// Somebody connects, or a group is joined.
    Accepted {
        enrp: bool,
        group: bool,
    },
    /// A link that the registrar asked for comes up.
    Opened(u8),
    Down(u8),
    Bytes(u8, Vec<u8>),
    Asap {
        link: u8,
        kind: u8,
        pool: u8,
        identifier: u8,
    },
    Enrp {
        link: u8,
        kind: u8,
        sender: u8,
        target: u8,
    },
    Time(u16),
    Shutdown,
}

fn arbitrary() -> impl Strategy<Value = Arbitrary> {
    let link = any::<u8>;
    prop_oneof![
        4 => (any::<bool>(), prop::bool::weighted(0.1)).prop_map(|(enrp, group)| Arbitrary::Accepted { enrp, group }),
        4 => link().prop_map(Arbitrary::Opened),
        2 => link().prop_map(Arbitrary::Down),
        2 => (link(), prop::collection::vec(any::<u8>(), 0..64)).prop_map(|(link, b)| Arbitrary::Bytes(link, b)),
        20 => (link(), 0..8_u8, 0..4_u8, 0..4_u8)
            .prop_map(|(link, kind, pool, identifier)| Arbitrary::Asap { link, kind, pool, identifier }),
        20 => (link(), 0..13_u8, 1..5_u8, 0..5_u8)
            .prop_map(|(link, kind, sender, target)| Arbitrary::Enrp { link, kind, sender, target }),
        8 => any::<u16>().prop_map(Arbitrary::Time),
        1 => Just(Arbitrary::Shutdown),
    ]
}

fn asap_bytes(kind: u8, pool: u8, identifier: u8) -> BytesMut {
    let handle = format!("pool {pool}");
    let pool_handle = PoolHandle::from(handle.as_str());
    let (id, client) = (PeIdentifier(identifier.into()), ClientId(identifier.into()));
    let message: Message<'_> = match kind {
        0 | 1 => asap::Registration { pool_handle, element: element(client, id.0) }.into(),
        2 => asap::Deregistration { pool_handle, identifier: id }.into(),
        3 => asap::HandleResolution { pool_handle, subscribe: identifier < 2, items: None }.into(),
        4 => asap::EndpointUnreachable { pool_handle, identifier: id }.into(),
        5 => asap::ServerAnnounce { server: ServerId(id.0), transports: Vec::new() }.into(),
        _ => asap::EndpointKeepAliveAck { pool_handle, identifier: id }.into(),
    };
    let mut buffer = BytesMut::new();
    message.encode(Dialect::Rfc, &mut buffer).expect("it fits");
    buffer
}

fn enrp_bytes(kind: u8, sender: u8, target: u8) -> BytesMut {
    let (sender, target) = (ServerId(sender.into()), ServerId(target.into()));
    let mut owned = element(ClientId(target.0), target.0);
    owned.home = sender;
    let pool_handle = || PoolHandle::from("pool 1");
    let update = |action, takeover_suggested, element| {
        Body::HandleUpdate(enrp::HandleUpdate {
            action,
            takeover_suggested,
            pool_handle: pool_handle(),
            element,
            owner: None,
        })
    };
    let table = |rejected, more, entries| {
        Body::HandleTableResponse(enrp::HandleTableResponse { rejected, more, entries })
    };
    let transport = element(ClientId(target.0), 0).user_transport;
    let information = ServerInformation { identifier: target, transport };
    let checksum = Some(target.0 as u16);
    let body = match kind {
        0 => Body::Presence(Presence { reply_required: true, checksum, information: None }),
        1 => update(enrp::UpdateAction::Add, false, owned),
        2 => update(enrp::UpdateAction::Add, true, owned),
        3 => update(enrp::UpdateAction::Delete, false, owned),
        4 => Body::HandleTableRequest(enrp::HandleTableRequest { own_children_only: target.0 < 2 }),
        5 => {
            let entries = vec![enrp::PoolEntry { pool_handle: pool_handle(), elements: vec![owned.into()] }];
            table(false, target.0 < 2, entries)
        }
        6 => Body::ListRequest,
        7 => {
            let rejected = target.0 == 0;
            Body::ListResponse(enrp::ListResponse { rejected, servers: vec![information] })
        }
        8 => Body::InitTakeover(enrp::InitTakeover { target }),
        9 => Body::InitTakeoverAck(enrp::InitTakeoverAck { target }),
        10 => Body::TakeoverServer(enrp::TakeoverServer { target }),
        11 => table(true, false, Vec::new()),
        _ => {
            let information = Some(ServerInformation { identifier: sender, ..information });
            Body::Presence(Presence { reply_required: false, checksum: None, information })
        }
    };
    let mut buffer = BytesMut::new();
    let message = enrp::Message { sender, receiver: ServerId::NONE, body };
    message.encode(Dialect::Rfc, &mut buffer).expect("it fits");
    buffer
}

/// A registrar, and a driver that keeps to the contract.
struct Driven {
    machine: RegistrarMachine,
    now: Instant,
    /// Links that are up.
    up: Vec<LinkId>,
    /// Links that the registrar asked for.
    opening: Vec<(LinkId, Protocol)>,
    groups: BTreeSet<LinkId>,
    accepted: u64,
}

impl Driven {
    fn pick(&self, n: u8) -> Option<LinkId> {
        self.up.get(usize::from(n).checked_rem(self.up.len())?).copied()
    }

    fn link_up(&mut self, link: LinkId, protocol: Protocol, kind: LinkKind) {
        let remote = &["192.0.2.1:1".parse().expect("an address")];
        let identity = PeerIdentity::Anonymous;
        self.machine.handle_input(self.now, Input::LinkUp { link, protocol, kind, remote, identity });
        self.up.push(link);
    }

    fn message(&mut self, n: u8, bytes: &[u8]) {
        let source = "192.0.2.1:1".parse().expect("an address");
        match self.pick(n) {
            Some(link) if self.groups.contains(&link) => {
                self.machine.handle_input(self.now, Input::Announcement { link, source, bytes });
            }
            Some(link) => self.machine.handle_input(self.now, Input::Message { link, bytes }),
            None => {}
        }
    }

    fn input(&mut self, input: Arbitrary) {
        match input {
            Arbitrary::Accepted { enrp, group } => {
                self.accepted += 1;
                let link = LinkId::accepted(self.accepted);
                if group {
                    self.groups.insert(link);
                }
                let kind = if group { LinkKind::Multicast } else { LinkKind::PointToPoint(Scheme::Tcp) };
                self.link_up(link, if enrp { Protocol::Enrp } else { Protocol::Asap }, kind);
            }
            Arbitrary::Opened(n) => {
                if let Some(n) = usize::from(n).checked_rem(self.opening.len()) {
                    let (link, protocol) = self.opening.swap_remove(n);
                    self.link_up(link, protocol, LinkKind::PointToPoint(Scheme::Tcp));
                }
            }
            Arbitrary::Down(n) => {
                let links = self.up.len() + self.opening.len();
                if let Some(n) = usize::from(n).checked_rem(links) {
                    let (link, reason) = match n.checked_sub(self.up.len()) {
                        None => (self.up.remove(n), DownReason::Closed),
                        Some(n) => (self.opening.remove(n).0, DownReason::ConnectFailed("refused".into())),
                    };
                    self.machine.handle_input(self.now, Input::LinkDown { link, reason });
                }
            }
            Arbitrary::Bytes(n, bytes) => self.message(n, &bytes),
            Arbitrary::Asap { link, kind, pool, identifier } => {
                self.message(link, &asap_bytes(kind, pool, identifier));
            }
            Arbitrary::Enrp { link, kind, sender, target } => {
                self.message(link, &enrp_bytes(kind, sender, target));
            }
            Arbitrary::Time(by) => {
                self.now += millis(by.into());
                self.machine.handle_timeout(self.now);
                let due = self.machine.poll_timeout();
                assert!(due.is_none_or(|due| due > self.now), "a time-out that is due after it was served");
            }
            Arbitrary::Shutdown => self.machine.shutdown(self.now),
        }
    }

    fn take_outputs(&mut self) {
        for n in 0.. {
            assert!(n < 500, "an endless answer");
            match self.machine.poll_output() {
                None => break,
                Some(Output::Connect { link, protocol, .. }) => self.opening.push((link, protocol)),
                Some(Output::Disconnect { link }) => {
                    self.up.retain(|other| *other != link);
                    self.opening.retain(|(other, _)| *other != link);
                    let reason = DownReason::Requested;
                    self.machine.handle_input(self.now, Input::LinkDown { link, reason });
                }
                Some(Output::Transmit { link, bytes }) => {
                    let known =
                        self.up.contains(&link) || self.opening.iter().any(|(other, _)| *other == link);
                    assert!(known, "{link:?} has ended: {bytes:x?}");
                    assert!(bytes.len() >= 4 && bytes.len().is_multiple_of(4));
                }
                Some(Output::Event(_)) => {}
            }
        }
    }
}

/// The life of a registrar, which may have a mentor to look for, and what must hold at each step of it.
fn drive(inputs: impl IntoIterator<Item = Arbitrary>, mentored: bool) {
    let now = Net::new().now;
    let mut limited = config(1, &[]);
    if mentored {
        limited.peers.push(Endpoint::tcp("192.0.2.9:9901".parse().expect("an address")));
    }
    limited.limits.elements = MAX_ELEMENTS;
    limited.limits.peers = MAX_PEERS;
    limited.limits.probes = 2;
    let machine = RegistrarMachine::new(limited, 7, now).expect("valid");
    let (up, opening, groups) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut driven = Driven { machine, now, up, opening, groups, accepted: 0 };
    driven.take_outputs();
    for input in inputs {
        driven.input(input);
        driven.take_outputs();
        assert!(driven.machine.handlespace().len() <= MAX_ELEMENTS);
        assert!(driven.machine.peers().count() <= MAX_PEERS);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_input_breaks_the_registrar(
        inputs in prop::collection::vec(arbitrary(), 1..150),
        mentored in any::<bool>(),
    ) {
        drive(inputs, mentored);
    }
}

/// The end of a registrar completed the take-over of the one that was heard in its place: its link was closed, and answered.
#[test]
fn a_registrar_that_replaces_another_one_is_not_taken_over_with_it() {
    use self::Arbitrary::{Down, Opened, Time};
    let presence = |sender| Arbitrary::Enrp { link: 0, kind: 0, sender, target: 0 };
    let third = [Opened(0), Time(451), presence(3), Down(0)];
    let second = [Opened(0), presence(2), Time(451), Time(300), Time(501), Down(0)];
    drive(third.into_iter().chain(second).chain([Opened(0), presence(3)]), true);
}
