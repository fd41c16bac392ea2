//! `rserpool pe`: a pool element, either an echo service of its own or a sidecar of any TCP service.
pub(crate) mod echo;
mod sidecar;

use std::net::IpAddr;
use std::time::Duration;

use clap::Args;
use rserpool::machine::{Endpoint, Scheme};
use rserpool::transport::{LinkConfig, Security};
use rserpool::wire::{PeIdentifier, Policy, RegistrationLife, Transport};
use rserpool::{ElementEvent, PoolElement, PoolElementBuilder, Status};
use tokio::time::{Instant, interval_at};
use tokio_stream::StreamExt;
use tracing::warn;

use self::echo::Echo;
use crate::arguments::{self, FIRST_REMINDER, Registrars};
use crate::failure::Failure;
use crate::listening;
use crate::output;
use crate::security::{ElementTls, Renewal};
use crate::shutdown::Shutdown;

/// How often to say that the element is not registered yet.
const REMINDER: Duration = Duration::from_secs(10);

/// Register a service as an element of a pool, and keep it registered
///
/// Prints `ready pe=ID service=URL` once it is registered; waits for registrars that are not there yet. SIGTERM
/// deregisters it. With --service-tls users speak TLS with the service: --target need not know of that either. Where there
/// are keys, SIGHUP reads their files again.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("service").required(true).args(["echo", "target"])))]
pub(crate) struct Arguments {
    /// The pool handle
    #[arg(long, value_name = "NAME", value_parser = arguments::pool_handle)]
    pool: String,
    #[command(flatten)]
    registrars: Registrars,
    /// Serve: send every byte back
    #[arg(long)]
    echo: bool,
    /// Register the TCP service there, which need not know of RSerPool, for as long as it can be connected to
    #[arg(long, value_name = "HOST:PORT", value_parser = arguments::place)]
    target: Option<String>,
    /// How often to try the target; it and users' connections have 1 second to be accepted, fast: 0.25 [default: 1, fast: 0.2]
    #[arg(long, value_name = "SECONDS", value_parser = arguments::seconds, requires = "target")]
    check: Option<Duration>,
    /// Where the echo service listens: HOST:PORT for TCP, or sctp://HOST:PORT; port 0 takes a free one. With --service-tls,
    /// where TLS is spoken for --target too [default: a free port on all addresses]
    #[arg(long, value_name = "HOST:PORT|URL", value_parser = arguments::place_or_url)]
    listen: Option<String>,
    /// The policy of the pool, with this element's values: rr, wrr:W, rand, wrand:W, prio:P, lu:L, lud:L:D, plu:L:D, rlu:L
    #[arg(long, value_name = "SPEC", default_value_t)]
    policy: Policy,
    /// The identifier of the element [default: a random one]
    #[arg(long, value_name = "0xID", value_parser = arguments::element)]
    id: Option<PeIdentifier>,
    /// How long the registration outlives this command if it dies with all registrars that know it [default: 300]
    #[arg(long, value_name = "SECONDS", value_parser = arguments::seconds)]
    life: Option<Duration>,
    /// Where registrars connect to after they took the element over [default: a free port on all addresses]
    #[arg(long, value_name = "URL")]
    asap: Option<Endpoint>,
    /// The address to announce where one listens on all of them [default: the one that the registrar is reached from]
    #[arg(long, value_name = "ADDRESS")]
    advertise: Option<IpAddr>,
    /// A registrar that may take the element over, by the name in its certificate; may be given several times. Not with
    /// --psk-identity: that key is the same for all registrars, and proves no name [default: whoever has a certificate of --tls-ca]
    #[arg(
        long = "registrar-name",
        value_name = "NAME",
        help_heading = "TLS",
        requires = "tls_ca",
        conflicts_with = "psk_identity"
    )]
    registrar_names: Vec<String>,
    #[command(flatten)]
    tls: ElementTls,
}

/// How the element is secured.
struct Secured {
    /// Its links to registrars.
    links: Option<Security>,
    /// The connections of its users.
    service: Option<LinkConfig>,
}

