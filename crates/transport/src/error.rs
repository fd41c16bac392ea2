//! What can go wrong with links: each error says what, where, and what to do about it.
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rserpool_machine::{DownReason, Endpoint, Scheme};

use crate::config::ConfigError;
#[cfg(feature = "tls")]
use crate::tls::HandshakeError;

/// Why a link could not be had, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The endpoint's transport is not built in.
    #[error("{endpoint}: {scheme}:// is not built in; use tcp://, or a build and a platform that have it")]
    UnsupportedScheme {
        /// Where the link should have gone.
        endpoint: Endpoint,
        /// Its transport.
        scheme: Scheme,
    },
    /// The kernel has no SCTP.
    #[error("{endpoint}: no SCTP in this kernel: load its module (modprobe sctp), or use tcp://")]
    NoSctp {
        /// Where the link should have gone, or have been accepted.
        endpoint: Endpoint,
    },
    /// The name of the endpoint could not be looked up.
    #[error("{endpoint}: looking up the name failed ({source}); check the name and the resolver")]
    NameLookup {
        /// The endpoint.
        endpoint: Endpoint,
        /// What the resolver said.
        source: io::Error,
    },
    /// Listening failed.
    #[error(
        "{endpoint}: cannot listen ({source}); check that the address is this host's and the port is free"
    )]
    Bind {
        /// The endpoint.
        endpoint: Endpoint,
        /// What the system said.
        source: io::Error,
    },
    /// Accepting failed for lack of resources. The listener is intact: accept again after a pause.
    #[error("{endpoint}: cannot accept ({source}); raise the limit of open files, or the memory")]
    Accept {
        /// Where it was listened on.
        endpoint: Endpoint,
        /// What the system said.
        source: io::Error,
        /// How long to wait before trying again.
        retry_after: Duration,
    },
    /// None of the endpoint's addresses could be connected to; this is what the last of them said.
    #[error("{endpoint}: cannot connect to {address} ({source})")]
    Connect {
        /// The endpoint.
        endpoint: Endpoint,
        /// The address tried last.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No connection came about in time.
    #[error(
        "{endpoint}: no connection after {after:?}; the host is down, or something in between drops packets"
    )]
    ConnectTimeout {
        /// The endpoint.
        endpoint: Endpoint,
        /// How long it was tried.
        after: Duration,
    },
    /// Something that a `tls://` or `sctp+tls://` endpoint needs is not set.
    #[cfg(feature = "tls")]
    #[error(
        "{endpoint}: TLS needs `{option}`, which is not set; use tcp:// or sctp:// for links without security"
    )]
    SecurityMissing {
        /// The endpoint.
        endpoint: Endpoint,
        /// What to set.
        option: &'static str,
    },
    /// There is a connection, but no TLS on it.
    #[cfg(feature = "tls")]
    #[error("{endpoint}: {source}")]
    Handshake {
        /// Where the link should have gone.
        endpoint: Endpoint,
        /// What went wrong.
        source: HandshakeError,
    },
    /// The other end speaks TLS on a link that is not secured.
    #[error(
        "the other end speaks TLS, but this endpoint is plain; use tls:// or sctp+tls:// on both sides, or on none"
    )]
    SpeaksTls,
    /// The stream is out of step, or the other end sends longer messages than allowed.
    #[error(
        "a message length of {length} bytes, while 4 to {limit} are allowed; is the other end an RSerPool peer?"
    )]
    MessageLength {
        /// The length field, rounded up to a multiple of 4.
        length: usize,
        /// The longest message allowed.
        limit: usize,
    },
    /// The stream ended in the middle of a message.
    #[error("the stream ended {received} bytes into a message")]
    Truncated {
        /// Bytes of the message that had arrived.
        received: usize,
    },
    /// Nothing was sent and nothing received for too long.
    #[error("idle for {after:?}")]
    Idle {
        /// For how long.
        after: Duration,
    },
    /// The other end does not read what it is sent.
    #[error("{queued} bytes wait for the other end to read, {limit} are allowed")]
    SlowReader {
        /// Bytes that would have been queued.
        queued: usize,
        /// How many may be.
        limit: usize,
    },
    /// The link was closed here, and the other end did not take what was still queued.
    #[error("closed with {unsent} bytes unsent: the other end did not read them within {after:?}")]
    DrainTimeout {
        /// Bytes left.
        unsent: usize,
        /// How long it was tried.
        after: Duration,
    },
    /// The connection broke.
    #[error("connection lost ({0})")]
    Broken(#[source] io::Error),
    /// No such network interface.
    #[error("network interface `{name}`: {source}")]
    Interface {
        /// Its name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The multicast group could not be joined, sent to, or received from.
    #[error(
        "multicast group {group}: cannot {action} ({source}); name an interface that is up and has multicast"
    )]
    Multicast {
        /// The group.
        group: SocketAddr,
        /// What was being done.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl TransportError {
    /// How long to wait before the same call may succeed, where that is all there is to do.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Accept { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// What to tell a machine about the end of the link.
    #[must_use]
    pub fn down_reason(&self) -> DownReason {
        let text = self.to_string().into();
        match self {
            Self::MessageLength { .. } | Self::Idle { .. } | Self::SlowReader { .. } => {
                DownReason::Limit(text)
            }
            Self::Truncated { .. } | Self::SpeaksTls | Self::Broken(_) | Self::DrainTimeout { .. } => {
                DownReason::Failed(text)
            }
            _ => DownReason::ConnectFailed(text),
        }
    }
}
