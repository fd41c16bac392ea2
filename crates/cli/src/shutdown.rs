//! The end of a long-running command: the first SIGTERM or SIGINT asks for it, a second one does not wait.
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a shell reports of a program that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// The signals that end a command. They are caught from the creation of this on.
pub(crate) struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
}

impl Shutdown {
    /// Starts to catch the signals.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the first signal. From then on a further one ends the program at once.
    ///
    /// Nothing is lost when the future is dropped before it is ready.
    pub(crate) async fn requested(&mut self) {
        self.next().await;
        tracing::info!("shutting down; another signal ends at once");
        if let Ok(mut further) = Self::listen() {
            tokio::spawn(async move {
                further.next().await;
                std::process::exit(INTERRUPTED);
            });
        }
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
