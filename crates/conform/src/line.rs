//! A link of the tester: what arrives goes to an inbox, after what good manners demand has been answered at once.
use std::sync::Arc;

use bytes::Bytes;
use rserpool_transport::{Link, LinkReader, SendQueue, TransportError};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// What whoever the tester plays answers of its own accord, so that cases need not.
pub(crate) trait Manners: Send + Sync + 'static {
    /// The answers to a message.
    fn answer(&self, message: &[u8]) -> Vec<Bytes>;
}

/// Something that came over a link.
#[derive(Debug)]
pub(crate) enum Arrival {
    Message(Bytes),
    /// The link has ended.
    End(String),
}

/// A link that is up; it ends when this is dropped.
pub(crate) struct Line {
    queue: SendQueue,
    _end: oneshot::Sender<()>,
}

impl Line {
    pub(crate) fn start(link: Link, manners: Arc<dyn Manners>, inbox: UnboundedSender<Arrival>) -> Self {
        let (reader, writer) = link.split();
        let queue = writer.queue();
        let (end, ended) = oneshot::channel();
        tokio::spawn(writer.run());
        tokio::spawn(read(reader, queue.clone(), manners, inbox, ended));
        Self { queue, _end: end }
    }

    /// Sends bytes as they are. A link that has ended tells so in the inbox.
    pub(crate) fn send(&self, bytes: impl Into<Bytes>) {
        if self.queue.push(bytes.into()).is_ok() {
            self.queue.try_flush();
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.queue.close();
    }
}

async fn read(
    mut reader: LinkReader,
    queue: SendQueue,
    manners: Arc<dyn Manners>,
    inbox: UnboundedSender<Arrival>,
    mut ended: oneshot::Receiver<()>,
) {
    let end = loop {
        let filled = tokio::select! {
            _ = &mut ended => return reader.drain().await,
            filled = reader.fill() => filled,
        };
        match filled.and_then(|more| deliver(&mut reader, &queue, &*manners, &inbox).map(|()| more)) {
            Ok(true) => {}
            Ok(false) => break "it was closed".to_owned(),
            Err(error) => break error.to_string(),
        }
    };
    queue.close();
    // The case may have ended, and its inbox with it.
    let _ = inbox.send(Arrival::End(end));
}

/// Hands on whatever has arrived.
fn deliver(
    reader: &mut LinkReader,
    queue: &SendQueue,
    manners: &dyn Manners,
    inbox: &UnboundedSender<Arrival>,
) -> Result<(), TransportError> {
    while let Some(message) = reader.next_message()? {
        for answer in manners.answer(message) {
            // A queue that is full has ended the link, which shows in the next read.
            let _ = queue.push(answer);
        }
        queue.try_flush();
        let _ = inbox.send(Arrival::Message(Bytes::copy_from_slice(message)));
    }
    Ok(())
}
