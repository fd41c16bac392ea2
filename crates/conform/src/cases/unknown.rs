//! Parameters and messages of unknown type (RFC 5354 §3, §4): their two highest bits say what is to become of them.
use rserpool_wire::asap::HandleResolution;
use rserpool_wire::{CauseCode, OperationError, PoolElement, PoolHandle};

use crate::case::group;
use crate::outcome::{Problem, Verdict, check, same};
use crate::probe::{Probe, encode};
use crate::raw::{self, SKIP, SKIP_AND_REPORT, STOP, STOP_AND_REPORT};
use crate::tester::Tester;

group! { "unknown":
    "unknown-parameter-00-discards-the-message" ["5352-2.2.14-01"] stop;
    "unknown-parameter-01-discards-the-message-and-is-reported" ["5352-2.2.14-01", "5352-2.2.14-02"] stop_and_report;
    "unknown-parameter-10-is-skipped" ["5352-2.2.14-01"] skip;
    "unknown-parameter-11-is-skipped-and-reported" ["5352-2.2.14-01", "5352-2.2.14-02"] skip_and_report;
    "unknown-parameter-00-in-an-element-discards-the-message" ["5352-2.2.14-01"] nested_stop;
    "unknown-parameter-01-in-an-element-is-reported" ["5352-2.2.14-01", "5352-2.2.14-02"] nested_stop_and_report;
    "unknown-parameter-10-in-an-element-is-skipped" ["5352-2.2.14-01"] nested_skip;
    "unknown-parameter-11-in-an-element-is-skipped-and-reported" ["5352-2.2.14-01", "5352-2.2.14-02"] nested_skip_and_report;
    "unknown-parameter-11-in-a-transport-is-skipped-and-reported" ["5352-2.2.14-01", "5352-2.2.14-02"] in_transport;
    "unknown-parameters-are-reported-each" ["5352-2.2.14-02"] several;
    "unknown-parameter-of-a-resolution-is-skipped" ["5352-2.2.14-01"] in_resolution;
    "unknown-parameter-before-the-known-ones-is-skipped" ["5352-2.2.14-01"] before_known;
    "unknown-message-00-is-discarded" ["5352-2.2.14-01"] message_stop;
    "unknown-message-01-is-reported" ["5352-2.2.14-01", "5352-2.2.14-02"] message_report;
    "unknown-message-of-reserved-action-is-discarded" ["5352-2.2.14-01"] message_reserved;
    "flags-that-mean-nothing-are-ignored" ["5354-4-01"] flags;
    "error-is-not-answered" ["5352-2.2.14-02", "5352-4-10"] error;
    "malformed-error-is-not-answered" ["5352-2.2.14-02"] malformed_error;
    "error-with-unknown-parameters-is-not-answered" ["5352-2.2.14-02"] error_with_unknown;
}

/// A registration with a parameter of unknown type, after the element or inside of it.
struct Scene {
    probe: Probe,
    pool: PoolHandle<'static>,
    element: PoolElement,
    parameter: Vec<u8>,
    registration: Vec<u8>,
}

impl Scene {
    async fn new(tester: &Tester, parameter_type: u16, nested: bool) -> Verdict<Self> {
        let (probe, pool, element) = (tester.probe().await?, tester.pool(), tester.element());
        tester.note(&pool, element.identifier);
        let parameter = raw::parameter(parameter_type, &[0xca, 0xfe, 0xba, 0xbe]);
        let encoded = raw::element(&element, tester.dialect());
        let registration = if nested {
            raw::registration(&pool, &raw::extended(encoded, &parameter))
        } else {
            raw::extended(raw::registration(&pool, &encoded), &parameter)
        };
        Ok(Self { probe, pool, element, parameter, registration })
    }

    async fn is_member(&mut self) -> Verdict<bool> {
        Ok(self.probe.members(&self.pool).await? == vec![self.element.identifier])
    }

    async fn discarded(mut self) -> Verdict {
        let registration = self.registration.clone();
        self.probe.unanswered(registration).await?;
        check(!self.is_member().await?, "the message to be discarded", "the element registered")
    }

