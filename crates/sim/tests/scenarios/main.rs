//! The scenarios of issue and RFCs, one per file, each with several seeds. A run that fails prints its seed and the fewest
//! faults that it takes; `RSERPOOL_SEED` repeats it.
mod churn;
mod cold_start;
mod contested_elements;
mod death;
mod equal_identifiers;
mod flapping_link;
mod heavy_loss;
mod mass_failure;
mod mentor_dies;
mod partition;
mod paused_registrar;
mod rolling_restart;
mod simultaneous_takeovers;
mod sole_registrar;
mod takeover_in_error;

use std::time::Duration;

use rserpool_sim::{Fault, Settings};

/// Both timer profiles, and the dialect of the reference implementation.
fn all_settings() -> [Settings; 3] {
    [Settings::rfc(), Settings::fast(), Settings::rsplib()]
}

/// When the last of the faults is over.
fn end(faults: &[Fault]) -> Duration {
    faults.iter().map(Fault::end).max().unwrap_or_default()
}
