//! The world that the fuzzer puts around a machine: eight links, a clock, and what has to hold whatever comes in.
//!
//! An input is a list of steps. Each begins with a byte that says what happens and one that says on which of eight links; a message
//! has a length byte and that many bytes, whose length field is put right, so that the fuzzer gets past framing.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rserpool_machine::{
    DownReason, Endpoint, Input, LinkId, LinkKind, Machine, Output, PeerIdentity, Protocol, Scheme,
};
use rserpool_wire::{Dialect, asap, enrp, frame_length};

const LINKS: usize = 8;

/// More outputs than one input may lead to.
const FLOOD: usize = 10_000;

/// A machine, and the links that it has.
pub struct World<M> {
    machine: M,
    now: Instant,
    links: [Option<(LinkId, Protocol)>; LINKS],
    /// Links that were up, and are no more.
    ended: BTreeSet<LinkId>,
    accepted: u64,
}

/// A TCP endpoint of this host.
pub fn endpoint(port: u16) -> Endpoint {
    Endpoint::tcp(SocketAddr::from(([127, 0, 0, 1], port)))
}

impl<M: Machine> World<M> {
    /// A world in which nothing has happened.
    pub fn new(machine: M, now: Instant) -> Self {
        let mut world = Self { machine, now, links: [None; LINKS], ended: BTreeSet::new(), accepted: 0 };
        world.perform();
        world
    }

    /// Lets everything happen that the input says. `command` is what an application can do to the machine: one of 32 things, with a
    /// number. `holds` is called after each step.
    pub fn live(
        &mut self,
        input: &[u8],
        mut command: impl FnMut(&mut M, Instant, u8, u8),
        holds: impl Fn(&M),
    ) {
        let mut rest = input;
        while let [what, number, tail @ ..] = rest {
            rest = self.step(*what, *number, tail, &mut command);
            self.perform();
            holds(&self.machine);
        }
    }

    /// One step; returns what is left of the input.
    fn step<'a>(
        &mut self,
        what: u8,
        number: u8,
        tail: &'a [u8],
        command: &mut impl FnMut(&mut M, Instant, u8, u8),
    ) -> &'a [u8] {
        let slot = usize::from(number) % LINKS;
        match what % 8 {
            0 => self.accept(slot, Protocol::Asap),
            1 => self.accept(slot, Protocol::Enrp),
            2 => self.down(slot),
            3 => {
                let millis = tail.first().copied().unwrap_or(0);
                self.now += Duration::from_millis(u64::from(millis) * 8);
                self.machine.handle_timeout(self.now);
                return tail.get(1..).unwrap_or_default();
            }
            4 => command(&mut self.machine, self.now, what / 8, number),
            _ => {
                let length =
                    tail.first().map_or(0, |length| usize::from(*length)).min(tail.len().saturating_sub(1));
                let (message, rest) = tail.get(1..).unwrap_or_default().split_at(length);
                self.message(slot, message);
                return rest;
            }
        }
        tail
    }

    fn accept(&mut self, slot: usize, protocol: Protocol) {
        self.down(slot);
        self.accepted += 1;
        self.up(slot, LinkId::accepted(self.accepted), protocol);
    }

    fn up(&mut self, slot: usize, link: LinkId, protocol: Protocol) {
        self.links[slot] = Some((link, protocol));
        let remote = [SocketAddr::from(([192, 0, 2, slot as u8 + 1], 40_000))];
        let (kind, identity) = (LinkKind::PointToPoint(Scheme::Tcp), PeerIdentity::Anonymous);
        self.machine
            .handle_input(self.now, Input::LinkUp { link, protocol, kind, remote: &remote, identity });
    }

    fn down(&mut self, slot: usize) {
        self.end(slot, DownReason::Closed);
    }

    fn end(&mut self, slot: usize, reason: DownReason) {
        if let Some((link, _)) = self.links[slot].take() {
            self.ended.insert(link);
            self.machine.handle_input(self.now, Input::LinkDown { link, reason });
        }
    }

    fn message(&mut self, slot: usize, message: &[u8]) {
        let Some((link, _)) = self.links[slot] else { return };
        let mut bytes = message.to_vec();
        if bytes.len() >= 4 {
            let length = (bytes.len() as u16).to_be_bytes();
            bytes[2..4].copy_from_slice(&length);
        }
        self.machine.handle_input(self.now, Input::Message { link, bytes: &bytes });
    }

    fn perform(&mut self) {
        let mut steps = 0;
        while let Some(output) = self.machine.poll_output() {
            steps += 1;
            assert!(steps < FLOOD, "one input led to a flood of outputs");
            match output {
                Output::Transmit { link, bytes } => self.check(link, &bytes),
                Output::Connect { link, protocol, .. } => match self.links.iter().position(Option::is_none) {
                    Some(slot) => self.up(slot, link, protocol),
                    None => {
                        let reason = DownReason::ConnectFailed("refused".into());
                        self.machine.handle_input(self.now, Input::LinkDown { link, reason });
                    }
                },
                Output::Disconnect { link } => {
                    let slot = self.links.iter().position(|known| known.is_some_and(|(id, _)| id == link));
                    if let Some(slot) = slot {
                        self.end(slot, DownReason::Requested);
                    }
                }
                Output::Event(_) => {}
            }
        }
    }

    /// Everything sent must be whole messages that somebody else can read, on links that are there.
    fn check(&self, link: LinkId, mut bytes: &[u8]) {
        assert!(!self.ended.contains(&link), "{link:?} has ended");
        let Some((_, protocol)) = self.links.iter().flatten().find(|(id, _)| *id == link) else { return };
        while let Some(header) = bytes.first_chunk() {
            let (message, rest) = bytes.split_at(frame_length(*header).expect("a length"));
            match protocol {
                Protocol::Asap => drop(asap::decode(message, Dialect::Rfc).expect("a well-formed message")),
                Protocol::Enrp => drop(enrp::decode(message, Dialect::Rfc).expect("a well-formed message")),
            }
            bytes = rest;
        }
        assert!(bytes.is_empty());
    }
}
