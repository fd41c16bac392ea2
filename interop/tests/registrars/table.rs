//! What a registrar has in its handlespace, told by `rserpool dump` or by the reference implementation's `hsdump`, so that the
//! two can be compared.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use rserpool_interop::Hosts;
use serde_json::Value;

/// From where registrars are asked.
pub(crate) const OBSERVER: u8 = 6;

/// How long registrars may take to agree: a heartbeat tells them that they do not, and each tells its own table.
const PATIENCE: Duration = Duration::from_secs(30);

/// The handlespace of one registrar.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Table {
    /// Pool, element, and the home of the element.
    pub(crate) elements: BTreeSet<(String, u32, u32)>,
    /// The checksum over what each home owns, of those that own anything.
    pub(crate) checksums: BTreeMap<u32, u16>,
}

/// A registrar of either implementation, by its host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum At {
    Ours(u8),
    Theirs(u8),
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
        for owner in list(handlespace, "owners")? {
            let checksum = u16::from_str_radix(&text(&owner, "checksum")?, 16).ok()?;
            if owner.get("elements")?.as_u64()? > 0 {
                table.checksums.insert(number(&text(&owner, "server")?)?, checksum);
            }
        }
        Some(table)
    }

    /// Of its output: `- $00000001 -> "EchoPool" / $37e2afc4 flags=…` tells an element, and in the list of peers
    /// `- idx:#0001: $00000001 upd=… chsum=$0000aaaa …` the checksum over what a home owns.
    fn from_hsdump(output: &str) -> Option<Self> {
        let mut table = Self::default();
        let mut checksums = BTreeMap::new();
        for line in output.lines() {
            let line = line.trim_start();
            if let Some((home, rest)) = line.strip_prefix("- $").and_then(|line| line.split_once(" -> \"")) {
                let (pool, rest) = rest.split_once("\" / $")?;
                let element = rest.split_whitespace().next()?;
                table.elements.insert((pool.to_owned(), number(element)?, number(home)?));
            } else if let Some((_, rest)) =
                line.strip_prefix("- idx:").and_then(|line| line.split_once(": $"))
                && let Some((home, rest)) = rest.split_once(" upd=")
                && let Some((_, checksum)) = rest.split_once("chsum=$")
            {
                let checksum = number(checksum.split_whitespace().next()?)?;
                checksums.insert(number(home)?, u16::try_from(checksum).ok()?);
            }
        }
        let homes: BTreeSet<u32> = table.elements.iter().map(|(_, _, home)| *home).collect();
        table.checksums = checksums.into_iter().filter(|(home, _)| homes.contains(home)).collect();
        output.contains("*-- Ownership:").then_some(table)
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
        for (home, checksum) in &self.checksums {
            writeln!(f, "    checksum of {home}: {checksum:04x}")?;
        }
        Ok(())
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

/// Reads `0x0000002a` and `0000002a`.
fn number(text: &str) -> Option<u32> {
    u32::from_str_radix(text.trim_start_matches("0x").trim_start_matches('$'), 16).ok()
}
