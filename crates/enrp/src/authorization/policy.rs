//! The policy of a secured scope: which identities may register in which pools and under which addresses, and which may be
//! registrars. What it does not say is not permitted.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use rserpool_machine::PeerIdentity;
use rserpool_wire::{PoolElement, PoolHandle, Transport};

use super::{Action, Authorization, Quota, Requester};
use crate::refusal::Refusal;

/// Which identities may do what. The default lets nobody register or be a registrar, and everybody on a secured link resolve.
///
/// An identity is what a link proved: the identity of a pre-shared key, or the first name in a certificate (in lower case).
///
/// ```
/// use rserpool_enrp::{AccessPolicy, Grant};
///
/// let policy = AccessPolicy::default()
///     .identity("pe-a", Grant::pools(["echo", "sip-*"]))
///     .peer("registrar-b");
/// # assert!(policy.grant("pe-a").is_some());
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AccessPolicy {
    identities: BTreeMap<Arc<str>, Grant>,
    peers: BTreeSet<Arc<str>>,
    resolvers: Resolvers,
}

/// Who may resolve pool handles, and report elements that cannot be reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Resolvers {
    /// Who has proved an identity, whichever.
    Identified,
    /// Whoever comes over a secured link, with or without an identity of its own.
    #[default]
    Secured,
    /// Users without security too. They may resolve only: what they would report is not believed.
    Anybody,
}

/// What one identity may do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Grant {
    /// The pools that it may register in.
    pub pools: Vec<PoolPattern>,
    /// The addresses that its elements may name besides those of their link (RFC 5352 §2.2.1).
    pub addresses: Vec<AddressRange>,
    /// How much it may do there.
    pub quota: Quota,
}

