//! Another registrar, as the tester plays it: ENRP links to the registrar that is tested. What a good peer answers is answered
//! at once ([`Conduct`]), until it is told to behave otherwise.
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rserpool_machine::{Endpoint, Protocol, Scheme};
use rserpool_transport::{Link, Listener};
use rserpool_wire::enrp::{
    Body, HandleTableRequest, HandleUpdate, InitTakeover, InitTakeoverAck, Message, Presence, UpdateAction,
};
use rserpool_wire::{OperationError, PeIdentifier, PoolElement, PoolHandle, ServerId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::conduct::{Conduct, Entry, Table, encode};
use crate::inspect::{self, describe_all};
use crate::line::{Arrival, Line, Manners};
use crate::outcome::{Problem, Verdict, check};
use crate::tester::Tester;

/// What a report says that was seen instead; the last messages tell most.
const TOLD: usize = 6;

/// A registrar that is played. It dies when it is dropped.
pub(crate) struct Peer {
    pub(crate) id: ServerId,
    /// The registrar that is tested, once it was heard.
    pub(crate) registrar: ServerId,
    pub(crate) tester: Tester,
    /// The link that we opened.
    line: Line,
    inbox: UnboundedReceiver<Arrival>,
    conduct: Arc<Conduct>,
    accepting: Option<JoinHandle<()>>,
}

/// An update as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Update {
    pub(crate) sender: ServerId,
    pub(crate) receiver: ServerId,
    pub(crate) action: UpdateAction,
    pub(crate) element: PoolElement,
}

impl Peer {
    pub(crate) async fn new(tester: Tester, id: ServerId, link: Link) -> Self {
        let scheme = tester.session.target.enrp.as_ref().map_or(Scheme::Tcp, Endpoint::scheme);
        // Where there are no keys for it, it is a peer that cannot be connected to.
        let listener = tester.session.listen(scheme, link.local.ip(), Protocol::Enrp).await.ok();
        let transport = listener.as_ref().and_then(|listener| listener.local_endpoint().to_transport());
        let conduct = Arc::new(Conduct::new(id, tester.dialect(), transport));
        let (sender, inbox) = unbounded_channel();
        let manners = Arc::clone(&conduct) as Arc<dyn Manners>;
        let line = Line::start(link, Arc::clone(&manners), sender.clone());
        let accepting = listener.map(|listener| tokio::spawn(accept(listener, manners, sender)));
        Self { id, registrar: ServerId::NONE, tester, line, inbox, conduct, accepting }
    }

    /// Whether it says where the registrar can connect to it.
    pub(crate) fn is_reachable(&self) -> bool {
        self.accepting.is_some()
    }

    /// Makes itself known, and gets to know the registrar.
    pub(crate) async fn introduce(&mut self) -> Verdict {
        self.ask_presence().await.map(drop)
    }

