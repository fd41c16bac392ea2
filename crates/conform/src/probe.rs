//! An ASAP link to the registrar: an element, a user, or both at once. Keep-alives of its elements are acknowledged as they
//! come, unless it is told to be mute.
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rserpool_machine::Protocol;
use rserpool_transport::Link;
use rserpool_wire::asap::{
    self, Deregistration, DeregistrationResponse, EndpointKeepAliveAck, EndpointUnreachable,
    HandleResolution, HandleResolutionResponse, Message, Registration, RegistrationResponse,
};
use rserpool_wire::{
    CauseCode, Dialect, ErrorCause, OperationError, PeIdentifier, PoolElement, PoolHandle, ServerId,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep, timeout_at};

use crate::inspect::{self, describe, describe_all};
use crate::line::{Arrival, Line, Manners};
use crate::outcome::{Problem, Verdict, check, same};
use crate::tester::Tester;

/// How often to look whether a pool has become as it should be.
const GLANCE: Duration = Duration::from_millis(20);

/// A link as element and user.
pub(crate) struct Probe {
    pub(crate) tester: Tester,
    /// Our end of the link.
    pub(crate) local: SocketAddr,
    line: Line,
    inbox: UnboundedReceiver<Arrival>,
    members: Arc<Members>,
}

/// A keep-alive as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct KeepAlive {
    pub(crate) home: bool,
    pub(crate) server: ServerId,
    pub(crate) pool_handle: PoolHandle<'static>,
    pub(crate) identifier: Option<PeIdentifier>,
}

/// What came before the answer to a request that was sent afterwards.
pub(crate) struct Exchange {
    pub(crate) answers: Vec<Bytes>,
    /// Why the link ended, if it did; nothing more came then.
    pub(crate) ended: Option<String>,
}

impl Probe {
    pub(crate) fn new(tester: Tester, link: Link) -> Self {
        let local = link.local;
        let members = Arc::new(Members { dialect: tester.dialect(), state: Mutex::default() });
        let (sender, inbox) = unbounded_channel();
        let line = Line::start(link, Arc::clone(&members) as Arc<dyn Manners>, sender);
        Self { tester, local, line, inbox, members }
    }

    /// Acknowledges keep-alives no longer.
    pub(crate) fn mute(&self) {
        self.members.state().mute = true;
    }

    /// Acknowledges keep-alives to this element, which did not register over this link.
    pub(crate) fn impersonate(&self, pool_handle: &PoolHandle<'_>, identifier: PeIdentifier) {
        self.members.state().elements.insert((pool_handle.clone().into_owned(), identifier));
    }

