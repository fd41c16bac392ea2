//! Starting and stopping what runs on a node, and giving it what arrives.
use rserpool_asap::session::{ElementSession, UserSession};
use rserpool_asap::{
    ElementConfig, ElementEvent, ElementMachine, ElementRegistration, UserConfig, UserMachine,
};
use rserpool_enrp::{RegistrarConfig, RegistrarEvent, RegistrarMachine};
use rserpool_machine::{Endpoint, Input, LinkId, LinkKind, PeerIdentity, Protocol, Scheme};
use rserpool_wire::asap::HandleResolution;
use rserpool_wire::{Dialect, PoolHandle, ServerId};

use rand::RngExt;

use crate::fault::NodeId;
use crate::invariants::Violation;
use crate::node::{ASAP_PORT, Blueprint, Delivery, ENRP_PORT, Element, Node, Process, SERVICE_PORT, address};
use crate::user::User;
use crate::wire::messages;
use crate::world::{Event, World};

impl World {
    /// Starts the process of a node, unless it runs.
    pub fn start(&mut self, id: NodeId) {
        let seed = self.rng.random();
        let Some(node) = self.node(id).filter(|node| !node.is_up()) else { return };
        let process = match node.blueprint.clone() {
            Blueprint::Registrar { server } => self.new_registrar(id, server, seed),
            Blueprint::Element { registrations } => self.new_element(id, registrations, seed),
            Blueprint::User { pool_handle } => self.new_user(id, pool_handle, seed),
        };
        let process = match process {
            Ok(process) => process,
            Err(why) => return self.violated(Violation::new(self.now, "Configuration", why)),
        };
        let now = self.now;
        self.note(|| format!("{id} starts"));
        let Some(node) = self.node_mut(id) else { return };
        node.process = Some(process);
        node.starts += 1;
        (node.since, node.leaving, node.wake) = (now, false, None);
        node.inbox.clear();
        self.history.started(id, now);
        self.history.joined(id, now, self.nodes.get(id.0 as usize).and_then(Node::element));
        self.join_groups(id);
        self.perform(id);
        if self.node(id).and_then(Node::user).is_some() {
            let pause = self.around(self.settings.pace.call_interval);
            self.happens_in(pause, Event::Want(id));
        }
    }

    fn new_registrar(&self, id: NodeId, server: ServerId, seed: u64) -> Result<Process, String> {
        let mut config = RegistrarConfig::new(server);
        config.dialect = self.settings.dialect;
        config.timers = self.settings.pace.registrar;
        config.asap = vec![self.endpoint(id, ASAP_PORT)];
        config.enrp = Some(self.endpoint(id, ENRP_PORT));
        config.discovers_peers = self.settings.multicast;
        if !self.settings.multicast {
            config.peers = self.registrar_endpoints(ENRP_PORT);
        }
        let machine = RegistrarMachine::new(config, seed, self.local_time(id));
        machine.map(|machine| Process::Registrar(Box::new(machine))).map_err(|error| error.to_string())
    }

    fn new_element(
        &self,
        id: NodeId,
        registrations: Vec<ElementRegistration>,
        seed: u64,
    ) -> Result<Process, String> {
        let now = self.local_time(id);
        // Over SCTP the registrar knows where the element is.
        let over_tcp = matches!(self.settings.scheme, Scheme::Tcp | Scheme::Tls);
        let config = ElementConfig {
            registrars: self.registrars_to_look_for(),
            asap_transport: over_tcp.then(|| self.endpoint(id, ASAP_PORT).to_transport()).flatten(),
            timers: self.settings.pace.asap,
            dialect: self.settings.dialect,
            ..ElementConfig::default()
        };
        let mut machine = ElementMachine::new(config, seed, now).map_err(|error| error.to_string())?;
        let pool_handle = registrations.first().map(|first| first.pool_handle.clone());
        let mut registered = Vec::new();
        for registration in registrations {
            let id = machine.register(now, registration.clone()).map_err(|error| error.to_string())?;
            registered.push((id, registration));
        }
        let pool_handle = pool_handle.unwrap_or_else(|| PoolHandle::from("none"));
        let session = ElementSession::new(self.settings.dialect, pool_handle);
        let element = Element { machine, registrations: registered, session, home: None };
        Ok(Process::Element(Box::new(element)))
    }