impl Grant {
    /// Registration in these pools, under the addresses of the link: names as they are, or beginnings followed by `*`.
    pub fn pools<P: Into<PoolPattern>>(pools: impl IntoIterator<Item = P>) -> Self {
        Self { pools: pools.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Lets elements name these addresses too.
    #[must_use]
    pub fn addresses(mut self, addresses: impl IntoIterator<Item = AddressRange>) -> Self {
        self.addresses.extend(addresses);
        self
    }

    /// Limits how much the identity may do.
    #[must_use]
    pub const fn quota(mut self, quota: Quota) -> Self {
        self.quota = quota;
        self
    }

    fn admits_pool(&self, pool_handle: &PoolHandle<'_>) -> bool {
        self.pools.iter().any(|pattern| pattern.matches(pool_handle.as_bytes()))
    }

    /// Whether every address that the element names is one of the link, or permitted. What an opaque transport names is not known:
    /// it needs permission for all addresses.
    fn admits_addresses(&self, element: &PoolElement, of_link: &[SocketAddr]) -> bool {
        let may_name = |ip: IpAddr| {
            let ip = ip.to_canonical();
            of_link.iter().any(|address| address.ip().to_canonical() == ip)
                || self.addresses.iter().any(|range| range.contains(ip))
        };
        [Some(&element.user_transport), element.asap_transport.as_ref()].into_iter().flatten().all(
            |transport| match transport {
                Transport::Opaque(_) => self.addresses.contains(&AddressRange::Any),
                known => known.socket_addresses().all(|address| may_name(address.ip())),
            },
        )
    }
}

impl AccessPolicy {
    /// Lets an identity do this, in the stead of what it was let do before.
    #[must_use]
    pub fn identity(mut self, name: impl Into<Arc<str>>, grant: Grant) -> Self {
        self.identities.insert(name.into(), grant);
        self
    }

    /// Lets an identity be a registrar.
    #[must_use]
    pub fn peer(mut self, name: impl Into<Arc<str>>) -> Self {
        self.peers.insert(name.into());
        self
    }

    /// Says who may resolve.
    #[must_use]
    pub const fn resolvers(mut self, resolvers: Resolvers) -> Self {
        self.resolvers = resolvers;
        self
    }

    /// What an identity may do.
    #[must_use]
    pub fn grant(&self, name: &str) -> Option<&Grant> {
        self.identities.get(name)
    }

    /// Whether users without security are answered.
    #[must_use]
    pub fn answers_unsecured(&self) -> bool {
        self.resolvers == Resolvers::Anybody
    }

    /// Whether nobody may register.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    /// What the requester may do in a pool.
    fn granted(&self, requester: Requester<'_>, pool_handle: &PoolHandle<'_>) -> Result<&Grant, Refusal> {
        let grant = self.grant(identified(requester)?).ok_or(Refusal::Unidentified)?;
        if grant.admits_pool(pool_handle) { Ok(grant) } else { Err(Refusal::Pool) }
    }
}

/// What the requester proved to be.
fn identified(requester: Requester<'_>) -> Result<&str, Refusal> {
    match requester.identity {
        PeerIdentity::Authenticated(name) => Ok(name),
        PeerIdentity::Encrypted | PeerIdentity::Keyed(_) => Err(Refusal::Unidentified),
        _ => Err(Refusal::Unsecured),
    }
}

impl Authorization for AccessPolicy {
    fn authorize(&self, requester: Requester<'_>, action: Action<'_>) -> Result<(), Refusal> {
        match action {
            Action::Register { pool_handle, element } => {
                let grant = self.granted(requester, pool_handle)?;
                let admitted = grant.admits_addresses(element, requester.addresses);
                if admitted { Ok(()) } else { Err(Refusal::Address) }
            }
            Action::Deregister { pool_handle, .. } => self.granted(requester, pool_handle).map(|_| ()),
            // Whoever has our key as a server has it from us.
            Action::Peer { .. } if matches!(requester.identity, PeerIdentity::Keyed(_)) => Ok(()),
            Action::Peer { .. } => {
                let name = identified(requester)?;
                if self.peers.contains(name) { Ok(()) } else { Err(Refusal::Peer) }
            }
            Action::Resolve { .. } if self.answers_unsecured() => Ok(()),
            Action::Resolve { .. } | Action::ReportUnreachable { .. } => match identified(requester) {
                Err(Refusal::Unidentified) if self.resolvers != Resolvers::Identified => Ok(()),
                result => result.map(|_| ()),
            },
        }
    }

    fn quota(&self, identity: &str) -> Quota {
        self.grant(identity).map(|grant| grant.quota).unwrap_or_default()
    }
}

/// One pool, or all whose handles begin alike. Written `echo` or `sip-*`; `*` is every pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolPattern {
    handle: Box<[u8]>,
    is_prefix: bool,
}

impl PoolPattern {
    /// The pool with exactly this handle, whatever its bytes are.
    #[must_use]
    pub fn exact(handle: &[u8]) -> Self {
        Self { handle: handle.into(), is_prefix: false }
    }

    /// All pools whose handles begin with this.
    #[must_use]
    pub fn prefix(beginning: &[u8]) -> Self {
        Self { handle: beginning.into(), is_prefix: true }
    }

    /// Whether this pool is meant.
    #[must_use]
    pub fn matches(&self, pool_handle: &[u8]) -> bool {
        if self.is_prefix { pool_handle.starts_with(&self.handle) } else { *pool_handle == *self.handle }
    }
}

/// Reads a pattern; every text is one.
impl From<&str> for PoolPattern {
    fn from(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(beginning) => Self::prefix(beginning.as_bytes()),
            None => Self::exact(text.as_bytes()),
        }
    }
}

/// Addresses that belong together. Written as an address, `10.0.0.7`, a network, `10.0.0.0/8`, or `*` for all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AddressRange {
    /// Every address, and whatever opaque transports name.
    Any,
    /// The addresses whose first so many bits are these.
    Network(IpAddr, u8),
}

impl AddressRange {
    /// Whether the address is one of them; an IPv4 address is the same as the IPv6 address that it is mapped to.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let Self::Network(network, length) = *self else { return true };
        match (network, ip.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => {
                (network.to_bits() ^ ip.to_bits()).checked_shr(32 - u32::from(length.min(32))).unwrap_or(0)
                    == 0
            }
            (IpAddr::V6(network), IpAddr::V6(ip)) => {
                (network.to_bits() ^ ip.to_bits()).checked_shr(128 - u32::from(length.min(128))).unwrap_or(0)
                    == 0
            }
            _ => false,
        }
    }
}

