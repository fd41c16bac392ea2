//! The administrative service: what operators are shown is what elements and peers are told.
use serde_json::Value;

use crate::admin;
use crate::case::group;
use crate::outcome::{Verdict, check, same};
use crate::tester::Tester;

group! { "operation":
    "registrar-says-that-it-is-ready" ["5353-3.2.3-14"] ready;
    "operators-see-registered-elements" ["5352-3.1-19", "5352-3.1-33"] elements;
    "operators-see-peers" ["5353-3.4-01"] peers;
}

async fn ready(tester: Tester) -> Verdict {
    same("status of /livez", &200, &admin::text(&tester, "/livez").await?.0)?;
    same("status of /readyz", &200, &admin::text(&tester, "/readyz").await?.0)
}

/// Whether this text stands anywhere in the value.
fn mentions(value: &Value, text: &str) -> bool {
    match value {
        Value::String(string) => string == text,
        Value::Array(values) => values.iter().any(|value| mentions(value, text)),
        Value::Object(fields) => fields.values().any(|value| mentions(value, text)),
        _ => false,
    }
}

async fn elements(tester: Tester) -> Verdict {
    admin::text(&tester, "/livez").await?;
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    let report = admin::json(&tester, "/v1/handlespace").await?;
    for text in [pool.to_string(), element.identifier.to_string()] {
        check(mentions(&report, &text), format!("{text} in /v1/handlespace"), "no such text")?;
    }
    Ok(())
}

async fn peers(tester: Tester) -> Verdict {
    admin::text(&tester, "/livez").await?;
    let mut peer = tester.peer().await?;
    peer.settle().await?;
    let report = admin::json(&tester, "/v1/peers").await?;
    check(mentions(&report, &peer.id.to_string()), format!("{} in /v1/peers", peer.id), report)
}
