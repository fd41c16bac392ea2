//! Lines asked and answered, with an element of a pool at the other end: when one fails, the unanswered line is put to
//! another, and nobody notices but by the time it takes.
use std::io;
use std::time::Duration;

use rserpool::wire::PeIdentifier;
use rserpool::{Connection, Pool, ServiceSecurity, Target, TlsStream};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info};

use crate::failure::Failure;

/// The rest between attempts when everybody who was tried has failed at once: the mistake may be ours, and the same with all of them.
const REST: Duration = Duration::from_millis(50);

/// The longest line that an answer may have.
const LONGEST: u64 = 1 << 20;

/// A conversation with a pool.
pub(crate) struct Conversation {
    pool: Pool,
    /// How elements are spoken to, if not in clear.
    security: Option<ServiceSecurity>,
    patience: Duration,
    answer_within: Duration,
    partner: Option<Partner>,
}

/// The element at the other end.
struct Partner {
    target: Target,
    lines: Lines,
}

/// Lines over any transport.
enum Lines {
    Tcp(BufReader<TcpStream>),
    Tls(Box<BufReader<TlsStream>>),
    /// A message each.
    #[cfg(target_os = "linux")]
    Sctp(Box<rserpool::sctp::SctpStream>),
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
        Self { pool, security: None, patience, answer_within, partner: None }
    }

    /// The same with elements that are secured so.
    pub(crate) fn secured(self, security: Option<ServiceSecurity>) -> Self {
        Self { security, ..self }
    }

    /// Connects to an element now, unless one is connected already.
    pub(crate) async fn open(&mut self) -> Result<PeIdentifier, Failure> {
        let partner = match self.partner.take() {
            Some(partner) => partner,
            None => {
                let (lines, target) = match &self.security {
                    Some(security) => {
                        let (stream, target) = self.pool.connect_secured(security).await?;
                        (Connection::from(stream).into(), target)
                    }
                    None => {
                        let (connection, target) = self.pool.open().await?;
                        (connection.into(), target)
                    }
                };
                Partner { target, lines }
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
            let error = match timeout(self.answer_within, partner.lines.exchange(line)).await {
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
            if repeats > 2 {
                sleep(REST).await;
            }
        }
    }

    /// Gives the partner up; `again` connects to it once more first, and keeps it if that works.
    async fn leave(&mut self, again: bool, error: &io::Error) {
        let Some(Partner { target, .. }) = self.partner.take() else { return };
        let element = target.identifier();
        if again {
            debug!(%element, %error, "connection lost");
            let connection = match &self.security {
                Some(security) => target.connect_secured(security).await.map(Connection::from),
                None => target.open().await,
            };
            if let Ok(connection) = connection {
                self.partner = Some(Partner { target, lines: connection.into() });
                return;
            }
        }
        info!(%element, %error, "element failed; going on with another");
        // One that says what we cannot use, or does not want us, is there for others.
        if error.kind() != io::ErrorKind::InvalidData {
            target.report_unreachable();
        }
    }
}

impl From<Connection> for Lines {
    fn from(connection: Connection) -> Self {
        match connection {
            Connection::Tcp(stream) => Self::Tcp(BufReader::new(stream)),
            Connection::Tls(stream) => Self::Tls(Box::new(BufReader::new(*stream))),
            #[cfg(target_os = "linux")]
            Connection::Sctp(stream) => Self::Sctp(stream),
            other => unreachable!("{other:?} is a transport that this command was not built with"),
        }
    }
}

impl Lines {
    /// Sends a line and reads one.
    async fn exchange(&mut self, line: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Tcp(stream) => match exchange_bytes(stream, line).await? {
                answer if is_tls_alert(&answer) => {
                    let text = "the element speaks TLS: --service-tls does too";
                    Err(io::Error::new(io::ErrorKind::InvalidData, text))
                }
                answer => whole_line(answer),
            },
            Self::Tls(stream) => whole_line(exchange_bytes(stream, line).await?),
            #[cfg(target_os = "linux")]
            Self::Sctp(stream) => exchange_messages(stream, line).await,
        }
    }
}

/// Sends a line, and returns what comes up to the end of one, of the stream, or of what a line may have.
async fn exchange_bytes<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    line: &[u8],
) -> io::Result<Vec<u8>> {
    stream.write_all(line).await?;
    stream.flush().await?;
    let mut answer = Vec::with_capacity(line.len());
    stream.take(LONGEST).read_until(b'\n', &mut answer).await?;
    Ok(answer)
}

/// Whether a server says that it expects TLS: a record with an alert, two bytes long (RFC 8446 §5.1, §6).
const fn is_tls_alert(answer: &[u8]) -> bool {
    matches!(answer, [21, 3, _, 0, 2, ..])
}

fn whole_line(answer: Vec<u8>) -> io::Result<Vec<u8>> {
    match answer.last() {
        Some(b'\n') => Ok(answer),
        _ if answer.len() as u64 == LONGEST => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is a line without end"))
        }
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A line is a message; an answer needs no end of line. What the element says to its session's control channel, which not all
/// services have, is nothing to print (RFC 5352 §5).
#[cfg(target_os = "linux")]
async fn exchange_messages(stream: &rserpool::sctp::SctpStream, line: &[u8]) -> io::Result<Vec<u8>> {
    use rserpool::PayloadProtocol;
    use rserpool::sctp::{Received, SendInfo};

    stream.send(&SendInfo::new(PayloadProtocol::DATA.0), line).await.map_err(io::Error::other)?;
    while let Some(received) = stream.recv().await.map_err(io::Error::other)? {
        if let Received::Message(message) = received
            && !PayloadProtocol(message.info.ppid).is_control()
        {
            let mut answer = message.bytes.to_vec();
            if answer.last() != Some(&b'\n') {
                answer.push(b'\n');
            }
            return Ok(answer);
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}
