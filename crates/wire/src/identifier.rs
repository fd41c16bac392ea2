//! The two 32-bit identifier spaces of RSerPool, kept apart by type: pool elements (RFC 5354 §3.14) and
//! registrars (RFC 5353 §3.2.1). Both print as `0x%08x`.
use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use crate::error::EncodeError;
use crate::parameter::ParameterType;
use crate::writer::Writer;

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "0x{:08x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "(0x{:08x})"), self.0)
            }
        }

        impl From<u32> for $name {
            fn from(value: u32) -> Self {
                Self(value)
            }
        }

        /// Reads `0x` and hexadecimal digits, or a decimal number.
        impl FromStr for $name {
            type Err = ParseIntError;
            fn from_str(text: &str) -> Result<Self, ParseIntError> {
                match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
                    Some(digits) => u32::from_str_radix(digits, 16).map(Self),
                    None => text.parse().map(Self),
                }
            }
        }
    };
}

identifier! {
    /// Identifies a pool element within its pool; picked at random by the element (RFC 5352 §3.1, R2.2).
    PeIdentifier
}

identifier! {
    /// Identifies a registrar (ENRP server) in its operational scope; never 0 for a real one (RFC 5353 §3.2.1).
    ServerId
}

impl ServerId {
    /// The value 0: "undetermined" as a home, "to everybody" as a receiver.
    pub const NONE: Self = Self(0);

    /// Whether this is [`ServerId::NONE`].
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl PeIdentifier {
    pub(crate) fn write(self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.parameter(ParameterType::PE_IDENTIFIER, |writer| {
            writer.u32(self.0);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_print_as_eight_hex_digits_and_read_back() {
        assert_eq!(PeIdentifier(0xab).to_string(), "0x000000ab");
        assert_eq!("0x000000ab".parse(), Ok(PeIdentifier(0xab)));
        assert_eq!("171".parse(), Ok(PeIdentifier(0xab)));
        assert!("0x1ffffffff".parse::<ServerId>().is_err());
    }
}
