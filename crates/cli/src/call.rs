//! `rserpool call`: lines to a pool, its answers back.
use std::io::BufRead;
use std::time::Duration;

use clap::Args;
use rserpool::TimerProfile;
use tokio::sync::mpsc;

use crate::arguments::{self, User};
use crate::conversation::Conversation;
use crate::failure::Failure;
use crate::output;
use crate::security::{Renewal, UserTls};
use crate::shutdown::Shutdown;

/// Send each line of standard input to an element of a pool, and print the line that it answers
///
/// When the element fails (its connection breaks, or it stays silent) the line goes to another one, so the service must bear
/// to be asked twice. Ends with the input.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    user: User,
    #[command(flatten)]
    tls: UserTls,
    /// How long an element may take to answer before it counts as failed [default: 5, fast: 0.25]
    #[arg(long, value_name = "SECONDS", value_parser = arguments::seconds)]
    timeout: Option<Duration>,
}

pub(crate) async fn run(mut arguments: Arguments) -> Result<(), Failure> {
    let security = arguments.user.with_elements(&arguments.tls, &mut Renewal::default())?;
    let mut shutdown = Shutdown::listen()?;
    let answer_within = arguments.timeout.unwrap_or(match arguments.user.registrars.conventions.timers {
        TimerProfile::Rfc => Duration::from_secs(5),
        TimerProfile::Fast => Duration::from_millis(250),
    });
    let (pool, patience) = (arguments.user.pool().await?, arguments.user.patience());
    let mut conversation = Conversation::new(pool, patience, answer_within).secured(security);
    let talk = async {
        // A pool that is not there is told at once, not after the first line.
        let registrars = &arguments.user.registrars;
        if let Err(failure) = registrars.await_with_reminder(conversation.open()).await {
            return Err(registrars.explain(failure).await);
        }
        let mut lines = input();
        while let Some(line) = lines.recv().await {
            output::bytes(&conversation.ask(&line?).await?.line)?;
        }
        Ok(())
    };
    tokio::select! {
        result = talk => result,
        () = shutdown.requested() => Ok(()),
    }
}

/// The lines of standard input, each with its end. They are read on a thread of their own, which may outlive the command:
/// reading cannot be called off.
fn input() -> mpsc::Receiver<std::io::Result<Vec<u8>>> {
    let (sender, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let read = match stdin.read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(_) => {
                    if line.last() != Some(&b'\n') {
                        line.push(b'\n');
                    }
                    Ok(line)
                }
                Err(error) => Err(error),
            };
            if sender.blocking_send(read).is_err() {
                return;
            }
        }
    });
    lines
}
