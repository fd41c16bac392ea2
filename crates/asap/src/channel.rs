//! The ENRP client channel (RFC 5352 §1.1): what element and user have in common. It keeps a home registrar,
//! decodes what comes in, answers what is malformed, and collects what is to go out.
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::BytesMut;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rserpool_machine::{DownReason, Endpoint, LinkId, Output, Protocol, Scheme};
use rserpool_wire::asap::{self, ErrorReport, Message, ServerAnnounce};
use rserpool_wire::{Dialect, EncodeError, ErrorCause, ServerId};

use crate::config::{AsapTimers, ConfigError};
use crate::events::{ChannelEvent, HomeLoss};
use crate::fault::{Fault, FaultLimit, Statistics, cause_to_answer};
use crate::hunt::{Ended, Home, Hunt};

/// The ASAP port (RFC 5352 §8.2).
const ASAP_PORT: u16 = 3863;

/// What a machine wants done, in order.
pub(crate) struct Outbox<E> {
    queue: VecDeque<Output<E>>,
    buffer: BytesMut,
    dialect: Dialect,
    pub(crate) statistics: Statistics,
}

impl<E> Outbox<E> {
    pub(crate) fn event(&mut self, event: E) {
        self.queue.push_back(Output::Event(event));
    }

    pub(crate) fn connect(&mut self, link: LinkId, protocol: Protocol, remote: Endpoint) {
        self.queue.push_back(Output::Connect { link, protocol, remote, expected: None });
    }

    pub(crate) fn disconnect(&mut self, link: LinkId) {
        self.queue.push_back(Output::Disconnect { link });
    }

    pub(crate) fn transmit(&mut self, link: LinkId, message: &Message<'_>) -> Result<(), EncodeError> {
        message.encode(self.dialect, &mut self.buffer)?;
        self.statistics.transmitted += 1;
        self.queue.push_back(Output::Transmit { link, bytes: self.buffer.split().freeze() });
        Ok(())
    }

    /// Whether `message` fits its length fields.
    pub(crate) fn check(&mut self, message: &Message<'_>) -> Result<(), EncodeError> {
        let checked = message.encode(self.dialect, &mut self.buffer);
        self.buffer.clear();
        checked
    }

    pub(crate) fn pop(&mut self) -> Option<Output<E>> {
        self.queue.pop_front()
    }
}

/// The channel to the registrars.
pub(crate) struct Channel<E> {
    pub(crate) out: Outbox<E>,
    pub(crate) rng: SmallRng,
    hunt: Hunt,
    faults: FaultLimit,
    dialect: Dialect,
    secured: bool,
}

/// How a [`Channel`] is set up.
pub(crate) struct ChannelConfig<'a> {
    pub(crate) registrars: Vec<Endpoint>,
    pub(crate) max_announced: usize,
    pub(crate) secured: bool,
    pub(crate) dialect: Dialect,
    pub(crate) timers: &'a AsapTimers,
}

impl<E: From<ChannelEvent>> Channel<E> {
    /// A channel that hunts from the start (§3.6).
    pub(crate) fn new(config: ChannelConfig<'_>, seed: u64, now: Instant) -> Self {
        let ChannelConfig { registrars, max_announced, secured, dialect, timers } = config;
        let out = Outbox {
            queue: VecDeque::new(),
            buffer: BytesMut::new(),
            dialect,
            statistics: Statistics::default(),
        };
        let hunt = Hunt::new(registrars, max_announced, timers, now);
        let rng = SmallRng::seed_from_u64(seed);
        let mut channel = Self { out, rng, hunt, faults: FaultLimit::default(), dialect, secured };
        channel.hunt(now);
        channel
    }

    pub(crate) fn home(&self) -> Option<LinkId> {
        self.hunt.home().map(|home| home.link)
    }

    /// What is known of the home.
    pub(crate) fn home_details(&self) -> (Option<ServerId>, Option<Endpoint>) {
        self.hunt.home().map_or((None, None), |home| (home.server, home.registrar.clone()))
    }

    pub(crate) const fn is_secured(&self) -> bool {
        self.secured
    }

