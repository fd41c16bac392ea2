//! `rserpool demo`: what this is all about, in ten seconds: servers and registrars die, and clients do not notice.
//!
//! Everything runs in this process, on real sockets of the loopback interface. Nothing is scripted but the deaths: each act
//! waits until what it tells has happened, and fails when it does not.
mod clients;
mod cluster;
mod timeline;

use std::time::Instant;

use clap::Args;

use self::clients::Clients;
use self::cluster::Cluster;
use self::timeline::Timeline;
use crate::failure::Failure;

/// Requests to be answered between two acts, so that there is something to disturb.
const BETWEEN_ACTS: u64 = 800;

/// Watch a pool survive: elements and registrars are killed while clients ask all the time
///
/// Runs three registrars, four elements and four clients on loopback; kills an element, then its home registrar; brings both
/// back. Exit status 0 means that every request was answered and that the pool is whole again.
#[derive(Debug, Args)]
pub(crate) struct Arguments {}

pub(crate) async fn run(_: Arguments) -> Result<(), Failure> {
    let mut timeline = Timeline::start()?;
    let mut cluster = Cluster::start().await?;
    timeline.settled("registrars and elements agree on the pool", || cluster.is_whole()).await?;
    timeline.list(&cluster.describe())?;
    let clients = Clients::start(&cluster).await?;
    timeline.settled("clients are being served", || clients.answered() >= BETWEEN_ACTS).await?;

    let meanwhile = format!("{BETWEEN_ACTS} more requests are answered meanwhile");
    let (home, element) = cluster.victims(&clients.partners())?;
    let before = clients.answered();
    timeline.kill(format!("element {element} dies: no farewell, its connections break"))?;
    cluster.kill_element(element).await?;
    let killed = Instant::now();
    timeline.settled("its clients are served by others", || clients.served_since(killed)).await?;
    timeline.settled("it is gone from all three handlespaces", || cluster.is_forgotten(element)).await?;
    timeline.settled(&meanwhile, || clients.answered() >= before + BETWEEN_ACTS).await?;

    let (before, orphans) = (clients.answered(), cluster.owned_by(home));
    timeline.kill(format!("registrar {home} dies: it was the home of {orphans} more"))?;
    cluster.kill_registrar(home)?;
    let killed = Instant::now();
    timeline
        .settled("clients are served as if nothing had happened", || clients.served_since(killed))
        .await?;
    timeline.settled("its elements have a new home", || cluster.is_without(home)).await?;
    timeline.settled("the handlespaces agree on all checksums", || cluster.agrees()).await?;
    timeline.settled(&meanwhile, || clients.answered() >= before + BETWEEN_ACTS).await?;

    let before = clients.answered();
    timeline.revive(format!("registrar {home} and element {element} come back"))?;
    cluster.revive_registrar(home).await?;
    timeline.reached("the registrar has the handlespace from a peer and serves")?;
    cluster.revive_element(element).await?;
    timeline.reached("the element is registered")?;
    timeline.settled("all elements are at all registrars, checksums equal", || cluster.is_whole()).await?;
    timeline.settled(&meanwhile, || clients.answered() >= before + BETWEEN_ACTS).await?;

    let outcome = clients.finish().await;
    timeline.list(&cluster.describe())?;
    timeline.end(&outcome)?;
    match outcome.lost {
        0 => Ok(()),
        lost => Err(Failure::new(format!("{lost} requests were not answered"))),
    }
}
