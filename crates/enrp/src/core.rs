//! What every part of a registrar works with: the handlespace, links, timers, randomness, and the way out.
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rserpool_handlespace::{ElementKey, Handlespace};
use rserpool_machine::{Endpoint, LinkId, LinkKind, Output, Protocol, Rate, Timers};
use rserpool_wire::enrp::{self, UpdateAction};
use rserpool_wire::{CauseCode, Dialect, ErrorCause, ServerId, asap};

use crate::authorization::Action;
use crate::config::RegistrarConfig;
use crate::event::{Fault, RegistrarEvent};
use crate::links::{Links, Party};
use crate::owners::Owners;
use crate::pause::Pause;
use crate::refusal::Refusal;
use crate::statistics::Statistics;

/// Messages are cut from chunks of this size, so that encoding one rarely allocates.
const CHUNK: usize = 16 * 1024;

/// Where a registrar is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Looking for a mentor or downloading from it: elements and users are not served yet (RFC 5353 §3.2).
    Initializing,
    Ready,
    /// Handing elements over: no registration is granted any more.
    Draining,
    Drained,
}

/// Everything that is waited for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Timer {
    /// The next keep-alive to an element, or the end of waiting for its acknowledgement.
    KeepAlive(ElementKey),
    /// The end of waiting for the acknowledgement of an element that another registrar owns.
    ForeignProbe(ElementKey),
    /// Subscribers are to be told of changes.
    Subscribers,
    /// The next server announcement.
    Announce,
    /// The next heartbeat.
    Heartbeat,
    /// A peer may have been silent for too long.
    Peer(ServerId),
    /// Acknowledgements of a take-over, or its completion by another one, are due.
    Takeover(ServerId),
    /// The mentor's answer is due, or it is time to ask again.
    Mentor,
    /// Time to take oneself for alone.
    Patience,
    /// Time to connect to a registrar again.
    Dial(u32),
    /// The next request for a download that we serve is due; all children or our own.
    Download(LinkId, bool),
    /// A peer's answer to a resynchronisation is due.
    Resync(ServerId),
    /// The end of a shutdown.
    Drain,
}

pub(crate) struct Core {
    pub(crate) config: RegistrarConfig,
    pub(crate) handlespace: Handlespace,
    pub(crate) owners: Owners,
    pub(crate) links: Links,
    pub(crate) timers: Timers<Timer>,
    pub(crate) statistics: Statistics,
    pub(crate) phase: Phase,
    pub(crate) pause: Pause,
    /// What was heard by multicast lately.
    pub(crate) announcements: Rate,
    rng: SmallRng,
    outputs: VecDeque<Output<RegistrarEvent>>,
    buffer: BytesMut,
}

impl Core {
    pub(crate) fn new(config: RegistrarConfig, handlespace: Handlespace, seed: u64) -> Self {
        Self {
            handlespace,
            owners: Owners::default(),
            links: Links::default(),
            timers: Timers::new(),
            statistics: Statistics::default(),
            phase: Phase::Initializing,
            pause: Pause::default(),
            announcements: Rate::default(),
            rng: SmallRng::seed_from_u64(seed),
            outputs: VecDeque::new(),
            buffer: BytesMut::with_capacity(CHUNK),
            config,
        }
    }

    pub(crate) const fn id(&self) -> ServerId {
        self.config.server_id
    }

    pub(crate) const fn dialect(&self) -> Dialect {
        self.config.dialect
    }

    /// Whether elements and users are served.
    pub(crate) const fn is_serving(&self) -> bool {
        matches!(self.phase, Phase::Ready | Phase::Draining)
    }

    pub(crate) fn next_output(&mut self) -> Option<Output<RegistrarEvent>> {
        self.outputs.pop_front()
    }

    pub(crate) fn event(&mut self, event: RegistrarEvent) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(crate) fn transmit(&mut self, link: LinkId, bytes: Bytes) {
        self.outputs.push_back(Output::Transmit { link, bytes });
    }

