//! A registrar that does one thing wrong: a right one behind somebody who tampers with what it hears and says.
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rserpool::enrp::RegistrarTimers;
use rserpool::{Registrar, TimerProfile};
use rserpool_conform::{Outcome, Patience, Report, Target, run};
use rserpool_machine::Endpoint;
use rserpool_transport::{Link, LinkConfig, LinkReader, Listener, SendQueue, connect};
use rserpool_wire::{Dialect, asap, enrp};
use tokio::task::JoinHandle;

/// Changes one message; what comes out may be none or several.
pub(crate) type Tamper = Arc<dyn Fn(Bytes) -> Vec<Bytes> + Send + Sync>;

/// What is wrong, in which direction of which protocol.
#[derive(Clone)]
pub(crate) struct Fault {
    pub(crate) asap_heard: Tamper,
    pub(crate) asap_said: Tamper,
    pub(crate) enrp_heard: Tamper,
    pub(crate) enrp_said: Tamper,
}

impl Fault {
    /// Nothing is wrong.
    pub(crate) fn none() -> Self {
        let as_it_is: Tamper = Arc::new(|message| vec![message]);
        Self {
            asap_heard: as_it_is.clone(),
            asap_said: as_it_is.clone(),
            enrp_heard: as_it_is.clone(),
            enrp_said: as_it_is,
        }
    }

