//! What goes wrong, as data: a list of faults can be written down, replayed, and made shorter while it still shows what
//! it shows.
use std::fmt;
use std::time::Duration;

/// Names a node of the world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(pub u32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// Something that goes wrong at a time, for a while.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// When it begins, from the start of the world.
    pub at: Duration,
    /// How long it lasts; of no meaning for what happens in an instant.
    pub lasts: Duration,
    /// What it is.
    pub what: Disturbance,
}

/// The kinds of faults.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Disturbance {
    /// A process ends without notice, its host resets its links, and it starts again at the end.
    Crash {
        /// Who.
        node: NodeId,
        /// Whether a registrar starts again under the identifier that it had.
        same_identifier: bool,
    },
    /// A host loses power: nobody is told anything. It starts again at the end.
    PowerLoss {
        /// Who.
        node: NodeId,
        /// Whether a registrar starts again under the identifier that it had.
        same_identifier: bool,
    },
    /// A process ends without notice and never starts again.
    Death {
        /// Who.
        node: NodeId,
        /// Whether the host is gone too, so that nobody is told.
        silent: bool,
    },
    /// A node leaves in good order: a registrar hands over, an element deregisters. It starts again at the end.
    Leave {
        /// Who.
        node: NodeId,
    },
    /// A process stands still; what is sent to it waits.
    Pause {
        /// Who.
        node: NodeId,
    },
    /// A process takes this long for everything that it is told.
    Slow {
        /// Who.
        node: NodeId,
        /// How long for each.
        each: Duration,
    },
    /// A clock runs at this percentage of the right rate.
    Drift {
        /// Whose.
        node: NodeId,
        /// 100 is right.
        percent: u32,
    },
    /// Nothing gets from these nodes to those; with `both`, nor back.
    Cut {
        /// From these.
        from: Vec<NodeId>,
        /// To those.
        to: Vec<NodeId>,
        /// Or back.
        both: bool,
    },
    /// All links between two nodes are reset.
    Reset {
        /// One.
        a: NodeId,
        /// The other.
        b: NodeId,
    },
    /// This many of a hundred packets are lost, everywhere: links become slow, or break; announcements are gone.
    Loss {
        /// Of a hundred.
        percent: u8,
    },
    /// Everything takes this many times as long to arrive.
    Delay {
        /// How many times.
        times: u32,
    },
    /// Announcements arrive twice, and out of order.
    Disorder,
}

impl Disturbance {
    /// Whether it is over as soon as it has begun.
    #[must_use]
    pub const fn is_instant(&self) -> bool {
        matches!(self, Self::Reset { .. } | Self::Death { .. })
    }
}

impl Fault {
    /// When it is over.
    #[must_use]
    pub fn end(&self) -> Duration {
        if self.what.is_instant() { self.at } else { self.at + self.lasts }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3} s  ", self.at.as_secs_f64())?;
        if !self.what.is_instant() {
            write!(f, "for {:.3} s: ", self.lasts.as_secs_f64())?;
        }
        match &self.what {
            Disturbance::Crash { node, same_identifier } => {
                write!(f, "crash of {node}{}", again(*same_identifier))
            }
            Disturbance::PowerLoss { node, same_identifier } => {
                write!(f, "power loss of {node}{}", again(*same_identifier))
            }
            Disturbance::Death { node, silent: true } => write!(f, "silent death of {node}"),
            Disturbance::Death { node, silent: false } => write!(f, "death of {node}"),
            Disturbance::Leave { node } => write!(f, "{node} leaves"),
            Disturbance::Pause { node } => write!(f, "pause of {node}"),
            Disturbance::Slow { node, each } => write!(f, "{node} takes {each:?} for everything"),
            Disturbance::Drift { node, percent } => write!(f, "the clock of {node} runs at {percent} %"),
            Disturbance::Cut { from, to, both } => {
                let arrow = if *both { "<->" } else { "->" };
                write!(f, "cut {} {arrow} {}", list(from), list(to))
            }
            Disturbance::Reset { a, b } => write!(f, "reset of links {a} - {b}"),
            Disturbance::Loss { percent } => write!(f, "loss of {percent} %"),
            Disturbance::Delay { times } => write!(f, "{times} times the delay"),
            Disturbance::Disorder => f.write_str("announcements out of order, and twice"),
        }
    }
}

const fn again(same_identifier: bool) -> &'static str {
    if same_identifier { ", back as the same" } else { ", back as another" }
}

fn list(nodes: &[NodeId]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
