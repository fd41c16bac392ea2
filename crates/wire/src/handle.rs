//! Pool handles: the names of pools, any sequence of bytes (RFC 5354 §3.9).
use std::borrow::{Borrow, Cow};
use std::fmt;

use crate::error::EncodeError;
use crate::parameter::ParameterType;
use crate::writer::Writer;

/// The name of a pool: any bytes, borrowed from a message or owned.
///
/// Compares, orders and hashes as its bytes, and borrows as `[u8]`, so that maps keyed by it can be searched with bytes
/// of a message. Prints as text where it is UTF-8, with other bytes escaped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolHandle<'a>(Cow<'a, [u8]>);

impl<'a> PoolHandle<'a> {
    /// The longest handle that fits into a parameter: 65,531 bytes.
    pub const MAX_LENGTH: usize = u16::MAX as usize - 4;

    /// A handle that borrows `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(Cow::Borrowed(bytes))
    }

    /// The bytes of the handle.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same handle, borrowed from this one.
    #[must_use]
    pub fn borrowed(&self) -> PoolHandle<'_> {
        PoolHandle(Cow::Borrowed(&self.0))
    }

    /// The same handle, free of the lifetime of what it was decoded from.
    #[must_use]
    pub fn into_owned(self) -> PoolHandle<'static> {
        PoolHandle(Cow::Owned(self.0.into_owned()))
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.parameter(ParameterType::POOL_HANDLE, |writer| {
            writer.bytes(self.as_bytes());
            Ok(())
        })
    }
}

impl Borrow<[u8]> for PoolHandle<'_> {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for PoolHandle<'_> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<'a> From<&'a [u8]> for PoolHandle<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::new(bytes)
    }
}

impl<'a> From<&'a str> for PoolHandle<'a> {
    fn from(text: &'a str) -> Self {
        Self::new(text.as_bytes())
    }
}

impl From<String> for PoolHandle<'static> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text.into_bytes()))
    }
}

impl From<Vec<u8>> for PoolHandle<'static> {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Cow::Owned(bytes))
    }
}

impl PartialEq<str> for PoolHandle<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for PoolHandle<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl fmt::Display for PoolHandle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            write!(f, "{}", chunk.valid().escape_debug())?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for PoolHandle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolHandle(\"{self}\")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_print_on_one_line() {
        assert_eq!(PoolHandle::from("echo").to_string(), "echo");
        assert_eq!(PoolHandle::new(b"a\xffb\n").to_string(), "a\\xffb\\n");
    }
}
