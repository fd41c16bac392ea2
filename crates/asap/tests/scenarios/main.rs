//! What pool elements and pool users do, against scripted registrars. Every test says which requirements of RFC
//! 5352 it checks (`5352-3.1-12` is the twelfth of section 3.1).
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, helpers included"
)]

mod deregistration;
mod faults;
mod home;
mod hunt;
mod registration;
mod resolution;
mod robustness;
mod selection;
mod session;
mod subscription;
mod support;
mod unreachable;