    pub(crate) fn send<'a>(&self, message: impl Into<Message<'a>>) {
        self.line.send(encode(message, self.tester.dialect()));
    }

    pub(crate) fn send_bytes(&self, bytes: impl Into<Bytes>) {
        self.line.send(bytes);
    }

    /// The next message that is no keep-alive.
    pub(crate) async fn next(&mut self, expected: &str) -> Verdict<Bytes> {
        self.next_until(expected, Instant::now() + self.tester.patience().answer).await
    }

    async fn next_until(&mut self, expected: &str, deadline: Instant) -> Verdict<Bytes> {
        loop {
            match timeout_at(deadline, self.inbox.recv()).await {
                Ok(Some(Arrival::Message(bytes))) => {
                    if bytes.first() != Some(&KEEP_ALIVE) {
                        return Ok(bytes);
                    }
                }
                Ok(Some(Arrival::End(why))) => {
                    return Err(Problem::failed(expected, format!("the link ended: {why}")));
                }
                Ok(None) => return Err(Problem::failed(expected, "the link had ended")),
                Err(_) => return Err(Problem::failed(expected, "nothing in time")),
            }
        }
    }

    /// The next message, which must be what `select` takes.
    pub(crate) async fn expect<T>(
        &mut self,
        expected: &str,
        select: impl FnOnce(Message<'_>) -> Option<T>,
    ) -> Verdict<T> {
        let dialect = self.tester.dialect();
        let bytes = self.next(expected).await?;
        let selected = select(inspect::asap(&bytes, dialect)?);
        selected.ok_or_else(|| Problem::failed(expected, describe(&bytes, Protocol::Asap, dialect)))
    }

    /// The next keep-alive, whenever the registrar's timers send it.
    pub(crate) async fn keep_alive(&mut self) -> Verdict<KeepAlive> {
        self.keep_alive_within(self.tester.patience().timers).await
    }

    pub(crate) async fn keep_alive_within(&mut self, patience: Duration) -> Verdict<KeepAlive> {
        let expected = "an ASAP_ENDPOINT_KEEP_ALIVE";
        let deadline = Instant::now() + patience;
        loop {
            match timeout_at(deadline, self.inbox.recv()).await {
                Ok(Some(Arrival::Message(bytes))) => {
                    let message = inspect::asap(&bytes, self.tester.dialect())?;
                    if let Message::EndpointKeepAlive(keep_alive) = message {
                        return Ok(KeepAlive {
                            home: keep_alive.home,
                            server: keep_alive.server,
                            pool_handle: keep_alive.pool_handle.into_owned(),
                            identifier: keep_alive.identifier,
                        });
                    }
                }
                Ok(Some(Arrival::End(why))) => {
                    return Err(Problem::failed(expected, format!("the link ended: {why}")));
                }
                Ok(None) | Err(_) => return Err(Problem::failed(expected, "none in time")),
            }
        }
    }

    /// Sends bytes, then asks for a pool that is not there. What comes before the answer to that is the answer to the bytes:
    /// a registrar takes messages of one link in order.
    pub(crate) async fn exchange(&mut self, bytes: impl Into<Bytes>) -> Verdict<Exchange> {
        self.send_bytes(bytes);
        self.settle().await
    }

    /// What has come, and comes before the answer to a further request.
    pub(crate) async fn settle(&mut self) -> Verdict<Exchange> {
        let nobody = self.tester.pool();
        self.send(HandleResolution { pool_handle: nobody.borrowed(), subscribe: false, items: None });
        let dialect = self.tester.dialect();
        let deadline = Instant::now() + self.tester.patience().answer;
        let mut answers = Vec::new();
        loop {
            match timeout_at(deadline, self.inbox.recv()).await {
                Ok(Some(Arrival::Message(bytes))) => match inspect::asap(&bytes, dialect)? {
                    Message::EndpointKeepAlive(_) => {}
                    Message::HandleResolutionResponse(response) if response.pool_handle == nobody => {
                        return Ok(Exchange { answers, ended: None });
                    }
                    _ => answers.push(bytes),
                },
                Ok(Some(Arrival::End(why))) => return Ok(Exchange { answers, ended: Some(why) }),
                Ok(None) => return Ok(Exchange { answers, ended: Some("earlier".into()) }),
                Err(_) => {
                    let seen = describe_all(&answers, Protocol::Asap, dialect);
                    return Err(Problem::failed(
                        "an answer to the handle resolution that followed",
                        format!("none in time, but {seen}"),
                    ));
                }
            }
        }
    }

    /// Sends bytes to which nothing may be answered, and that may not end the link.
    pub(crate) async fn unanswered(&mut self, bytes: impl Into<Bytes>) -> Verdict {
        let Exchange { answers, ended } = self.exchange(bytes).await?;
        if let Some(why) = ended {
            return Err(Problem::failed("the link to stay", format!("it ended: {why}")));
        }
        let seen = describe_all(&answers, Protocol::Asap, self.tester.dialect());
        if answers.is_empty() { Ok(()) } else { Err(Problem::failed("no answer", seen)) }
    }

    /// Sends bytes that must be answered with an ASAP_ERROR first; gives its causes, and what came after it.
    pub(crate) async fn reported(
        &mut self,
        bytes: impl Into<Bytes>,
    ) -> Verdict<(OperationError<'static>, Vec<Bytes>)> {
        let Exchange { mut answers, ended } = self.exchange(bytes).await?;
        let dialect = self.tester.dialect();
        let seen = describe_all(&answers, Protocol::Asap, dialect);
        for i in 0..answers.len() {
            let error = match answers.get(i).map(|bytes| inspect::asap(bytes, dialect)).transpose()? {
                Some(Message::Error(report)) => report.error.into_owned(),
                _ => continue,
            };
            answers.remove(i);
            return Ok((error, answers));
        }
        let ended = ended.map(|why| format!(", then the link ended: {why}")).unwrap_or_default();
        Err(Problem::failed("an ASAP_ERROR", format!("{seen}{ended}")))
    }

    /// Registers, and gives the answer.
    pub(crate) async fn register(
        &mut self,
        pool_handle: &PoolHandle<'_>,
        element: &PoolElement,
    ) -> Verdict<RegistrationResponse<'static>> {
        self.tester.note(pool_handle, element.identifier);
        self.impersonate(pool_handle, element.identifier);
        self.send(Registration { pool_handle: pool_handle.borrowed(), element: element.clone() });
        self.registration_response(pool_handle, element.identifier).await
    }

    /// The answer to a registration that has been sent.
    pub(crate) async fn registration_response(
        &mut self,
        pool_handle: &PoolHandle<'_>,
        identifier: PeIdentifier,
    ) -> Verdict<RegistrationResponse<'static>> {
        let response = self.expect("an ASAP_REGISTRATION_RESPONSE", |message| match message {
            Message::RegistrationResponse(response) => Some(RegistrationResponse {
                rejected: response.rejected,
                pool_handle: response.pool_handle.into_owned(),
                identifier: response.identifier,
                error: response.error.map(OperationError::into_owned),
            }),
            _ => None,
        });
        let response = response.await?;
        same("a response that names the pool", &pool_handle.clone().into_owned(), &response.pool_handle)?;
        same("a response that names the element", &identifier, &response.identifier)?;
        Ok(response)
    }

    /// Registers, which must be granted.
    pub(crate) async fn join(&mut self, pool_handle: &PoolHandle<'_>, element: &PoolElement) -> Verdict {
        let response = self.register(pool_handle, element).await?;
        check(!response.rejected, "the registration to be granted", &response)
    }

    /// Registers all of them in a new pool, each of which must be granted.
    pub(crate) async fn found(&mut self, elements: &[PoolElement]) -> Verdict<PoolHandle<'static>> {
        let pool_handle = self.tester.pool();
        for element in elements {
            self.join(&pool_handle, element).await?;
        }
        Ok(pool_handle)
    }

    /// Registers all of them at once, each of which must be granted.
    pub(crate) async fn join_at_once(&mut self, entries: &[(PoolHandle<'static>, PoolElement)]) -> Verdict {
        for (pool_handle, element) in entries {
            self.tester.note(pool_handle, element.identifier);
            self.impersonate(pool_handle, element.identifier);
            self.send(Registration { pool_handle: pool_handle.borrowed(), element: element.clone() });
        }
        for (pool_handle, element) in entries {
            let response = self.registration_response(pool_handle, element.identifier).await?;
            check(!response.rejected, "each registration to be granted", &response)?;
        }
        Ok(())
    }

    /// Registers, which must be rejected with this cause; gives the cause.
    pub(crate) async fn refused(
        &mut self,
        pool_handle: &PoolHandle<'_>,
        element: &PoolElement,
        code: CauseCode,
    ) -> Verdict<ErrorCause<'static>> {
        let response = self.register(pool_handle, element).await?;
        check(response.rejected, "the registration to be rejected: R flag 1", &response)?;
        let causes = response.error.iter().flat_map(|error| &error.causes);
        let cause = causes.clone().find(|cause| cause.code == code).cloned();
        let causes: Vec<_> = causes.collect();
        cause.ok_or_else(|| Problem::failed(format!("the cause {code}"), format!("{causes:?}")))
    }

    /// Deregisters, and gives the answer.
    pub(crate) async fn deregister(
        &mut self,
        pool_handle: &PoolHandle<'_>,
        identifier: PeIdentifier,
    ) -> Verdict<DeregistrationResponse<'static>> {
        self.send(Deregistration { pool_handle: pool_handle.borrowed(), identifier });
        let response = self.deregistration_response().await?;
        same("a response that names the pool", &pool_handle.clone().into_owned(), &response.pool_handle)?;
        same("a response that names the element", &identifier, &response.identifier)?;
        Ok(response)
    }

    pub(crate) async fn deregistration_response(&mut self) -> Verdict<DeregistrationResponse<'static>> {
        let response = self.expect("an ASAP_DEREGISTRATION_RESPONSE", |message| match message {
            Message::DeregistrationResponse(response) => Some(DeregistrationResponse {
                pool_handle: response.pool_handle.into_owned(),
                identifier: response.identifier,
                error: response.error.map(OperationError::into_owned),
            }),
            _ => None,
        });
        response.await
    }

    /// Deregisters, which must be granted.
    pub(crate) async fn leave(&mut self, pool_handle: &PoolHandle<'_>, identifier: PeIdentifier) -> Verdict {
        let response = self.deregister(pool_handle, identifier).await?;
        check(response.error.is_none(), "the deregistration to be granted", &response)
    }

    /// Asks for all elements of a pool.
    pub(crate) async fn resolve(
        &mut self,
        pool_handle: &PoolHandle<'_>,
    ) -> Verdict<HandleResolutionResponse<'static>> {
        let request = HandleResolution { pool_handle: pool_handle.borrowed(), subscribe: false, items: None };
        self.request(request).await
    }

    /// Asks for one element of a pool: by an extension that others skip, in which case the first of all is it.
    pub(crate) async fn pick(&mut self, pool_handle: &PoolHandle<'_>) -> Verdict<PeIdentifier> {
        let request =
            HandleResolution { pool_handle: pool_handle.borrowed(), subscribe: false, items: Some(1) };
        let response = self.request(request).await?;
        let first = response.elements.first().map(|element| element.identifier);
        first.ok_or_else(|| Problem::failed("an element", format!("{response:?}")))
    }

    pub(crate) async fn request(
        &mut self,
        request: HandleResolution<'_>,
    ) -> Verdict<HandleResolutionResponse<'static>> {
        let pool_handle = request.pool_handle.clone().into_owned();
        self.send(request);
        let response = self.resolution().await?;
        same("a response that names the pool", &pool_handle, &response.pool_handle)?;
        Ok(response)
    }

    /// The next resolution response, asked for or not.
    pub(crate) async fn resolution(&mut self) -> Verdict<HandleResolutionResponse<'static>> {
        let response = self.expect("an ASAP_HANDLE_RESOLUTION_RESPONSE", |message| match message {
            Message::HandleResolutionResponse(response) => Some(HandleResolutionResponse {
                accept_updates: response.accept_updates,
                pool_handle: response.pool_handle.into_owned(),
                policy: response.policy,
                elements: response.elements,
                error: response.error.map(OperationError::into_owned),
            }),
            _ => None,
        });
        response.await
    }

    /// The identifiers of a pool's elements, sorted; none where the pool is unknown.
    pub(crate) async fn members(&mut self, pool_handle: &PoolHandle<'_>) -> Verdict<Vec<PeIdentifier>> {
        Ok(identifiers(&self.resolve(pool_handle).await?))
    }

    /// Asks again and again until the pool is as `holds` says.
    pub(crate) async fn until(
        &mut self,
        pool_handle: &PoolHandle<'_>,
        patience: Duration,
        expected: &str,
        holds: impl Fn(&HandleResolutionResponse<'_>) -> bool,
    ) -> Verdict<HandleResolutionResponse<'static>> {
        let deadline = Instant::now() + patience;
        loop {
            let response = self.resolve(pool_handle).await?;
            if holds(&response) {
                return Ok(response);
            }
            if Instant::now() > deadline {
                return Err(Problem::failed(expected, format!("{response:?}")));
            }
            sleep(GLANCE).await;
        }
    }

    /// Waits until an element is no longer listed.
    pub(crate) async fn until_gone(
        &mut self,
        pool_handle: &PoolHandle<'_>,
        identifier: PeIdentifier,
        patience: Duration,
    ) -> Verdict {
        let lists = |response: &HandleResolutionResponse<'_>| {
            response.elements.iter().any(|element| element.identifier == identifier)
        };
        let expected = format!("element {identifier} to be removed");
        self.until(pool_handle, patience, &expected, |response| !lists(response)).await.map(drop)
    }

    pub(crate) fn report_unreachable(&self, pool_handle: &PoolHandle<'_>, identifier: PeIdentifier) {
        self.send(EndpointUnreachable { pool_handle: pool_handle.borrowed(), identifier });
    }
}

