//! The members of a scope: registrars, elements and users of either implementation, with few words.
use rserpool_interop::{Hosts, Process};

/// The pool of `rspserver -echo`.
pub(crate) const THEIR_POOL: &str = "EchoPool";
/// The pool of our elements here.
pub(crate) const OUR_POOL: &str = "lines";

/// Starts our registrar, which finds others by multicast, and waits until it is ready.
pub(crate) fn ours(hosts: &Hosts<'_>, host: u8) -> Process {
    hosts.registrar(host, &["--announce=eth1"])
}

/// Starts a registrar of the reference implementation, which finds others by multicast unless it is told of some.
pub(crate) fn theirs(hosts: &Hosts<'_>, host: u8, more: &[&str]) -> Process {
    let [address, _] = hosts.addresses(host, 1);
    let asap = format!("-asap={address}:3863");
    let enrp = format!("-enrp={address}:9901");
    let id = format!("-identifier=0x{host:08x}");
    let arguments = [&asap, &enrp, &id, "-disable-ipv6", "-loglevel=4"];
    hosts.rsplib(host, "rspregistrar", &[&arguments, more].concat())
}

/// A group that no registrar announces itself to: elements go where they are told to.
const NOBODY: &str = "-asapannounce=239.0.0.99:3863";

/// Starts an element of the reference implementation at the registrars on these hosts.
pub(crate) fn their_element(hosts: &Hosts<'_>, host: u8, registrars: &[u8]) -> Process {
    let registrars = registrars.iter().map(|at| format!("-registrar={}:3863", hosts.addresses(*at, 1)[0]));
    let arguments: Vec<String> =
        ["-echo", "-loglevel=3", NOBODY].map(str::to_owned).into_iter().chain(registrars).collect();
    hosts.rsplib(host, "rspserver", &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Starts an element of ours at the registrars on these hosts, and waits until it is registered.
pub(crate) fn our_element(hosts: &Hosts<'_>, host: u8, registrars: &[u8]) -> Process {
    let listen = format!("--listen={}:0", hosts.addresses(host, 1)[0]);
    let registrars = registrar_arguments(hosts, registrars);
    let pool = format!("--pool={OUR_POOL}");
    let mut arguments = vec!["pe", "--echo", &pool, &listen];
    arguments.extend(registrars.iter().map(String::as_str));
    let element = hosts.rserpool(host, &arguments);
    element.prints("ready ");
    element
}

/// `--registrar` for each of these hosts.
pub(crate) fn registrar_arguments(hosts: &Hosts<'_>, registrars: &[u8]) -> Vec<String> {
    registrars.iter().map(|at| format!("--registrar=sctp://{}:3863", hosts.addresses(*at, 1)[0])).collect()
}
