//! Getting through to a pool: a connection to an element that can be reached, whichever it is.
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rserpool::{Pool, ResolveError, Target};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::failure::Failure;

/// Pause once every element was tried in vain, so that a pool of the dead is no busy loop.
const PAUSE: Duration = Duration::from_millis(50);

/// The way to a pool.
pub(crate) struct Reach {
    pool: Pool,
    patience: Duration,
    /// Whether an element was ever found. A pool that was never there is a mistake; one that vanished is failing over.
    seen: AtomicBool,
}

impl Reach {
    /// To `pool`, trying for as long as `patience`.
    pub(crate) const fn new(pool: Pool, patience: Duration) -> Self {
        Self { pool, patience, seen: AtomicBool::new(false) }
    }

    /// How long to go on trying.
    pub(crate) const fn patience(&self) -> Duration {
        self.patience
    }

    /// Connects to an element, by the pool's policy. Those that cannot be reached are reported, and others tried.
    pub(crate) async fn element(&self) -> Result<(TcpStream, Target), Failure> {
        let started = Instant::now();
        let mut failed = BTreeSet::new();
        loop {
            let problem = match self.pool.pick().await {
                Ok(target) => {
                    self.seen.store(true, Ordering::Relaxed);
                    match target.connect().await {
                        Ok(stream) => return Ok((stream, target)),
                        Err(error) => {
                            let element = target.identifier();
                            debug!(%element, %error, "element not reachable");
                            target.report_unreachable();
                            if !failed.insert(element) {
                                sleep(PAUSE).await;
                            }
                            format!("the last one tried, {element}: {error}")
                        }
                    }
                }
                Err(ResolveError::UnknownPool) if self.seen.load(Ordering::Relaxed) => {
                    sleep(PAUSE).await;
                    "it has none at the moment".into()
                }
                Err(error) => return Err(self.unresolved(&error)),
            };
            if started.elapsed() >= self.patience {
                let (pool, patience) = (self.pool.handle(), self.patience);
                return Err(Failure::new(format!(
                    "no element of pool {pool} was reachable within {patience:?} ({problem})"
                )));
            }
        }
    }

    fn unresolved(&self, error: &ResolveError) -> Failure {
        unresolved(&self.pool, error)
    }
}

/// Says that `pool` could not be resolved.
pub(crate) fn unresolved(pool: &Pool, error: &ResolveError) -> Failure {
    Failure::new(format!("pool {}: {error}", pool.handle()))
}
