//! Transport parameters: where and how an element or a registrar can be reached (RFC 5354 §3.3 to §3.7, §3.16).
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::cause::ErrorCause;
use crate::error::{DecodeError, DecodeReason, EncodeError};
use crate::parameter::{Parameter, ParameterType, Parameters};
use crate::reader::Reader;
use crate::writer::Writer;

/// Whether an SCTP transport carries user data alone or ASAP's control channel too (RFC 5354 §3.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u16)]
pub enum TransportUse {
    /// User data alone. All other transports are always this.
    #[default]
    DataOnly = 0,
    /// User data, and ASAP messages between user and element (cookies, business cards).
    DataAndControl = 1,
}

/// The transport protocol of a [`Transport`]: what all elements of a pool must have in common (RFC 5352 §3.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum TransportKind {
    Dccp,
    Sctp,
    Tcp,
    Udp,
    UdpLite,
    Opaque,
}

/// One transport parameter.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Transport {
    /// Datagram Congestion Control Protocol (§3.3).
    Dccp {
        /// Address and port.
        address: SocketAddr,
        /// The DCCP service code.
        service_code: u32,
    },
    /// Stream Control Transmission Protocol (§3.4).
    Sctp {
        /// The port, common to all addresses.
        port: u16,
        /// Data only, or data and control.
        transport_use: TransportUse,
        /// One or more addresses.
        addresses: Vec<IpAddr>,
    },
    /// Transmission Control Protocol (§3.5).
    Tcp(SocketAddr),
    /// User Datagram Protocol (§3.6).
    Udp(SocketAddr),
    /// UDP-Lite (§3.7).
    UdpLite(SocketAddr),
    /// Anything else, of meaning to the application alone (§3.16).
    Opaque(Box<[u8]>),
}

impl Transport {
    /// The transport protocol.
    #[must_use]
    pub const fn kind(&self) -> TransportKind {
        match self {
            Self::Dccp { .. } => TransportKind::Dccp,
            Self::Sctp { .. } => TransportKind::Sctp,
            Self::Tcp(_) => TransportKind::Tcp,
            Self::Udp(_) => TransportKind::Udp,
            Self::UdpLite(_) => TransportKind::UdpLite,
            Self::Opaque(_) => TransportKind::Opaque,
        }
    }

    /// The data/control configuration; `DataOnly` for everything but SCTP.
    #[must_use]
    pub const fn transport_use(&self) -> TransportUse {
        match self {
            Self::Sctp { transport_use, .. } => *transport_use,
            _ => TransportUse::DataOnly,
        }
    }

    /// The port; 0 for an opaque transport.
    #[must_use]
    pub const fn port(&self) -> u16 {
        match self {
            Self::Sctp { port, .. } => *port,
            Self::Dccp { address, .. } | Self::Tcp(address) | Self::Udp(address) | Self::UdpLite(address) => {
                address.port()
            }
            Self::Opaque(_) => 0,
        }
    }

    /// The first address, with the port.
    #[must_use]
    pub fn socket_address(&self) -> Option<SocketAddr> {
        self.socket_addresses().next()
    }