pub(crate) async fn run(mut arguments: Arguments) -> Result<(), Failure> {
    let Registrars { registrars, conventions, keys, .. } = &mut arguments.registrars;
    let mut renewal = Renewal::default();
    let service = arguments.tls.links(&arguments.pool, registrars, conventions.timers, keys, &mut renewal)?;
    let links = keys.renewed_security(registrars, arguments.asap.as_ref(), &mut renewal)?;
    let secured = Secured { links, service };
    let shutdown = Shutdown::listen()?;
    renewal.start()?;
    match &arguments.target {
        Some(target) => sidecar::run(&arguments, target, &secured, shutdown).await,
        None => echo(&arguments, &secured, shutdown).await,
    }
}

/// Serves and stays registered until it is asked to end.
async fn echo(arguments: &Arguments, secured: &Secured, mut shutdown: Shutdown) -> Result<(), Failure> {
    let timers = arguments.registrars.conventions.timers;
    let start = async {
        let (echo, transport) = Echo::listen(arguments.place(), timers, secured.service.as_ref()).await?;
        tokio::spawn(echo.serve());
        register(arguments.element(transport, secured), &arguments.registrars).await
    };
    let element = tokio::select! {
        element = start => element?,
        () = shutdown.requested() => return Ok(()),
    };
    arguments.announce(&element)?;
    shutdown.requested().await;
    element.deregister().await;
    Ok(())
}

impl Arguments {
    /// Where to listen.
    fn place(&self) -> &str {
        self.listen.as_deref().unwrap_or_else(|| listening::everywhere(&self.registrars.registrars))
    }

    /// Says that the element is registered, and how its users reach it.
    fn announce(&self, element: &PoolElement) -> Result<(), Failure> {
        let service = match element.transport().socket_address() {
            Some(address) if self.tls.service_tls => Endpoint::new(Scheme::Tls, address).to_string(),
            _ => element.transport().to_string(),
        };
        output::ready([("pe", element.identifier().to_string()), ("service", service)])
    }

    /// The element that serves there.
    fn element(&self, transport: impl Into<Transport>, secured: &Secured) -> PoolElementBuilder {
        let Registrars { registrars, interfaces, conventions, .. } = &self.registrars;
        let mut builder = PoolElement::builder(self.pool.clone())
            .registrars(registrars.iter().cloned())
            .timers(conventions.timers)
            .dialect(conventions.dialect)
            .policy(self.policy.clone())
            .transport(transport);
        for interface in interfaces {
            builder = builder.discover(interface);
        }
        if let Some(id) = self.id {
            builder = builder.identifier(id);
        }
        if let Some(life) = self.life {
            builder = builder.life(RegistrationLife::Finite(life));
        }
        if let Some(endpoint) = &self.asap {
            builder = builder.listen(endpoint.clone());
        }
        if let Some(address) = self.advertise {
            builder = builder.advertise(address);
        }
        builder = builder.registrar_names(self.registrar_names.iter().map(String::as_str));
        if let Some(security) = &secured.links {
            builder = builder.security(security.clone());
        }
        builder
    }
}

/// Registers, however long that takes: an element may be started before its registrars. A rejection is final, unless it is
/// for want of resources, which may come back.
async fn register(builder: PoolElementBuilder, registrars: &Registrars) -> Result<PoolElement, Failure> {
    let element = builder.start().await?;
    let (pool, id) = (element.pool_handle().clone(), element.identifier());
    let mut events = element.events();
    let (mut reminders, mut refused) = (interval_at(Instant::now() + FIRST_REMINDER, REMINDER), false);
    let status = loop {
        tokio::select! {
            status = element.settled() => break status,
            Some(event) = events.next() => {
                if let ElementEvent::Rejected { error, will_retry: true, .. } = event && !refused {
                    warn!(%pool, element = %id, %error, "the registrar refuses the element for now; still trying");
                    refused = true;
                }
            }
            _ = reminders.tick() => {
                let reason = registrars.diagnose().await;
                warn!(%pool, element = %id, reason, "not registered yet; still trying");
            }
        }
    };
    match status {
        Status::Registered { .. } => Ok(element),
        Status::Rejected(error) => {
            Err(Failure::new(format!("the registrar rejected element {id} of pool {pool}: {error}")))
        }
        other => Err(Failure::new(format!("element {id} of pool {pool} is not registered: {other:?}"))),
    }
}
