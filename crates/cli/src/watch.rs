//! `rserpool watch`: the elements of a pool, and every change from then on.
use clap::Args;
use rserpool::PoolChange;
use rserpool::wire::PoolElement;
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_stream::StreamExt;
use tracing::warn;

use crate::arguments::{FIRST_REMINDER, User};
use crate::failure::Failure;
use crate::output;
use crate::shutdown::Shutdown;
use crate::values;

/// Print one line per change of a pool, beginning with the elements that it has
///
/// A line reads `added`, `updated` or `removed`, then the identifier of the element and, unless it was removed, its service,
/// policy and home. Goes on through changes of registrar, and waits for a pool that is not there yet.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    user: User,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut shutdown = Shutdown::listen()?;
    let pool = arguments.user.pool().await?;
    let mut changes = pool.watch();
    let (silence, mut waiting) = (sleep(FIRST_REMINDER), true);
    tokio::pin!(silence);
    loop {
        tokio::select! {
            change = changes.next() => {
                waiting = false;
                match change {
                    Some(change) if arguments.json => output::line(object(&change))?,
                    Some(change) => output::line(text(&change))?,
                    None => return Err(Failure::new("the watch has ended")),
                }
            }
            () = &mut silence, if waiting => {
                waiting = false;
                if let Some(reason) = arguments.user.registrars.diagnose().await {
                    warn!(reason, "no registrar answers; still trying");
                }
            }
            () = shutdown.requested() => return Ok(()),
        }
    }
}

fn text(change: &PoolChange) -> String {
    let described = |verb: &str, element: &PoolElement| {
        let PoolElement { identifier, user_transport, policy, home, .. } = element;
        format!("{verb} {identifier} service={user_transport} policy={policy} home={home}")
    };
    match change {
        PoolChange::Added(element) => described("added", element),
        PoolChange::Updated(element) => described("updated", element),
        PoolChange::Removed(identifier) => format!("removed {identifier}"),
        other => format!("{other:?}"),
    }
}

fn object(change: &PoolChange) -> Value {
    match change {
        PoolChange::Added(element) => json!({ "change": "added", "element": values::element(element) }),
        PoolChange::Updated(element) => json!({ "change": "updated", "element": values::element(element) }),
        PoolChange::Removed(identifier) => {
            json!({ "change": "removed", "identifier": identifier.to_string() })
        }
        other => json!({ "change": format!("{other:?}") }),
    }
}
