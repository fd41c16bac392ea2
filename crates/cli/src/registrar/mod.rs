//! `rserpool registrar`: a registrar as a process.
mod file;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use rserpool::admin::Admin;
use rserpool::enrp::{RegistrarLimits, RegistrarTimers};
use rserpool::machine::Endpoint;
use rserpool::transport::{LinkConfig, TransportError};
use rserpool::wire::{Dialect, ServerId};
use rserpool::{Registrar, StartError, TimerProfile};
use tokio::net::lookup_host;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::arguments;
use crate::failure::Failure;
use crate::output;
use crate::security::{Secured, ServerKeys};
use crate::shutdown::Shutdown;
use file::File;

/// What `--announce` takes to overrule the interfaces of the configuration file.
const OFF: &str = "off";

/// Run a registrar
///
/// Prints `ready asap=URL enrp=URL admin=URL` once it has the handlespace of its peers, or knows that it is alone. SIGTERM
/// hands its elements over to a peer.
#[derive(Debug, Default, Args)]
pub(crate) struct Arguments {
    /// Serve elements and users there: tcp://HOST:PORT, sctp://HOST:PORT,HOST:PORT, and with TLS tls://… and sctp+tls://…; 3863
    /// and, with TLS, 3864 are the assigned ports, 0 takes a free one; may be given several times
    #[arg(long, value_name = "URL", required_unless_present = "config")]
    asap: Vec<Endpoint>,
    /// Serve other registrars there; 9901 and, with TLS, 9902 are the assigned ports [default: not at all, the registrar is
    /// alone]
    #[arg(long, value_name = "URL")]
    enrp: Option<Endpoint>,
    /// The ENRP endpoint of another registrar; may be given several times: the first is the mentor, others its back-ups
    #[arg(long = "peer", value_name = "URL", value_parser = arguments::reachable)]
    peers: Vec<Endpoint>,
    /// The identifier of the registrar, not 0 [default: a random one]
    #[arg(long, value_name = "0xID", value_parser = arguments::server)]
    id: Option<ServerId>,
    /// The timers: of the RFCs, or fast ones that fail over in fractions of a second [rfc, fast] [default: rfc]
    #[arg(long, value_name = "PROFILE")]
    timers: Option<TimerProfile>,
    /// The wire format: of the RFCs, or of the reference implementation where it deviates [rfc, rsplib] [default: rfc]
    #[arg(long, value_name = "DIALECT")]
    dialect: Option<Dialect>,
    /// Announce the registrar, and hear others, by multicast on this network interface; may be given several times
    /// [default: off]
    #[arg(long, value_name = "IFACE|off")]
    announce: Vec<String>,
    /// The address to announce where one listens on all of them [default: the one that the first peer is reached from]
    #[arg(long, value_name = "ADDRESS")]
    advertise: Option<IpAddr>,
    /// Answer HTTP there: /livez, /readyz, /v1/handlespace, /v1/peers, /metrics
    #[arg(long, value_name = "HOST:PORT", value_parser = arguments::place)]
    admin: Option<String>,
    #[command(flatten)]
    keys: ServerKeys,
    /// Take what the flags do not say from this TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Flags and configuration file in one.
struct Settings {
    flags: Arguments,
    timers: RegistrarTimers,
    limits: RegistrarLimits,
    links: LinkConfig,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut shutdown = Shutdown::listen()?;
    let settings = Settings::new(arguments)?;
    let has_peers = !settings.flags.peers.is_empty();
    let start = async {
        let admin = match &settings.flags.admin {
            Some(address) => Some(bind_admin(address).await?),
            None => None,
        };
        Ok::<_, Failure>((admin, settings.start().await?))
    };
    let (admin, registrar) = tokio::select! {
        started = start => started?,
        () = shutdown.requested() => return Ok(()),
    };
    info!(id = %registrar.id(), "started");
    let admin_address = admin.as_ref().map(Admin::local_addr);
    // Dropped at the end, which ends the administrative service too.
    let (_serving, end) = oneshot::channel::<()>();
    if let Some(admin) = admin {
        let registrar = registrar.clone();
        tokio::spawn(async move {
            if let Err(error) = admin.serve(registrar, async { drop(end.await) }).await {
                error!(%error, "the administrative service has ended");
            }
        });
    }
    tokio::select! {
        () = registrar.ready() => announce(&registrar, admin_address)?,
        () = shutdown.requested() => return Ok(()),
    }
    if has_peers && registrar.peers().is_empty() {
        warn!(
            "alone, for no --peer answers; still trying: are they the ENRP endpoints of registrars that run?"
        );
    }
    shutdown.requested().await;
    registrar.shutdown().await;
    Ok(())
}

impl Settings {
    fn new(flags: Arguments) -> Result<Self, Failure> {
        let file = flags.config.as_deref().map(file::read).transpose()?.unwrap_or_default();
        let File { arguments, timing, limits, links: of_links, sctp } = file;
        let flags = flags.or(arguments);
        if flags.asap.is_empty() {
            let message = "no endpoint to serve elements and users on: give --asap tcp://HOST:PORT, or `asap` in the file";
            return Err(Failure::usage(message));
        }
        let profile = flags.timers.unwrap_or_default();
        let (mut timers, mut links) = (profile.registrar(flags.dialect.unwrap_or_default()), profile.links());
        timing.apply(&mut timers);
        of_links.apply(&mut links);
        sctp.apply(&mut links.sctp);
        Ok(Self { flags, timers, limits, links })
    }