    async fn discarded_and_reported(mut self) -> Verdict {
        let registration = self.registration.clone();
        let (error, others) = self.probe.reported(registration).await?;
        quotes(&error, &self.parameter)?;
        check(others.is_empty(), "no other answer", others)?;
        check(!self.is_member().await?, "the message to be discarded", "the element registered")
    }

    async fn processed(mut self) -> Verdict {
        self.probe.send_bytes(self.registration.clone());
        let (pool, identifier) = (self.pool.clone(), self.element.identifier);
        let response = self.probe.registration_response(&pool, identifier).await?;
        check(!response.rejected, "the registration to be granted", response)?;
        let more = self.probe.settle().await?.answers;
        check(more.is_empty(), "no other answer", more)?;
        check(self.is_member().await?, "the element to be registered", "no such element")
    }

    async fn processed_and_reported(mut self) -> Verdict {
        let registration = self.registration.clone();
        let (error, others) = self.probe.reported(registration).await?;
        quotes(&error, &self.parameter)?;
        check(others.len() == 1, "a registration response too", others)?;
        check(self.is_member().await?, "the element to be registered", "no such element")
    }
}

/// Checks that a cause quotes the parameter.
fn quotes(error: &OperationError<'_>, parameter: &[u8]) -> Verdict {
    let quoted = |cause: &rserpool_wire::ErrorCause<'_>| {
        cause.code == CauseCode::UNRECOGNIZED_PARAMETER && *cause.information == *parameter
    };
    check(error.causes.iter().any(quoted), "the cause Unrecognized Parameter with the parameter", error)
}

async fn stop(tester: Tester) -> Verdict {
    Scene::new(&tester, STOP, false).await?.discarded().await
}

async fn stop_and_report(tester: Tester) -> Verdict {
    Scene::new(&tester, STOP_AND_REPORT, false).await?.discarded_and_reported().await
}

async fn skip(tester: Tester) -> Verdict {
    Scene::new(&tester, SKIP, false).await?.processed().await
}

async fn skip_and_report(tester: Tester) -> Verdict {
    Scene::new(&tester, SKIP_AND_REPORT, false).await?.processed_and_reported().await
}

async fn nested_stop(tester: Tester) -> Verdict {
    Scene::new(&tester, STOP, true).await?.discarded().await
}

async fn nested_stop_and_report(tester: Tester) -> Verdict {
    Scene::new(&tester, STOP_AND_REPORT, true).await?.discarded_and_reported().await
}

async fn nested_skip(tester: Tester) -> Verdict {
    Scene::new(&tester, SKIP, true).await?.processed().await
}

async fn nested_skip_and_report(tester: Tester) -> Verdict {
    Scene::new(&tester, SKIP_AND_REPORT, true).await?.processed_and_reported().await
}

async fn in_transport(tester: Tester) -> Verdict {
    let mut scene = Scene::new(&tester, SKIP_AND_REPORT, false).await?;
    let transport = raw::tcp_transport(&[raw::ipv4(), scene.parameter.clone()]);
    let element = raw::element_of(&scene.element, &[transport, raw::round_robin()]);
    scene.registration = raw::registration(&scene.pool, &element);
    scene.processed_and_reported().await
}

async fn several(tester: Tester) -> Verdict {
    let mut scene = Scene::new(&tester, SKIP_AND_REPORT, false).await?;
    let second = raw::parameter(SKIP_AND_REPORT + 1, &[0xde, 0xad]);
    // Its own padding counts, as more follows.
    let registration = raw::extended(scene.registration.clone(), &second);
    let third = raw::parameter(SKIP_AND_REPORT + 2, &[1, 2, 3, 4]);
    let (error, _) = scene.probe.reported(raw::extended(registration, &third)).await?;
    quotes(&error, &scene.parameter)?;
    quotes(&error, &third)?;
    let unpadded = second.get(..6).unwrap_or_default();
    quotes(&error, unpadded).or_else(|_| quotes(&error, &second))
}

