//! Links: connecting, sending and ending, as machines see it through a driver and the kernels of two hosts.
//!
//! A cut holds back what is sent until it is over; what stays unacknowledged for too long breaks the link at that end, and
//! the other end learns it when it sends something itself, or when its kernel looks.
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use rserpool_machine::{DownReason, Endpoint, LinkId, Protocol, Scheme};

use crate::fault::NodeId;
use crate::node::{ASAP_PORT, Blueprint, Delivery, ENRP_PORT, EPHEMERAL_PORT, address, node_at};
use crate::wire::{Parcel, Side, Wire, WireId};
use crate::world::{Event, World};

/// How often a kernel looks in vain whether the other end of a silent link is there before it gives up.
const PROBES: u32 = 3;
/// How long the kernel waits before it sends the first packet of a connection again.
const SYN_RETRANSMISSION: Duration = Duration::from_secs(1);

impl World {
    /// A machine wants a link.
    pub(crate) fn connect(&mut self, from: NodeId, link: LinkId, protocol: Protocol, remote: &Endpoint) {
        let to = remote.socket_addresses().next().flatten();
        let listener = to.and_then(|to| node_at(to).filter(|node| self.listens(*node, protocol, to.port())));
        let Some(to) = listener else {
            let reason = DownReason::ConnectFailed("nobody listens there".into());
            return self.happens_in(Duration::ZERO, Event::Deliver(from, Delivery::Down { link, reason }));
        };
        let id = self.next_wire;
        self.next_wire += 1;
        self.wires.insert(id, Wire::new(protocol, from, link, to));
        if let Some(node) = self.node_mut(from) {
            node.links.insert(link, (id, Side::Opener));
        }
        let delay = self.network.delay(&mut self.rng, from, to);
        self.happens_in(delay, Event::Syn(id, SYN_RETRANSMISSION));
        self.happens_in(self.settings.pace.connect_timeout, Event::ConnectTimeout(id));
    }

    /// Whether a node of this kind has such a port.
    fn listens(&self, node: NodeId, protocol: Protocol, port: u16) -> bool {
        match (self.node(node).map(|node| &node.blueprint), protocol) {
            (Some(Blueprint::Registrar { .. } | Blueprint::Element { .. }), Protocol::Asap) => {
                port == ASAP_PORT
            }
            (Some(Blueprint::Registrar { .. }), Protocol::Enrp) => port == ENRP_PORT,
            _ => false,
        }
    }

