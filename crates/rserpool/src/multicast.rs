//! The multicast channels of RSerPool on chosen network interfaces: server announcements (RFC 5352 §3.6) and the ENRP server
//! channel (RFC 5353 §3.1). Off where no interface is named.
use std::net::{IpAddr, SocketAddr};

use rserpool_machine::Protocol;
use rserpool_transport::{Interface, Multicast, MulticastConfig, TransportError};
use rserpool_wire::Dialect;
use tracing::info;

/// The UDP port of server announcements (RFC 5352 §8.2).
const ASAP_PORT: u16 = 3863;
/// The UDP port of the ENRP server channel.
const ENRP_PORT: u16 = 9901;

/// Joins the groups of `protocol` on each of `interfaces`: the IPv4 group, and the IPv6 group where the host has IPv6. What is
/// sent leaves from `source_port`, or from the group's port.
pub(crate) fn join(
    interfaces: &[String],
    protocol: Protocol,
    dialect: Dialect,
    source_port: Option<u16>,
) -> Result<Vec<Multicast>, TransportError> {
    let (port, (v4, v6)) = match protocol {
        Protocol::Asap => (ASAP_PORT, dialect.asap_groups()),
        Protocol::Enrp => (ENRP_PORT, dialect.enrp_groups()),
    };
    let mut groups = Vec::new();
    for interface in interfaces {
        let interface_name = Interface::Name(interface.clone());
        let config = MulticastConfig { interface: interface_name, source_port, ..MulticastConfig::default() };
        groups.push(Multicast::join(SocketAddr::new(IpAddr::V4(v4), port), &config)?);
        match Multicast::join(SocketAddr::new(IpAddr::V6(v6), port), &config) {
            Ok(group) => groups.push(group),
            Err(error) => info!(interface, %error, "announcements over IPv4 only"),
        }
    }
    Ok(groups)
}
