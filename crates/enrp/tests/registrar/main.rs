//! The registrar machine as others see it, one file per part of the RFCs.
mod audit;
mod bad_input;
mod keep_alive;
mod presence;
mod registration;
mod resolution;
mod shutdown;
mod startup;
mod support;
mod takeover;
mod unreachable;
mod updates;
