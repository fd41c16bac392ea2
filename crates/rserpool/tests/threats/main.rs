//! The threats of RFC 5355 §2, each mounted as an attack on a secured scope by a real client over real sockets: the attack fails, the
//! handlespace is as it was, and whoever is entitled to it is served all the same.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "in tests, a panic is the report")]
mod discovery;
mod floods;
mod insiders;
#[path = "../support/keys.rs"]
mod keys;
mod links;
mod proxy;
mod raw;
mod registrars;
mod registration;
mod scene;
mod scope;
mod sessions;
#[path = "../support/mod.rs"]
mod support;
mod takeover;
