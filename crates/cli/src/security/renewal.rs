//! Renewed keys and certificates: SIGHUP has their files read again. Links and connections that are up stay, and a file that cannot be
//! used leaves everything as it was.
use rserpool::transport::{Security, SecurityConfig};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info};

use super::read;
use crate::failure::Failure;

/// The settings of an element or a user that are in use, and how their files are read. One without any is ended by SIGHUP, as any
/// program.
#[derive(Default)]
pub(crate) struct Renewal {
    parts: Vec<(Security, Reader)>,
}

/// Reads the files of some settings.
type Reader = Box<dyn Fn() -> Result<SecurityConfig, Failure> + Send>;

impl Renewal {
    /// Has `security` renewed, by what `read` finds in the files.
    pub(crate) fn add(
        &mut self,
        security: Security,
        read: impl Fn() -> Result<SecurityConfig, Failure> + Send + 'static,
    ) {
        self.parts.push((security, Box::new(read)));
    }

    /// Renews at each SIGHUP from now on, in the background.
    pub(crate) fn start(self) -> Result<(), Failure> {
        if !self.parts.is_empty() {
            let hangups = hangups()?;
            tokio::spawn(at(
                hangups,
                "keys and certificates",
                "links and sessions that are up go on",
                move || self.renew(),
            ));
        }
        Ok(())
    }

    /// All settings, or none if one of them cannot be used.
    fn renew(&self) -> Result<(), Failure> {
        let mut renewed = Vec::new();
        for (security, files) in &self.parts {
            let config = files()?;
            read("TLS", Security::new(config.clone()))?;
            renewed.push((security, config));
        }
        renewed.into_iter().try_for_each(|(security, config)| read("TLS", security.reload(config)))
    }
}

/// The signals to renew at, from now on.
pub(super) fn hangups() -> Result<Signal, Failure> {
    Ok(signal(SignalKind::hangup())?)
}

/// Has `what` renewed at each of the signals, for as long as the process runs; says it, and what comes of it for what is up.
pub(super) async fn at(
    mut hangups: Signal,
    what: &str,
    consequence: &str,
    renew: impl Fn() -> Result<(), Failure>,
) {
    while hangups.recv().await.is_some() {
        match renew() {
            Ok(()) => info!("{what} reloaded; {consequence}"),
            Err(error) => error!(%error, "{what} not reloaded; the old ones stay in use"),
        }
    }
}
