//! Alerts in the open (RFC 8446 §6): the last words to a client that cannot be understood, or does not get so far that its
//! handshake has keys. A hint for whoever looks after it, and no more.

/// The content type of records with alerts.
pub(super) const CONTENT: u8 = 21;
/// The level of all alerts but those that announce an end.
pub(super) const FATAL: u8 = 2;

pub(super) const UNEXPECTED_MESSAGE: u8 = 10;
pub(super) const HANDSHAKE_FAILURE: u8 = 40;
pub(super) const ACCESS_DENIED: u8 = 49;
#[cfg(feature = "psk")]
pub(super) const DECRYPT_ERROR: u8 = 51;
pub(super) const UNKNOWN_PSK_IDENTITY: u8 = 115;

/// A whole record with this alert.
pub(super) const fn record(description: u8) -> [u8; 7] {
    [CONTENT, 3, 3, 0, 2, FATAL, description]
}

/// What an alert means to somebody who sets up links.
pub(super) const fn explain(description: u8) -> &'static str {
    match description {
        10 | 47 | 50 => "it could not make sense of what we sent; does it speak TLS 1.2 or 1.3?",
        40 => "it has no way of authentication, or cipher suite, in common with us",
        42 | 43 | 46 => "it cannot use our certificate",
        44 => "our certificate is revoked",
        45 => "our certificate is expired or not yet valid",
        48 => "it does not trust the issuer of our certificate",
        49 => "it does not let us in",
        51 => "our keys differ",
        70 => "it has no version of TLS in common with us; 1.2 and 1.3 are spoken here",
        112 => "it does not know the name that we asked for",
        115 => "it does not know our pre-shared key identity",
        116 => "it requires a certificate from us",
        _ => "it gave no further reason",
    }
}
