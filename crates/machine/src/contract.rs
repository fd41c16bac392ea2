//! What goes into a machine and what comes out of it.
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::endpoint::{Endpoint, Scheme};

/// Names a link between a machine and its driver, for as long as the link exists; never used again afterwards.
///
/// Machines number the links that they ask for, drivers number those that they accept: the two never collide.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(u64);

impl LinkId {
    /// The `n`-th link that a machine asks for.
    #[must_use]
    pub const fn opened(n: u64) -> Self {
        Self(n << 1 | 1)
    }

    /// The `n`-th link that a driver accepts, or opens of its own accord (multicast groups).
    #[must_use]
    pub const fn accepted(n: u64) -> Self {
        Self(n << 1)
    }
}

impl fmt::Debug for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.0 & 1 == 1 { "opened" } else { "accepted" };
        write!(f, "LinkId({kind} {})", self.0 >> 1)
    }
}

/// Which of the two protocols a link speaks. Both number their messages from 0x01, so a link carries one of them only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Protocol {
    /// Between elements, users and registrars; SCTP payload protocol identifier 11.
    Asap,
    /// Between registrars; SCTP payload protocol identifier 12.
    Enrp,
}

/// Whether a link has one other end, or a group of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LinkKind {
    /// One other end, reached over this transport; messages arrive as [`Input::Message`].
    PointToPoint(Scheme),
    /// A multicast group; messages arrive as [`Input::Announcement`], unauthenticated, in any order, or not at all.
    Multicast,
}

/// What is known for sure of the other end of a link: the identity that it proved, never what it claims.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum PeerIdentity {
    /// The link is not secured: anybody may be at the other end.
    #[default]
    Anonymous,
    /// The link is encrypted and the other end is verified by us, but it has proved no identity of its own
    /// (a TLS client without a certificate).
    Encrypted,
    /// The other end proved that it is this: a pre-shared key identity, or a certificate's subject alternative name.
    Authenticated(Arc<str>),
    /// The other end knows this pre-shared key, by which we have proved who *we* are: it is one of those that we share it with, and
    /// has no name of its own.
    Keyed(Arc<str>),
}

/// Why a link ended.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DownReason {
    /// It never came up: refused, unreachable, timed out, or the handshake failed.
    ConnectFailed(Arc<str>),
    /// The other end closed it.
    Closed,
    /// It broke: reset, timed out, or the stream was out of step.
    Failed(Arc<str>),
    /// A limit was exceeded, such as the bytes queued for a slow reader.
    Limit(Arc<str>),
    /// The machine asked for it.
    Requested,
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectFailed(why) => write!(f, "could not connect: {why}"),
            Self::Closed => f.write_str("closed by the other end"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::Limit(why) => write!(f, "cut off: {why}"),
            Self::Requested => f.write_str("closed here"),
        }
    }
}

/// What happens to a machine.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A link is ready for messages.
    LinkUp {
        /// The link.
        link: LinkId,
        /// What it speaks.
        protocol: Protocol,
        /// One other end, or a group.
        kind: LinkKind,
        /// The addresses of the other end: one, or several of a multi-homed one; of a group, its address.
        remote: &'a [SocketAddr],
        /// Who is known to be at the other end.
        identity: PeerIdentity,
    },
    /// A link has ended, or never came up. Nothing more comes from it.
    LinkDown {
        /// The link.
        link: LinkId,
        /// Why.
        reason: DownReason,
    },
    /// Exactly one message, padding included or not.
    Message {
        /// The link it came on.
        link: LinkId,
        /// The message.
        bytes: &'a [u8],
    },
    /// Exactly one message from a multicast group.
    Announcement {
        /// The group.
        link: LinkId,
        /// Who seems to have sent it.
        source: SocketAddr,
        /// The message.
        bytes: &'a [u8],
    },
}

/// What a machine wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output<E> {
    /// Open a link and answer with [`Input::LinkUp`] or [`Input::LinkDown`].
    Connect {
        /// The name that the link shall have.
        link: LinkId,
        /// What it shall speak.
        protocol: Protocol,
        /// Where to.
        remote: Endpoint,
        /// Who is expected there, where that is known: with a pre-shared key of this identity, both may prove who they are by
        /// that in the place of certificates.
        expected: Option<Arc<str>>,
    },
    /// Send one message, or several of them that follow each other. Without effect on a link that is down.
    Transmit {
        /// The link.
        link: LinkId,
        /// The message or messages, padded.
        bytes: Bytes,
    },
    /// End a link once everything transmitted so far is sent; [`Input::LinkDown`] follows. Without effect on a link that
    /// is down.
    Disconnect {
        /// The link.
        link: LinkId,
    },
    /// Something that the application wants to know.
    Event(E),
}

/// A protocol machine: inputs and time in, outputs and a deadline out.
pub trait Machine {
    /// What the machine tells its application.
    type Event;

    /// Takes one input. A mistake of the other end is never an error here: it is answered, counted and reported.
    fn handle_input(&mut self, now: Instant, input: Input<'_>);

    /// Does what is due at `now`. Calls without need do nothing.
    fn handle_timeout(&mut self, now: Instant);

    /// The next thing to be done; to be called until `None` after every input, timeout and command.
    fn poll_output(&mut self) -> Option<Output<Self::Event>>;

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next; to be asked once all outputs are taken.
    fn poll_timeout(&self) -> Option<Instant>;
}
