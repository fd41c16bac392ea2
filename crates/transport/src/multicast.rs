//! Membership in a multicast group, for server announcements and the ENRP server channel (RFC 5352 §3.6,
//! RFC 5353 §3.1). Datagrams are hints from anybody: they may get lost, be repeated, or be lies.
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::BytesMut;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::error::TransportError;

/// The longest datagram.
const MAX_DATAGRAM: usize = 65_535;

/// A network interface.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Interface {
    /// The one that the system's routes choose.
    #[default]
    Any,
    /// The one with this index.
    Index(u32),
    /// The one with this name, such as `eth0` (Linux; elsewhere give the index).
    Name(String),
}

/// How to take part in a multicast group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MulticastConfig {
    /// Where to join and to send. Default: what the system's routes choose.
    pub interface: Interface,
    /// How many routers a datagram may pass, itself included: 1, the default, stays in the local network. More reaches
    /// further where routers forward multicast.
    pub hops: u8,
    /// Whether other members on this host, and this one too, hear what is sent. Default `true`.
    pub loopback: bool,
    /// The port to send from; `None`, the default, is the group's. The reference implementation takes the source port of an
    /// announcement for the registrar's ASAP port: give that port where it is another.
    pub source_port: Option<u16>,
}

impl Default for MulticastConfig {
    fn default() -> Self {
        Self { interface: Interface::Any, hops: 1, loopback: true, source_port: None }
    }
}

/// Membership in a multicast group, until dropped.
pub struct Multicast {
    group: SocketAddr,
    /// The interface; 0 for any.
    index: u32,
    receiver: UdpSocket,
    /// Set where the source port is not the group's.
    sender: Option<UdpSocket>,
}

impl Multicast {
    /// Joins `group`; others on this host may be members as well. To be called in a tokio runtime.
    ///
    /// # Errors
    /// When there is no such interface, it cannot do multicast, or the address is no multicast group.
    pub fn join(group: SocketAddr, config: &MulticastConfig) -> Result<Self, TransportError> {
        let index = index_of(&config.interface)?;
        let failed = |action| move |source| TransportError::Multicast { group, action, source };
        if !group.ip().is_multicast() {
            return Err(failed("join it")(io::Error::other("this is no multicast address")));
        }
        let receiver = receiver(group, index, config).map_err(failed("join it"))?;
        let sender = match config.source_port.filter(|port| *port != group.port()) {
            Some(port) => Some(sender(group, port, index, config).map_err(failed("bind the source port"))?),
            None => None,
        };
        Ok(Self { group, index, receiver, sender })
    }

    /// The group.
    #[must_use]
    pub const fn group(&self) -> SocketAddr {
        self.group
    }

