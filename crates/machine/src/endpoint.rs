//! Where to connect to and where to listen, written as a URL: `tcp://host:port`, `tls://host:port`,
//! `sctp://a:port,b:port`, `sctp+tls://…`. Host names are for the driver to look up.
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use rserpool_wire::{Transport, TransportUse};

/// The transport of a link, the part of the URL before `://`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scheme {
    /// `tcp`
    Tcp,
    /// `tls`: TLS over TCP.
    Tls,
    /// `sctp`
    Sctp,
    /// `sctp+tls`: TLS over SCTP (RFC 3436).
    SctpTls,
}

impl Scheme {
    /// Whether links are authenticated and encrypted.
    #[must_use]
    pub const fn is_secured(self) -> bool {
        matches!(self, Self::Tls | Self::SctpTls)
    }

    /// The scheme as it stands in a URL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Sctp => "sctp",
            Self::SctpTls => "sctp+tls",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An address, or a name to look up.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Host {
    /// An IPv4 or IPv6 address.
    Address(IpAddr),
    /// A DNS name.
    Name(Box<str>),
}

/// A host and a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Authority {
    /// The host.
    pub host: Host,
    /// The port; 0 asks for any free one where it is listened on.
    pub port: u16,
}

/// A place to connect to or to listen on.
///
/// ```
/// use rserpool_machine::Endpoint;
/// let endpoint: Endpoint = "tcp://[2001:db8::1]:3863".parse()?;
/// assert_eq!(endpoint.to_string(), "tcp://[2001:db8::1]:3863");
/// assert!("10.0.0.1:3863".parse::<Endpoint>().is_err());
/// # Ok::<(), rserpool_machine::ParseEndpointError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    scheme: Scheme,
    /// At least one; more than one for SCTP only.
    authorities: Vec<Authority>,
}

impl Endpoint {
    /// The endpoint with this scheme and address.
    #[must_use]
    pub fn new(scheme: Scheme, address: SocketAddr) -> Self {
        let authority = Authority { host: Host::Address(address.ip()), port: address.port() };
        Self { scheme, authorities: vec![authority] }
    }

    /// The endpoint with this scheme, host and port.
    #[must_use]
    pub fn of_host(scheme: Scheme, host: Host, port: u16) -> Self {
        Self { scheme, authorities: vec![Authority { host, port }] }
    }

    /// The endpoint with all these addresses, which have one port in common; `None` without an address. Only SCTP has
    /// several.
    #[must_use]
    pub fn multi_homed(scheme: Scheme, addresses: impl IntoIterator<Item = SocketAddr>) -> Option<Self> {
        let of = |address: SocketAddr| Authority { host: Host::Address(address.ip()), port: address.port() };
        let authorities: Vec<_> = addresses.into_iter().map(of).collect();
        (!authorities.is_empty()).then_some(Self { scheme, authorities })
    }

    /// `tcp://` and this address.
    #[must_use]
    pub fn tcp(address: SocketAddr) -> Self {
        Self::new(Scheme::Tcp, address)
    }

    /// Where a registrar or element that announced `transport` can be reached; `secured` says whether the scope uses TLS,
    /// which the transport parameters of RFC 5354 cannot say. `None` for transports that no link runs over, and without
    /// an address or a port.
    #[must_use]
    pub fn from_transport(transport: &Transport, secured: bool) -> Option<Self> {
        let scheme = match (transport, secured) {
            (Transport::Tcp(_), false) => Scheme::Tcp,
            (Transport::Tcp(_), true) => Scheme::Tls,
            (Transport::Sctp { .. }, false) => Scheme::Sctp,
            (Transport::Sctp { .. }, true) => Scheme::SctpTls,
            _ => return None,
        };
        let authorities: Vec<_> = transport
            .socket_addresses()
            .map(|address| Authority { host: Host::Address(address.ip()), port: address.port() })
            .collect();
        (!authorities.is_empty() && transport.port() != 0).then_some(Self { scheme, authorities })
    }

    /// The transport parameter that announces this endpoint; `None` while it has a name or port 0 in it.
    #[must_use]
    pub fn to_transport(&self) -> Option<Transport> {
        let addresses: Option<Vec<_>> = self.socket_addresses().collect();
        let addresses = addresses?;
        let first = addresses.first().filter(|first| first.port() != 0)?;
        Some(match self.scheme {
            Scheme::Tcp | Scheme::Tls => Transport::Tcp(*first),
            Scheme::Sctp | Scheme::SctpTls => Transport::Sctp {
                port: first.port(),
                transport_use: TransportUse::DataOnly,
                addresses: addresses.iter().map(SocketAddr::ip).collect(),
            },
        })
    }

    /// The transport.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The hosts and ports: at least one.
    #[must_use]
    pub fn authorities(&self) -> &[Authority] {
        &self.authorities
    }

