//! The structures of `<linux/sctp.h>` that this crate exchanges with the kernel (RFC 6458 §5, §6 and §8).
//!
//! Fields are named as in C. Padding is spelt out as fields, so that no byte of a value is ever uninitialised; sizes and
//! offsets are checked when the crate is compiled.
use std::mem::{offset_of, size_of};

/// A structure that is nothing but its bytes.
///
/// # Safety
/// The type is `repr(C)`, has no padding, and every combination of bytes is a value of it.
pub(crate) unsafe trait Plain: Copy + Default {}

/// `struct sockaddr_storage`, as bytes: what is in it is read and written by `crate::address`.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct SockaddrStorage(pub(crate) [u8; 128]);

impl Default for SockaddrStorage {
    fn default() -> Self {
        Self([0; 128])
    }
}

/// Declares structures, and checks their size and the offsets of the fields where a compiler could differ from C.
macro_rules! structures {
    ($($(#[$attribute:meta])* $name:ident: $size:literal { $($field:ident: $type:ty $(= $offset:literal)?),* $(,)? })*) => {$(
        $(#[$attribute])*
        #[derive(Clone, Copy, Default)]
        pub(crate) struct $name {
            $(pub(crate) $field: $type,)*
        }

        const _: () = assert!(size_of::<$name>() == $size);
        const _: () = assert!(size_of::<$name>() == 0 $(+ size_of::<$type>())*, "padding that is not a field");
        $($(const _: () = assert!(offset_of!($name, $field) == $offset);)?)*

        // SAFETY: `repr(C)` by the attribute given with each structure; the fields are integers and arrays of bytes, of which
        // every combination is a value; that there is no padding between or after them is asserted above.
        unsafe impl Plain for $name {}
    )*};
}

// What goes with a message: RFC 6458 §5.3.
structures! {
    #[repr(C)]
    Sndinfo: 16 { snd_sid: u16, snd_flags: u16, snd_ppid: u32, snd_context: u32, snd_assoc_id: i32 }

    #[repr(C)]
    Rcvinfo: 28 {
        rcv_sid: u16, rcv_ssn: u16, rcv_flags: u16, padding: u16, rcv_ppid: u32 = 8, rcv_tsn: u32, rcv_cumtsn: u32,
        rcv_context: u32, rcv_assoc_id: i32 = 24,
    }

    #[repr(C)]
    Prinfo: 8 { pr_policy: u16, padding: u16, pr_value: u32 = 4 }
}

// Options: RFC 6458 §8.
structures! {
    #[repr(C)]
    Initmsg: 8 { sinit_num_ostreams: u16, sinit_max_instreams: u16, sinit_max_attempts: u16, sinit_max_init_timeo: u16 }

    #[repr(C)]
    Rtoinfo: 16 { srto_assoc_id: i32, srto_initial: u32, srto_max: u32, srto_min: u32 }

    #[repr(C)]
    Assocparams: 20 {
        sasoc_assoc_id: i32, sasoc_asocmaxrxt: u16 = 4, sasoc_number_peer_destinations: u16, sasoc_peer_rwnd: u32,
        sasoc_local_rwnd: u32, sasoc_cookie_life: u32 = 16,
    }

    /// Also `struct sctp_setpeerprim`, which has the same fields under other names.
    #[repr(C)]
    Prim: 132 { ssp_assoc_id: i32, ssp_addr: SockaddrStorage = 4 }

    /// The kernel packs this structure: `spp_pathmtu` and what follows are not aligned.
    #[repr(C, packed(2))]
    Paddrparams: 156 {
        spp_assoc_id: i32, spp_address: SockaddrStorage = 4, spp_hbinterval: u32 = 132, spp_pathmaxrxt: u16 = 136,
        spp_pathmtu: u32 = 138, spp_sackdelay: u32 = 142, spp_flags: u32 = 146, spp_ipv6_flowlabel: u32 = 150,
        spp_dscp: u8 = 154, padding: u8,
    }

    #[repr(C)]
    Paddrinfo: 152 {
        spinfo_assoc_id: i32, spinfo_address: SockaddrStorage = 4, spinfo_state: i32 = 132, spinfo_cwnd: u32 = 136,
        spinfo_srtt: u32 = 140, spinfo_rto: u32 = 144, spinfo_mtu: u32 = 148,
    }

    #[repr(C)]
    Status: 176 {
        sstat_assoc_id: i32, sstat_state: i32 = 4, sstat_rwnd: u32 = 8, sstat_unackdata: u16 = 12, sstat_penddata: u16,
        sstat_instrms: u16 = 16, sstat_outstrms: u16, sstat_fragmentation_point: u32 = 20, sstat_primary: Paddrinfo = 24,
    }

    #[repr(C)]
    Event: 8 { se_assoc_id: i32, se_type: u16 = 4, se_on: u8 = 6, padding: u8 }

    /// The head of `struct sctp_getaddrs`; packed socket addresses follow.
    #[repr(C)]
    Getaddrs: 8 { assoc_id: i32, addr_num: u32 = 4 }

    /// `sctp_peeloff_flags_arg_t`.
    #[repr(C)]
    PeeloffFlags: 12 { associd: i32, sd: i32, flags: u32 }
}

// Notifications: RFC 6458 §6.1.
structures! {
    /// What all notifications begin with: `struct sctp_tlv`.
    #[repr(C)]
    Header: 8 { sn_type: u16, sn_flags: u16, sn_length: u32 }

    #[repr(C)]
    AssocChange: 20 {
        sac_type: u16, sac_flags: u16, sac_length: u32, sac_state: u16 = 8, sac_error: u16, sac_outbound_streams: u16,
        sac_inbound_streams: u16, sac_assoc_id: i32 = 16,
    }

    #[repr(C)]
    PaddrChange: 148 {
        spc_type: u16, spc_flags: u16, spc_length: u32, spc_aaddr: SockaddrStorage = 8, spc_state: i32 = 136,
        spc_error: i32, spc_assoc_id: i32 = 144,
    }

    #[repr(C)]
    RemoteError: 16 {
        sre_type: u16, sre_flags: u16, sre_length: u32, sre_error: u16 = 8, padding: u16, sre_assoc_id: i32 = 12,
    }

    #[repr(C)]
    SendFailedEvent: 32 {
        ssf_type: u16, ssf_flags: u16, ssf_length: u32, ssf_error: u32 = 8, ssfe_info: Sndinfo = 12, ssf_assoc_id: i32 = 28,
    }

    /// `struct sctp_shutdown_event`, and `struct sctp_sender_dry_event` with the same fields under other names.
    #[repr(C)]
    AssocEvent: 12 { sse_type: u16, sse_flags: u16, sse_length: u32, sse_assoc_id: i32 = 8 }

    #[repr(C)]
    PdapiEvent: 24 {
        pdapi_type: u16, pdapi_flags: u16, pdapi_length: u32, pdapi_indication: u32, pdapi_assoc_id: i32 = 12,
        pdapi_stream: u32, pdapi_seq: u32,
    }
}

// SAFETY: as for the structures above; C's arrangement has no room for padding in an array of bytes.
unsafe impl Plain for SockaddrStorage {}

const _: () = assert!(size_of::<SockaddrStorage>() == size_of::<libc::sockaddr_storage>());
const _: () = assert!(size_of::<Sndinfo>() == size_of::<libc::sctp_sndinfo>());
const _: () = assert!(size_of::<Rcvinfo>() == size_of::<libc::sctp_rcvinfo>());
const _: () = assert!(size_of::<Prinfo>() == size_of::<libc::sctp_prinfo>());
const _: () = assert!(size_of::<Initmsg>() == size_of::<libc::sctp_initmsg>());

/// The bytes of a structure.
pub(crate) fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: the pointer and the length are those of `value`, which is borrowed for as long as the slice lives; `Plain`
    // promises that none of its bytes is padding, so all are initialised.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>()) }
}

/// The structure that `bytes` begin with, and what follows it; `None` if they are too short.
pub(crate) fn split<T: Plain>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let (head, tail) = bytes.split_at_checked(size_of::<T>())?;
    // SAFETY: `head` is as long as `T`, and `Plain` promises that any bytes are a value of it; the read asks for no
    // alignment.
    Some((unsafe { head.as_ptr().cast::<T>().read_unaligned() }, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_structure_survives_the_way_to_bytes_and_back_from_any_alignment() {
        let sent = Sndinfo { snd_sid: 1, snd_flags: 2, snd_ppid: 3, snd_context: 4, snd_assoc_id: -5 };
        let mut bytes = vec![0xff];
        bytes.extend_from_slice(bytes_of(&sent));
        bytes.push(7);
        let (back, rest): (Sndinfo, _) = split(&bytes[1..]).unwrap();
        assert_eq!((back.snd_sid, back.snd_flags, back.snd_ppid), (1, 2, 3));
        assert_eq!((back.snd_context, back.snd_assoc_id), (4, -5));
        assert_eq!(rest, [7]);
    }

    #[test]
    fn too_few_bytes_are_no_structure() {
        assert!(split::<Sndinfo>(&[0; 15]).is_none());
        assert!(split::<Sndinfo>(&[0; 16]).is_some());
    }
}