    pub(crate) fn registrars(&self) -> impl Iterator<Item = &Endpoint> + '_ {
        self.hunt.registrars()
    }

    pub(crate) fn add_registrar(&mut self, registrar: Endpoint) -> Result<(), ConfigError> {
        if self.secured && !registrar.scheme().is_secured() {
            return Err(ConfigError::UnsecuredRegistrar(registrar));
        }
        self.hunt.configure(registrar, &mut self.rng, &mut self.out);
        Ok(())
    }

    /// Looks for another registrar than the present home, if there is one, which stays home meanwhile.
    pub(crate) fn hunt(&mut self, now: Instant) {
        self.hunt.start(now, &mut self.rng, &mut self.out);
        self.report_exhausted();
    }

    /// Gives up the home.
    pub(crate) fn leave_home(&mut self, now: Instant, reason: HomeLoss) {
        let (_, endpoint) = self.home_details();
        self.out.event(ChannelEvent::HomeLost { endpoint, reason }.into());
        self.hunt.leave(now, &mut self.rng, &mut self.out);
        self.report_exhausted();
    }

    /// Makes the registrar at the other end of `link` the home.
    pub(crate) fn adopt(&mut self, link: LinkId, server: ServerId, now: Instant) {
        self.out.statistics.homes += 1;
        self.hunt.adopt(link, server, now, &mut self.out);
    }

    /// The home gave a sign of life, and its name where it did.
    pub(crate) fn prove_home(&mut self, server: Option<ServerId>) {
        self.hunt.prove(server, &mut self.out);
    }

    /// Whether `link` makes a new home.
    pub(crate) fn link_up(&mut self, link: LinkId, now: Instant) -> bool {
        let found = self.hunt.link_up(link, now, &mut self.out);
        if let Some(Home { registrar: Some(endpoint), .. }) = self.hunt.home().filter(|_| found) {
            let endpoint = endpoint.clone();
            self.out.statistics.homes += 1;
            self.out.event(ChannelEvent::HomeFound { endpoint }.into());
        }
        found
    }

    /// Whether the home is gone with `link`.
    pub(crate) fn link_down(&mut self, link: LinkId, reason: DownReason, now: Instant) -> bool {
        let (_, endpoint) = self.home_details();
        let lost = self.hunt.link_down(link, now, &mut self.rng, &mut self.out) == Ended::Home;
        if lost {
            self.out.event(ChannelEvent::HomeLost { endpoint, reason: HomeLoss::Link(reason) }.into());
        }
        self.report_exhausted();
        lost
    }

    /// Whether `link` is on its way out: what still happens on it means nothing.
    pub(crate) fn is_closing(&self, link: LinkId) -> bool {
        self.hunt.is_closing(link)
    }

    /// Closes a link that nobody wants.
    pub(crate) fn refuse(&mut self, link: LinkId) {
        self.hunt.close(link, &mut self.out);
    }

    /// Decodes a message; answers and reports a malformed one. `None` where there is nothing to act on.
    pub(crate) fn decode<'a>(&mut self, now: Instant, link: LinkId, bytes: &'a [u8]) -> Option<Message<'a>> {
        self.out.statistics.received += 1;
        match asap::decode(bytes, self.dialect) {
            Ok(decoded) => {
                let count = decoded.unrecognized.len();
                if let Message::Error(ErrorReport { error }) = decoded.message {
                    self.out.statistics.errors_received += 1;
                    if self.pass(now) {
                        let error = error.into_owned();
                        self.out.event(ChannelEvent::ErrorReported { link, error }.into());
                    }
                    return None;
                }
                if count > 0 && self.pass(now) {
                    self.answer(link, decoded.unrecognized);
                    let fault = Fault::UnrecognizedParameters { count };
                    self.out.event(ChannelEvent::ProtocolFault { link, fault }.into());
                }
                Some(decoded.message)
            }
            Err(error) => {
                self.out.statistics.malformed += 1;
                if self.pass(now) {
                    if let Some(cause) = cause_to_answer(&error, bytes) {
                        self.answer(link, vec![cause]);
                    }
                    self.out.event(ChannelEvent::ProtocolFault { link, fault: error.into() }.into());
                }
                None
            }
        }
    }

    /// Counts and reports a message that has no business here.
    pub(crate) fn unexpected(&mut self, now: Instant, link: LinkId, message: &Message<'_>) {
        self.out.statistics.unexpected += 1;
        self.fault(now, link, Fault::Unexpected { message: message.name() });
    }

    pub(crate) fn fault(&mut self, now: Instant, link: LinkId, fault: Fault) {
        if self.pass(now) {
            self.out.event(ChannelEvent::ProtocolFault { link, fault }.into());
        }
    }

    /// Takes a server announcement: a hint where a registrar might be, by anybody (§3.6, §9.2).
    pub(crate) fn announcement(&mut self, now: Instant, link: LinkId, source: SocketAddr, bytes: &[u8]) {
        self.out.statistics.received += 1;
        let transports = match asap::decode(bytes, self.dialect) {
            Ok(decoded) => match decoded.message {
                Message::ServerAnnounce(ServerAnnounce { transports, .. }) => transports,
                other => return self.unexpected(now, link, &other),
            },
            // A group is never answered.
            Err(error) => {
                self.out.statistics.malformed += 1;
                return self.fault(now, link, error.into());
            }
        };
        let mut announced: Vec<Endpoint> = transports
            .iter()
            .filter_map(|transport| Endpoint::from_transport(transport, self.secured))
            .collect();
        if transports.is_empty() {
            // §3.6: SCTP at the source address. RFC: the ASAP port; the reference implementation: the source port.
            let scheme = if self.secured { Scheme::SctpTls } else { Scheme::Sctp };
            let port = if self.dialect.announces_transports() { ASAP_PORT } else { source.port() };
            announced.push(Endpoint::new(scheme, SocketAddr::new(source.ip(), port)));
        }
        for endpoint in announced {
            self.hunt.announce(endpoint, now, &mut self.rng, &mut self.out);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.hunt.handle_timeout(now, &mut self.rng, &mut self.out);
        self.report_exhausted();
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.hunt.poll_timeout()
    }

    fn pass(&mut self, now: Instant) -> bool {
        let pass = self.faults.pass(now);
        self.out.statistics.suppressed += u64::from(!pass);
        pass
    }

    fn answer(&mut self, link: LinkId, causes: Vec<ErrorCause<'_>>) {
        let report = Message::from(ErrorReport { error: causes.into() });
        // A report that would quote too much to fit is not sent.
        if self.out.transmit(link, &report).is_ok() {
            self.out.statistics.errors_sent += 1;
        }
    }

    fn report_exhausted(&mut self) {
        if let Some(known) = self.hunt.take_exhausted() {
            self.out.event(ChannelEvent::RegistrarsExhausted { known }.into());
        }
    }
}
