//! What pool elements and pool users do, against scripted registrars. Every test says which requirements of RFC 5352 it
//! checks (`5352-3.1-12` is the twelfth of section 3.1).
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