    pub(crate) fn syn(&mut self, id: WireId, again: Duration) {
        let Some(wire) = self.wires.get(&id) else { return };
        let (from, to, protocol) =
            (wire.end(Side::Opener).node, wire.end(Side::Acceptor).node, wire.protocol);
        if wire.end(Side::Opener).link.is_none() {
            self.wires.remove(&id);
            return;
        }
        let lost = !self.network.is_through(from, to)
            || self.network.loses(&mut self.rng)
            || self.network.loses(&mut self.rng);
        if lost {
            return self.happens_in(again, Event::Syn(id, again * 2));
        }
        let delay = self.network.delay(&mut self.rng, to, from);
        if !self.is_up(to) {
            return self.happens_in(delay, Event::Fail(id, Side::Opener, "refused"));
        }
        let Some(node) = self.node_mut(to) else { return };
        let link = node.accept();
        node.links.insert(link, (id, Side::Acceptor));
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.end_mut(Side::Acceptor).link = Some(link);
        }
        // Over SCTP, links are opened from the port that is listened on.
        let port = match (self.settings.scheme, protocol) {
            (Scheme::Tcp | Scheme::Tls, _) => EPHEMERAL_PORT,
            (_, Protocol::Asap) => ASAP_PORT,
            (_, Protocol::Enrp) => ENRP_PORT,
        };
        self.deliver(to, Delivery::Up { link, protocol, remote: address(from, port) });
        self.happens_in(delay, Event::Connected(id));
    }

    pub(crate) fn connected(&mut self, id: WireId) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let (opener, remote) = (wire.end(Side::Opener).node, wire.end(Side::Acceptor).node);
        let protocol = wire.protocol;
        let (Some(link), Some(waiting)) = (wire.end(Side::Opener).link, wire.waiting.take()) else {
            return self.fail(id, Side::Acceptor, "given up by the other end");
        };
        let port = if protocol == Protocol::Asap { ASAP_PORT } else { ENRP_PORT };
        for bytes in waiting {
            self.send(id, Side::Opener, Parcel::Messages(bytes));
        }
        self.deliver(opener, Delivery::Up { link, protocol, remote: address(remote, port) });
    }

    pub(crate) fn connect_timeout(&mut self, id: WireId) {
        let connecting = self.wires.get(&id).is_some_and(|wire| wire.waiting.is_some());
        if connecting {
            self.fail(id, Side::Opener, "timed out");
        }
    }

    /// A machine sends on a link, or to a group.
    pub(crate) fn transmit(&mut self, from: NodeId, link: LinkId, bytes: Bytes) {
        let now = self.now;
        let Some(node) = self.node_mut(from) else { return };
        if let Some(protocol) = node.groups.get(&link).copied() {
            node.traffic.count_sent(now, bytes.len());
            return self.announce(from, protocol, &bytes);
        }
        let Some((id, side)) = node.links.get(&link).copied() else { return };
        node.traffic.count_sent(now, bytes.len());
        let Some(wire) = self.wires.get_mut(&id) else { return };
        match (side, &mut wire.waiting) {
            (Side::Opener, Some(waiting)) => waiting.push(bytes),
            _ => self.send(id, side, Parcel::Messages(bytes)),
        }
    }

    /// A machine wants a link to end: once everything is sent.
    pub(crate) fn disconnect(&mut self, from: NodeId, link: LinkId) {
        let Some((id, side)) = self.node_mut(from).and_then(|node| node.links.remove(&link)) else { return };
        let reason = DownReason::Requested;
        self.happens_in(Duration::ZERO, Event::Deliver(from, Delivery::Down { link, reason }));
        let Some(wire) = self.wires.get_mut(&id) else { return };
        wire.end_mut(side).link = None;
        // One that is not up yet is given up: its packets find nobody.
        if wire.waiting.is_none() || side == Side::Acceptor {
            self.send(id, side, Parcel::End);
        }
    }

    /// Sends a parcel from one end of a wire to the other.
    fn send(&mut self, id: WireId, side: Side, parcel: Parcel) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let (from, to) = (wire.end(side).node, wire.end(side.other()).node);
        if wire.broken {
            return;
        }
        if !wire.end(side).held.is_empty() || self.network.is_cut(from, to) {
            wire.end_mut(side).held.push_back(parcel);
            return self.watch_acknowledgement(id, side);
        }
        let timeout = self.settings.pace.user_timeout;
        let retransmission = self.settings.weather.retransmission.min(timeout / 4);
        let lost = self.network.retransmissions(&mut self.rng, retransmission);
        let Some(lost) = lost.filter(|lost| *lost < timeout) else {
            wire.broken = true;
            self.happens_in(timeout, Event::Fail(id, side, "too many losses"));
            return self.happens_in(timeout, Event::Fail(id, side.other(), "too many losses"));
        };
        let arrival = self.now + self.network.delay(&mut self.rng, from, to) + lost;
        let end = wire.end_mut(side);
        let arrival = arrival.max(end.last_arrival);
        end.last_arrival = arrival;
        self.happens_at(arrival, Event::Arrive(id, side.other(), parcel));
        if self.network.is_cut(to, from) {
            self.watch_acknowledgement(id, side);
        }
    }

    fn watch_acknowledgement(&mut self, id: WireId, side: Side) {
        let now = self.now;
        let Some(end) = self.wires.get_mut(&id).map(|wire| wire.end_mut(side)) else { return };
        if end.unacknowledged.is_none() {
            end.unacknowledged = Some(now);
            let timeout = self.settings.pace.user_timeout;
            self.happens_in(timeout, Event::Unacknowledged(id, side, now));
        }
    }

    pub(crate) fn unacknowledged(&mut self, id: WireId, side: Side, since: Duration) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        if wire.end(side).unacknowledged == Some(since) {
            // Nobody tells the other end, whose kernel will look some time.
            wire.end_mut(side).held.clear();
            self.plan_probe(id, side.other());
            self.fail(id, side, "timed out");
        }
    }

    /// What an end sent arrives at this one.
    pub(crate) fn arrive(&mut self, id: WireId, side: Side, parcel: Parcel) {
        let Some(wire) = self.wires.get(&id) else { return };
        let (here, there) = (wire.end(side).node, wire.end(side.other()).node);
        let Some(link) = wire.end(side).link else {
            // Nobody is here any more: the other end is told, if that gets through.
            if self.network.is_through(here, there) {
                let delay = self.network.delay(&mut self.rng, here, there);
                self.happens_in(delay, Event::Fail(id, side.other(), "reset by the other end"));
            }
            return;
        };
        match parcel {
            Parcel::Messages(bytes) => self.deliver(here, Delivery::Messages { link, bytes }),
            Parcel::End => self.end(id, side, DownReason::Closed),
        }
    }

    /// The link fails at this end.
    pub(crate) fn fail(&mut self, id: WireId, side: Side, why: &str) {
        let connecting =
            side == Side::Opener && self.wires.get(&id).is_some_and(|wire| wire.waiting.is_some());
        let reason =
            if connecting { DownReason::ConnectFailed(why.into()) } else { DownReason::Failed(why.into()) };
        self.end(id, side, reason);
    }

    fn end(&mut self, id: WireId, side: Side, reason: DownReason) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let node = wire.end(side).node;
        let link = wire.end_mut(side).link.take();
        if wire.is_abandoned() {
            self.wires.remove(&id);
        }
        let Some(link) = link else { return };
        if let Some(node) = self.node_mut(node) {
            node.links.remove(&link);
        }
        self.deliver(node, Delivery::Down { link, reason });
    }

    /// Looks after a while whether the other end is still there, as nothing may ever be sent.
    pub(crate) fn plan_probe(&mut self, id: WireId, side: Side) {
        let Some(end) = self.wires.get_mut(&id).map(|wire| wire.end_mut(side)) else { return };
        if !std::mem::replace(&mut end.probing, true) {
            self.happens_in(self.settings.pace.kernel_probe.0, Event::Probe(id, side, 0));
        }
    }

    pub(crate) fn probe(&mut self, id: WireId, side: Side, tries: u32) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let (here, there) = (wire.end(side).node, wire.end(side.other()).node);
        let other_end = wire.end(side.other()).link;
        wire.end_mut(side).probing = false;
        match (self.network.is_through(here, there), other_end) {
            (true, Some(_)) => {}
            (true, None) => self.fail(id, side, "reset by the other end"),
            (false, _) if tries >= PROBES => self.fail(id, side, "the other end is gone"),
            (false, _) => {
                wire.end_mut(side).probing = true;
                self.happens_in(self.settings.pace.kernel_probe.1, Event::Probe(id, side, tries + 1));
            }
        }
    }

    /// The way between two nodes is cut: kernels will notice some time that nothing comes any more.
    pub(crate) fn way_cut(&mut self, a: NodeId, b: NodeId) {
        for (id, side) in self.wires_between(a, b) {
            self.plan_probe(id, side);
            self.plan_probe(id, side.other());
        }
    }

    /// The way is open again: what was held is sent again when the kernel next tries, which is the later the longer it has.
    pub(crate) fn way_open(&mut self, a: NodeId, b: NodeId) {
        if !self.network.is_through(a, b) {
            return;
        }
        for (id, side) in self.wires_between(a, b) {
            for side in [side, side.other()] {
                let since = self.wires.get(&id).and_then(|wire| wire.end(side).unacknowledged);
                if let Some(since) = since {
                    let tried_for = (self.now - since) / 2;
                    let pause = self.around(tried_for);
                    self.happens_in(pause, Event::Release(id, side));
                }
            }
        }
    }

    pub(crate) fn release(&mut self, id: WireId, side: Side) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let (from, to) = (wire.end(side).node, wire.end(side.other()).node);
        if self.network.is_through(from, to) {
            wire.end_mut(side).unacknowledged = None;
            for parcel in std::mem::take(&mut wire.end_mut(side).held) {
                self.send(id, side, parcel);
            }
        }
    }

    /// The wires between two nodes, each with one of its sides: also those that one of the two has closed at its end.
    pub(crate) fn wires_between(&self, a: NodeId, b: NodeId) -> BTreeMap<WireId, Side> {
        let of = |node, other| {
            let links = self.node(node).into_iter().flat_map(|node| node.links.values().copied());
            links.filter(move |(id, side): &(WireId, Side)| {
                self.wires.get(id).is_some_and(|wire| wire.end(side.other()).node == other)
            })
        };
        of(a, b).chain(of(b, a)).collect()
    }

    /// All links of a node are gone at its end; the others are told, unless its host is gone too.
    pub(crate) fn drop_links(&mut self, node: NodeId, silent: bool) {
        let links = self.node_mut(node).map(|node| std::mem::take(&mut node.links)).unwrap_or_default();
        for (id, side) in links.into_values() {
            let Some(wire) = self.wires.get_mut(&id) else { continue };
            let other = wire.end(side.other()).node;
            wire.end_mut(side).link = None;
            wire.end_mut(side).held.clear();
            if wire.is_abandoned() {
                self.wires.remove(&id);
            } else if silent || !self.network.is_through(node, other) {
                self.plan_probe(id, side.other());
            } else {
                let delay = self.network.delay(&mut self.rng, node, other);
                self.happens_in(delay, Event::Fail(id, side.other(), "reset by the other end"));
            }
        }
    }

    /// Sends to a group: whoever it reaches, once or twice, now or a little later.
    fn announce(&mut self, from: NodeId, protocol: Protocol, bytes: &Bytes) {
        let source = address(from, if protocol == Protocol::Asap { ASAP_PORT } else { ENRP_PORT });
        let members: Vec<NodeId> = self.members.get(&protocol).into_iter().flatten().copied().collect();
        for to in members {
            let copies = if self.network.disorders > 0 { 2 } else { 1 };
            for _ in 0..copies {
                if self.network.is_cut(from, to) || self.network.loses(&mut self.rng) {
                    continue;
                }
                let mut delay = self.network.delay(&mut self.rng, from, to);
                if self.network.disorders > 0 {
                    let heartbeat = self.settings.pace.registrar.heartbeat_cycle;
                    delay += self.around(heartbeat);
                }
                let delivery = Delivery::Announcement { protocol, source, bytes: bytes.clone() };
                self.happens_in(delay, Event::Deliver(to, delivery));
            }
        }
    }
}