    fn new_user(&self, id: NodeId, pool_handle: PoolHandle<'static>, seed: u64) -> Result<Process, String> {
        let dialect = self.settings.dialect;
        let config = UserConfig {
            registrars: self.registrars_to_look_for(),
            timers: self.settings.pace.asap,
            dialect,
            items: (dialect == Dialect::Rsplib).then_some(HandleResolution::ALL_ITEMS),
            ..UserConfig::default()
        };
        let machine =
            UserMachine::new(config, seed, self.local_time(id)).map_err(|error| error.to_string())?;
        Ok(Process::User(Box::new(User::new(machine, pool_handle, UserSession::new(dialect)))))
    }

    fn registrars_to_look_for(&self) -> Vec<Endpoint> {
        if self.settings.multicast { Vec::new() } else { self.registrar_endpoints(ASAP_PORT) }
    }

    fn registrar_endpoints(&self, port: u16) -> Vec<Endpoint> {
        let is_registrar =
            |id: &NodeId| self.node(*id).is_some_and(|n| matches!(n.blueprint, Blueprint::Registrar { .. }));
        self.node_ids().filter(is_registrar).map(|id| self.endpoint(id, port)).collect()
    }

    fn join_groups(&mut self, id: NodeId) {
        if !self.settings.multicast {
            return;
        }
        let is_registrar = self.registrar(id).is_some();
        let protocols: &[Protocol] =
            if is_registrar { &[Protocol::Asap, Protocol::Enrp] } else { &[Protocol::Asap] };
        for protocol in protocols.iter().copied() {
            self.members.entry(protocol).or_default().insert(id);
            let time = self.local_time(id);
            let Some(node) = self.node_mut(id) else { return };
            let link = node.accept();
            node.groups.insert(link, protocol);
            let port = if protocol == Protocol::Asap { ASAP_PORT } else { ENRP_PORT };
            let remote = [([224, 0, 1, 185], port).into()];
            let Some(process) = &mut node.process else { return };
            let (kind, identity) = (LinkKind::Multicast, PeerIdentity::Anonymous);
            process.handle_input(time, Input::LinkUp { link, protocol, kind, remote: &remote, identity });
        }
    }

    /// Ends the process of a node; `silent`: nobody is told.
    pub fn stop(&mut self, id: NodeId, silent: bool) {
        if !self.is_up(id) {
            return;
        }
        let now = self.now;
        self.note(|| format!("{id} stops{}", if silent { " silently" } else { "" }));
        self.drop_links(id, silent);
        self.history.left(id, now);
        for members in self.members.values_mut() {
            members.remove(&id);
        }
        if let Some(node) = self.node_mut(id) {
            node.process = None;
            node.inbox.clear();
            node.groups.clear();
            (node.since, node.wake, node.leaving) = (now, None, false);
        }
    }

    /// Lets a node leave in good order: it stops when it is done.
    pub fn leave(&mut self, id: NodeId) {
        let time = self.local_time(id);
        let Some(node) = self.node_mut(id).filter(|node| node.is_up() && !node.leaving) else { return };
        node.leaving = true;
        match &mut node.process {
            Some(Process::Registrar(machine)) => machine.shutdown(time),
            Some(Process::Element(element)) => {
                for (registration, _) in &element.registrations {
                    element.machine.deregister(time, *registration);
                }
            }
            Some(Process::User(_)) => return self.stop(id, false),
            None => {}
        }
        self.note(|| format!("{id} leaves"));
        self.perform(id);
    }

    /// Changes the policy values of all registrations of an element.
    pub fn set_policy(&mut self, id: NodeId, policy: &rserpool_wire::Policy) {
        let time = self.local_time(id);
        let Some(Process::Element(element)) = self.node_mut(id).and_then(|node| node.process.as_mut()) else {
            return;
        };
        for (registration, values) in &mut element.registrations {
            // What does not fit or has ended stays as it was.
            if element.machine.set_policy(time, *registration, policy.clone()).is_ok() {
                values.policy = policy.clone();
            }
        }
        self.perform(id);
    }

