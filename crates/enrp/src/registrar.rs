//! The registrar as one machine: inputs go to the ASAP service or to the ENRP peers, by the protocol of their link.
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use rserpool_handlespace::Handlespace;
use rserpool_machine::{DownReason, Input, LinkId, LinkKind, Machine, Output, Protocol};
use rserpool_wire::ServerId;

use crate::authorization::Authorization;
use crate::config::{ConfigError, RegistrarConfig};
use crate::core::{Core, Phase, Timer};
use crate::event::RegistrarEvent;
use crate::peers::{PeerStatus, Peers};
use crate::refusal::Refusal;
use crate::service::Service;
use crate::statistics::Statistics;

/// A registrar (ENRP server), without I/O.
///
/// See the [crate documentation](crate) for how to drive it.
pub struct RegistrarMachine {
    core: Core,
    service: Service,
    peers: Peers,
}

impl RegistrarMachine {
    /// A registrar that starts at once: it connects to the configured peers, or is ready if there are none. `seed` is for
    /// everything that is random; give each registrar another one.
    ///
    /// # Errors
    /// When the configuration cannot work.
    pub fn new(config: RegistrarConfig, seed: u64, now: Instant) -> Result<Self, ConfigError> {
        let handlespace = Handlespace::new(config.dialect, seed);
        Self::with_handlespace(config, handlespace, seed, now)
    }

    /// The same with a handlespace of your own: an empty one, with user-defined policies plugged in.
    ///
    /// # Errors
    /// When the configuration cannot work.
    pub fn with_handlespace(
        config: RegistrarConfig,
        handlespace: Handlespace,
        seed: u64,
        now: Instant,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let peers = Peers::new(&config);
        let core = Core::new(config, handlespace, seed);
        let mut registrar = Self { core, service: Service::default(), peers };
        registrar.peers.start(&mut registrar.core, &mut registrar.service, now);
        Ok(registrar)
    }

    /// Leaves in good order: no registration is granted any more, every element is offered to a peer, and
    /// [`RegistrarEvent::Drained`] follows at the latest after [`drain`](crate::RegistrarTimers::drain).
    pub fn shutdown(&mut self, now: Instant) {
        if !matches!(self.core.phase, Phase::Draining | Phase::Drained) {
            self.peers.begin_handover(&mut self.core, now);
        }
    }

    /// Decides from now on who may do what. Links of registrars that may not be such any more end, and elements that registered here
    /// and may not be so any more are removed.
    pub fn set_authorization(&mut self, now: Instant, authorization: Arc<dyn Authorization>) {
        let Self { core, service, peers, .. } = self;
        core.config.authorization = authorization;
        peers.enforce(core);
        service.enforce(core, now);
    }

    /// The identifier of this registrar.
    #[must_use]
    pub const fn id(&self) -> ServerId {
        self.core.id()
    }

    /// Whether elements and users are served: initialisation is over, and shutdown is not.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.core.is_serving()
    }

    /// The local copy of the handlespace: all pools of the scope.
    #[must_use]
    pub const fn handlespace(&self) -> &Handlespace {
        &self.core.handlespace
    }

    /// The peer list, in the order of identifiers.
    pub fn peers(&self) -> impl Iterator<Item = PeerStatus> + '_ {
        self.peers.statuses(&self.core)
    }

    /// What this registrar has done so far.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.core.statistics
    }

    fn link_down(&mut self, now: Instant, link: LinkId, reason: &DownReason) {
        let Self { core, service, peers, .. } = self;
        let Some(ended) = core.links.down(link) else { return };
        match ended.protocol {
            Protocol::Asap => service.link_down(core, now, link),
            Protocol::Enrp => peers.link_down(core, service, now, link, &ended, reason),
        }
    }

    fn message(&mut self, now: Instant, link: LinkId, bytes: &[u8]) {
        let Some(protocol) = self.core.links.get(link).map(|link| link.protocol) else { return };
        if !self.core.links.is_open(link) {
            return;
        }
        match protocol {
            Protocol::Asap => self.service.message(&mut self.core, now, link, bytes),
            Protocol::Enrp => {
                self.peers.message(&mut self.core, &mut self.service, now, link, bytes);
                self.service.start_probes(&mut self.core, now);
            }
        }
    }
}

impl Machine for RegistrarMachine {
    type Event = RegistrarEvent;

    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        if let Input::LinkUp { link, .. } = input
            && self.core.links.is_open(link)
        {
            // A driver does not use a name twice; should it, the first link is over.
            self.link_down(now, link, &DownReason::Closed);
        }
        let Self { core, service, peers, .. } = self;
        if core.phase == Phase::Drained {
            if let Input::LinkUp { link, protocol, kind, remote, identity } = input {
                core.links.up(link, protocol, kind, remote, identity);
                core.close(link);
            }
            return;
        }
        match input {
            Input::LinkUp { link, protocol, kind, remote, identity } => {
                core.links.up(link, protocol, kind, remote, identity);
                if core.links.of_source(link) > core.config.limits.links_per_source {
                    let cause = core.refuse(link, Refusal::LinksOfSource);
                    core.send_error(link, vec![cause]);
                    return core.close(link);
                }
                match (protocol, kind) {
                    (Protocol::Asap, LinkKind::PointToPoint(_)) => service.link_up(core, link),
                    (Protocol::Asap, LinkKind::Multicast) => service.group_joined(core, now),
                    (Protocol::Enrp, LinkKind::PointToPoint(_)) => peers.link_up(core, now, link),
                    (Protocol::Enrp, LinkKind::Multicast) => peers.group_joined(core),
                }
            }
            Input::LinkDown { link, reason } => self.link_down(now, link, &reason),
            Input::Message { link, bytes } => self.message(now, link, bytes),
            Input::Announcement { link, source, bytes } => {
                if !core.announcements.admits(now, core.config.limits.announcements_per_second) {
                    core.refuse(link, Refusal::AnnouncementRate);
                    return;
                }
                match core.links.get(link).map(|link| link.protocol) {
                    Some(Protocol::Asap) => service.announcement(core, now, link, bytes),
                    Some(Protocol::Enrp) => peers.announcement(core, now, link, source, bytes),
                    None => {}
                }
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        let Self { core, service, peers } = self;
        core.pause.make_up(&mut core.timers, core.config.timers.stall, now);
        while let Some(timer) = core.timers.pop(now) {
            match timer {
                Timer::KeepAlive(_) | Timer::ForeignProbe(_) | Timer::Subscribers | Timer::Announce => {
                    service.timeout(core, now, timer);
                }
                _ => {
                    peers.timeout(core, service, now, timer);
                    service.start_probes(core, now);
                }
            }
        }
        if core.pause.is_over(now) && core.phase != Phase::Drained {
            service.expire(core, now);
        }
    }

    fn poll_output(&mut self) -> Option<Output<RegistrarEvent>> {
        self.core.next_output()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let serving = self.core.phase != Phase::Drained;
        let expiry = self.core.handlespace.next_expiry().filter(|_| serving);
        let expiry = expiry.map(|at| self.core.pause.put_off(at));
        [self.core.timers.next(), expiry].into_iter().flatten().min()
    }
}

impl fmt::Debug for RegistrarMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistrarMachine")
            .field("id", &self.core.id())
            .field("phase", &self.core.phase)
            .field("handlespace", &self.core.handlespace)
            .field("peers", &self.peers().count())
            .finish_non_exhaustive()
    }
}
