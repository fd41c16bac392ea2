//! The registrars and elements of the demo, to be killed and brought back.
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::thread::JoinHandle;

use rserpool::machine::Endpoint;
use rserpool::wire::{PeIdentifier, PoolHandle, ServerId};
use rserpool::{PoolElement, Registrar, TimerProfile};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::failure::Failure;
use crate::pe::echo;
use crate::table::Table;

/// The pool.
pub(super) const POOL: &str = "echo";

const REGISTRARS: u32 = 3;
const ELEMENTS: u32 = 4;

pub(super) struct Cluster {
    registrars: Vec<RegistrarSite>,
    elements: Vec<ElementSite>,
}

/// Where a registrar runs, or ran.
struct RegistrarSite {
    id: ServerId,
    asap: Endpoint,
    enrp: Endpoint,
    running: Option<Registrar>,
}

/// Where an element runs, or ran.
struct ElementSite {
    id: PeIdentifier,
    service: SocketAddr,
    running: Option<Host>,
}

/// An element on a thread and runtime of its own, which stand for a process: it dies when this is dropped.
struct Host {
    life: oneshot::Sender<Infallible>,
    thread: JoinHandle<()>,
}

impl Cluster {
    /// Starts everything. Each registrar knows those before it, elements know all of them.
    pub(super) async fn start() -> Result<Self, Failure> {
        let any: Endpoint = Endpoint::tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        let mut cluster = Self { registrars: Vec::new(), elements: Vec::new() };
        for number in 1..=REGISTRARS {
            let site =
                RegistrarSite { id: ServerId(number), asap: any.clone(), enrp: any.clone(), running: None };
            cluster.registrars.push(site);
            cluster.revive_registrar(ServerId(number)).await?;
        }
        for number in 1..=ELEMENTS {
            let service = SocketAddr::from(([127, 0, 0, 1], 0));
            let id = PeIdentifier(0xe000_0000 + number);
            cluster.elements.push(ElementSite { id, service, running: None });
            cluster.revive_element(id).await?;
        }
        Ok(cluster)
    }

    /// Where users find the registrars.
    pub(super) fn asap_endpoints(&self) -> Vec<Endpoint> {
        self.registrars.iter().map(|site| site.asap.clone()).collect()
    }

    /// The registrar with the most elements, and one of its elements: one of those in `preferred` if it can be.
    pub(super) fn victims(&self, preferred: &[PeIdentifier]) -> Result<(ServerId, PeIdentifier), Failure> {
        let home = self.registrars.iter().max_by_key(|site| self.owned_by(site.id)).map(|site| site.id);
        let children = home.map(|home| self.children(home)).unwrap_or_default();
        let element = children.iter().find(|id| preferred.contains(id)).or_else(|| children.first());
        home.zip(element.copied()).ok_or_else(|| Failure::new("there is nobody to kill"))
    }

    /// How many elements the registrar owns, in the eyes of the others or its own.
    pub(super) fn owned_by(&self, home: ServerId) -> usize {
        self.children(home).len()
    }

    fn children(&self, home: ServerId) -> Vec<PeIdentifier> {
        let Some(registrar) = self.running().next() else { return Vec::new() };
        registrar.handlespace(|handlespace| {
            let owned = handlespace.owned(home).filter_map(|key| handlespace.element(key));
            owned.map(|element| element.identifier()).collect()
        })
    }

    /// Whether no registrar knows the element.
    pub(super) fn is_forgotten(&self, element: PeIdentifier) -> bool {
        self.running().all(|registrar| {
            registrar.handlespace(|handlespace| handlespace.find(POOL.as_bytes(), element).is_none())
        })
    }

    /// Whether no registrar has elements of `home`, and all elements that run are there.
    pub(super) fn is_without(&self, home: ServerId) -> bool {
        let alive = self.elements.iter().filter(|site| site.running.is_some()).count();
        self.running().all(|registrar| {
            registrar
                .handlespace(|handlespace| handlespace.owned_count(home) == 0 && handlespace.len() == alive)
        })
    }

    /// Whether all registrars have the same elements of the same owners, by their checksums.
    pub(super) fn agrees(&self) -> bool {
        let owners: BTreeSet<_> = self
            .running()
            .map(|registrar| {
                registrar.handlespace(|handlespace| {
                    let owners = handlespace.owners().filter(|owner| handlespace.owned_count(*owner) > 0);
                    owners.map(|owner| (owner, handlespace.checksum(owner))).collect::<Vec<_>>()
                })
            })
            .collect();
        owners.len() == 1
    }

    /// Whether everything runs, and every element is at every registrar.
    pub(super) fn is_whole(&self) -> bool {
        let complete = |registrar: &Registrar| {
            registrar.handlespace(|handlespace| handlespace.len()) == ELEMENTS as usize
        };
        self.running().count() == REGISTRARS as usize && self.running().all(complete) && self.agrees()
    }

