//! The life of one point-to-point link: connecting, exchanging messages, ending.
use std::sync::Arc;

use rserpool_machine::{DownReason, Endpoint, Input, LinkId, LinkKind, Machine, Protocol, Scheme};
use rserpool_transport::{Link, LinkReader, TransportError};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{Driver, LinkState, State};

impl<M> Driver<M>
where
    M: Machine + Send + 'static,
    M::Event: Send,
{
    /// Opens a link that the machine asked for.
    pub(super) fn open(
        &self,
        state: &mut State<M>,
        link: LinkId,
        protocol: Protocol,
        remote: Endpoint,
        expected: Option<Arc<str>>,
    ) {
        let cancel = self.shared.cancelled.child_token();
        let connecting = LinkState::Connecting { waiting: Vec::new(), size: 0, cancel: cancel.clone() };
        state.links.insert(link, connecting);
        self.shared.tasks.spawn(self.clone().run_opened(link, protocol, remote, expected, cancel));
    }

    async fn run_opened(
        self,
        link: LinkId,
        protocol: Protocol,
        remote: Endpoint,
        expected: Option<Arc<str>>,
        cancel: CancellationToken,
    ) {
        let connected = tokio::select! {
            connected = self.connect(protocol, &remote, expected.as_deref()) => connected,
            () = cancel.cancelled() => return self.end(link, DownReason::Requested),
        };
        match connected {
            Ok(connected) => self.run_link(link, protocol, remote.scheme(), connected).await,
            Err(error) => {
                debug!(%remote, %error, "no link");
                self.end(link, DownReason::ConnectFailed(error.to_string().into()));
            }
        }
    }

    /// Runs a link that somebody opened to us.
    pub(super) async fn run_accepted(self, protocol: Protocol, scheme: Scheme, accepted: Link) {
        let link = self.lock().accepted_link();
        self.run_link(link, protocol, scheme, accepted).await;
    }

    async fn run_link(&self, link: LinkId, protocol: Protocol, scheme: Scheme, connection: Link) {
        let (remote, identity) = (connection.remote.clone(), connection.identity.clone());
        let (mut reader, writer) = connection.split();
        let queue = writer.queue();
        {
            let mut state = self.lock();
            let waiting = match state.links.insert(link, LinkState::Up(queue.clone())) {
                // It came up as the machine gave it up.
                Some(LinkState::Connecting { cancel, .. }) if cancel.is_cancelled() => {
                    drop(state);
                    return self.end(link, DownReason::Requested);
                }
                Some(LinkState::Connecting { waiting, .. }) => waiting,
                _ => Vec::new(),
            };
            for bytes in waiting {
                state.transmit(link, bytes, self.shared.links.send_queue);
            }
            let now = super::now();
            let kind = LinkKind::PointToPoint(scheme);
            state
                .machine
                .handle_input(now, Input::LinkUp { link, protocol, kind, remote: &remote, identity });
            self.perform(state);
        }
        let closed_by_driver = async {
            self.shared.cancelled.cancelled().await;
            queue.close();
            // The writer ends the link once everything is sent.
            std::future::pending::<()>().await;
        };
        let reason = tokio::select! {
            ended = self.read(link, &mut reader) => match ended {
                Ok(()) => DownReason::Closed,
                Err(error) => error.down_reason(),
            },
            ended = writer.run() => match ended {
                Ok(()) => DownReason::Requested,
                Err(error) => error.down_reason(),
            },
            () = closed_by_driver => DownReason::Requested,
        };
        debug!(?remote, %reason, "link ended");
        let requested = reason == DownReason::Requested;
        self.end(link, reason);
        if requested {
            reader.drain().await;
        }
    }

    /// Feeds the machine with messages until the link ends.
    async fn read(&self, link: LinkId, reader: &mut LinkReader) -> Result<(), TransportError> {
        while reader.fill().await? {
            let mut state = self.lock();
            let now = super::now();
            let mut broken = None;
            loop {
                match reader.next_message() {
                    Ok(Some(bytes)) => state.machine.handle_input(now, Input::Message { link, bytes }),
                    Ok(None) => break,
                    Err(error) => {
                        broken = Some(error);
                        break;
                    }
                }
            }
            self.perform(state);
            if let Some(error) = broken {
                return Err(error);
            }
        }
        Ok(())
    }

    pub(super) fn end(&self, link: LinkId, reason: DownReason) {
        let mut state = self.lock();
        state.links.remove(&link);
        state.machine.handle_input(super::now(), Input::LinkDown { link, reason });
        self.perform(state);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Instant;

    use rserpool_machine::Output;
    use rserpool_transport::{LinkConfig, Listener, connect};

    use super::*;
    use crate::driver::EventHandler;

    /// Wants what it is given to want, and notes which links came up and went down.
    #[derive(Default)]
    struct Notes {
        outputs: VecDeque<Output<()>>,
        up: Vec<LinkId>,
        down: Vec<(LinkId, DownReason)>,
    }

    impl Machine for Notes {
        type Event = ();
        fn handle_input(&mut self, _: Instant, input: Input<'_>) {
            match input {
                Input::LinkUp { link, .. } => self.up.push(link),
                Input::LinkDown { link, reason } => self.down.push((link, reason)),
                Input::Message { .. } | Input::Announcement { .. } => {}
            }
        }
        fn handle_timeout(&mut self, _: Instant) {}
        fn poll_output(&mut self) -> Option<Output<()>> {
            self.outputs.pop_front()
        }
        fn poll_timeout(&self) -> Option<Instant> {
            None
        }
    }

    struct Ignore;

    impl EventHandler<Notes> for Ignore {
        fn handle(&mut self, _: &Notes, (): ()) {}
    }

    #[tokio::test]
    async fn a_link_that_comes_up_as_it_is_given_up_ends() {
        let config = LinkConfig::default();
        let endpoint: Endpoint = "tcp://127.0.0.1:0".parse().expect("an endpoint");
        let listener = Listener::bind(&endpoint, &config).await.expect("loopback");
        let remote = listener.local_endpoint().clone();
        let connection = connect(&remote, &config).await.expect("loopback");
        let (mut other_end, _) = listener.accept().await.expect("connected").split();

        let driver = Driver::start(Notes::default(), config, Ignore, None);
        let link = LinkId::opened(0);
        let cancel = CancellationToken::new();
        let connecting = LinkState::Connecting { waiting: Vec::new(), size: 0, cancel };
        driver.lock().links.insert(link, connecting);
        driver.command(|machine, _| machine.outputs.push_back(Output::Disconnect { link }));
        driver.run_link(link, Protocol::Asap, remote.scheme(), connection).await;

        driver.inspect(|machine| {
            assert_eq!(machine.up, []);
            assert_eq!(machine.down, [(link, DownReason::Requested)]);
        });
        assert!(!other_end.fill().await.expect("closed in order"), "the other end sees it");
    }
}