    /// Asks for the registrar's presence.
    pub(crate) async fn ask_presence(&mut self) -> Verdict<Presence> {
        self.send(Body::Presence(self.conduct.presence(true)));
        let expected = "an ENRP_PRESENCE in answer to one with the reply-required flag";
        let plain = |message: &Message<'_>| match &message.body {
            Body::Presence(presence) if !presence.reply_required => Some((message.sender, presence.clone())),
            _ => None,
        };
        let (registrar, presence) = self.expect(expected, plain).await?;
        self.registrar = registrar;
        Ok(presence)
    }

    pub(crate) fn send(&self, body: Body<'_>) {
        let message = Message { sender: self.id, receiver: self.registrar, body };
        self.line.send(encode(&message, self.tester.dialect()));
    }

    pub(crate) fn send_bytes(&self, bytes: impl Into<Bytes>) {
        self.line.send(bytes);
    }

    /// Sends a presence with the right checksum, or this one.
    pub(crate) fn send_presence(&self, checksum: Option<u16>) {
        let mut presence = self.conduct.presence(false);
        presence.checksum = checksum.or(presence.checksum);
        self.send(Body::Presence(presence));
    }

    /// Answers nothing any more, but stays.
    pub(crate) fn mute(&self) {
        self.conduct.set_mute(true);
    }

    /// Answers again.
    pub(crate) fn speak(&self) {
        self.conduct.set_mute(false);
    }

    /// Does not agree to this take-over by itself.
    pub(crate) fn withhold(&self, target: ServerId) {
        self.conduct.withhold(target);
    }

    /// How it answers ENRP_HANDLE_TABLE_REQUEST.
    pub(crate) fn serve_table(&self, table: Table) {
        self.conduct.serve_table(table);
    }

    /// Has this element as its home, without telling.
    pub(crate) fn own(&self, pool_handle: &PoolHandle<'_>, element: &PoolElement) -> PoolElement {
        self.tester.note(pool_handle, element.identifier);
        let element = PoolElement { home: self.id, ..element.clone() };
        self.conduct.own((pool_handle.clone().into_owned(), element.clone()));
        element
    }

    /// Has this element as its home no longer, without telling.
    pub(crate) fn disown(&self, pool_handle: &PoolHandle<'_>, identifier: PeIdentifier) {
        self.conduct.disown(pool_handle, identifier);
    }

    /// Has this element as its home, and tells.
    pub(crate) fn announce(&self, pool_handle: &PoolHandle<'_>, element: &PoolElement) -> PoolElement {
        let element = self.own(pool_handle, element);
        self.update(UpdateAction::Add, pool_handle, &element);
        element
    }

    /// Has this element as its home no longer, and tells.
    pub(crate) fn withdraw(&self, pool_handle: &PoolHandle<'_>, element: &PoolElement) {
        self.disown(pool_handle, element.identifier);
        self.update(UpdateAction::Delete, pool_handle, element);
    }

    /// Sends an ENRP_HANDLE_UPDATE.
    pub(crate) fn update(&self, action: UpdateAction, pool_handle: &PoolHandle<'_>, element: &PoolElement) {
        let (pool_handle, element) = (pool_handle.borrowed(), element.clone());
        self.send(Body::HandleUpdate(HandleUpdate {
            action,
            takeover_suggested: false,
            pool_handle,
            element,
            owner: None,
        }));
    }

    /// Waits for a message that `select` takes, and passes over others: much of what a registrar says is for all.
    pub(crate) async fn expect<T>(
        &mut self,
        expected: &str,
        select: impl FnMut(&Message<'_>) -> Option<T>,
    ) -> Verdict<T> {
        self.expect_within(self.tester.patience().answer, expected, select).await
    }

    pub(crate) async fn expect_within<T>(
        &mut self,
        patience: Duration,
        expected: &str,
        mut select: impl FnMut(&Message<'_>) -> Option<T>,
    ) -> Verdict<T> {
        let (deadline, dialect) = (Instant::now() + patience, self.tester.dialect());
        let mut seen = Vec::new();
        loop {
            match timeout_at(deadline, self.inbox.recv()).await {
                Ok(Some(Arrival::Message(bytes))) => {
                    if let Some(selected) = select(&inspect::enrp(&bytes, dialect)?) {
                        return Ok(selected);
                    }
                    seen.push(bytes);
                }
                // Other links may be up.
                Ok(Some(Arrival::End(_))) => {}
                Ok(None) | Err(_) => {
                    let last = seen.get(seen.len().saturating_sub(TOLD)..).unwrap_or_default();
                    return Err(Problem::failed(expected, describe_all(last, Protocol::Enrp, dialect)));
                }
            }
        }
    }

    /// Waits for an update about this element.
    pub(crate) async fn expect_update(
        &mut self,
        patience: Duration,
        action: UpdateAction,
        pool_handle: &PoolHandle<'_>,
        identifier: PeIdentifier,
    ) -> Verdict<Update> {
        let expected = format!("an ENRP_HANDLE_UPDATE with {action:?} for {identifier} of {pool_handle}");
        let select = |message: &Message<'_>| match &message.body {
            Body::HandleUpdate(update)
                if update.action == action
                    && update.pool_handle == *pool_handle
                    && update.element.identifier == identifier =>
            {
                Some(Update {
                    sender: message.sender,
                    receiver: message.receiver,
                    action: update.action,
                    element: update.element.clone(),
                })
            }
            _ => None,
        };
        self.expect_within(patience, &expected, select).await
    }

    /// Sends bytes, then asks for the peer list: what comes before the answer to that may answer the bytes.
    pub(crate) async fn exchange(&mut self, bytes: impl Into<Bytes>) -> Verdict<Vec<Bytes>> {
        self.send_bytes(bytes);
        self.settle().await
    }

    /// What has come, and comes before the answer to a further request.
    pub(crate) async fn settle(&mut self) -> Verdict<Vec<Bytes>> {
        self.send(Body::ListRequest);
        let (deadline, dialect) = (Instant::now() + self.tester.patience().answer, self.tester.dialect());
        let mut answers = Vec::new();
        loop {
            match timeout_at(deadline, self.inbox.recv()).await {
                Ok(Some(Arrival::Message(bytes))) => {
                    match inspect::enrp(&bytes, dialect)?.body {
                        Body::ListResponse(_) => return Ok(answers),
                        _ => answers.push(bytes),
                    };
                }
                Ok(Some(Arrival::End(why))) => {
                    return Err(Problem::failed("the link to stay", format!("it ended: {why}")));
                }
                Ok(None) | Err(_) => {
                    let seen = describe_all(&answers, Protocol::Enrp, dialect);
                    return Err(Problem::failed("an answer to the list request that followed", seen));
                }
            }
        }
    }

    /// Sends bytes that must not be answered with an ENRP_ERROR.
    pub(crate) async fn unanswered(&mut self, bytes: impl Into<Bytes>) -> Verdict {
        match self.errors_of(bytes).await?.first() {
            None => Ok(()),
            Some(error) => Err(Problem::failed("no ENRP_ERROR", format!("{error:?}"))),
        }
    }

    /// Sends bytes that must be answered with an ENRP_ERROR.
    pub(crate) async fn reported(&mut self, bytes: impl Into<Bytes>) -> Verdict<OperationError<'static>> {
        let errors = self.errors_of(bytes).await?;
        errors.into_iter().next().ok_or_else(|| Problem::failed("an ENRP_ERROR", "none"))
    }

    async fn errors_of(&mut self, bytes: impl Into<Bytes>) -> Verdict<Vec<OperationError<'static>>> {
        let dialect = self.tester.dialect();
        let mut errors = Vec::new();
        for answer in self.exchange(bytes).await? {
            if let Body::Error(report) = inspect::enrp(&answer, dialect)?.body {
                errors.push(report.error.into_owned());
            }
        }
        Ok(errors)
    }

    /// Whether an update about this pool has come, and comes before the answer to a further request.
    pub(crate) async fn updates_of(&mut self, pool_handle: &PoolHandle<'_>) -> Verdict<usize> {
        let dialect = self.tester.dialect();
        let mut updates = 0;
        for message in self.settle().await? {
            if let Body::HandleUpdate(update) = inspect::enrp(&message, dialect)?.body {
                updates += usize::from(update.pool_handle == *pool_handle);
            }
        }
        Ok(updates)
    }

    /// Downloads the handlespace, or what the registrar owns of it: the elements of each part.
    pub(crate) async fn download(&mut self, own_children_only: bool) -> Verdict<Vec<Vec<Entry>>> {
        let (mut parts, deadline) = (Vec::new(), Instant::now() + self.tester.patience().timers);
        loop {
            check(Instant::now() < deadline, "the download to come to an end", parts.len())?;
            self.send(Body::HandleTableRequest(HandleTableRequest { own_children_only }));
            let select = |message: &Message<'_>| match &message.body {
                Body::HandleTableResponse(response) => {
                    let headless = response.entries.iter().any(|entry| entry.elements.is_empty());
                    let entries = response.entries.iter().flat_map(|entry| {
                        let pool_handle = entry.pool_handle.clone().into_owned();
                        entry.elements.iter().map(move |listed| (pool_handle.clone(), listed.element.clone()))
                    });
                    Some((response.rejected, response.more, headless, entries.collect::<Vec<_>>()))
                }
                _ => None,
            };
            let (rejected, more, headless, entries) =
                self.expect("an ENRP_HANDLE_TABLE_RESPONSE", select).await?;
            check(!rejected, "the table request to be granted", "R flag 1")?;
            check(!headless, "each pool entry to have an element", "one without")?;
            parts.push(entries);
            if !more {
                return Ok(parts);
            }
        }
    }

    /// Proposes a take-over.
    pub(crate) fn propose_takeover(&self, target: ServerId) {
        self.send(Body::InitTakeover(InitTakeover { target }));
    }

    /// Agrees to a take-over.
    pub(crate) fn agree(&self, target: ServerId) {
        self.send(Body::InitTakeoverAck(InitTakeoverAck { target }));
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

/// Takes links from the registrar for as long as the peer lives.
async fn accept(listener: Listener, manners: Arc<dyn Manners>, inbox: UnboundedSender<Arrival>) {
    let mut lines = Vec::new();
    while let Ok(link) = listener.accept().await {
        lines.push(Line::start(link, Arc::clone(&manners), inbox.clone()));
    }
}