    /// Changes what the registrar says to elements and users; `None` leaves a message as it is.
    pub(crate) fn says(
        change: impl Fn(asap::Message<'_>) -> Option<Vec<asap::Message<'static>>> + Send + Sync + 'static,
    ) -> Self {
        Self { asap_said: on_asap(change), ..Self::none() }
    }

    /// Changes what it hears of them.
    pub(crate) fn hears(
        change: impl Fn(asap::Message<'_>) -> Option<Vec<asap::Message<'static>>> + Send + Sync + 'static,
    ) -> Self {
        Self { asap_heard: on_asap(change), ..Self::none() }
    }

    /// Changes what it says to other registrars.
    pub(crate) fn tells(
        change: impl Fn(enrp::Message<'_>) -> Option<Vec<enrp::Message<'static>>> + Send + Sync + 'static,
    ) -> Self {
        Self { enrp_said: on_enrp(change), ..Self::none() }
    }

    /// Changes what it hears of them.
    pub(crate) fn is_told(
        change: impl Fn(enrp::Message<'_>) -> Option<Vec<enrp::Message<'static>>> + Send + Sync + 'static,
    ) -> Self {
        Self { enrp_heard: on_enrp(change), ..Self::none() }
    }

    /// Changes the bytes that it says to elements and users.
    pub(crate) fn says_bytes(change: impl Fn(Vec<u8>) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self { asap_said: on_bytes(change), ..Self::none() }
    }

    /// Changes the bytes that it hears of them.
    pub(crate) fn hears_bytes(change: impl Fn(Vec<u8>) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self { asap_heard: on_bytes(change), ..Self::none() }
    }

    /// Changes the bytes that it hears of other registrars.
    pub(crate) fn is_told_bytes(change: impl Fn(Vec<u8>) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self { enrp_heard: on_bytes(change), ..Self::none() }
    }

    /// Changes the bytes that it says to other registrars.
    pub(crate) fn tells_bytes(change: impl Fn(Vec<u8>) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self { enrp_said: on_bytes(change), ..Self::none() }
    }
}

fn on_asap(
    change: impl Fn(asap::Message<'_>) -> Option<Vec<asap::Message<'static>>> + Send + Sync + 'static,
) -> Tamper {
    Arc::new(move |bytes| {
        let changed = asap::decode(&bytes, Dialect::Rfc).ok().and_then(|decoded| change(decoded.message));
        changed.map_or_else(|| vec![bytes], |messages| messages.iter().map(asap_bytes).collect())
    })
}

fn on_enrp(
    change: impl Fn(enrp::Message<'_>) -> Option<Vec<enrp::Message<'static>>> + Send + Sync + 'static,
) -> Tamper {
    Arc::new(move |bytes| {
        let changed = enrp::decode(&bytes, Dialect::Rfc).ok().and_then(|decoded| change(decoded.message));
        changed.map_or_else(|| vec![bytes], |messages| messages.iter().map(enrp_bytes).collect())
    })
}

fn on_bytes(change: impl Fn(Vec<u8>) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Tamper {
    Arc::new(move |bytes| change(bytes.to_vec()).into_iter().map(Bytes::from).collect())
}

fn asap_bytes(message: &asap::Message<'_>) -> Bytes {
    let mut buffer = bytes::BytesMut::new();
    message.encode(Dialect::Rfc, &mut buffer).expect("it fits");
    buffer.freeze()
}

fn enrp_bytes(message: &enrp::Message<'_>) -> Bytes {
    let mut buffer = bytes::BytesMut::new();
    message.encode(Dialect::Rfc, &mut buffer).expect("it fits");
    buffer.freeze()
}

/// Runs the cases whose names `select` takes against a registrar with this fault, with this patience for an answer.
pub(crate) async fn hold(fault: Fault, answer: Duration, select: impl Fn(&str) -> bool) -> Report {
    let timers = RegistrarTimers {
        max_time_no_response: answer / 2,
        takeover_watch: answer,
        keep_alive_timeout: answer / 2,
        detached_grace: answer / 2,
        ..RegistrarTimers::fast()
    };
    let registrar = Registrar::builder()
        .asap("tcp://127.0.0.1:0")
        .enrp("tcp://127.0.0.1:0")
        .timers(TimerProfile::Fast)
        .custom_timers(timers)
        .start()
        .await
        .expect("a registrar");
    registrar.ready().await;
    let (asap, asap_proxy) =
        proxy(registrar.asap_endpoints()[0].clone(), fault.asap_heard, fault.asap_said).await;
    let own = registrar.enrp_endpoint().expect("bound").clone();
    let (enrp, enrp_proxy) = proxy(own, fault.enrp_heard, fault.enrp_said).await;
    let mut target = Target::new(asap);
    target.enrp = Some(enrp);
    target.patience = Patience { answer, timers: answer * 4 };
    let report = run(&target, |case| select(case.name), |_| {}).await.expect("a link");
    asap_proxy.abort();
    enrp_proxy.abort();
    report
}

/// The names of the cases that failed.
pub(crate) fn failed(report: &Report) -> Vec<&'static str> {
    let failed = report.cases.iter().filter(|case| matches!(case.outcome, Outcome::Failed { .. }));
    failed.map(|case| case.case.name).collect()
}

async fn proxy(to: Endpoint, heard: Tamper, said: Tamper) -> (Endpoint, JoinHandle<()>) {
    let config = LinkConfig::default();
    let listener =
        Listener::bind(&"tcp://127.0.0.1:0".parse().expect("a URL"), &config).await.expect("bound");
    let local = listener.local_endpoint().clone();
    let accepting = tokio::spawn(async move {
        while let Ok(link) = listener.accept().await {
            // When the registrar does not take the link, the tester loses its own.
            if let Ok(onward) = connect(&to, &config).await {
                join(link, onward, &heard, &said);
            }
        }
    });
    (local, accepting)
}

fn join(tester: Link, registrar: Link, heard: &Tamper, said: &Tamper) {
    let (from_tester, to_tester) = tester.split();
    let (from_registrar, to_registrar) = registrar.split();
    tokio::spawn(pump(from_tester, to_registrar.queue(), Arc::clone(heard)));
    tokio::spawn(pump(from_registrar, to_tester.queue(), Arc::clone(said)));
    tokio::spawn(to_tester.run());
    tokio::spawn(to_registrar.run());
}

async fn pump(mut from: LinkReader, to: SendQueue, tamper: Tamper) {
    while let Ok(true) = from.fill().await {
        while let Ok(Some(message)) = from.next_message() {
            for message in tamper(Bytes::copy_from_slice(message)) {
                to.push(message).expect("room");
            }
        }
        to.try_flush();
    }
    to.close();
}
