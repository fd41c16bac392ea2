//! A session over loopback, all on one thread: what a request costs, from the call to the answer of the element.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "criterion's macros generate undocumented functions")]
#![allow(clippy::expect_used, reason = "a benchmark whose session does not work shall fail")]
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use rserpool::{PoolElement, PoolUser, Registrar, ServiceEvent, ServiceSession, TimerProfile};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

fn request(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (_registrar, _element, mut session) = runtime.block_on(async {
        let registrar = Registrar::builder().asap("tcp://127.0.0.1:0").timers(TimerProfile::Fast);
        let registrar = registrar.start().await.expect("a registrar");
        let asap = registrar.asap_endpoints().first().expect("it listens").clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("bound");
        let element = PoolElement::builder("echo").registrars([asap.clone()]).transport(at);
        let element = element.register().await.expect("registered");
        tokio::spawn(echo(listener, element.clone()));
        let user = PoolUser::builder().registrars([asap]).build().await.expect("a user");
        let session = user.pool("echo").session().await.expect("a session");
        (registrar, element, session)
    });
    criterion.bench_function("session: a request of 200 bytes", |bencher| {
        bencher.iter(|| {
            let answer = runtime.block_on(session.request(&[7; 200], Duration::from_secs(5)));
            assert_eq!(answer.expect("an answer").len(), 200);
        });
    });
}

async fn echo(listener: TcpListener, element: PoolElement) {
    while let Ok((stream, _)) = listener.accept().await {
        let element = element.clone();
        tokio::spawn(async move {
            let mut session = ServiceSession::accept(stream, &element).await.expect("a session");
            while let Ok(Some(event)) = session.recv().await {
                if let ServiceEvent::Message(message) = event {
                    session.send(&message).await.expect("sent");
                }
            }
        });
    }
}

criterion_group!(benches, request);
criterion_main!(benches);
