//! Programs to start from; run them with `cargo run -p rserpool-examples --example NAME`:
//!
//! * `registrar`: a registrar inside a program of your own.
//! * `element`: a server that registers and reports its load.
//! * `client`: a session that survives the death of its server.
//! * `own_loop`: the registrar machine without this project's driver, on no socket at all.
