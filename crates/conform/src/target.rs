//! What is tested, and how long it is waited for.
use std::time::Duration;

use rserpool_machine::Endpoint;
use rserpool_transport::Security;
use rserpool_wire::Dialect;

/// A registrar to be tested.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it serves elements and users.
    pub asap: Endpoint,
    /// Where it serves other registrars; without, cases that play one are skipped.
    pub enrp: Option<Endpoint>,
    /// Its administrative service, as `HOST:PORT`; without, cases that look there are skipped.
    pub admin: Option<String>,
    /// Its wire format and conventions. Default: the RFCs'.
    pub dialect: Dialect,
    /// How long it is waited for.
    pub patience: Patience,
    /// Keys and certificates for `tls://` and `sctp+tls://` endpoints. Default: none.
    pub security: Option<Security>,
}

impl Target {
    /// A registrar of which only the ASAP endpoint is known.
    #[must_use]
    pub fn new(asap: Endpoint) -> Self {
        let (dialect, patience) = (Dialect::default(), Patience::default());
        Self { asap, enrp: None, admin: None, dialect, patience, security: None }
    }
}

/// How long to wait for what is required, before it counts as missing. What is forbidden is not waited for: an exchange
/// after it shows that it did not come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// For an answer. Default 10 s. Raising it bears with slower registrars, and makes failures slower.
    pub answer: Duration,
    /// For what the registrar does when timers of its own say so: heartbeats, keep-alives, take-overs. Default 120 s, which is
    /// more than any default of the RFCs takes.
    pub timers: Duration,
}

impl Patience {
    /// The longest of the RFCs' defaults, MAX-TIME-LAST-HEARD with MAX-TIME-NO-RESPONSE and an exchange, is less than so many
    /// times the usual patience with answers.
    const TIMERS: u32 = 12;

    /// So long for an answer, and 12 times that for what timers bring.
    #[must_use]
    pub fn new(answer: Duration) -> Self {
        Self { answer, timers: answer.saturating_mul(Self::TIMERS) }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self::new(Duration::from_secs(10))
    }
}
