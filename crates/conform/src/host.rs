//! An element that registrars can connect to, as they do when it is taken over.
use rserpool_machine::Protocol;
use rserpool_transport::Listener;
use rserpool_wire::{PoolElement, PoolHandle};
use tokio::time::timeout;

use crate::outcome::{Problem, Verdict};
use crate::probe::Probe;
use crate::tester::Tester;

/// Where the element listens, and what it says of that.
pub(crate) struct Host {
    tester: Tester,
    listener: Listener,
    pub(crate) element: PoolElement,
}

impl Host {
    pub(crate) async fn new(tester: &Tester) -> Verdict<Self> {
        let local = tester.probe().await?.local;
        let scheme = tester.session.target.asap.scheme();
        let listener = tester.session.listen(scheme, local.ip(), Protocol::Asap).await;
        let listener =
            listener.map_err(|error| Problem::skipped(format!("needs a place to listen at: {error}")))?;
        let asap_transport = listener.local_endpoint().to_transport();
        let element = PoolElement { asap_transport, ..tester.element() };
        Ok(Self { tester: tester.clone(), listener, element })
    }

    /// Waits for the registrar to connect, as element of this pool.
    pub(crate) async fn called(self, pool: &PoolHandle<'_>) -> Verdict<Probe> {
        let patience = self.tester.patience().timers;
        let expected = "a link to the ASAP transport of the element";
        let link = match timeout(patience, self.listener.accept()).await {
            Ok(link) => link.map_err(|error| Problem::failed(expected, error.to_string()))?,
            Err(_) => return Err(Problem::failed(expected, "none in time")),
        };
        let probe = Probe::new(self.tester, link);
        probe.impersonate(pool, self.element.identifier);
        Ok(probe)
    }
}