    /// The port, common to all hosts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.authorities.first().map_or(0, |authority| authority.port)
    }

    /// The addresses, with `None` for each host that is a name.
    pub fn socket_addresses(&self) -> impl Iterator<Item = Option<SocketAddr>> + '_ {
        self.authorities.iter().map(|authority| match authority.host {
            Host::Address(ip) => Some(SocketAddr::new(ip, authority.port)),
            Host::Name(_) => None,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        for (i, Authority { host, port }) in self.authorities.iter().enumerate() {
            let separator = if i == 0 { "" } else { "," };
            match host {
                Host::Address(ip) => write!(f, "{separator}{}", SocketAddr::new(*ip, *port))?,
                Host::Name(name) => write!(f, "{separator}{name}:{port}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

/// A text that is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no endpoint: {why}; write tcp://HOST:PORT, sctp://HOST:PORT,HOST:PORT, or with TLS tls:// and sctp+tls://"
)]
pub struct ParseEndpointError {
    text: String,
    why: &'static str,
}

impl FromStr for Endpoint {
    type Err = ParseEndpointError;

    fn from_str(text: &str) -> Result<Self, ParseEndpointError> {
        parse(text).map_err(|why| ParseEndpointError { text: text.to_owned(), why })
    }
}

impl TryFrom<&str> for Endpoint {
    type Error = ParseEndpointError;
    fn try_from(text: &str) -> Result<Self, ParseEndpointError> {
        text.parse()
    }
}

impl TryFrom<String> for Endpoint {
    type Error = ParseEndpointError;
    fn try_from(text: String) -> Result<Self, ParseEndpointError> {
        text.parse()
    }
}

fn parse(text: &str) -> Result<Endpoint, &'static str> {
    let (scheme, hosts) = text.split_once("://").ok_or("it has no scheme")?;
    let scheme = match scheme {
        "tcp" => Scheme::Tcp,
        "tls" => Scheme::Tls,
        "sctp" => Scheme::Sctp,
        "sctp+tls" => Scheme::SctpTls,
        _ => return Err("its scheme is none of tcp, tls, sctp and sctp+tls"),
    };
    let authorities = hosts.split(',').map(parse_authority).collect::<Result<Vec<_>, _>>()?;
    if authorities.len() > 1 && matches!(scheme, Scheme::Tcp | Scheme::Tls) {
        return Err("only SCTP can have several addresses");
    }
    if authorities.windows(2).any(|pair| matches!(pair, [a, b] if a.port != b.port)) {
        return Err("all its addresses must have the same port");
    }
    Ok(Endpoint { scheme, authorities })
}

fn parse_authority(text: &str) -> Result<Authority, &'static str> {
    if let Ok(address) = text.parse::<SocketAddr>()
        && !text.contains('%')
    {
        return Ok(Authority { host: Host::Address(address.ip()), port: address.port() });
    }
    let (name, port) = text.rsplit_once(':').ok_or("it has no port")?;
    // A sign would be taken for part of a number.
    let port = port
        .parse()
        .ok()
        .filter(|_| !port.starts_with('+'))
        .ok_or("its port is no number from 0 to 65535")?;
    let labels =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-._".contains(c));
    if name.contains('%') {
        return Err(
            "its address has a zone (%), which means nothing to others: write one that is valid beyond its link",
        );
    }
    if !labels(name) {
        return Err("its host is neither an address nor a name (IPv6 addresses stand in [brackets])");
    }
    Ok(Authority { host: Host::Name(name.into()), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_read_back_from_what_they_print() {
        for text in [
            "tcp://10.0.0.1:3863",
            "tls://[2001:db8::1]:3864",
            "tcp://registrar.example:3863",
            "sctp://10.0.0.1:3863,[2001:db8::1]:3863",
            "sctp+tls://127.0.0.1:0",
        ] {
            assert_eq!(text.parse::<Endpoint>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_wrong_endpoint_says_what_is_right() {
        for text in [
            "10.0.0.1:3863",
            "http://a:1",
            "tcp://a",
            "tcp://a:b",
            "tcp://a:70000",
            "tcp://a:+1",
            "sctp://10.0.0.1:+193",
            "tcp://:1",
            "tcp://::1:1",
            "tcp://[fe80::1%eth0]:1",
            "tcp://[fe80::1%2]:1",
            "tcp://a:1,b:1",
            "sctp://a:1,b:2",
            "",
        ] {
            let error = text.parse::<Endpoint>().expect_err(text);
            assert!(error.to_string().contains("tcp://HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn an_endpoint_is_the_endpoint_of_its_transport() {
        let endpoint: Endpoint = "sctp://10.0.0.1:7,10.1.0.1:7".parse().expect("an endpoint");
        let transport = endpoint.to_transport().expect("addresses");
        assert_eq!(Endpoint::from_transport(&transport, false), Some(endpoint));
        assert_eq!("tcp://name:1".parse::<Endpoint>().expect("an endpoint").to_transport(), None);
    }
}
