//! Runs a [`Machine`] on tokio: links feed it, its outputs go to links, its deadline to a timer.
//!
//! One lock guards the machine. A link's task takes it once per batch of messages, so requests are answered on the task that
//! read them, without a hop to another one: that is what makes a resolution cheap. Nothing is awaited under the lock.
mod link;
mod listen;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use hashbrown::HashMap;
use rserpool_machine::{Input, LinkId, Machine, Output, Protocol};
use rserpool_transport::{LinkConfig, Listener, SendQueue};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Takes what a machine tells its application. Called under the driver's lock: it must not block.
pub(crate) trait EventHandler<M: Machine>: Send + 'static {
    fn handle(&mut self, machine: &M, event: M::Event);
}

/// A machine with everything that drives it; clones share it.
pub(crate) struct Driver<M: Machine> {
    shared: Arc<Shared<M>>,
}

impl<M: Machine> Clone for Driver<M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

struct Shared<M: Machine> {
    state: Mutex<State<M>>,
    /// Wakes the timer task when the machine's deadline has moved forward.
    deadline_moved: Notify,
    links: LinkConfig,
    /// What is listened on; links over SCTP are opened from there.
    listeners: Mutex<Vec<(Protocol, Arc<Listener>)>>,
    cancelled: CancellationToken,
    tasks: TaskTracker,
}

struct State<M: Machine> {
    machine: M,
    handler: Box<dyn EventHandler<M>>,
    links: HashMap<LinkId, LinkState>,
    /// Number of the next link that is not asked for by the machine.
    next_accepted: u64,
    /// What the timer task sleeps until.
    deadline: Option<Instant>,
    /// Links with bytes queued since the lock was taken.
    touched: Vec<(LinkId, SendQueue)>,
}

/// A link, as far as the machine's outputs need it.
enum LinkState {
    /// Not up yet; what was transmitted meanwhile waits, within the limit of a send queue.
    Connecting { waiting: Vec<Bytes>, size: usize, cancel: CancellationToken },
    /// Up: outputs go to its queue.
    Up(SendQueue),
    /// A multicast group: outputs go to its task.
    Group(tokio::sync::mpsc::Sender<Bytes>),
}

impl<M> Driver<M>
where
    M: Machine + Send + 'static,
    M::Event: Send,
{
    /// Starts to drive `machine`, and to listen: links are opened from listeners, the first ones too. Must be called on a
    /// tokio runtime.
    pub(crate) fn start(
        machine: M,
        links: LinkConfig,
        handler: impl EventHandler<M>,
        listeners: impl IntoIterator<Item = (Protocol, Listener)>,
    ) -> Self {
        let state = State {
            machine,
            handler: Box::new(handler),
            links: HashMap::new(),
            next_accepted: 0,
            deadline: None,
            touched: Vec::new(),
        };
        let driver = Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                deadline_moved: Notify::new(),
                links,
                listeners: Mutex::default(),
                cancelled: CancellationToken::new(),
                tasks: TaskTracker::new(),
            }),
        };
        for (protocol, listener) in listeners {
            driver.listen(protocol, listener);
        }
        driver.shared.tasks.spawn(driver.clone().run_timer());
        driver.command(|_, _| ());
        driver
    }

    /// Runs `command` on the machine at the current time and performs what comes of it.
    pub(crate) fn command<R>(&self, command: impl FnOnce(&mut M, Instant) -> R) -> R {
        let mut state = self.lock();
        let now = now();
        let result = command(&mut state.machine, now);
        self.perform(state);
        result
    }

    /// Looks at the machine without changing it.
    pub(crate) fn inspect<R>(&self, look: impl FnOnce(&M) -> R) -> R {
        look(&self.lock().machine)
    }

    /// Ends every task and link, and waits until they are gone; what is queued on links is sent first, within
    /// [`LinkConfig::drain`].
    pub(crate) async fn stop(&self) {
        self.cancel();
        self.shared.tasks.wait().await;
    }

    /// The same without waiting.
    pub(crate) fn cancel(&self) {
        self.shared.cancelled.cancel();
        // Their ports are free once the tasks have ended.
        self.listeners().clear();
        self.shared.tasks.close();
    }

    /// Ends once [`cancel`](Self::cancel) is called.
    pub(crate) fn cancellation(&self) -> &CancellationToken {
        &self.shared.cancelled
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        // A machine that panicked is a defect, but the others on this runtime need not share its fate.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives one input to the machine and performs what comes of it.
    fn input(&self, input: Input<'_>) {
        self.command(|machine, now| machine.handle_input(now, input));
    }

    /// Takes all outputs, releases the lock, and sends what was queued.
    fn perform(&self, mut state: MutexGuard<'_, State<M>>) {
        while let Some(output) = state.machine.poll_output() {
            match output {
                Output::Transmit { link, bytes } => state.transmit(link, bytes, self.shared.links.send_queue),
                Output::Connect { link, protocol, remote, expected } => {
                    self.open(&mut state, link, protocol, remote, expected);
                }
                Output::Disconnect { link } => state.disconnect(link),
                Output::Event(event) => {
                    let State { machine, handler, .. } = &mut *state;
                    handler.handle(machine, event);
                }
            }
        }
        let deadline = state.machine.poll_timeout();
        let sooner = match (deadline, state.deadline) {
            (Some(new), Some(old)) => new < old,
            (new, old) => new.is_some() && old.is_none(),
        };
        if sooner {
            state.deadline = deadline;
        }
        let touched = std::mem::take(&mut state.touched);
        drop(state);
        if sooner {
            self.shared.deadline_moved.notify_one();
        }
        for (_, queue) in touched {
            queue.try_flush();
        }
    }

    /// Sleeps until the machine's deadline, over and over.
    async fn run_timer(self) {
        loop {
            let deadline = {
                let mut state = self.lock();
                state.deadline = state.machine.poll_timeout();
                state.deadline
            };
            let due = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => self.command(|machine, now| machine.handle_timeout(now)),
                () = self.shared.deadline_moved.notified() => {}
                () = self.shared.cancelled.cancelled() => return,
            }
        }
    }
}

impl<M: Machine> State<M> {
    fn accepted_link(&mut self) -> LinkId {
        self.next_accepted += 1;
        LinkId::accepted(self.next_accepted)
    }

    fn transmit(&mut self, link: LinkId, bytes: Bytes, limit: usize) {
        match self.links.get_mut(&link) {
            Some(LinkState::Up(queue)) => {
                // A full queue cuts its link off, which the machine hears of as the link's end.
                let queued = queue.push(bytes).is_ok();
                if queued && self.touched.last().is_none_or(|(last, _)| *last != link) {
                    self.touched.push((link, queue.clone()));
                }
            }
            Some(LinkState::Connecting { waiting, size, cancel }) => {
                *size += bytes.len();
                if *size > limit {
                    cancel.cancel();
                } else {
                    waiting.push(bytes);
                }
            }
            // Announcements are repeated anyway: when the group's task is behind, this one is dropped.
            Some(LinkState::Group(sender)) => drop(sender.try_send(bytes)),
            None => {}
        }
    }

    fn disconnect(&mut self, link: LinkId) {
        match self.links.get_mut(&link) {
            Some(LinkState::Up(queue)) => queue.close(),
            Some(LinkState::Connecting { cancel, .. }) => cancel.cancel(),
            Some(LinkState::Group(_)) | None => {}
        }
    }
}

/// The time as machines see it: tokio's clock, which tests can pause.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
