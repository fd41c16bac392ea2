//! The policy file: TOML, read into an [`AccessPolicy`]. A key that is unknown, missing or given twice is an error with its line, for a
//! policy that is misread lets the wrong ones in.
//!
//! ```toml
//! peers = ["registrar-b"]
//! identities = [{ name = "pe-a", pools = ["echo", "sip-*"] }]
//! ```
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer};
use toml::Spanned;

use super::{AccessPolicy, AddressRange, Grant, PoolPattern, Quota, Resolvers};

/// What is wrong with a policy file, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyError(String);

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PolicyError {}

/// Reads the text of a policy file.
impl FromStr for AccessPolicy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let file: File = toml::from_str(text)
            .map_err(|error| at(error.span().map_or(text.len(), |span| span.start), text, error.message()))?;
        let mut policy = Self::default().resolvers(file.resolution.into());
        for peer in file.peers {
            policy = policy.peer(name(&peer, text)?);
        }
        for entry in file.identities {
            let name = name(&entry.name, text)?;
            if policy.grant(&name).is_some() {
                let twice =
                    format!("the identity `{name}` is there twice: write all that it may do in one entry");
                return Err(at(entry.name.span().start, text, &twice));
            }
            let quota = Quota {
                elements: entry.elements,
                registrations_per_second: entry.registrations_per_second.map(std::num::NonZeroU32::get),
            };
            let pools = entry.pools.into_iter().map(|Pool(pattern)| pattern);
            let addresses = entry.addresses.into_iter().map(|Addresses(range)| range);
            policy = policy.identity(name, Grant::pools(pools).addresses(addresses).quota(quota));
        }
        Ok(policy)
    }
}

/// The name of an identity.
fn name(written: &Spanned<String>, text: &str) -> Result<Arc<str>, PolicyError> {
    let name = written.get_ref();
    if name.is_empty() || name.contains('*') {
        let problem =
            "an identity is named in full: that of a pre-shared key, or the first name in a certificate";
        return Err(at(written.span().start, text, problem));
    }
    Ok(name.as_str().into())
}

/// The error with its line, as one line: it goes to the log as well.
fn at(place: usize, text: &str, problem: &str) -> PolicyError {
    let before = text.get(..place).unwrap_or_default();
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    PolicyError(format!("line {line}: {}", problem.trim().replace('\n', "; ")))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    identities: Vec<Identity>,
    #[serde(default)]
    peers: Vec<Spanned<String>>,
    #[serde(default)]
    resolution: Resolution,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    name: Spanned<String>,
    pools: Vec<Pool>,
    #[serde(default)]
    addresses: Vec<Addresses>,
    elements: Option<usize>,
    registrations_per_second: Option<std::num::NonZeroU32>,
}

#[derive(Clone, Copy, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Resolution {
    Identified,
    #[default]
    Secured,
    Anybody,
}

impl From<Resolution> for Resolvers {
    fn from(resolution: Resolution) -> Self {
        match resolution {
            Resolution::Identified => Self::Identified,
            Resolution::Secured => Self::Secured,
            Resolution::Anybody => Self::Anybody,
        }
    }
}

struct Pool(PoolPattern);

impl<'de> Deserialize<'de> for Pool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.strip_suffix('*').unwrap_or(&text).contains('*') {
            return Err(de::Error::custom(format!("`{text}` has a * that is not at its end")));
        }
        if text.is_empty() {
            return Err(de::Error::custom("a pool has a name; * stands for every pool"));
        }
        Ok(Self(PoolPattern::from(text.as_str())))
    }
}

struct Addresses(AddressRange);

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_reads_as_what_it_says() {
        let text = r#"
            peers = ["registrar-a", "registrar-b"]
            resolution = "anybody"
            identities = [{ name = "pe-a", pools = ["echo", "sip-*"] }]
            [[unused]]
        "#;
        assert!(text.parse::<AccessPolicy>().is_err(), "unknown tables are errors");
        let policy: AccessPolicy = text.replace("[[unused]]", "").parse().expect("a policy");
        let expected = AccessPolicy::default()
            .peer("registrar-a")
            .peer("registrar-b")
            .resolvers(Resolvers::Anybody)
            .identity("pe-a", Grant::pools(["echo", "sip-*"]));
        assert_eq!(policy, expected);
        let text = r#"
            [[identities]]
            name = "pe-b"
            pools = ["*"]
            addresses = ["10.0.0.0/8", "*"]
            elements = 3
            registrations_per_second = 5
        "#;
        let quota = Quota { elements: Some(3), registrations_per_second: Some(5) };
        let ranges = ["10.0.0.0/8", "*"].map(|text| text.parse().expect("a range"));
        let grant = Grant::pools(["*"]).addresses(ranges).quota(quota);
        assert_eq!(text.parse(), Ok(AccessPolicy::default().identity("pe-b", grant)));
        assert_eq!("".parse(), Ok(AccessPolicy::default()));
    }

    #[test]
    fn mistakes_are_told_with_their_line_and_what_is_right() {
        for (text, told) in [
            ("\nidentity = []", &["line 2", "identities"][..]),
            ("\nidentities = [{ name = \"a\", pool = [\"echo\"] }]", &["line 2", "pools"]),
            ("identities = [{ name = \"a\" }]", &["line 1", "pools"]),
            (
                "identities = [\n{ name = \"a\", pools = [] },\n{ name = \"a\", pools = [] }]",
                &["line 3", "twice"],
            ),
            ("identities = [{ name = \"\", pools = [] }]", &["line 1", "named in full"]),
            ("peers = [\"registrar-*\"]", &["line 1", "named in full"]),
            ("identities = [{ name = \"a\", pools = [\"s*p\"] }]", &["line 1", "s*p"]),
            (
                "identities = [{ name = \"a\", pools = [\"p\"], addresses = [\"10.0.0.1/8\"] }]",
                &["line 1", "10.0.0.0/8"],
            ),
            (
                "identities = [{ name = \"a\", pools = [\"p\"], registrations_per_second = 0 }]",
                &["line 1", "nonzero"],
            ),
            ("resolution = \"all\"", &["line 1", "anybody"]),
            ("peers = [", &["line 1"]),
        ] {
            let error = text.parse::<AccessPolicy>().expect_err(text).to_string();
            assert!(told.iter().all(|part| error.contains(part)), "{text}: {error}");
        }
    }
}
