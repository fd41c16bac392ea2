//! A link between two nodes, as the two hosts' kernels see it: each end is there until it is closed or fails, and what is
//! sent arrives in order, or waits while the way is cut.
use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use rserpool_machine::{LinkId, Protocol};

use crate::fault::NodeId;

/// Names a wire; never used again.
pub(crate) type WireId = u64;

/// One of the two ends: 0 opened it, 1 accepted it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Side {
    Opener,
    Acceptor,
}

impl Side {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Opener => Self::Acceptor,
            Self::Acceptor => Self::Opener,
        }
    }
}

/// What travels on a wire.
#[derive(Clone, Debug)]
pub(crate) enum Parcel {
    Messages(Bytes),
    /// The sender has closed its end.
    End,
}

/// One end, and what it sends.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) node: NodeId,
    /// The name that the node knows the link by, while its end is there.
    pub(crate) link: Option<LinkId>,
    /// When the last thing that it sent arrives.
    pub(crate) last_arrival: Duration,
    /// What it sent and could not get through.
    pub(crate) held: VecDeque<Parcel>,
    /// Since when something that it sent is not acknowledged.
    pub(crate) unacknowledged: Option<Duration>,
    /// Whether a look at whether the other end is still there is planned.
    pub(crate) probing: bool,
}

/// A wire.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) protocol: Protocol,
    /// What the opener sent before it was up; `None` once it is.
    pub(crate) waiting: Option<Vec<Bytes>>,
    opener: End,
    acceptor: End,
    /// Something was lost for good: nothing more arrives, and both ends will fail.
    pub(crate) broken: bool,
}

impl Wire {
    pub(crate) const fn new(protocol: Protocol, opener: NodeId, link: LinkId, acceptor: NodeId) -> Self {
        Self {
            protocol,
            waiting: Some(Vec::new()),
            opener: End::new(opener, Some(link)),
            acceptor: End::new(acceptor, None),
            broken: false,
        }
    }

    pub(crate) const fn end(&self, side: Side) -> &End {
        match side {
            Side::Opener => &self.opener,
            Side::Acceptor => &self.acceptor,
        }
    }

    pub(crate) const fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Opener => &mut self.opener,
            Side::Acceptor => &mut self.acceptor,
        }
    }

    /// Whether nobody is at either end.
    pub(crate) const fn is_abandoned(&self) -> bool {
        self.opener.link.is_none() && self.acceptor.link.is_none()
    }
}

impl End {
    const fn new(node: NodeId, link: Option<LinkId>) -> Self {
        Self {
            node,
            link,
            last_arrival: Duration::ZERO,
            held: VecDeque::new(),
            unacknowledged: None,
            probing: false,
        }
    }
}

/// The messages that follow each other in what a machine transmits: each is as long as its header says, and padded.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = bytes.get(2..4)?;
        let length = usize::from(u16::from_be_bytes(length.try_into().ok()?)).max(4).next_multiple_of(4);
        let (message, rest) = bytes.split_at(length.min(bytes.len()));
        bytes = rest;
        Some(message)
    })
}
