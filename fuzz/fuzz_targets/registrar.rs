//! Any sequence of links, messages and pauses as the life of a registrar: it must not panic, must not exceed its limits, and must
//! say nothing that cannot be decoded.
//!
//! An input is a list of steps. Each begins with a byte that says what happens and one that says on which of eight links; a message
//! has a length byte and that many bytes, whose length field is put right, so that the fuzzer gets past framing.
#![no_main]
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use rserpool_enrp::{RegistrarConfig, RegistrarLimits, RegistrarMachine, RegistrarTimers};
use rserpool_machine::{
    DownReason, Endpoint, Input, LinkId, LinkKind, Machine, Output, PeerIdentity, Protocol, Scheme,
};
use rserpool_wire::{Dialect, ServerId, asap, enrp, frame_length};

const LINKS: usize = 8;
const ELEMENTS: usize = 32;

struct World {
    registrar: RegistrarMachine,
    now: Instant,
    links: [Option<(LinkId, Protocol)>; LINKS],
    accepted: u64,
}

fuzz_target!(|input: &[u8]| {
    let endpoint = |port| Endpoint::tcp(SocketAddr::from(([127, 0, 0, 1], port)));
    let now = Instant::now();
    let config = RegistrarConfig {
        asap: vec![endpoint(3863)],
        enrp: Some(endpoint(9901)),
        peers: vec![endpoint(9902)],
        timers: RegistrarTimers::fast(),
        limits: RegistrarLimits { elements: ELEMENTS, pools: 8, peers: 4, ..RegistrarLimits::default() },
        ..RegistrarConfig::new(ServerId(0x1111_1111))
    };
    let registrar = RegistrarMachine::new(config, 1, now).expect("a valid configuration");
    let mut world = World { registrar, now, links: [None; LINKS], accepted: 0 };
    world.perform();
    let mut rest = input;
    while let [what, slot, tail @ ..] = rest {
        rest = world.step(*what, usize::from(*slot) % LINKS, tail);
        world.perform();
        assert!(world.registrar.handlespace().len() <= ELEMENTS);
    }
});

impl World {
    /// One step; returns what is left of the input.
    fn step<'a>(&mut self, what: u8, slot: usize, tail: &'a [u8]) -> &'a [u8] {
        match what % 8 {
            0 => self.up(slot, Protocol::Asap),
            1 => self.up(slot, Protocol::Enrp),
            2 => self.down(slot),
            3 => {
                let millis = tail.first().copied().unwrap_or(0);
                self.now += Duration::from_millis(u64::from(millis) * 8);
                self.registrar.handle_timeout(self.now);
                return tail.get(1..).unwrap_or_default();
            }
            4 if what == 4 => self.registrar.shutdown(self.now),
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

    fn up(&mut self, slot: usize, protocol: Protocol) {
        self.down(slot);
        self.accepted += 1;
        let link = LinkId::accepted(self.accepted);
        self.announce_up(slot, link, protocol);
    }

    fn announce_up(&mut self, slot: usize, link: LinkId, protocol: Protocol) {
        self.links[slot] = Some((link, protocol));
        let remote = [SocketAddr::from(([192, 0, 2, slot as u8 + 1], 40_000))];
        let (kind, identity) = (LinkKind::PointToPoint(Scheme::Tcp), PeerIdentity::Anonymous);
        let up = Input::LinkUp { link, protocol, kind, remote: &remote, identity };
        self.registrar.handle_input(self.now, up);
    }

    fn down(&mut self, slot: usize) {
        if let Some((link, _)) = self.links[slot].take() {
            self.registrar.handle_input(self.now, Input::LinkDown { link, reason: DownReason::Closed });
        }
    }

    fn message(&mut self, slot: usize, message: &[u8]) {
        let Some((link, _)) = self.links[slot] else { return };
        let mut bytes = message.to_vec();
        if bytes.len() >= 4 {
            let length = (bytes.len() as u16).to_be_bytes();
            bytes[2..4].copy_from_slice(&length);
        }
        self.registrar.handle_input(self.now, Input::Message { link, bytes: &bytes });
    }

    fn perform(&mut self) {
        let mut steps = 0;
        while let Some(output) = self.registrar.poll_output() {
            steps += 1;
            assert!(steps < 10_000, "one input led to a flood of outputs");
            match output {
                Output::Transmit { link, bytes } => self.check(link, &bytes),
                Output::Connect { link, protocol, .. } => match self.links.iter().position(Option::is_none) {
                    Some(slot) => self.announce_up(slot, link, protocol),
                    None => {
                        let reason = DownReason::ConnectFailed("refused".into());
                        self.registrar.handle_input(self.now, Input::LinkDown { link, reason });
                    }
                },
                Output::Disconnect { link } => {
                    let slot = self.links.iter().position(|known| known.is_some_and(|(id, _)| id == link));
                    if let Some(slot) = slot {
                        self.links[slot] = None;
                        let reason = DownReason::Requested;
                        self.registrar.handle_input(self.now, Input::LinkDown { link, reason });
                    }
                }
                Output::Event(_) => {}
            }
        }
    }

    /// Everything sent must be whole messages that somebody else can read.
    fn check(&self, link: LinkId, mut bytes: &[u8]) {
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
