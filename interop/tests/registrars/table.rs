//! What a registrar has in its handlespace, told by `rserpool dump` or by the reference implementation's `hsdump`, so that the
//! two can be compared.
use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use rserpool_interop::Hosts;
use serde_json::Value;

/// From where registrars are asked.
pub(crate) const OBSERVER: u8 = 6;

/// How long registrars may take to agree: a heartbeat tells them that they do not, and each tells its own table.
const PATIENCE: Duration = Duration::from_secs(60);

/// The handlespace of one registrar.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Table {
    /// Pool, element, and the home of the element.
    pub(crate) elements: BTreeSet<(String, u32, u32)>,
    /// The checksum over all of them (RFC 5353 §3.6.2), as the implementation that was asked computes it.
    pub(crate) checksum: u16,
}

/// A registrar of either implementation, by its host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum At {
    Ours(u8),
    Theirs(u8),
}

impl At {
    /// Where it is.
    pub(crate) fn host(self) -> u8 {
        let (Self::Ours(host) | Self::Theirs(host)) = self;
        host
    }
}

impl Table {
    /// Asks a registrar; `None` if it does not answer.
    pub(crate) fn of(hosts: &Hosts<'_>, registrar: At) -> Option<Self> {
        match registrar {
            At::Ours(host) => Self::from_dump(&hosts.dump(host)),
            At::Theirs(host) => {
                let [address, _] = hosts.addresses(host, 1);
                let mut hsdump = hosts.on(OBSERVER, "timeout");
                hsdump.args(["5", "hsdump", &format!("{address}:9901"), "-logcolor=off"]);
                let output = hsdump.output().ok().filter(|output| output.status.success())?;
                Self::from_hsdump(&String::from_utf8_lossy(&output.stdout))
            }
        }
    }

    fn from_dump(dump: &Value) -> Option<Self> {
        let text = |value: &Value, field: &str| value.get(field)?.as_str().map(str::to_owned);
        let list = |value: &Value, field: &str| value.get(field)?.as_array().cloned();
        let mut table = Self::default();
        let handlespace = dump.get("handlespace")?;
        for pool in list(handlespace, "pools")? {
            for element in list(&pool, "elements")? {
                let (id, home) = (number(&text(&element, "id")?)?, number(&text(&element, "home")?)?);
                table.elements.insert((text(&pool, "handle")?, id, home));
            }
        }
        let owners = list(handlespace, "owners")?;
        let checksums: Option<Vec<u16>> =
            owners.iter().map(|owner| u16::from_str_radix(&text(owner, "checksum")?, 16).ok()).collect();
        table.checksum = sum(&checksums?);
        Some(table)
    }

    /// Of its output: `- $00000001 -> "EchoPool" / $37e2afc4 flags=…` tells an element,
    /// `-- Checksums: Handlespace=$0000f386, …` the checksum.
    fn from_hsdump(output: &str) -> Option<Self> {
        let mut table = Self::default();
        let (_, checksum) = output.rsplit_once("Checksums: Handlespace=$")?;
        // It is printed as it lies in memory: summed up in words of this machine's order, which RFC 1071 allows.
        table.checksum = u16::try_from(number(checksum.split(',').next()?)?).ok()?.to_be();
        let (_, owned) = output.rsplit_once("*-- Ownership:")?;
        for line in owned.lines().filter_map(|line| line.trim_start().strip_prefix("- $")) {
            let (home, rest) = line.split_once(" -> \"")?;
            let (pool, rest) = rest.split_once("\" / $")?;
            let element = rest.split_whitespace().next()?;
            table.elements.insert((pool.to_owned(), number(element)?, number(home)?));
        }
        Some(table)
    }

    /// How many elements of a pool have this home.
    pub(crate) fn count(&self, pool: &str, home: u8) -> usize {
        self.elements.iter().filter(|(of, _, at)| of == pool && *at == u32::from(home)).count()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (pool, element, home) in &self.elements {
            writeln!(f, "    {pool} {element:08x} at {home}")?;
        }
        writeln!(f, "    checksum {:04x}", self.checksum)
    }
}

/// Waits until all registrars have the same elements and checksums, and these are as wanted; returns them.
///
/// # Panics
/// If that takes too long.
pub(crate) fn agreed(
    hosts: &Hosts<'_>,
    registrars: &[At],
    what: &str,
    wanted: impl Fn(&Table) -> bool,
) -> Table {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let tables: Vec<_> = registrars.iter().map(|registrar| Table::of(hosts, *registrar)).collect();
        if let Some(Some(first)) = tables.first()
            && tables.iter().all(|table| table.as_ref() == Some(first))
            && wanted(first)
        {
            return first.clone();
        }
        if Instant::now() >= deadline {
            let told = registrars.iter().zip(tables).map(|(registrar, table)| match table {
                Some(table) => format!("{registrar:?}\n{table}"),
                None => format!("{registrar:?} does not answer\n"),
            });
            panic!("the registrars do not agree on this: {what}\n{}", told.collect::<String>());
        }
    }
}

/// The checksum over what several homes own: that over what each owns is the complement of a sum (RFC 1071).
fn sum(checksums: &[u16]) -> u16 {
    let fold = |sum: u16, checksum: &u16| {
        let (sum, carry) = sum.overflowing_add(!checksum);
        sum + u16::from(carry)
    };
    !checksums.iter().fold(0, fold)
}

/// Reads `0x0000002a` and `0000002a`.
fn number(text: &str) -> Option<u32> {
    u32::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}