    /// Asks for a new link, on which somebody may be `expected` to be.
    pub(crate) fn open(
        &mut self,
        protocol: Protocol,
        remote: Endpoint,
        expected: Option<Arc<str>>,
    ) -> LinkId {
        let link = self.links.open(protocol, remote.scheme());
        self.outputs.push_back(Output::Connect { link, protocol, remote, expected });
        link
    }

    /// Asks for the end of a link. Nothing is taken from it any more.
    pub(crate) fn close(&mut self, link: LinkId) {
        if self.links.shut(link) {
            self.outputs.push_back(Output::Disconnect { link });
        }
    }

    /// Encodes with `write` into the shared buffer, and cuts off what it wrote.
    pub(crate) fn encode<E>(
        &mut self,
        write: impl FnOnce(&mut Handlespace, &Owners, &mut BytesMut) -> Result<(), E>,
    ) -> Option<Bytes> {
        match write(&mut self.handlespace, &self.owners, &mut self.buffer) {
            Ok(()) => Some(self.buffer.split().freeze()),
            Err(_) => {
                self.buffer.clear();
                None
            }
        }
    }

    /// Sends an ASAP message.
    pub(crate) fn send_asap<'a>(&mut self, link: LinkId, message: impl Into<asap::Message<'a>>) -> bool {
        let (dialect, message) = (self.dialect(), message.into());
        let bytes = self.encode(|_, _, buffer| message.encode(dialect, buffer));
        bytes.map(|bytes| self.transmit(link, bytes)).is_some()
    }

    /// Sends an ENRP message to one peer.
    pub(crate) fn send_enrp(&mut self, link: LinkId, receiver: ServerId, body: enrp::Body<'_>) -> bool {
        match self.encode_enrp(receiver, body) {
            Some(bytes) => {
                self.transmit(link, bytes);
                true
            }
            None => false,
        }
    }

    /// Sends an ENRP message to every peer that can be reached (RFC 5353 §3.1).
    pub(crate) fn announce(&mut self, body: enrp::Body<'_>) {
        if let Some(bytes) = self.encode_enrp(ServerId::NONE, body) {
            self.announce_bytes(&bytes);
        }
    }

    /// Sends an ENRP message to every multicast group joined.
    pub(crate) fn announce_to_groups(&mut self, body: enrp::Body<'_>) {
        if self.links.groups(Protocol::Enrp).next().is_some()
            && let Some(bytes) = self.encode_enrp(ServerId::NONE, body)
        {
            for group in self.links.groups(Protocol::Enrp) {
                self.outputs.push_back(Output::Transmit { link: group, bytes: bytes.clone() });
            }
        }
    }

    /// Tells all peers that an element was added, changed, or is about to be removed (RFC 5353 §3.3), and those who have proved
    /// who they are whose it is.
    pub(crate) fn announce_update(&mut self, action: UpdateAction, key: ElementKey) {
        let (mut proven, mut unproven) = (None, None);
        if self.has_route(true) {
            // An owner that does not fit is left out.
            proven = self.encode_update(action, key, true).or_else(|| self.encode_update(action, key, false));
        }
        if self.has_route(false) {
            unproven = self.encode_update(action, key, false);
        }
        self.statistics.updates_sent += u64::from(proven.is_some() || unproven.is_some());
        for (_, link) in self.links.routes() {
            let bytes = if self.links.is_proven(link) { &proven } else { &unproven };
            if let Some(bytes) = bytes.clone() {
                self.outputs.push_back(Output::Transmit { link, bytes });
            }
        }
    }

    fn encode_update(&mut self, action: UpdateAction, key: ElementKey, with_owner: bool) -> Option<Bytes> {
        let (dialect, sender) = (self.dialect(), self.id());
        self.encode(|handlespace, owners, buffer| {
            let view = handlespace.element(key).ok_or(())?;
            let (pool_handle, owner) = (view.pool_handle(), owners.told(key).filter(|_| with_owner));
            let (element, owner) = (view.encoded(), owner.as_ref());
            enrp::encode_handle_update(dialect, buffer, sender, action, &pool_handle, element, owner)
                .map_err(|_| ())
        })
    }

    /// Whether there is a peer that has proved who it is, or one that has not.
    fn has_route(&self, proven: bool) -> bool {
        self.links.routes().any(|(_, link)| self.links.is_proven(link) == proven)
    }

    fn encode_enrp(&mut self, receiver: ServerId, body: enrp::Body<'_>) -> Option<Bytes> {
        let (dialect, message) = (self.dialect(), enrp::Message { sender: self.id(), receiver, body });
        self.encode(|_, _, buffer| message.encode(dialect, buffer))
    }

    fn announce_bytes(&mut self, bytes: &Bytes) {
        for (_, link) in self.links.routes() {
            self.outputs.push_back(Output::Transmit { link, bytes: bytes.clone() });
        }
    }

    /// Reports that somebody broke the protocol; cuts off a link on which that happens too often.
    pub(crate) fn fault(&mut self, link: LinkId, fault: Fault) {
        self.statistics.faults += 1;
        let known = self.links.get(link);
        let source = known.and_then(|link| link.party.addresses().first().copied());
        let cuttable = known.is_some_and(|link| link.kind != LinkKind::Multicast);
        self.event(RegistrarEvent::ProtocolFault { link, source, fault });
        if self.links.count_fault(link) == self.config.limits.faults_per_link && cuttable {
            let fault = Fault::Limit("bad messages on a link");
            self.event(RegistrarEvent::ProtocolFault { link, source, fault });
            self.close(link);
        }
    }

    /// Whether somebody may do something. A secured scope is changed over secured links alone (RFC 5355 §2.15), whatever else is
    /// permitted.
    pub(crate) fn authorize(&self, party: &Party, action: Action<'_>) -> Result<(), Refusal> {
        let changes = !matches!(action, Action::Resolve { .. });
        if changes && !party.is_secured() && self.config.is_secured() {
            return Err(Refusal::Unsecured);
        }
        self.config.authorization.authorize(party.requester(), action)
    }

    /// Turns something down: counts it, reports it the first time that it happens on the link, and says what to answer with.
    pub(crate) fn refuse(&mut self, link: LinkId, reason: Refusal) -> ErrorCause<'static> {
        self.statistics.refusals.count(reason);
        self.statistics.not_permitted += u64::from(reason.is_for_security());
        if self.links.note_refusal(link, reason)
            && let Some(known) = self.links.get(link)
        {
            let source = known.party.addresses().first().copied();
            let identity = known.party.requester().identity.clone();
            self.event(RegistrarEvent::Refused { link, source, identity, reason });
        }
        ErrorCause::new(reason.cause())
    }

    /// Answers with an ASAP_ERROR or ENRP_ERROR. Where the offending part is too long to be quoted, it goes without.
    pub(crate) fn send_error(&mut self, link: LinkId, causes: Vec<ErrorCause<'_>>) {
        let Some(known) = self.links.get(link).filter(|link| link.kind != LinkKind::Multicast) else {
            return;
        };
        let (protocol, receiver) = (known.protocol, known.server.unwrap_or_default());
        let codes: Vec<CauseCode> = causes.iter().map(|cause| cause.code).collect();
        let mut send = |causes: Vec<ErrorCause<'_>>| match protocol {
            Protocol::Asap => self.send_asap(link, asap::ErrorReport { error: causes.into() }),
            Protocol::Enrp => {
                let report = enrp::ErrorReport { error: causes.into() };
                self.send_enrp(link, receiver, enrp::Body::Error(report))
            }
        };
        if !send(causes) {
            send(codes.into_iter().map(ErrorCause::new).collect());
        }
    }

    /// A time from half to one and a half of `mean` (RFC 5352 §3.5).
    pub(crate) fn spread(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(self.rng.random_range(0.5..1.5))
    }
}
