//! One association of a socket of either style: sending on it, its addresses, paths, settings and state.
use std::fmt;
use std::net::SocketAddr;

use crate::address;
use crate::descriptor::{Descriptor, To};
use crate::error::Error;
use crate::message::{AssocId, SendInfo};
use crate::notification;
use crate::options::{AssocParams, PathInfo, PathParams, RtoInfo, Status};
use crate::sys;
use crate::sys::layout::{Assocparams, bytes_of, split};
use crate::sys::layout::{Event, Getaddrs, Paddrinfo, Prim, Rtoinfo, Status as RawStatus};

/// An association, as seen through its socket. It is a name, not a possession: dropping it does nothing, and using it
/// after the association has ended yields an error.
///
/// ```no_run
/// # use std::time::Duration;
/// # use rserpool_sctp::{AssocId, PathParams, SctpSocket, SendInfo};
/// # async fn example(socket: SctpSocket, id: AssocId) -> Result<(), rserpool_sctp::Error> {
/// let association = socket.association(id);
/// association.send(&SendInfo::new(11), b"hello").await?;
///
/// // Find dead paths within a second or so.
/// let watchful =
///     PathParams { heartbeat: Some(Duration::from_millis(250)), max_retransmissions: 2, ..PathParams::default() };
/// association.set_path_params(None, &watchful)?;
/// for address in association.peer_addrs()? {
///     println!("{:?}", association.path_info(address)?);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Association<'a> {
    descriptor: &'a Descriptor,
    id: AssocId,
}

impl<'a> Association<'a> {
    pub(crate) fn new(descriptor: &'a Descriptor, id: AssocId) -> Self {
        Self { descriptor, id }
    }

    /// The kernel's name for it. On a one-to-one socket, which has no other association, it means nothing.
    pub fn id(&self) -> AssocId {
        self.id
    }

    /// Sends one message, once there is room for it in the send buffer. The kernel has taken all of it when this returns;
    /// if it is not delivered, it comes back as [`SendFailed`](crate::SendFailed).
    ///
    /// Dropping the future before it is ready sends nothing. Empty messages do not exist in SCTP.
    ///
    /// # Errors
    /// [`Error::MessageTooLong`], [`Error::NoAssociation`], or what the kernel says; a stream that was not agreed on is
    /// an [`Error::Io`].
    pub async fn send(&self, info: &SendInfo, bytes: &[u8]) -> Result<(), Error> {
        self.descriptor.send(To::Association(self.id), info, bytes).await
    }

