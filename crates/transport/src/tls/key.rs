//! Pre-shared keys: what proves that the other end is who its identity says (RFC 5352 §9, RFC 8446 §4.2.11, RFC 9257).
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::error::SecurityError;
use super::file;

/// The fewest bytes that make a key (RFC 9257 §6: 128 bits).
const SHORTEST_KEY: usize = 16;
/// The longest identity that everybody must be able to handle (RFC 4279 §5.3).
const LONGEST_IDENTITY: usize = 128;

/// A key that both ends know, and its name. The key is wiped from memory with its last clone, and never printed.
///
/// One key belongs to one client: whoever knows it can be either end. A name travels in clear.
#[derive(Clone)]
pub struct PreSharedKey {
    identity: Arc<str>,
    secret: Arc<Zeroizing<Vec<u8>>>,
    /// What it is called in handshakes, where that is not the identity.
    label: Option<Arc<[u8]>>,
}

impl PreSharedKey {
    /// A key of at least 16 bytes, better 32 random ones.
    ///
    /// ```
    /// # use rserpool_transport::PreSharedKey;
    /// assert!(PreSharedKey::new("pe-a", vec![7; 32]).is_ok());
    /// assert!(PreSharedKey::new("pe-a", vec![7; 8]).is_err());
    /// ```
    ///
    /// # Errors
    /// When the key is too short, or the identity is empty, longer than 128 bytes, or has blanks or control characters.
    pub fn new(
        identity: impl Into<Arc<str>>,
        secret: impl Into<Zeroizing<Vec<u8>>>,
    ) -> Result<Self, SecurityError> {
        let (identity, secret) = (identity.into(), secret.into());
        let printable = |text: &str| !text.chars().any(|c| c.is_whitespace() || c.is_control());
        if identity.is_empty() || identity.len() > LONGEST_IDENTITY || !printable(&identity) {
            return Err(SecurityError::Identity { identity: identity.escape_debug().to_string() });
        }
        if secret.len() < SHORTEST_KEY {
            return Err(SecurityError::ShortKey { identity: identity.to_string(), length: secret.len() });
        }
        Ok(Self { identity, secret: Arc::new(secret), label: None })
    }

    /// The name of the key.
    #[must_use]
    pub const fn identity(&self) -> &Arc<str> {
        &self.identity
    }

    pub(super) fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// What the key is called in handshakes.
    pub(super) fn offered(&self) -> &[u8] {
        self.label.as_deref().unwrap_or(self.identity.as_bytes())
    }

    /// The key for the opposite direction, in which the server of a client calls it back.
    ///
    /// A key that both ends use as client and as server lets an attacker send a handshake back to where it came from, who then takes
    /// itself for the other end (RFC 9257 §4.1, "Selfie"). So the opposite direction has a key and a name of its own, made by the importer of
    /// RFC 9258 §5.1 with the direction as its context: neither end takes there what it says here. The importer's label of binders is
    /// left out, as s2n-tls has none: the key that is made is used as any other key, and for nothing else.
    pub(super) fn for_calling_back(&self) -> Result<Self, SecurityError> {
        let label = imported_identity(self.offered());
        let secret = import(&self.secret, &label)
            .ok_or_else(|| SecurityError::Psk { problem: "no key can be derived from it".to_owned() })?;
        Ok(Self { identity: Arc::clone(&self.identity), secret: Arc::new(secret), label: Some(label.into()) })
    }
}

/// What an imported key is for: to call a client back.
const CALLING_BACK: &[u8] = b"rserpool: the server calls the client back";
const TLS_1_3: u16 = 0x0304;
const HKDF_SHA256: u16 = 1;

/// The structure of this name (RFC 9258 §5.1).
fn imported_identity(external: &[u8]) -> Vec<u8> {
    let mut structure = Vec::new();
    for vector in [external, CALLING_BACK] {
        // Both are short: identities have 128 bytes at most.
        structure.extend_from_slice(&(vector.len() as u16).to_be_bytes());
        structure.extend_from_slice(vector);
    }
    structure.extend_from_slice(&TLS_1_3.to_be_bytes());
    structure.extend_from_slice(&HKDF_SHA256.to_be_bytes());
    structure
}

/// The key that the importer makes: `HKDF-Expand-Label(HKDF-Extract(0, key), "derived psk", Hash(ImportedIdentity), 32)`.
fn import(secret: &[u8], imported_identity: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    const LABEL: &[u8] = b"tls13 derived psk";
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13()?;
    let hash = suite.common.hash_provider.hash(imported_identity);
    let mut derived = Zeroizing::new(vec![0; 32]);
    // The structure HkdfLabel (RFC 8446 §7.1).
    let length = (derived.len() as u16).to_be_bytes();
    let (label_length, hash_length) = ([LABEL.len() as u8], [hash.as_ref().len() as u8]);
    let info: [&[u8]; 5] = [&length, &label_length, LABEL, &hash_length, hash.as_ref()];
    suite.hkdf_provider.extract_from_secret(None, secret).expand_slice(&info, &mut derived).ok()?;
    Some(derived)
}

impl fmt::Debug for PreSharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PreSharedKey({:?})", self.identity)
    }
}