/// The identifiers that a response lists, sorted.
pub(crate) fn identifiers(response: &HandleResolutionResponse<'_>) -> Vec<PeIdentifier> {
    sorted(&response.elements)
}

/// The identifiers of these elements, sorted.
pub(crate) fn sorted(elements: &[PoolElement]) -> Vec<PeIdentifier> {
    let mut identifiers: Vec<_> = elements.iter().map(|element| element.identifier).collect();
    identifiers.sort_unstable();
    identifiers
}

/// A message as bytes.
pub(crate) fn encode<'a>(message: impl Into<Message<'a>>, dialect: Dialect) -> Bytes {
    let mut buffer = BytesMut::new();
    // What cases send fits a message; should it not, nothing goes out, and the answer is missed.
    let _ = message.into().encode(dialect, &mut buffer);
    buffer.freeze()
}

/// The message type of ASAP_ENDPOINT_KEEP_ALIVE.
const KEEP_ALIVE: u8 = 0x07;

/// The elements on a link, which acknowledge keep-alives (RFC 5352 §3.4).
struct Members {
    dialect: Dialect,
    state: Mutex<MembersState>,
}

#[derive(Default)]
struct MembersState {
    mute: bool,
    elements: BTreeSet<(PoolHandle<'static>, PeIdentifier)>,
}

impl Members {
    fn state(&self) -> MutexGuard<'_, MembersState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Manners for Members {
    fn answer(&self, message: &[u8]) -> Vec<Bytes> {
        if message.first() != Some(&KEEP_ALIVE) {
            return Vec::new();
        }
        let Ok(Message::EndpointKeepAlive(asked)) =
            asap::decode(message, self.dialect).map(|decoded| decoded.message)
        else {
            return Vec::new();
        };
        let state = self.state();
        let meant = state.elements.iter().filter(|(pool_handle, identifier)| {
            *pool_handle == asked.pool_handle && asked.identifier.is_none_or(|meant| meant == *identifier)
        });
        let acks = meant.map(|(pool_handle, identifier)| EndpointKeepAliveAck {
            pool_handle: pool_handle.borrowed(),
            identifier: *identifier,
        });
        acks.filter(|_| !state.mute).map(|ack| encode(ack, self.dialect)).collect()
    }
}