    /// Sends one message if there is room in the send buffer now, and says whether.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn try_send(&self, info: &SendInfo, bytes: &[u8]) -> Result<bool, Error> {
        self.descriptor.try_send(To::Association(self.id), info, bytes)
    }

    /// The peer's addresses (`SCTP_GET_PEER_ADDRS`).
    ///
    /// # Errors
    /// What the kernel says, in particular if there is no such association.
    pub fn peer_addrs(&self) -> Result<Vec<SocketAddr>, Error> {
        addresses(self.descriptor, sys::SCTP_GET_PEER_ADDRS, self.id)
    }

    /// The addresses at this end (`SCTP_GET_LOCAL_ADDRS`).
    ///
    /// # Errors
    /// What the kernel says, in particular if there is no such association.
    pub fn local_addrs(&self) -> Result<Vec<SocketAddr>, Error> {
        addresses(self.descriptor, sys::SCTP_GET_LOCAL_ADDRS, self.id)
    }

    /// The state of the association (`SCTP_STATUS`).
    ///
    /// # Errors
    /// What the kernel says, in particular if there is no such association.
    pub fn status(&self) -> Result<Status, Error> {
        let ask = RawStatus { sstat_assoc_id: self.id.0, ..RawStatus::default() };
        self.option(libc::SCTP_STATUS, ask).map(|raw| Status::from_raw(&raw))
    }

    /// The state of the path to one of the peer's addresses (`SCTP_GET_PEER_ADDR_INFO`).
    ///
    /// # Errors
    /// What the kernel says, in particular if the peer does not have this address.
    pub fn path_info(&self, path: SocketAddr) -> Result<PathInfo, Error> {
        let spinfo_address = address::encode(Some(path));
        let ask = Paddrinfo { spinfo_assoc_id: self.id.0, spinfo_address, ..Paddrinfo::default() };
        let raw = self.option(libc::SCTP_GET_PEER_ADDR_INFO, ask)?;
        PathInfo::from_raw(&raw).ok_or(Error::NoAddress)
    }

    /// The peer's address that is sent to as long as it is reachable (`SCTP_PRIMARY_ADDR`).
    ///
    /// # Errors
    /// What the kernel says, in particular if there is no such association.
    pub fn primary_addr(&self) -> Result<SocketAddr, Error> {
        let ask = Prim { ssp_assoc_id: self.id.0, ..Prim::default() };
        let raw = self.option(libc::SCTP_PRIMARY_ADDR, ask)?;
        address::decode(&raw.ssp_addr.0).ok_or(Error::NoAddress)
    }

    /// Chooses the peer's address that is sent to as long as it is reachable (`SCTP_PRIMARY_ADDR`).
    ///
    /// # Errors
    /// What the kernel says, in particular if the peer does not have this address.
    pub fn set_primary_addr(&self, path: SocketAddr) -> Result<(), Error> {
        self.set_option(libc::SCTP_PRIMARY_ADDR, &self.prim(path))
    }

    /// Asks the peer to send to this address of ours as long as it is reachable (`SCTP_SET_PEER_PRIMARY_ADDR`, RFC 5061).
    ///
    /// # Errors
    /// What the kernel says, in particular if the extension is off (`net.sctp.addip_enable`) at either end.
    pub fn set_peer_primary_addr(&self, local: SocketAddr) -> Result<(), Error> {
        self.set_option(libc::SCTP_SET_PEER_PRIMARY_ADDR, &self.prim(local))
    }

    /// Its retransmission time-outs (`SCTP_RTOINFO`).
    ///
    /// # Errors
    /// What the kernel says, in particular if there is no such association.
    pub fn rto_info(&self) -> Result<RtoInfo, Error> {
        let ask = Rtoinfo { srto_assoc_id: self.id.0, ..Rtoinfo::default() };
        self.option(libc::SCTP_RTOINFO, ask).map(|raw| RtoInfo::from_raw(&raw))
    }

    /// Sets its retransmission time-outs (`SCTP_RTOINFO`).
    ///
    /// # Errors
    /// What the kernel says, in particular if the values are not in order.
    pub fn set_rto_info(&self, rto: &RtoInfo) -> Result<(), Error> {
        self.set_option(libc::SCTP_RTOINFO, &rto.to_raw(self.id.0))
    }

    /// When it fails (`SCTP_ASSOCINFO`).
    ///
    /// # Errors
    /// What the kernel says, in particular if there is no such association.
    pub fn params(&self) -> Result<AssocParams, Error> {
        let ask = Assocparams { sasoc_assoc_id: self.id.0, ..Assocparams::default() };
        self.option(libc::SCTP_ASSOCINFO, ask).map(|raw| AssocParams::from_raw(&raw))
    }

    /// Sets when it fails (`SCTP_ASSOCINFO`).
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_params(&self, params: &AssocParams) -> Result<(), Error> {
        self.set_option(libc::SCTP_ASSOCINFO, &params.to_raw(self.id.0))
    }

    /// How the path to one of the peer's addresses is watched; `None` for what new paths begin with
    /// (`SCTP_PEER_ADDR_PARAMS`).
    ///
    /// # Errors
    /// What the kernel says, in particular if the peer does not have this address.
    pub fn path_params(&self, path: Option<SocketAddr>) -> Result<PathParams, Error> {
        let ask = PathParams::query(self.id.0, path);
        self.option(libc::SCTP_PEER_ADDR_PARAMS, ask).map(|raw| PathParams::from_raw(&raw))
    }

    /// Sets how the path to one of the peer's addresses is watched; `None` for all of them (`SCTP_PEER_ADDR_PARAMS`).
    ///
    /// # Errors
    /// What the kernel says, in particular if the peer does not have this address.
    pub fn set_path_params(&self, path: Option<SocketAddr>, params: &PathParams) -> Result<(), Error> {
        self.set_option(libc::SCTP_PEER_ADDR_PARAMS, &params.to_raw(self.id.0, path))
    }

    /// Has a heartbeat sent to one of the peer's addresses now (`SPP_HB_DEMAND`).
    ///
    /// # Errors
    /// What the kernel says, in particular if the peer does not have this address.
    pub fn request_heartbeat(&self, path: SocketAddr) -> Result<(), Error> {
        self.set_option(libc::SCTP_PEER_ADDR_PARAMS, &PathParams::heartbeat_demand(self.id.0, path))
    }

    /// Whether to tell, as [`SenderDry`](crate::Notification::SenderDry), each time that all which was sent has been
    /// acknowledged. If that is so now, it is told at once.
    ///
    /// # Errors
    /// What the kernel says, in particular if there is no such association.
    pub fn subscribe_sender_dry(&self, on: bool) -> Result<(), Error> {
        let se_type = notification::SENDER_DRY_EVENT;
        let event = Event { se_assoc_id: self.id.0, se_type, se_on: on.into(), padding: 0 };
        self.set_option(sys::SCTP_EVENT, &event)
    }

    fn prim(&self, address: SocketAddr) -> Prim {
        Prim { ssp_assoc_id: self.id.0, ssp_addr: address::encode(Some(address)) }
    }

    fn option<T: sys::layout::Plain>(&self, option: libc::c_int, ask: T) -> Result<T, Error> {
        sys::option(self.descriptor.socket(), option, ask).map_err(Error::during(name(option)))
    }

    fn set_option<T: sys::layout::Plain>(&self, option: libc::c_int, value: &T) -> Result<(), Error> {
        sys::set_option(self.descriptor.socket(), option, value).map_err(Error::during(name(option)))
    }
}