impl From<IpAddr> for AddressRange {
    fn from(ip: IpAddr) -> Self {
        let ip = ip.to_canonical();
        Self::Network(ip, if ip.is_ipv4() { 32 } else { 128 })
    }
}

/// A text that is no address range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no address range: write an address (10.0.0.7), a network (10.0.0.0/8, 2001:db8::/32), or * for all"
)]
pub struct ParseAddressRangeError {
    text: String,
}

impl FromStr for AddressRange {
    type Err = ParseAddressRangeError;

    fn from_str(text: &str) -> Result<Self, ParseAddressRangeError> {
        let parsed = match text.split_once('/') {
            _ if text == "*" => Some(Self::Any),
            None => text.parse().ok().map(|ip: IpAddr| Self::from(ip)),
            Some((ip, length)) => network(ip, length),
        };
        parsed.ok_or_else(|| ParseAddressRangeError { text: text.to_owned() })
    }
}

/// A network whose bits after the first `length` are zero: others are likely a mistake.
fn network(ip: &str, length: &str) -> Option<AddressRange> {
    let (ip, length): (IpAddr, u8) = (ip.parse().ok()?, length.parse().ok()?);
    let (host_bits, width) = match ip {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()), 32),
        IpAddr::V6(ip) => (ip.to_bits(), 128),
    };
    let mask = u128::MAX.checked_shl(width - u32::from(length).min(width)).unwrap_or(0);
    (u32::from(length) <= width && host_bits & !mask == 0).then_some(AddressRange::Network(ip, length))
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Network(ip, length) => write!(f, "{ip}/{length}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rserpool_wire::{PeIdentifier, Policy, RegistrationLife, ServerId};

    use super::*;

    fn element(at: &str) -> PoolElement {
        PoolElement {
            identifier: PeIdentifier(1),
            home: ServerId::NONE,
            life: RegistrationLife::Infinite,
            user_transport: Transport::Tcp(at.parse().expect("an address")),
            policy: Policy::RoundRobin,
            asap_transport: None,
        }
    }

    /// What becomes of a registration of somebody who proved to be `identity`, at 192.0.2.1.
    fn register(
        policy: &AccessPolicy,
        identity: PeerIdentity,
        pool: &str,
        element: &PoolElement,
    ) -> Result<(), Refusal> {
        let addresses = ["192.0.2.1:40000".parse().expect("an address")];
        let requester = Requester::new(&identity, &addresses);
        policy.authorize(requester, Action::Register { pool_handle: &pool.into(), element })
    }

    fn named(name: &str) -> PeerIdentity {
        PeerIdentity::Authenticated(name.into())
    }

    #[test]
    fn an_identity_registers_where_it_is_told_to_and_nowhere_else() {
        let policy = AccessPolicy::default().identity("pe-a", Grant::pools(["echo", "sip-*"]));
        let own = element("192.0.2.1:80");
        for (pool, expected) in [
            ("echo", Ok(())),
            ("sip-", Ok(())),
            ("sip-proxy", Ok(())),
            ("echo2", Err(Refusal::Pool)),
            ("sip", Err(Refusal::Pool)),
        ] {
            assert_eq!(register(&policy, named("pe-a"), pool, &own), expected, "{pool}");
        }
        assert_eq!(register(&policy, named("pe-b"), "echo", &own), Err(Refusal::Unidentified));
        assert_eq!(register(&policy, PeerIdentity::Encrypted, "echo", &own), Err(Refusal::Unidentified));
        assert_eq!(register(&policy, PeerIdentity::Anonymous, "echo", &own), Err(Refusal::Unsecured));
        assert_eq!(
            register(&AccessPolicy::default(), named("pe-a"), "echo", &own),
            Err(Refusal::Unidentified)
        );
    }

    #[test]
    fn an_element_names_addresses_of_its_link_and_permitted_ones_only() {
        let range = |text: &str| text.parse::<AddressRange>().expect("a range");
        let with = |ranges: &[&str]| {
            let grant = Grant::pools(["*"]).addresses(ranges.iter().map(|text| range(text)));
            AccessPolicy::default().identity("pe-a", grant)
        };
        let result =
            |policy: &AccessPolicy, element: &PoolElement| register(policy, named("pe-a"), "p", element);
        assert_eq!(result(&with(&[]), &element("192.0.2.1:80")), Ok(()));
        assert_eq!(result(&with(&[]), &element("[::ffff:192.0.2.1]:80")), Ok(()));
        assert_eq!(result(&with(&[]), &element("192.0.2.2:80")), Err(Refusal::Address));
        assert_eq!(result(&with(&["192.0.2.2"]), &element("192.0.2.2:80")), Ok(()));
        assert_eq!(result(&with(&["192.0.2.0/30"]), &element("192.0.2.3:80")), Ok(()));
        assert_eq!(result(&with(&["192.0.2.0/30"]), &element("192.0.2.4:80")), Err(Refusal::Address));
        assert_eq!(result(&with(&["2001:db8::/32"]), &element("[2001:db8:1::1]:80")), Ok(()));
        assert_eq!(result(&with(&["0.0.0.0/0"]), &element("[2001:db8::1]:80")), Err(Refusal::Address));
        // The ASAP transport counts as well: registrars connect there.
        let mut elsewhere = element("192.0.2.1:80");
        elsewhere.asap_transport = Some(Transport::Tcp("198.51.100.1:1".parse().expect("an address")));
        assert_eq!(result(&with(&[]), &elsewhere), Err(Refusal::Address));
        let opaque = PoolElement { user_transport: Transport::Opaque([1].into()), ..element("192.0.2.1:80") };
        assert_eq!(result(&with(&["0.0.0.0/0", "::/0"]), &opaque), Err(Refusal::Address));
        assert_eq!(result(&with(&["*"]), &opaque), Ok(()));
    }

    #[test]
    fn only_those_named_are_registrars_and_resolving_is_open_as_far_as_configured() {
        let policy = |resolvers| AccessPolicy::default().peer("registrar-a").resolvers(resolvers);
        let may = |resolvers, identity: PeerIdentity, action| {
            policy(resolvers).authorize(Requester::new(&identity, &[]), action)
        };
        let peer = Action::Peer { server: ServerId(1) };
        assert_eq!(may(Resolvers::Anybody, named("registrar-a"), peer), Ok(()));
        assert_eq!(may(Resolvers::Anybody, named("pe-a"), peer), Err(Refusal::Peer));
        assert_eq!(may(Resolvers::Anybody, PeerIdentity::Anonymous, peer), Err(Refusal::Unsecured));
        let pool_handle = &PoolHandle::from("echo");
        let resolve = Action::Resolve { pool_handle };
        let report = Action::ReportUnreachable { pool_handle, identifier: PeIdentifier(1) };
        for (resolvers, anonymous, encrypted) in [
            (Resolvers::Identified, Err(Refusal::Unsecured), Err(Refusal::Unidentified)),
            (Resolvers::Secured, Err(Refusal::Unsecured), Ok(())),
            (Resolvers::Anybody, Ok(()), Ok(())),
        ] {
            assert_eq!(may(resolvers, PeerIdentity::Anonymous, resolve), anonymous);
            assert_eq!(may(resolvers, PeerIdentity::Encrypted, resolve), encrypted);
            assert_eq!(may(resolvers, named("anyone"), resolve), Ok(()));
            assert_eq!(may(resolvers, PeerIdentity::Anonymous, report), Err(Refusal::Unsecured));
            assert_eq!(may(resolvers, PeerIdentity::Encrypted, report), encrypted);
        }
    }

    #[test]
    fn what_is_no_address_range_is_told_with_what_would_be() {
        for text in ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0", "::/129", "host"] {
            let error = text.parse::<AddressRange>().expect_err("no range").to_string();
            assert!(error.contains("10.0.0.0/8"), "{error}");
        }
        assert_eq!("10.0.0.0/8".parse::<AddressRange>().expect("a range").to_string(), "10.0.0.0/8");
    }
}
