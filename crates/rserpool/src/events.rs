//! Events of a role as a stream.
use futures_core::Stream;
use tokio::sync::broadcast;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::BroadcastStream;

/// Events kept for a subscriber that is slow to take them; what it misses beyond is passed over.
pub(crate) const BACKLOG: usize = 1024;

/// Everything sent from now on. Ends when the role does.
pub(crate) fn stream<T: Clone + Send + 'static>(
    sender: &broadcast::Sender<T>,
) -> impl Stream<Item = T> + Send + Unpin + use<T> {
    BroadcastStream::new(sender.subscribe()).filter_map(Result::ok)
}
