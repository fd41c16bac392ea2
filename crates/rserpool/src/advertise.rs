//! Which address to announce where all are listened on: the one from which the other side is reached. It may be another one
//! tomorrow.
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use rserpool_machine::{Endpoint, Scheme};
use rserpool_transport::Multicast;
use rserpool_wire::Transport;

use crate::error::StartError;

/// The other side.
#[derive(Clone, Copy)]
pub(crate) enum Toward<'a> {
    /// Somebody whose endpoint is known.
    Endpoint(&'a Endpoint),
    /// Whoever is in a multicast group.
    Group(&'a Multicast),
    /// Nobody in particular.
    Anybody,
}

impl<'a> Toward<'a> {
    /// The first of `endpoints`, otherwise those in the first of `groups`.
    pub(crate) fn first_of(endpoints: &'a [Endpoint], groups: &'a [Multicast]) -> Self {
        let group = || groups.first().map_or(Self::Anybody, Self::Group);
        endpoints.first().map_or_else(group, Self::Endpoint)
    }

    /// The address that packets to it leave from; `None` where that cannot be said.
    fn reached_from(self) -> Option<io::Result<IpAddr>> {
        match self {
            Self::Endpoint(endpoint) => endpoint.socket_addresses().next().flatten().map(source_address),
            Self::Group(group) => Some(group.source()),
            Self::Anybody => None,
        }
    }
}

/// How an element is reached, as it listens.
#[derive(Clone)]
pub(crate) struct Listening {
    /// By users.
    pub(crate) transport: Transport,
    /// By registrars, if at all.
    pub(crate) asap: Option<Endpoint>,
    /// The address to announce where all are listened on.
    pub(crate) chosen: Option<IpAddr>,
}

impl Listening {
    /// What to announce now to registrars at `toward`: the transport for users, and that for registrars.
    pub(crate) fn announced(&self, toward: Toward<'_>) -> Result<(Transport, Option<Transport>), StartError> {
        let mut transport = self.transport.clone();
        match &mut transport {
            Transport::Tcp(address) | Transport::Udp(address) | Transport::UdpLite(address) => {
                let announced = endpoint(&Endpoint::tcp(*address), self.chosen, toward)?;
                if let Some(announced) = announced.socket_addresses().next().flatten() {
                    *address = announced;
                }
            }
            Transport::Sctp { addresses, port, .. } => {
                let listening = addresses.iter().map(|ip| SocketAddr::new(*ip, *port));
                if let Some(listening) = Endpoint::multi_homed(Scheme::Sctp, listening) {
                    let announced = endpoint(&listening, self.chosen, toward)?;
                    *addresses = announced.socket_addresses().flatten().map(|address| address.ip()).collect();
                }
            }
            Transport::Dccp { .. } | Transport::Opaque(_) => {}
        }
        let asap = self.asap.as_ref().map(|asap| endpoint(asap, self.chosen, toward)).transpose()?;
        Ok((transport, asap.and_then(|asap| asap.to_transport())))
    }
}

/// The endpoint to announce for `listening`: as it is where it has an address, with `chosen` where that is given, otherwise
/// with the address from which `toward` is reached.
pub(crate) fn endpoint(
    listening: &Endpoint,
    chosen: Option<IpAddr>,
    toward: Toward<'_>,
) -> Result<Endpoint, StartError> {
    let addresses: Option<Vec<_>> = listening.socket_addresses().collect();
    match addresses.as_deref() {
        Some([single]) => {
            let ip = match chosen {
                Some(ip) => ip,
                None => address(single.ip(), toward)
                    .map_err(|source| StartError::Advertise { endpoint: listening.clone(), source })?,
            };
            Ok(Endpoint::new(listening.scheme(), SocketAddr::new(ip, single.port())))
        }
        _ => Ok(listening.clone()),
    }
}

/// All addresses of this host, with those of IPv6 where the other side is reached from one.
pub(crate) fn everywhere(toward: Toward<'_>) -> IpAddr {
    match toward.reached_from() {
        Some(Ok(IpAddr::V6(_))) => Ipv6Addr::UNSPECIFIED.into(),
        _ => Ipv4Addr::UNSPECIFIED.into(),
    }
}

/// `listening` unless it stands for all addresses; then the one from which `toward` is reached, or this host's main one.
pub(crate) fn address(listening: IpAddr, toward: Toward<'_>) -> io::Result<IpAddr> {
    if !listening.is_unspecified() {
        return Ok(listening);
    }
    if let Some(address) = toward.reached_from() {
        let address = address?;
        // Who listens on all IPv4 addresses is not reached at one of IPv6.
        if address.is_ipv6() && listening.is_ipv4() {
            let message = format!("registrars are reached from {address}, which is not an IPv4 address");
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, message));
        }
        return Ok(address);
    }
    // Documentation addresses: routed like any other, so the default route decides; nothing is sent.
    let v4 = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9));
    let v6 = SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9));
    let order = if listening.is_ipv4() { [v4, v4] } else { [v6, v4] };
    // Without any route there is nobody to reach but this host itself.
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Ok(order.into_iter().find_map(|target| source_address(target).ok()).unwrap_or(loopback))
}

/// The address that packets to `target` leave from. Connecting a datagram socket looks up the route and sends nothing.
fn source_address(target: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr =
        if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_becomes_the_one_that_reaches_the_other_side() {
        let listening: Endpoint = "tcp://0.0.0.0:7000".parse().expect("an endpoint");
        let toward: Endpoint = "tcp://127.0.0.1:9".parse().expect("an endpoint");
        let announced = endpoint(&listening, None, Toward::Endpoint(&toward)).expect("loopback has a route");
        assert_eq!(announced.to_string(), "tcp://127.0.0.1:7000");
    }

    #[test]
    fn who_listens_on_ipv4_alone_is_not_announced_with_an_address_of_ipv6() {
        let listening: Endpoint = "tcp://0.0.0.0:7000".parse().expect("an endpoint");
        let toward: Endpoint = "tcp://[::1]:9".parse().expect("an endpoint");
        if Toward::Endpoint(&toward).reached_from().is_none_or(|address| address.is_err()) {
            return; // This machine has no IPv6.
        }
        assert_eq!(everywhere(Toward::Endpoint(&toward)), IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        let error = endpoint(&listening, None, Toward::Endpoint(&toward)).expect_err("nobody listens there");
        assert!(error.to_string().contains("0.0.0.0:7000"), "{error}");
        let chosen = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)));
        let announced = endpoint(&listening, chosen, Toward::Endpoint(&toward)).expect("it was said");
        assert_eq!(announced.to_string(), "tcp://192.0.2.9:7000");
    }

    #[test]
    fn a_given_address_is_announced_as_it_is() {
        let listening: Endpoint = "tcp://127.0.0.2:7000".parse().expect("an endpoint");
        assert_eq!(endpoint(&listening, None, Toward::Anybody).expect("no look-up"), listening);
        let chosen = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)));
        let announced = endpoint(&listening, chosen, Toward::Anybody).expect("no look-up");
        assert_eq!(announced.to_string(), "tcp://192.0.2.9:7000");
    }
}