    /// Every address, with the port.
    pub fn socket_addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let (single, port, many) = match self {
            Self::Sctp { port, addresses, .. } => (None, *port, addresses.as_slice()),
            Self::Dccp { address, .. } | Self::Tcp(address) | Self::Udp(address) | Self::UdpLite(address) => {
                (Some(*address), 0, [].as_slice())
            }
            Self::Opaque(_) => (None, 0, [].as_slice()),
        };
        single.into_iter().chain(many.iter().map(move |ip| SocketAddr::new(*ip, port)))
    }

    pub(crate) const fn parameter_type(&self) -> ParameterType {
        match self {
            Self::Dccp { .. } => ParameterType::DCCP_TRANSPORT,
            Self::Sctp { .. } => ParameterType::SCTP_TRANSPORT,
            Self::Tcp(_) => ParameterType::TCP_TRANSPORT,
            Self::Udp(_) => ParameterType::UDP_TRANSPORT,
            Self::UdpLite(_) => ParameterType::UDP_LITE_TRANSPORT,
            Self::Opaque(_) => ParameterType::OPAQUE_TRANSPORT,
        }
    }

    pub(crate) fn read<'a>(
        parameter: &Parameter<'a>,
        unrecognized: &mut Vec<ErrorCause<'a>>,
    ) -> Result<Self, DecodeError> {
        parameter.read(|value| {
            Ok(match parameter.parameter {
                ParameterType::DCCP_TRANSPORT => {
                    let port = read_port(value)?;
                    let service_code = value.u32()?;
                    Self::Dccp {
                        address: SocketAddr::new(read_address(value, unrecognized)?, port),
                        service_code,
                    }
                }
                ParameterType::SCTP_TRANSPORT => {
                    let port = value.u16()?;
                    let at = value.offset();
                    let transport_use = match value.u16()? {
                        0 => TransportUse::DataOnly,
                        1 => TransportUse::DataAndControl,
                        _ => {
                            let reason = DecodeReason::InvalidValue("Transport Use is neither 0 nor 1");
                            return Err(DecodeError::new(at, reason));
                        }
                    };
                    let addresses = read_addresses(value, unrecognized)?;
                    Self::Sctp { port, transport_use, addresses }
                }
                ParameterType::OPAQUE_TRANSPORT => Self::Opaque(value.take_rest().into()),
                single => {
                    let port = read_port(value)?;
                    let address = SocketAddr::new(read_address(value, unrecognized)?, port);
                    match single {
                        ParameterType::TCP_TRANSPORT => Self::Tcp(address),
                        ParameterType::UDP_TRANSPORT => Self::Udp(address),
                        ParameterType::UDP_LITE_TRANSPORT => Self::UdpLite(address),
                        _ => return Err(parameter.unexpected()),
                    }
                }
            })
        })
    }

    /// Writes the transport where ASAP or ENRP is to run over it.
    pub(crate) fn write_for_registrars(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        if !self.parameter_type().leads_to_registrars() {
            return Err(EncodeError::NotForRegistrars(self.kind()));
        }
        self.write(writer)
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.parameter(self.parameter_type(), |writer| match self {
            Self::Dccp { address, service_code } => {
                writer.u16(address.port());
                writer.u16(0);
                writer.u32(*service_code);
                write_address(writer, address.ip())
            }
            Self::Sctp { port, transport_use, addresses } => {
                writer.u16(*port);
                writer.u16(*transport_use as u16);
                if addresses.is_empty() {
                    return Err(EncodeError::NoAddress);
                }
                addresses.iter().try_for_each(|ip| write_address(writer, *ip))
            }
            Self::Tcp(address) | Self::Udp(address) | Self::UdpLite(address) => {
                writer.u16(address.port());
                writer.u16(0);
                write_address(writer, address.ip())
            }
            Self::Opaque(data) => {
                writer.bytes(data);
                Ok(())
            }
        })
    }
}

/// TCP at this address.
impl From<SocketAddr> for Transport {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// Prints as a URL, such as `tcp://192.0.2.1:80` or `sctp://192.0.2.1:7,[2001:db8::1]:7`.
impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dccp { .. } => "dccp://",
            Self::Sctp { .. } => "sctp://",
            Self::Tcp(_) => "tcp://",
            Self::Udp(_) => "udp://",
            Self::UdpLite(_) => "udplite://",
            Self::Opaque(data) => {
                f.write_str("opaque:")?;
                return data.iter().try_for_each(|byte| write!(f, "{byte:02x}"));
            }
        })?;
        for (i, address) in self.socket_addresses().enumerate() {
            let separator = if i == 0 { "" } else { "," };
            write!(f, "{separator}{address}")?;
        }
        Ok(())
    }
}

/// A port and the reserved field behind it, which the receiver ignores.
fn read_port(value: &mut Reader<'_>) -> Result<u16, DecodeError> {
    let port = value.u16()?;
    value.u16()?;
    Ok(port)
}

/// The addresses up to the end of the transport parameter: at least one.
fn read_addresses<'a>(
    value: &mut Reader<'a>,
    unrecognized: &mut Vec<ErrorCause<'a>>,
) -> Result<Vec<IpAddr>, DecodeError> {
    let mut parameters = Parameters::new(*value);
    value.take_rest();
    let mut addresses = Vec::with_capacity(1);
    while let Some(parameter) = parameters.next(unrecognized)? {
        addresses.push(match parameter.parameter {
            ParameterType::IPV4_ADDRESS => IpAddr::V4(Ipv4Addr::from(parameter.read(Reader::octets)?)),
            ParameterType::IPV6_ADDRESS => IpAddr::V6(Ipv6Addr::from(parameter.read(Reader::octets)?)),
            _ => return Err(parameter.unexpected()),
        });
    }
    if addresses.is_empty() {
        return Err(parameters.missing(ParameterType::IPV4_ADDRESS));
    }
    Ok(addresses)
}

/// The one address that the transports other than SCTP have.
fn read_address<'a>(
    value: &mut Reader<'a>,
    unrecognized: &mut Vec<ErrorCause<'a>>,
) -> Result<IpAddr, DecodeError> {
    let offset = value.offset();
    match read_addresses(value, unrecognized)?.as_slice() {
        [address] => Ok(*address),
        _ => Err(DecodeError::new(offset, DecodeReason::InvalidValue("more than one address"))),
    }
}

fn write_address(writer: &mut Writer<'_>, address: IpAddr) -> Result<(), EncodeError> {
    match address {
        IpAddr::V4(v4) => writer.parameter(ParameterType::IPV4_ADDRESS, |writer| {
            writer.bytes(&v4.octets());
            Ok(())
        }),
        IpAddr::V6(v6) => writer.parameter(ParameterType::IPV6_ADDRESS, |writer| {
            writer.bytes(&v6.octets());
            Ok(())
        }),
    }
}
