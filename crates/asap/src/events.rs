//! What the machines tell the application.
use std::fmt;

use rserpool_machine::{DownReason, Endpoint, LinkId};
use rserpool_wire::{OperationError, PoolHandle, ServerId};

use crate::element::RegistrationId;
use crate::fault::Fault;
use crate::user::{RequestId, ResolveError};

/// What an [`ElementMachine`](crate::ElementMachine) tells.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ElementEvent {
    /// The registration was granted: for the first time, again after it expired, or by another home registrar.
    /// Renewals are silent.
    Registered {
        /// The registration.
        id: RegistrationId,
        /// The registrar, as far as it is known: registration responses do not say (§2.2.3), keep-alives do.
        home: Option<ServerId>,
        /// Where the registrar was connected to; `None` where it connected to us.
        endpoint: Option<Endpoint>,
    },
    /// The registration was rejected.
    Rejected {
        /// The registration.
        id: RegistrationId,
        /// The registrar's reasons; may be empty.
        error: OperationError<'static>,
        /// Whether it is attempted again all the same: for lack of resources, later or at another registrar.
        /// Otherwise [`set_policy`](crate::ElementMachine::set_policy) or
        /// [`register`](crate::ElementMachine::register) with what was wrong corrected attempts it again (§3.1).
        will_retry: bool,
    },
    /// The registration was granted with a remark: values may have been modified (§2.2.3).
    Warning {
        /// The registration.
        id: RegistrationId,
        /// The registrar's remarks.
        error: OperationError<'static>,
    },
    /// The registrar removed the element at the end of its registration life (§3.2). It is being registered again.
    Expired {
        /// The registration.
        id: RegistrationId,
    },
    /// The registration has ended, and its id with it.
    Deregistered {
        /// The registration.
        id: RegistrationId,
        /// How it ended.
        outcome: DeregistrationOutcome,
    },
    /// There is a link to a registrar, which is home from now on. Registrations follow.
    HomeFound {
        /// Where the registrar was connected to.
        endpoint: Endpoint,
    },
    /// A registrar took over with a keep-alive (§3.4, KA2.4), and is home from now on.
    HomeAdopted {
        /// The new home.
        server: ServerId,
        /// The home before, as far as it is known.
        previous: Option<ServerId>,
    },
    /// The home registrar is gone. The hunt for another one is on.
    HomeLost {
        /// Where it was connected to; `None` where it connected to us.
        endpoint: Option<Endpoint>,
        /// What happened.
        reason: HomeLoss,
    },
    /// No registrar could be reached. The hunt goes on, slower and slower; reported once in each outage.
    RegistrarsExhausted {
        /// How many registrars are known.
        known: usize,
    },
    /// A registrar answered something with an ASAP_ERROR.
    ErrorReported {
        /// The link.
        link: LinkId,
        /// The registrar's reasons.
        error: OperationError<'static>,
    },
    /// A registrar made a mistake.
    ProtocolFault {
        /// The link.
        link: LinkId,
        /// The mistake.
        fault: Fault,
    },
}

/// How a registration ended.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DeregistrationOutcome {
    /// The registrar removed the element, or none ever had it.
    Confirmed,
    /// The registrar refused to remove the element.
    Refused(OperationError<'static>),
    /// Two registrars in turn did not answer: the element stays listed until its registration life is over, or it
    /// misses a keep-alive.
    TimedOut,
}

/// Why a home registrar is home no more.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HomeLoss {
    /// Its link ended.
    Link(DownReason),
    /// It did not answer in time, MAX-REG-ATTEMPT times in a row.
    Silent,
    /// It lacks the resources to register the element.
    Refused,
}

impl fmt::Display for HomeLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(reason) => reason.fmt(f),
            Self::Silent => f.write_str("it does not answer"),
            Self::Refused => f.write_str("it lacks the resources to register the element"),
        }
    }
}

/// What a [`UserMachine`](crate::UserMachine) tells.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UserEvent {
    /// The pool is in the cache: [`select`](crate::UserMachine::select) from it, or look at all of it with
    /// [`cached`](crate::UserMachine::cached).
    Resolved {
        /// The request.
        request: RequestId,
        /// The pool.
        pool_handle: PoolHandle<'static>,
    },
    /// The pool could not be resolved.
    ResolveFailed {
        /// The request.
        request: RequestId,
        /// The pool.
        pool_handle: PoolHandle<'static>,
        /// Why.
        error: ResolveError,
    },
    /// A subscribed pool is not what it was.
    PoolChanged {
        /// The pool.
        pool_handle: PoolHandle<'static>,
        /// What is known of it now.
        change: PoolChange,
    },
    /// There is a link to a registrar, which is home from now on.
    HomeFound {
        /// Where the registrar was connected to.
        endpoint: Endpoint,
    },
    /// The link to the home registrar is gone. The hunt for another one is on.
    HomeLost {
        /// Where it was connected to.
        endpoint: Option<Endpoint>,
        /// What happened.
        reason: HomeLoss,
    },
    /// No registrar could be reached. The hunt goes on, slower and slower; reported once in each outage.
    RegistrarsExhausted {
        /// How many registrars are known.
        known: usize,
    },
    /// A registrar answered something with an ASAP_ERROR.
    ErrorReported {
        /// The link.
        link: LinkId,
        /// The registrar's reasons.
        error: OperationError<'static>,
    },
    /// A registrar made a mistake.
    ProtocolFault {
        /// The link.
        link: LinkId,
        /// The mistake.
        fault: Fault,
    },
}

/// What is known of a subscribed pool.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PoolChange {
    /// Its policy and elements, in the cache.
    Listed,
    /// It does not exist. It is asked for again from time to time.
    Unknown,
    /// The registrar does not tell. It is asked again from time to time.
    Refused(OperationError<'static>),
}

/// What both machines tell of their registrars.
pub(crate) enum ChannelEvent {
    HomeFound { endpoint: Endpoint },
    HomeLost { endpoint: Option<Endpoint>, reason: HomeLoss },
    RegistrarsExhausted { known: usize },
    ErrorReported { link: LinkId, error: OperationError<'static> },
    ProtocolFault { link: LinkId, fault: Fault },
}

macro_rules! from_channel_event {
    ($($event:ident)+) => {
        $(impl From<ChannelEvent> for $event {
            fn from(event: ChannelEvent) -> Self {
                match event {
                    ChannelEvent::HomeFound { endpoint } => Self::HomeFound { endpoint },
                    ChannelEvent::HomeLost { endpoint, reason } => Self::HomeLost { endpoint, reason },
                    ChannelEvent::RegistrarsExhausted { known } => Self::RegistrarsExhausted { known },
                    ChannelEvent::ErrorReported { link, error } => Self::ErrorReported { link, error },
                    ChannelEvent::ProtocolFault { link, fault } => Self::ProtocolFault { link, fault },
                }
            }
        })+
    };
}

from_channel_event!(ElementEvent UserEvent);
