//! Any text where people write values: endpoints, policies, identifiers, the policy file. What is read can be written, and is read
//! again as the same.
#![no_main]
#![forbid(unsafe_code)]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use rserpool_enrp::AccessPolicy;
use rserpool_machine::Endpoint;
use rserpool_wire::{Dialect, PeIdentifier, Policy, ServerId};

fuzz_target!(|text: &str| {
    there_and_back::<Endpoint>(text);
    there_and_back::<Policy>(text);
    there_and_back::<Dialect>(text);
    there_and_back::<PeIdentifier>(text);
    there_and_back::<ServerId>(text);
    if let Err(error) = text.parse::<AccessPolicy>() {
        assert!(!error.to_string().is_empty());
    }
});

fn there_and_back<T: FromStr<Err: Display> + Display + Debug + PartialEq>(text: &str) {
    match text.parse::<T>() {
        Ok(value) => assert_eq!(value.to_string().parse::<T>().ok(), Some(value)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