impl fmt::Debug for Association<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Association").field(&self.id.0).finish()
    }
}

/// The addresses that an option lists: those of an association, or with [`AssocId::FUTURE`], of the socket.
pub(crate) fn addresses(
    descriptor: &Descriptor,
    option: libc::c_int,
    id: AssocId,
) -> Result<Vec<SocketAddr>, Error> {
    // Room for 32 addresses, more if that turns out to be too little.
    let mut room = 1 << 10;
    loop {
        let mut bytes = vec![0; room];
        let ask = Getaddrs { assoc_id: id.0, addr_num: 0 };
        for (to, from) in bytes.iter_mut().zip(bytes_of(&ask)) {
            *to = *from;
        }
        match sys::option_bytes(descriptor.socket(), option, &mut bytes) {
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && room < 1 << 20 => room *= 4,
            Err(error) => return Err(Error::new(name(option), error)),
            Ok(_) => {
                let (head, packed) = split::<Getaddrs>(&bytes).ok_or(Error::NoAddress)?;
                return Ok(address::unpack(packed, usize::try_from(head.addr_num).unwrap_or(usize::MAX)));
            }
        }
    }
}

/// What to call an option in an error.
fn name(option: libc::c_int) -> &'static str {
    match option {
        libc::SCTP_RTOINFO => "SCTP_RTOINFO",
        libc::SCTP_ASSOCINFO => "SCTP_ASSOCINFO",
        libc::SCTP_PRIMARY_ADDR => "SCTP_PRIMARY_ADDR",
        libc::SCTP_SET_PEER_PRIMARY_ADDR => "SCTP_SET_PEER_PRIMARY_ADDR",
        libc::SCTP_PEER_ADDR_PARAMS => "SCTP_PEER_ADDR_PARAMS",
        libc::SCTP_STATUS => "SCTP_STATUS",
        libc::SCTP_GET_PEER_ADDR_INFO => "SCTP_GET_PEER_ADDR_INFO",
        sys::SCTP_GET_PEER_ADDRS => "SCTP_GET_PEER_ADDRS",
        sys::SCTP_GET_LOCAL_ADDRS => "SCTP_GET_LOCAL_ADDRS",
        sys::SCTP_EVENT => "SCTP_EVENT",
        _ => "socket option",
    }
}