    async fn start(self) -> Result<Registrar, Failure> {
        let Arguments { asap, enrp, peers, id, timers, dialect, announce, advertise, keys, config, .. } =
            self.flags;
        let mut builder = Registrar::builder()
            .timers(timers.unwrap_or_default())
            .custom_timers(self.timers)
            .limits(self.limits)
            .links(self.links)
            .dialect(dialect.unwrap_or_default());
        let mut reloaded = None;
        if let Some(Secured { security, policy }) = keys.security(&asap, enrp.as_ref(), &peers)? {
            reloaded = Some((ServerKeys::hangups()?, security.clone()));
            builder = builder.security(security).authorization(Arc::new(policy));
        }
        for endpoint in asap {
            builder = builder.asap(endpoint);
        }
        if let Some(endpoint) = enrp {
            builder = builder.enrp(endpoint);
        }
        for endpoint in peers {
            builder = builder.peer(endpoint);
        }
        if let Some(id) = id {
            builder = builder.server_id(id);
        }
        if let Some(address) = advertise {
            builder = builder.advertise(address);
        }
        for interface in announce.into_iter().filter(|interface| interface != OFF) {
            builder = builder.announce(interface);
        }
        let registrar = builder.start().await.map_err(|error| match (&error, config) {
            // Flags were looked at before: what contradicts itself now stands in the file.
            (StartError::Config(_) | StartError::Transport(TransportError::Config(_)), Some(path)) => {
                Failure::usage(format!("--config {}: {error}", path.display()))
            }
            _ => error.into(),
        })?;
        if let Some((hangups, security)) = reloaded {
            tokio::spawn(keys.reload(hangups, security, registrar.clone()));
        }
        Ok(registrar)
    }
}

impl Arguments {
    /// What is missing here is taken from `file`.
    fn or(self, file: Self) -> Self {
        fn list<T>(ours: Vec<T>, theirs: Vec<T>) -> Vec<T> {
            if ours.is_empty() { theirs } else { ours }
        }
        Self {
            asap: list(self.asap, file.asap),
            enrp: self.enrp.or(file.enrp),
            peers: list(self.peers, file.peers),
            id: self.id.or(file.id),
            timers: self.timers.or(file.timers),
            dialect: self.dialect.or(file.dialect),
            announce: list(self.announce, file.announce),
            advertise: self.advertise.or(file.advertise),
            admin: self.admin.or(file.admin),
            keys: self.keys.or(file.keys),
            config: self.config,
        }
    }
}

async fn bind_admin(text: &str) -> Result<Admin, Failure> {
    let failed =
        |error: std::io::Error| Failure::new(format!("--admin {text}: cannot listen there: {error}"));
    let addresses: Vec<SocketAddr> = lookup_host(text).await.map_err(failed)?.collect();
    let mut last = std::io::ErrorKind::AddrNotAvailable.into();
    for address in addresses {
        match Admin::bind(address).await {
            Ok(admin) => return Ok(admin),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

fn announce(registrar: &Registrar, admin: Option<SocketAddr>) -> Result<(), Failure> {
    let asap = registrar.asap_endpoints().iter().map(|endpoint| ("asap", endpoint.to_string()));
    let enrp = registrar.enrp_endpoint().map(|endpoint| ("enrp", endpoint.to_string()));
    let admin = admin.map(|address| ("admin", format!("http://{address}")));
    output::ready(asap.chain(enrp).chain(admin))
}
