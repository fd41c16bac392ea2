//! Our registrar, tested from outside over SCTP by `rserpool conform`.
use std::time::Duration;

use rserpool_interop::{Scenario, UNHURRIED};

const PATIENCE: Duration = Duration::from_secs(240);

#[test]
fn our_registrar_conforms_over_sctp() {
    let scenario = Scenario::unread("our_registrar_conforms_over_sctp").hosts(2);
    scenario.time_limit(PATIENCE + Duration::from_secs(30)).run(|hosts| {
        let timing = hosts.file("registrar.toml", UNHURRIED);
        let _registrar =
            hosts.registrar(1, &["--dialect=rfc", "--timers=fast", &format!("--config={timing}")]);
        let tester = hosts.rserpool(
            2,
            &[
                "conform",
                "--asap=sctp://10.9.0.1:3863",
                "--enrp=sctp://10.9.0.1:9901",
                "--admin=http://10.9.0.1:8080",
                "--dialect=rfc",
                "--patience=10",
            ],
        );
        tester.conforms_within(PATIENCE);
    });
}
