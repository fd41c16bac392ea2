//! Lines asked and answered, with an element of a pool at the other end: when one fails, the unanswered line is put to
//! another, and nobody notices but by the time it takes.
use std::io;
use std::time::Duration;

use rserpool::wire::PeIdentifier;
use rserpool::{Pool, Target};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tracing::{debug, info};

use crate::failure::Failure;

/// The longest line that an answer may have.
const LONGEST: u64 = 1 << 20;

/// A conversation with a pool.
pub(crate) struct Conversation {
    pool: Pool,
    patience: Duration,
    answer_within: Duration,
    partner: Option<Partner>,
}

/// The element at the other end.
struct Partner {
    target: Target,
    stream: BufReader<TcpStream>,
}

/// What an element answered.
pub(crate) struct Answer {
    /// The line, its end included.
    pub(crate) line: Vec<u8>,
    /// Who answered it.
    pub(crate) element: PeIdentifier,
    /// How often the line had to be put again.
    pub(crate) repeats: u32,
}

impl Conversation {
    /// A conversation in which an element that does not answer within `answer_within` has failed, and that has failed itself
    /// when no element has answered for as long as `patience`.
    pub(crate) const fn new(pool: Pool, patience: Duration, answer_within: Duration) -> Self {
        Self { pool, patience, answer_within, partner: None }
    }

    /// Connects to an element now, unless one is connected already.
    pub(crate) async fn open(&mut self) -> Result<PeIdentifier, Failure> {
        let partner = match self.partner.take() {
            Some(partner) => partner,
            None => {
                let (stream, target) = self.pool.connect_target().await?;
                Partner { target, stream: BufReader::new(stream) }
            }
        };
        Ok(self.partner.insert(partner).target.identifier())
    }

    /// Puts one line, its end included, to the pool until an element has answered it.
    ///
    /// The line may reach more than one element: one that fails may have read it before.
    pub(crate) async fn ask(&mut self, line: &[u8]) -> Result<Answer, Failure> {
        let started = Instant::now();
        let mut repeats = 0;
        loop {
            let element = self.open().await?;
            let Some(partner) = &mut self.partner else { continue };
            let error = match timeout(self.answer_within, partner.exchange(line)).await {
                Ok(Ok(line)) => return Ok(Answer { line, element, repeats }),
                Ok(Err(error)) => error,
                Err(_) => io::ErrorKind::TimedOut.into(),
            };
            repeats += 1;
            if started.elapsed() >= self.patience {
                let patience = self.patience;
                return Err(Failure::new(format!(
                    "no answer within {patience:?} (element {element}: {error})"
                )));
            }
            // A connection may end for reasons of its own, so an element that closed it gets one more chance. Silence
            // that long is a failure.
            let again = repeats == 1 && error.kind() != io::ErrorKind::TimedOut;
            self.leave(again, &error).await;
        }
    }

    /// Gives the partner up; `again` connects to it once more first, and keeps it if that works.
    async fn leave(&mut self, again: bool, error: &io::Error) {
        let Some(Partner { target, .. }) = self.partner.take() else { return };
        let element = target.identifier();
        if again {
            debug!(%element, %error, "connection lost");
            if let Ok(stream) = target.connect().await {
                self.partner = Some(Partner { target, stream: BufReader::new(stream) });
                return;
            }
        }
        info!(%element, %error, "element failed; going on with another");
        target.report_unreachable();
    }
}

impl Partner {
    /// Sends a line and reads one.
    async fn exchange(&mut self, line: &[u8]) -> io::Result<Vec<u8>> {
        self.stream.write_all(line).await?;
        let mut answer = Vec::with_capacity(line.len());
        (&mut self.stream).take(LONGEST).read_until(b'\n', &mut answer).await?;
        match answer.last() {
            Some(b'\n') => Ok(answer),
            _ if answer.len() as u64 == LONGEST => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is a line without end"))
            }
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