/// Where a server finds the keys of its clients.
pub trait PskStore: Send + Sync {
    /// The key of this name, if there is one. Called once in the handshake of a client that offers it: it must not block.
    fn key(&self, identity: &str) -> Option<PreSharedKey>;
}

/// Keys in memory, from a file or put in one by one.
///
/// ```
/// # use rserpool_transport::{PreSharedKey, PskStore, PskTable, SecurityError};
/// # fn main() -> Result<(), SecurityError> {
/// let table: PskTable = "# who:key\npe-a:000102030405060708090a0b0c0d0e0f".parse()?;
/// assert!(table.key("pe-a").is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default, Debug)]
pub struct PskTable(BTreeMap<Arc<str>, PreSharedKey>);

impl PskTable {
    /// Reads a file of lines `identity:key`, the key in hexadecimal digits. Empty lines and those that begin with `#` are
    /// passed over.
    ///
    /// # Errors
    /// When the file cannot be read, others than its owner can read it as well, or a line is wrong.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, SecurityError> {
        let path = path.as_ref();
        let bytes = file::read_secret(path)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| SecurityError::KeyLine {
            place: path.display().to_string(),
            why: "it is no text",
        })?;
        parse(text, &path.display().to_string())
    }

    /// Adds a key, in the place of one with the same identity.
    pub fn insert(&mut self, key: PreSharedKey) {
        self.0.insert(Arc::clone(&key.identity), key);
    }
}

impl PskStore for PskTable {
    fn key(&self, identity: &str) -> Option<PreSharedKey> {
        self.0.get(identity).cloned()
    }
}

impl FromIterator<PreSharedKey> for PskTable {
    fn from_iter<T: IntoIterator<Item = PreSharedKey>>(keys: T) -> Self {
        let mut table = Self::default();
        keys.into_iter().for_each(|key| table.insert(key));
        table
    }
}

impl std::str::FromStr for PskTable {
    type Err = SecurityError;

    fn from_str(text: &str) -> Result<Self, SecurityError> {
        parse(text, "keys")
    }
}

fn parse(text: &str, source: &str) -> Result<PskTable, SecurityError> {
    let mut table = PskTable::default();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |why| SecurityError::KeyLine { place: format!("{source}, line {number}"), why };
        let (identity, digits) = line.rsplit_once(':').ok_or_else(|| wrong("it is not `identity:key`"))?;
        let secret =
            from_hex(digits).ok_or_else(|| wrong("the key is not in pairs of hexadecimal digits"))?;
        let key = PreSharedKey::new(identity, secret)?;
        if table.0.contains_key(identity) {
            return Err(wrong("the identity has a key already"));
        }
        table.insert(key);
    }
    Ok(table)
}

fn from_hex(digits: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len() / 2));
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    for [high, low] in pairs {
        bytes.push(digit(*high)? << 4 | digit(*low)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_shows_in_print() {
        let key = PreSharedKey::new("pe-a", vec![0xab; 16]).expect("long enough");
        assert_eq!(format!("{key:?}"), "PreSharedKey(\"pe-a\")");
    }

    #[test]
    fn short_keys_and_unprintable_identities_are_refused() {
        for length in [0, 15] {
            let error = PreSharedKey::new("pe-a", vec![1; length]).expect_err("short");
            assert!(matches!(error, SecurityError::ShortKey { length: l, .. } if l == length), "{error}");
        }
        for identity in ["", "a b", "a\n", &"x".repeat(129)] {
            let error = PreSharedKey::new(identity, vec![1; 16]).expect_err("no identity");
            assert!(matches!(error, SecurityError::Identity { .. }), "{error}");
        }
    }

    #[test]
    fn a_wrong_line_is_named_and_its_key_is_not_shown() {
        let good = "a:00112233445566778899aabbccddeeff";
        for wrong in ["a", "b:0011223344556677889", "b:zz112233445566778899aabbccddeeff", good] {
            let error = format!("{good}\n# a comment\n\n{wrong}").parse::<PskTable>().expect_err(wrong);
            let text = error.to_string();
            assert!(text.contains("line 4") && !text.contains("0011"), "{text}");
        }
    }

    /// Worked out with another implementation of HKDF.
    #[test]
    fn the_key_for_calling_back_is_another_one_with_another_name() {
        let key = PreSharedKey::new("pe-a", vec![0xab; 32]).expect("long enough");
        let back = key.for_calling_back().expect("derived");
        assert_eq!(&**back.identity(), "pe-a");
        let name = b"\0\x04pe-a\0\x2arserpool: the server calls the client back\x03\x04\0\x01";
        assert_eq!(back.offered(), name);
        assert_eq!(key.offered(), b"pe-a");
        assert_eq!(
            back.secret(),
            &*from_hex("c272ddc2ddd645938c909e085a8d391c3c86e1a50c0382feb9658794753577ad").expect("digits")
        );
        // Nor does it lead back.
        let again = back.for_calling_back().expect("derived");
        assert!(again.secret() != key.secret() && again.offered() != key.offered());
    }

    #[test]
    fn an_identity_may_have_colons() {
        let table: PskTable = "a:b>c:00112233445566778899AABBCCDDEEFF".parse().expect("a line");
        let key = table.key("a:b>c").expect("there");
        assert_eq!((key.secret().first(), key.secret().last()), (Some(&0), Some(&0xff)));
        assert!(table.key("a").is_none());
    }
}
