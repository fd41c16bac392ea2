//! The catalogue: one file per subject.
mod audit;
mod between_registrars;
mod deregistration;
mod keep_alive;
mod life;
mod malformed;
mod operation;
mod policies;
mod presence;
mod registration;
mod resolution;
mod subscription;
mod table;
mod takeover;
mod unknown;
mod unreachable;
mod update;

use crate::case::Group;

/// All cases.
#[must_use]
pub fn groups() -> &'static [Group] {
    &GROUPS
}

static GROUPS: [Group; 17] = [
    registration::GROUP,
    deregistration::GROUP,
    resolution::GROUP,
    subscription::GROUP,
    policies::GROUP,
    keep_alive::GROUP,
    unreachable::GROUP,
    life::GROUP,
    unknown::GROUP,
    malformed::GROUP,
    presence::GROUP,
    update::GROUP,
    table::GROUP,
    audit::GROUP,
    takeover::GROUP,
    between_registrars::GROUP,
    operation::GROUP,
];
