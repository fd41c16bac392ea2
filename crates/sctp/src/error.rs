//! What can go wrong with sockets and associations: each error says what, and what to do about it.
use std::io;

/// Why an operation failed. Unless it says otherwise, the socket is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel has no SCTP, or lacks a part of it.
    #[error("no SCTP in this kernel: {problem} ({source})")]
    Unsupported {
        /// What is missing, and how to get it.
        problem: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] crate::ConfigError),
    /// An empty list of addresses was given.
    #[error("no address was given; an endpoint needs at least one (`0.0.0.0` or `[::]` stand for all)")]
    NoAddress,
    /// All addresses of an endpoint share one port (RFC 9260 §1.3), but different ones were given.
    #[error("the addresses of one endpoint share one port, but {first} and {other} were given")]
    PortsDiffer {
        /// The first port in the list.
        first: u16,
        /// The first one that differs from it.
        other: u16,
    },
    /// The message is longer than the send buffer, so that the kernel will never take it.
    #[error("a message of {length} bytes is longer than the send buffer; raise `SocketConfig::send_buffer`")]
    MessageTooLong {
        /// The message's length.
        length: usize,
    },
    /// The association has ended, is being shut down, or never was.
    #[error("{operation}: there is no such association, or it has ended ({source})")]
    NoAssociation {
        /// What was tried.
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// Anything else that the kernel refuses.
    #[error("{operation}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Error {
    /// The error for what the kernel said to `operation`.
    pub(crate) fn new(operation: &'static str, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EPROTONOSUPPORT | libc::ESOCKTNOSUPPORT) => Self::Unsupported {
                problem: "load its module (`modprobe sctp`), or use a kernel that has it",
                source,
            },
            Some(libc::ENOSYS) if operation == "listen" => Self::Unsupported {
                problem: "the cookie's HMAC is missing; load the modules `hmac` and `md5` or `sha1_generic` \
                          (see the sysctl `net.sctp.cookie_hmac_alg`)",
                source,
            },
            Some(libc::EPIPE | libc::ENOTCONN | libc::ESHUTDOWN) => Self::NoAssociation { operation, source },
            _ => Self::Io { operation, source },
        }
    }

    /// For `map_err`: the error for what the kernel says to `operation`.
    pub(crate) fn during(operation: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::new(operation, source)
    }

    /// Whether the reason is that this kernel has no SCTP: the moment to try another transport.
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Unsupported { .. })
    }
}

impl From<Error> for io::Error {
    /// For callers that speak `io::Error`: keeps the kind of the underlying error, and this one as its source.
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Unsupported { .. } => io::ErrorKind::Unsupported,
            Error::NoAddress | Error::PortsDiffer { .. } | Error::Config(_) => io::ErrorKind::InvalidInput,
            Error::MessageTooLong { .. } => io::ErrorKind::InvalidData,
            Error::NoAssociation { .. } => io::ErrorKind::NotConnected,
            Error::Io { source, .. } => source.kind(),
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_sctp_is_named_and_told_from_other_failures() {
        let missing = Error::new("socket", io::Error::from_raw_os_error(libc::EPROTONOSUPPORT));
        assert!(missing.is_unsupported());
        assert!(missing.to_string().starts_with("no SCTP in this kernel: load its module"), "{missing}");
        let hmac = Error::new("listen", io::Error::from_raw_os_error(libc::ENOSYS));
        assert!(hmac.to_string().contains("md5"), "{hmac}");
        let other = Error::new("bind", io::Error::from_raw_os_error(libc::EADDRINUSE));
        assert!(!other.is_unsupported());
        assert!(other.to_string().starts_with("bind: "), "{other}");
        assert_eq!(io::Error::from(other).kind(), io::ErrorKind::AddrInUse);
    }
}
