//! The PE checksum (RFC 5353 §3.6.2): worked values, and that it follows every change.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]
mod support;

use rserpool_handlespace::Handlespace;
use rserpool_wire::{Dialect, PeIdentifier, Policy, ServerId};
use support::{HOME, element, register};

fn handlespace(elements: &[(&str, u32)]) -> Handlespace {
    let mut handlespace = Handlespace::new(Dialect::Rfc, 1);
    for (pool, identifier) in elements {
        register(&mut handlespace, pool, &element(*identifier, Policy::RoundRobin));
    }
    handlespace
}

// 5353-3.6.2-01, 5353-3.6.2-02
#[test]
fn the_worked_values() {
    assert_eq!(handlespace(&[]).checksum(HOME), 0xffff);
    assert_eq!(handlespace(&[("EchoPool", 0x1234_5678)]).checksum(HOME), 0x29a5);
    assert_eq!(handlespace(&[("Pool1", 1), ("Pool1", 0xdead_beef)]).checksum(HOME), 0x80a9);
    let compute = [0x7fff_ffff, 0x8000_0001, 0xcafe_babe].map(|identifier| ("ComputePool", identifier));
    assert_eq!(handlespace(&compute).checksum(HOME), 0x4504);
}

// 5353-3.6.2-04
#[test]
fn it_follows_registration_change_of_owner_and_removal() {
    let other = ServerId(0x77);
    let mut handlespace = handlespace(&[("EchoPool", 0x1234_5678)]);
    let moving = register(&mut handlespace, "Pool1", &element(1, Policy::RoundRobin));
    handlespace.set_home(moving, other);
    assert_eq!(handlespace.checksum(HOME), 0x29a5);
    register(&mut handlespace, "Pool1", &element(0xdead_beef, Policy::RoundRobin));
    handlespace.set_home(moving, HOME);
    handlespace.transfer(HOME, other);
    assert_eq!((handlespace.checksum(HOME), handlespace.owned_count(other)), (0xffff, 3));
    let echo = handlespace.find(b"EchoPool", PeIdentifier(0x1234_5678)).unwrap();
    handlespace.remove(echo);
    assert_eq!(handlespace.checksum(other), 0x80a9);
    // Registering again changes nothing of what is summed up, but who owns it.
    register(&mut handlespace, "Pool1", &element(1, Policy::RoundRobin));
    register(&mut handlespace, "Pool1", &element(0xdead_beef, Policy::RoundRobin));
    assert_eq!((handlespace.checksum(other), handlespace.checksum(HOME)), (0xffff, 0x80a9));
}

#[test]
#[cfg_attr(miri, ignore = "hours of it")]
fn a_sum_beyond_32_bits_agrees_with_what_either_implementation_makes_of_it() {
    let element = |identifier| element(identifier, Policy::RoundRobin);
    let (mut rfc, mut rsplib) = (Handlespace::new(Dialect::Rfc, 1), Handlespace::new(Dialect::Rsplib, 1));
    // 40,000 elements whose identifiers alone add up to more than 32 bits.
    for identifier in 0..40_000 {
        let element = element(0xffff_ffff - identifier);
        register(&mut rfc, "p", &element);
        register(&mut rsplib, "p", &element);
    }
    let sum: u64 = (0..40_000_u64).map(|identifier| 0x7000 + 0xffff + (0xffff - identifier)).sum();
    let wrapped = sum & 0xffff_ffff;
    let fold = |sum: u64| !(((sum >> 16) + (sum & 0xffff)) % 0xffff) as u16;
    assert_eq!(rfc.checksum(HOME), fold(sum % 0xffff));
    assert!(rfc.checksum_agrees(HOME, fold(sum % 0xffff)) && !rfc.checksum_agrees(HOME, fold(wrapped)));
    assert!(rsplib.checksum_agrees(HOME, fold(sum % 0xffff)) && rsplib.checksum_agrees(HOME, fold(wrapped)));
    assert!(!rsplib.checksum_agrees(HOME, fold(wrapped) ^ 0x100));
}