    /// The address of this host that messages to the group leave from. Nothing is sent.
    ///
    /// # Errors
    /// When there is no route to the group.
    pub fn source(&self) -> io::Result<IpAddr> {
        let socket = open(self.group)?;
        set_sending(&socket, self.group.ip(), self.index, &MulticastConfig::default())?;
        socket.connect(&scoped(self.group, self.index).into())?;
        let address = socket.local_addr()?.as_socket();
        address.map(|address| address.ip()).ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    /// Sends one message to the group.
    ///
    /// # Errors
    /// When there is no route to the group, or the datagram is too long. The membership goes on.
    pub async fn send(&self, bytes: &[u8]) -> Result<(), TransportError> {
        let socket = self.sender.as_ref().unwrap_or(&self.receiver);
        match socket.send_to(bytes, self.group).await {
            Ok(_) => Ok(()),
            Err(source) => Err(TransportError::Multicast { group: self.group, action: "send", source }),
        }
    }

    /// Waits for the next datagram, which replaces what `buffer` holds; returns who seems to have sent it.
    ///
    /// # Errors
    /// When the system says so; the membership goes on.
    pub async fn recv(&self, buffer: &mut BytesMut) -> Result<SocketAddr, TransportError> {
        buffer.clear();
        buffer.reserve(MAX_DATAGRAM);
        match self.receiver.recv_buf_from(buffer).await {
            Ok((_, source)) => Ok(source),
            Err(source) => Err(TransportError::Multicast { group: self.group, action: "receive", source }),
        }
    }
}

fn receiver(group: SocketAddr, index: u32, config: &MulticastConfig) -> io::Result<UdpSocket> {
    let socket = open(group)?;
    match group.ip() {
        IpAddr::V4(v4) => socket.join_multicast_v4_n(&v4, &InterfaceIndexOrAddress::Index(index))?,
        IpAddr::V6(v6) => socket.join_multicast_v6(&v6, index)?,
    }
    // Without this, Linux delivers datagrams of every group that anybody on the host has joined.
    #[cfg(target_os = "linux")]
    match group.ip() {
        IpAddr::V4(_) => socket.set_multicast_all_v4(false)?,
        IpAddr::V6(_) => socket.set_multicast_all_v6(false)?,
    }
    set_sending(&socket, group.ip(), index, config)?;
    // Bound to the group, the socket hears nothing else; Windows refuses that.
    let address = if cfg!(windows) { unspecified(group, group.port()) } else { scoped(group, index) };
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

fn sender(group: SocketAddr, port: u16, index: u32, config: &MulticastConfig) -> io::Result<UdpSocket> {
    let socket = open(group)?;
    set_sending(&socket, group.ip(), index, config)?;
    socket.bind(&unspecified(group, port).into())?;
    UdpSocket::from_std(socket.into())
}

/// A datagram socket that lets others on this host use the same port.
fn open(group: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
    socket.set_reuse_port(true)?;
    if group.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn set_sending(socket: &Socket, group: IpAddr, index: u32, config: &MulticastConfig) -> io::Result<()> {
    match group {
        IpAddr::V4(_) => {
            socket.set_multicast_ttl_v4(config.hops.into())?;
            socket.set_multicast_loop_v4(config.loopback)?;
            set_interface_v4(socket, index)
        }
        IpAddr::V6(_) => {
            socket.set_multicast_hops_v6(config.hops.into())?;
            socket.set_multicast_loop_v6(config.loopback)?;
            socket.set_multicast_if_v6(index)
        }
    }
}

/// A link-local group is one per interface, so its address names the interface.
fn scoped(group: SocketAddr, index: u32) -> SocketAddr {
    match group {
        SocketAddr::V6(mut v6) if index != 0 => {
            v6.set_scope_id(index);
            v6.into()
        }
        other => other,
    }
}

fn unspecified(group: SocketAddr, port: u16) -> SocketAddr {
    match group {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, port).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, port).into(),
    }
}

#[cfg(target_os = "linux")]
fn set_interface_v4(socket: &Socket, index: u32) -> io::Result<()> {
    let any = Ipv4Addr::UNSPECIFIED;
    Ok(rustix::net::sockopt::set_ip_multicast_if_with_ifindex(socket, &any, &any, index)?)
}

/// 0.0.0.INDEX is how the systems that take an address there spell an index.
#[cfg(not(target_os = "linux"))]
fn set_interface_v4(socket: &Socket, index: u32) -> io::Result<()> {
    socket.set_multicast_if_v4(&Ipv4Addr::from(index))
}

/// The index of `interface`, 0 for any.
fn index_of(interface: &Interface) -> Result<u32, TransportError> {
    match interface {
        Interface::Any => Ok(0),
        Interface::Index(index) => Ok(*index),
        Interface::Name(name) => {
            index_by_name(name).map_err(|source| TransportError::Interface { name: name.clone(), source })
        }
    }
}

#[cfg(target_os = "linux")]
fn index_by_name(name: &str) -> io::Result<u32> {
    // The kernel answers on any socket.
    let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    Ok(rustix::net::netdevice::name_to_index(&socket, name)?)
}

#[cfg(not(target_os = "linux"))]
fn index_by_name(_name: &str) -> io::Result<u32> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "names are known on Linux alone; give the index"))
}
