//! What all these tests need: a kernel with SCTP, a bound on their time, and sockets on the loopback interface.
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Once;
use std::time::Duration;

use rserpool_sctp::{
    AssocChange, AssocId, AssocState, Message, Notification, Received, SctpSocket, SctpStream, SocketConfig,
};

/// How long a test may take. Only a defect makes one take that long, also where many run at once on a slow processor.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs a test, unless the kernel has no SCTP. In the laboratory, it has to have it.
pub(crate) fn with_sctp(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match SctpSocket::bind(&[any()], &SocketConfig::default()) {
            Err(error) if error.is_unsupported() && !is_laboratory() => {
                // Once is enough: it is so for all.
                static TOLD: Once = Once::new();
                TOLD.call_once(|| skip("all tests that need sockets", &error.to_string()));
            }
            socket => {
                socket.unwrap();
                tokio::time::timeout(LIMIT, test).await.expect("the test takes too long");
            }
        }
    });
}

/// Runs a test that changes the packet filter of the machine, only where that harms nobody.
pub(crate) fn in_laboratory(test: impl Future<Output = ()>) {
    if is_laboratory() { with_sctp(test) } else { skip(&this_test(), "it changes the packet filter") }
}

fn is_laboratory() -> bool {
    std::env::var_os("RSERPOOL_LAB").is_some_and(|value| value == "inside")
}

fn this_test() -> String {
    std::thread::current().name().unwrap_or("test").to_owned()
}

/// Says so past the test framework, which would show it for tests that fail only.
fn skip(what: &str, reason: &str) {
    let _ =
        writeln!(std::io::stderr(), "{what}: skipped: {reason}; crates/sctp/README.md says how to run them");
}

/// Drops packets to an address until it is dropped itself.
pub(crate) struct Cut(&'static str);

impl Cut {
    pub(crate) fn new(address: &'static str) -> Self {
        Self::filter("-I", address);
        Self(address)
    }

    fn filter(action: &str, address: &str) {
        let done = Command::new("iptables-legacy")
            .args([action, "INPUT", "-d", address, "-j", "DROP"])
            .status()
            .unwrap();
        assert!(done.success());
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        Self::filter("-D", self.0);
    }
}

/// A free port on the loopback interface.
pub(crate) fn any() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

pub(crate) fn socket() -> SctpSocket {
    socket_with(&SocketConfig::default())
}

pub(crate) fn socket_with(config: &SocketConfig) -> SctpSocket {
    SctpSocket::bind(&[any()], config).unwrap()
}

pub(crate) fn address(socket: &SctpSocket) -> SocketAddr {
    socket.local_addrs().unwrap()[0]
}

/// Two sockets with an association between them, and what each calls it.
pub(crate) async fn associated(config: &SocketConfig) -> (SctpSocket, AssocId, SctpSocket, AssocId) {
    let (near, far) = (socket_with(config), socket_with(config));
    let id = near.connectx(&[address(&far)]).unwrap();
    let up = change(&near).await;
    assert_eq!((up.state, up.assoc), (AssocState::CommUp, id));
    let up = change(&far).await;
    assert_eq!(up.state, AssocState::CommUp);
    (near, id, far, up.assoc)
}

/// The next message, whatever is notified before it.
pub(crate) async fn message(socket: &SctpSocket) -> Message {
    loop {
        if let Received::Message(message) = socket.recv().await.unwrap() {
            return message;
        }
    }
}

/// The next notification that `wanted` makes something of.
pub(crate) async fn notified<T>(socket: &SctpSocket, wanted: impl Fn(Notification) -> Option<T>) -> T {
    loop {
        if let Received::Notification(notification) = socket.recv().await.unwrap()
            && let Some(found) = wanted(notification)
        {
            return found;
        }
    }
}

/// The next change of an association.
pub(crate) async fn change(socket: &SctpSocket) -> AssocChange {
    notified(socket, |notification| match notification {
        Notification::AssocChange(change) => Some(change),
        _ => None,
    })
    .await
}

/// All messages and the changes of state until the end.
pub(crate) async fn to_the_end(stream: &SctpStream) -> (Vec<Message>, Vec<AssocState>) {
    let (mut messages, mut changes) = (Vec::new(), Vec::new());
    while let Some(received) = stream.recv().await.unwrap() {
        match received {
            Received::Message(message) => messages.push(message),
            Received::Notification(Notification::AssocChange(change)) => changes.push(change.state),
            _ => (),
        }
    }
    (messages, changes)
}