    /// Every registrar with its checksum, and every element with its home.
    pub(super) fn describe(&self) -> String {
        let Some(registrar) = self.running().next() else { return String::new() };
        let mut registrars = Table::new(["REGISTRAR", "ASAP", "ENRP", "ELEMENTS", "CHECKSUM"]);
        let mut elements = Table::new(["ELEMENT", "SERVICE", "HOME"]);
        registrar.handlespace(|handlespace| {
            for RegistrarSite { id, asap, enrp, .. } in &self.registrars {
                let (owned, checksum) = (handlespace.owned_count(*id), handlespace.checksum(*id));
                let (owned, checksum) = (owned.to_string(), format!("{checksum:04x}"));
                registrars.row([id.to_string(), asap.to_string(), enrp.to_string(), owned, checksum]);
            }
            let pool = handlespace.pool(POOL.as_bytes());
            for element in pool.iter().flat_map(|pool| pool.elements()).filter_map(|element| element.decode())
            {
                let (id, home) = (element.identifier.to_string(), element.home.to_string());
                elements.row([id, element.user_transport.to_string(), home]);
            }
        });
        format!("{registrars}\n\n{elements}")
    }

    fn running(&self) -> impl Iterator<Item = &Registrar> {
        self.registrars.iter().filter_map(|site| site.running.as_ref())
    }

    /// Ends a registrar without handing its elements over.
    pub(super) fn kill_registrar(&mut self, id: ServerId) -> Result<(), Failure> {
        let site = self.registrars.iter_mut().find(|site| site.id == id);
        // The registrar stops when its last handle is dropped.
        site.and_then(|site| site.running.take()).map(drop).ok_or_else(|| missing(&id))
    }

    /// Ends an element without deregistering it, and waits until its listener and connections are gone.
    pub(super) async fn kill_element(&mut self, id: PeIdentifier) -> Result<(), Failure> {
        let site = self.elements.iter_mut().find(|site| site.id == id);
        let Host { life, thread } = site.and_then(|site| site.running.take()).ok_or_else(|| missing(&id))?;
        drop(life);
        tokio::task::spawn_blocking(|| thread.join()).await?.map_err(|_| Failure::new("an element panicked"))
    }

    /// Starts a registrar, where it was before if it was, and waits until it serves.
    pub(super) async fn revive_registrar(&mut self, id: ServerId) -> Result<(), Failure> {
        let peers: Vec<_> = self
            .registrars
            .iter()
            .filter(|site| site.running.is_some())
            .map(|site| site.enrp.clone())
            .collect();
        let site = self.registrars.iter_mut().find(|site| site.id == id).ok_or_else(|| missing(&id))?;
        let mut builder = Registrar::builder()
            .server_id(id)
            .timers(TimerProfile::Fast)
            .asap(site.asap.clone())
            .enrp(site.enrp.clone());
        for peer in peers {
            builder = builder.peer(peer);
        }
        let registrar = builder.start().await?;
        registrar.ready().await;
        if let (Some(asap), Some(enrp)) = (registrar.asap_endpoints().first(), registrar.enrp_endpoint()) {
            (site.asap, site.enrp) = (asap.clone(), enrp.clone());
        }
        site.running = Some(registrar);
        Ok(())
    }

    /// Starts an element, where it was before if it was, and waits until it is registered.
    pub(super) async fn revive_element(&mut self, id: PeIdentifier) -> Result<(), Failure> {
        let registrars = self.asap_endpoints();
        let site = self.elements.iter_mut().find(|site| site.id == id).ok_or_else(|| missing(&id))?;
        let ((started, outcome), (life, end)) = (oneshot::channel(), oneshot::channel());
        let service = site.service;
        let thread = std::thread::spawn(move || live(id, service, registrars, started, end));
        site.service = outcome.await??;
        site.running = Some(Host { life, thread });
        Ok(())
    }
}

/// The life of an element, until `end`; tells where it serves once it is registered.
fn live(
    id: PeIdentifier,
    service: SocketAddr,
    registrars: Vec<Endpoint>,
    started: oneshot::Sender<Result<SocketAddr, Failure>>,
    end: oneshot::Receiver<Infallible>,
) {
    let serve = async {
        let listener = TcpListener::bind(service).await?;
        let service = listener.local_addr()?;
        tokio::spawn(echo::serve(listener));
        let element = PoolElement::builder(PoolHandle::from(POOL))
            .registrars(registrars)
            .identifier(id)
            .timers(TimerProfile::Fast)
            .transport(service)
            .register()
            .await?;
        Ok::<_, Failure>((service, element))
    };
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(started.send(Err(error.into()))),
    };
    let element = runtime.block_on(async {
        match serve.await {
            Ok((service, element)) => {
                // Whether anybody still waits for it or not.
                let _ = started.send(Ok(service));
                let _ = end.await;
                Some(element)
            }
            Err(failure) => {
                let _ = started.send(Err(failure));
                None
            }
        }
    });
    // With the runtime go the tasks, the listeners and the connections of the service.
    drop(runtime);
    if let Some(element) = element {
        element.abort();
    }
}

fn missing(id: &impl std::fmt::Display) -> Failure {
    Failure::new(format!("{id} does not run"))
}