    pub(crate) fn registrar_told(&mut self, id: NodeId, event: &RegistrarEvent) {
        if let RegistrarEvent::Drained { .. } = event
            && self.node(id).is_some_and(|node| node.leaving)
        {
            self.stop(id, false);
        }
    }

    pub(crate) fn element_told(&mut self, id: NodeId, event: &ElementEvent) {
        let Some(node) = self.node_mut(id) else { return };
        let Some(Process::Element(element)) = &mut node.process else { return };
        element.note(event);
        if let ElementEvent::Deregistered { id: ended, .. } = event {
            element.registrations.retain(|(registration, _)| registration != ended);
            if element.registrations.is_empty() && node.leaving {
                self.stop(id, false);
            }
        }
    }

    /// Something has arrived at a node: its process takes it now, or later.
    pub(crate) fn deliver(&mut self, id: NodeId, delivery: Delivery) {
        let now = self.now;
        let Some(node) = self.node_mut(id) else { return };
        if !node.is_up() {
            return self.nobody_there(id, delivery);
        }
        if node.pauses > 0 || !node.inbox.is_empty() || node.busy_until > now {
            node.inbox.push_back(delivery);
            if node.pauses == 0 && node.inbox.len() == 1 {
                let at = node.busy_until.max(now);
                self.happens_at(at, Event::Serve(id));
            }
            return;
        }
        node.busy_until = now + node.slowness;
        self.hand(id, delivery);
    }

    /// A node that was busy or stood still takes the next thing.
    pub(crate) fn serve(&mut self, id: NodeId) {
        let now = self.now;
        let Some(node) = self.node_mut(id).filter(|node| node.pauses == 0) else { return };
        let Some(delivery) = node.inbox.pop_front() else { return };
        node.busy_until = now + node.slowness;
        let (more, at) = (!node.inbox.is_empty(), node.busy_until);
        self.hand(id, delivery);
        if more {
            self.happens_at(at, Event::Serve(id));
        }
    }

    fn hand(&mut self, id: NodeId, delivery: Delivery) {
        let scheme = self.settings.scheme;
        let time = self.local_time(id);
        let Some(node) = self.node_mut(id) else { return };
        let group = |node: &Node, protocol| {
            node.groups.iter().find(|(_, of)| **of == protocol).map(|(link, _): (&LinkId, _)| *link)
        };
        match delivery {
            Delivery::Up { link, protocol, remote } => {
                let (kind, identity) = (LinkKind::PointToPoint(scheme), PeerIdentity::Anonymous);
                let Some(process) = &mut node.process else { return };
                process
                    .handle_input(time, Input::LinkUp { link, protocol, kind, remote: &[remote], identity });
            }
            Delivery::Down { link, reason } => {
                let Some(process) = &mut node.process else { return };
                process.handle_input(time, Input::LinkDown { link, reason });
            }
            Delivery::Messages { link, bytes } => {
                node.traffic.count_received(bytes.len());
                let Some(process) = &mut node.process else { return };
                for message in messages(&bytes) {
                    process.handle_input(time, Input::Message { link, bytes: message });
                }
            }
            Delivery::Announcement { protocol, source, bytes } => {
                node.traffic.count_received(bytes.len());
                let Some(link) = group(node, protocol) else { return };
                let Some(process) = &mut node.process else { return };
                process.handle_input(time, Input::Announcement { link, source, bytes: &bytes });
            }
            Delivery::Call { from, call, identifier, opening, expected } => {
                return self.called(id, from, call, identifier, &opening, expected.as_ref());
            }
            Delivery::Answer { call, cookie } => return self.answered(id, call, cookie),
        }
        self.perform(id);
    }

    fn nobody_there(&mut self, id: NodeId, delivery: Delivery) {
        if let Delivery::Call { from, call, .. } = delivery
            && self.network.is_through(id, from)
        {
            let delay = self.network.delay(&mut self.rng, id, from);
            self.happens_in(delay, Event::Deliver(from, Delivery::Answer { call, cookie: None }));
        }
    }
}

/// Where users reach an element at a node.
#[must_use]
pub fn service_transport(scheme: Scheme, node: NodeId) -> Option<rserpool_wire::Transport> {
    Endpoint::new(scheme, address(node, SERVICE_PORT)).to_transport()
}
