//! Somebody on the way: passes on, keeps a copy of everything, and changes it when told to.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rserpool::Endpoint;
use rserpool::machine::Scheme;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Connections to it lead on to where it was told.
pub(crate) struct Proxy {
    /// Where it is, of the same scheme.
    pub(crate) endpoint: Endpoint,
    tapped: Arc<Tapped>,
}

#[derive(Default)]
struct Tapped {
    /// What clients sent, and what they were sent.
    copies: Mutex<[Vec<u8>; 2]>,
    corrupting: AtomicBool,
}

impl Proxy {
    pub(crate) async fn to(endpoint: &Endpoint) -> Self {
        let target = endpoint.socket_addresses().next().flatten().expect("an address");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let local = listener.local_addr().expect("bound");
        let tapped = Arc::new(Tapped::default());
        let proxy = Self { endpoint: Endpoint::new(endpoint.scheme(), local), tapped: Arc::clone(&tapped) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(target).await else { continue };
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(pass(from_client, to_server, Arc::clone(&tapped), 0));
                tokio::spawn(pass(from_server, to_client, Arc::clone(&tapped), 1));
            }
        });
        proxy
    }

    /// Flips a bit of whatever passes from now on.
    pub(crate) fn corrupt(&self) {
        self.tapped.corrupting.store(true, Ordering::SeqCst);
    }

    /// Everything that clients have sent so far.
    pub(crate) fn sent_by_clients(&self) -> Vec<u8> {
        self.tapped.copies.lock().expect("no panic")[0].clone()
    }

    /// Whether these bytes have passed in either direction.
    pub(crate) fn has_seen(&self, bytes: &[u8]) -> bool {
        let copies = self.tapped.copies.lock().expect("no panic");
        copies.iter().any(|copy| copy.windows(bytes.len()).any(|window| window == bytes))
    }

    /// How many bytes have passed.
    pub(crate) fn passed(&self) -> usize {
        self.tapped.copies.lock().expect("no panic").iter().map(Vec::len).sum()
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, tapped: Arc<Tapped>, direction: usize) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        tapped.copies.lock().expect("no panic")[direction].extend_from_slice(&buffer[..count]);
        if tapped.corrupting.load(Ordering::SeqCst) {
            buffer[count - 1] ^= 1;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// An endpoint with another scheme.
pub(crate) fn with_scheme(endpoint: &Endpoint, scheme: Scheme) -> Endpoint {
    Endpoint::new(scheme, endpoint.socket_addresses().next().flatten().expect("an address"))
}