async fn in_resolution(tester: Tester) -> Verdict {
    let (mut probe, element) = (tester.probe().await?, tester.element());
    let pool = probe.found(std::slice::from_ref(&element)).await?;
    let request = HandleResolution { pool_handle: pool.borrowed(), subscribe: false, items: None };
    let request = encode(request, tester.dialect()).to_vec();
    probe.send_bytes(raw::extended(request, &raw::parameter(SKIP, &[0; 8])));
    let response = probe.resolution().await?;
    same("elements", &vec![element.identifier], &crate::probe::identifiers(&response))
}

async fn before_known(tester: Tester) -> Verdict {
    let mut scene = Scene::new(&tester, SKIP, false).await?;
    let encoded = raw::element(&scene.element, tester.dialect());
    let parameters = [scene.parameter.clone(), raw::handle(&scene.pool), scene.parameter.clone(), encoded];
    scene.registration = raw::message(raw::REGISTRATION, &parameters.concat());
    scene.processed().await
}

async fn message_stop(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    for message_type in [0x00, 0x0f, 0x3e] {
        probe.unanswered(raw::message(message_type, &[1, 2, 3, 4])).await?;
    }
    Ok(())
}

async fn message_report(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    for message_type in [0x40, 0x7e] {
        let message = raw::message(message_type, &[1, 2, 3, 4]);
        let (error, _) = probe.reported(message.clone()).await?;
        let quoted = |cause: &rserpool_wire::ErrorCause<'_>| {
            cause.code == CauseCode::UNRECOGNIZED_MESSAGE && *cause.information == *message
        };
        check(error.causes.iter().any(quoted), "the cause Unrecognized Message with the message", error)?;
    }
    Ok(())
}

async fn message_reserved(tester: Tester) -> Verdict {
    let (mut probe, mut survives) = (tester.probe().await?, tester.probe().await?);
    for message_type in [0x80, 0xbe, 0xc0, 0xfe] {
        // What to do is not said; that it is taken for a message that is known, is excluded.
        let exchange = probe.exchange(raw::message(message_type, &[1, 2, 3, 4])).await?;
        if let Some(why) = exchange.ended {
            return Err(Problem::failed("the link to stay", format!("it ended: {why}")));
        }
    }
    survives.resolve(&tester.pool()).await.map(drop)
}

async fn flags(tester: Tester) -> Verdict {
    let mut scene = Scene::new(&tester, SKIP, false).await?;
    if let Some(flags) = scene.registration.get_mut(1) {
        *flags = 0xff;
    }
    scene.processed().await
}

async fn error(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    for code in [0_u16, 1, 2, 3, 0x1234] {
        let cause = raw::parameter(code, &[0; 8]);
        let error = raw::parameter(raw::OPERATION_ERROR, &cause);
        probe.unanswered(raw::message(raw::ASAP_ERROR, &error)).await?;
    }
    Ok(())
}

async fn malformed_error(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    let overlong = raw::parameter_claiming(raw::OPERATION_ERROR, 400, &[0; 8]);
    let nested = raw::parameter(raw::OPERATION_ERROR, &raw::parameter_claiming(1, 400, &[0; 8]));
    let misplaced = raw::handle(&tester.pool());
    for value in [vec![], overlong, nested, misplaced] {
        probe.unanswered(raw::message(raw::ASAP_ERROR, &value)).await?;
    }
    Ok(())
}

async fn error_with_unknown(tester: Tester) -> Verdict {
    let mut probe = tester.probe().await?;
    for parameter_type in [STOP, STOP_AND_REPORT, SKIP, SKIP_AND_REPORT] {
        let error = raw::parameter(raw::OPERATION_ERROR, &raw::parameter(0, &[]));
        let value = [error, raw::parameter(parameter_type, &[0; 4])].concat();
        probe.unanswered(raw::message(raw::ASAP_ERROR, &value)).await?;
    }
    Ok(())
}
