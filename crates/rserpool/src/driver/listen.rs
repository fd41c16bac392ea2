//! Links that others open, and multicast groups.
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rserpool_machine::{DownReason, Endpoint, Input, LinkId, LinkKind, Machine, PeerIdentity, Protocol};
use rserpool_transport::{Link, LinkConfig, Listener, Multicast, TransportError};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::{Driver, LinkState};

/// Announcements that may wait for a group's socket.
const GROUP_QUEUE: usize = 16;

/// How long to wait before trying again what failed for want of resources.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

impl<M> Driver<M>
where
    M: Machine + Send + 'static,
    M::Event: Send,
{
    /// Accepts links on `listener`, all of which speak `protocol`.
    pub(super) fn listen(&self, protocol: Protocol, listener: Listener) {
        let (driver, listener) = (self.clone(), Arc::new(listener));
        self.listeners().push((protocol, Arc::clone(&listener)));
        self.shared.tasks.spawn(async move {
            let cancelled = driver.cancellation().clone();
            tokio::select! {
                () = driver.accept(protocol, &listener) => {}
                () = cancelled.cancelled() => {}
            }
        });
    }

    /// Opens a link, from a listener of the same protocol and transport where there is one.
    pub(super) async fn connect(
        &self,
        protocol: Protocol,
        remote: &Endpoint,
        expected: Option<&str>,
    ) -> Result<Link, TransportError> {
        let listener = self.listeners().iter().find_map(|(spoken, listener)| {
            let fits = *spoken == protocol && listener.local_endpoint().scheme() == remote.scheme();
            fits.then(|| Arc::clone(listener))
        });
        let config = LinkConfig { protocol, ..self.shared.links.clone() };
        match (listener, expected) {
            (_, Some(identity)) if remote.scheme().is_secured() => {
                rserpool_transport::connect_to(identity, remote, &config).await
            }
            (Some(listener), _) => listener.connect(remote).await,
            (None, _) => rserpool_transport::connect(remote, &config).await,
        }
    }

    pub(super) fn listeners(&self) -> MutexGuard<'_, Vec<(Protocol, Arc<Listener>)>> {
        self.shared.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn accept(&self, protocol: Protocol, listener: &Listener) {
        loop {
            match listener.accept().await {
                Ok(link) => {
                    let scheme = listener.local_endpoint().scheme();
                    self.shared.tasks.spawn(self.clone().run_accepted(protocol, scheme, link));
                }
                Err(error) => {
                    warn!(endpoint = %listener.local_endpoint(), %error, "cannot accept a link; trying again");
                    tokio::time::sleep(error.retry_after().unwrap_or(RETRY_PAUSE)).await;
                }
            }
        }
    }

    /// Takes part in a multicast group as a link of the machine.
    pub(crate) fn join(&self, protocol: Protocol, group: Multicast) {
        let (sender, outgoing) = mpsc::channel(GROUP_QUEUE);
        let link = {
            let mut state = self.lock();
            let link = state.accepted_link();
            state.links.insert(link, LinkState::Group(sender));
            link
        };
        let remote = [group.group()];
        let identity = PeerIdentity::Anonymous;
        self.input(Input::LinkUp { link, protocol, kind: LinkKind::Multicast, remote: &remote, identity });
        let driver = self.clone();
        self.shared.tasks.spawn(async move {
            let cancelled = driver.cancellation().clone();
            tokio::select! {
                () = driver.run_group(link, &group, outgoing) => {}
                () = cancelled.cancelled() => driver.end(link, DownReason::Requested),
            }
        });
    }

    async fn run_group(&self, link: LinkId, group: &Multicast, mut outgoing: mpsc::Receiver<Bytes>) {
        let mut buffer = BytesMut::new();
        loop {
            tokio::select! {
                received = group.recv(&mut buffer) => match received {
                    Ok(source) => self.input(Input::Announcement { link, source, bytes: &buffer }),
                    Err(error) => {
                        debug!(group = %group.group(), %error, "no announcements");
                        tokio::time::sleep(RETRY_PAUSE).await;
                    }
                },
                Some(bytes) = outgoing.recv() => {
                    if let Err(error) = group.send(&bytes).await {
                        // An interface that is down now may be up again for the next announcement.
                        debug!(group = %group.group(), %error, "announcement not sent");
                    }
                }
            }
        }
    }
}
