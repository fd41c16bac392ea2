//! The configuration file of a registrar: TOML with the names of the flags, and tables for what has no flag.
//! `examples/registrar.toml` shows all of it.
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use rserpool::TimerProfile;
use rserpool::enrp::{RegistrarLimits, RegistrarTimers};
use rserpool::machine::Endpoint;
use rserpool::transport::{LinkConfig, SctpTimers};
use rserpool::wire::{Dialect, ServerId};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::Arguments;
use crate::failure::Failure;
use crate::security::ServerKeys;

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct File {
    /// What flags could say too.
    pub(super) arguments: Arguments,
    /// Single timers, which overrule the profile.
    pub(super) timing: Timing,
    /// The limits, defaults where the file says nothing.
    pub(super) limits: RegistrarLimits,
    /// Single settings of links, which overrule the profile.
    pub(super) links: Links,
    /// The same of SCTP.
    pub(super) sctp: Sctp,
}

/// Reads the file; a mistake is told with its line.
pub(super) fn read(path: &Path) -> Result<File, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("--config {}: {error}", path.display())))?;
    parse(&text).map_err(|error| Failure::usage(format!("--config {}: {error}", path.display())))
}

fn parse(text: &str) -> Result<File, toml::de::Error> {
    let root: Root = toml::from_str(text)?;
    let arguments = Arguments {
        asap: root.asap.into_iter().map(|text| text.0).collect(),
        enrp: root.enrp.map(|text| text.0),
        peers: root.peers.into_iter().map(|text| text.0).collect(),
        id: root.id.map(|id| ServerId(id.get())),
        timers: root.timers.map(|text| text.0),
        dialect: root.dialect.map(|text| text.0),
        announce: root.announce,
        advertise: root.advertise,
        admin: root.admin,
        keys: ServerKeys {
            tls_cert: root.tls_cert,
            tls_key: root.tls_key,
            tls_ca: root.tls_ca,
            psk_file: root.psk_file,
            policy: root.policy,
        },
        config: None,
    };
    let mut limits = RegistrarLimits::default();
    root.limits.apply(&mut limits);
    Ok(File { arguments, timing: root.timing, limits, links: root.links, sctp: root.sctp })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Root {
    #[serde(default)]
    asap: Vec<Text<Endpoint>>,
    enrp: Option<Text<Endpoint>>,
    #[serde(default)]
    peers: Vec<Text<Endpoint>>,
    id: Option<NonZeroU32>,
    timers: Option<Text<TimerProfile>>,
    dialect: Option<Text<Dialect>>,
    #[serde(default)]
    announce: Vec<String>,
    advertise: Option<IpAddr>,
    admin: Option<String>,
    #[serde(rename = "tls-cert")]
    tls_cert: Option<PathBuf>,
    #[serde(rename = "tls-key")]
    tls_key: Option<PathBuf>,
    #[serde(rename = "tls-ca")]
    tls_ca: Option<PathBuf>,
    #[serde(rename = "psk-file")]
    psk_file: Option<PathBuf>,
    policy: Option<PathBuf>,
    #[serde(default)]
    timing: Timing,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    links: Links,
    #[serde(default)]
    sctp: Sctp,
}

/// Declares a table in which every field of a configuration struct may be overruled, and nothing else may stand.
macro_rules! overrides {
    ($(#[$doc:meta])* $table:ident of $target:ident { $($field:ident: $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $table {
            $($field: Option<$kind>,)*
        }

        impl $table {
            /// Sets what the file says, and leaves the rest.
            pub(super) fn apply(&self, target: &mut $target) {
                $(if let Some(value) = self.$field {
                    target.$field = value.into();
                })*
            }
        }
    };
}

overrides! {
    /// The table `[timing]`: single timers, in seconds.
    Timing of RegistrarTimers {
        heartbeat_cycle: Seconds,
        max_time_last_heard: Seconds,
        max_time_no_response: Seconds,
        mentor_patience: Seconds,
        mentor_retry: Seconds,
        reconnect_min: Seconds,
        reconnect_max: Seconds,
        download_session: Seconds,
        resync_interval: Seconds,
        takeover_watch: Seconds,
        keep_alive_interval: Seconds,
        keep_alive_timeout: Seconds,
        detached_grace: Seconds,
        probe_interval: Seconds,
        update_delay: Seconds,
        server_announce: Seconds,
        drain: Seconds,
        stall: Seconds,
    }
}

overrides! {
    /// The table `[limits]`.
    Limits of RegistrarLimits {
        peers: usize,
        pools: usize,
        elements: usize,
        handle_length: usize,
        elements_per_link: usize,
        elements_per_identity: usize,
        registrations_per_second: u32,
        resolutions_per_second: u32,
        reports_per_second: u32,
        links_per_source: usize,
        announcements_per_second: u32,
        subscriptions_per_link: usize,
        default_items: u32,
        max_items: u32,
        download_sessions: usize,
        probes: usize,
        handovers: usize,
        bad_reports: u32,
        faults_per_link: u32,
    }
}

overrides! {
    /// The table `[links]`: times in seconds, sizes in bytes.
    Links of LinkConfig {
        connect_timeout: Seconds,
        handshake_timeout: Seconds,
        handshakes: usize,
        handshakes_per_source: usize,
        user_timeout: Seconds,
        idle: Seconds,
        max_message: usize,
        send_queue: usize,
        drain: Seconds,
    }
}

overrides! {
    /// The table `[sctp]`: times in seconds.
    Sctp of SctpTimers {
        rto_initial: Seconds,
        rto_min: Seconds,
        rto_max: Seconds,
        heartbeat: Seconds,
        path_retransmissions: u16,
        association_retransmissions: u16,
    }
}

/// A time, written as a number of seconds.
#[derive(Clone, Copy, Debug)]
struct Seconds(Duration);

impl From<Seconds> for Duration {
    fn from(seconds: Seconds) -> Self {
        seconds.0
    }
}

impl From<Seconds> for Option<Duration> {
    fn from(seconds: Seconds) -> Self {
        Some(seconds.0)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds).map(Self).map_err(D::Error::custom)
    }
}

/// A value written as text, with the reading and the errors of the flag of its name.
struct Text<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FromText<T>(std::marker::PhantomData<T>);
        impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for FromText<T> {
            type Value = Text<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text<T>, E> {
                text.parse().map(Text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(FromText(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_reads_and_names_every_key() {
        let text = include_str!("../../../../examples/registrar.toml");
        let uncommented: String = text.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line)).fold(
            String::new(),
            |mut all, line| {
                all.push_str(line);
                all.push('\n');
                all
            },
        );
        let file = parse(&uncommented).expect("the example is valid with every line of it in force");
        assert_eq!(file.arguments.asap.len(), 1);
        let tables = format!("{:?} {:?} {:?}", file.timing, file.links, file.sctp);
        assert_eq!(tables.matches("None").count(), 0, "every setting has an example: {tables}");
        let (mut links, mut sctp) = (TimerProfile::Rfc.links(), SctpTimers::rfc());
        file.links.apply(&mut links);
        file.sctp.apply(&mut sctp);
        assert_eq!(LinkConfig { idle: None, ..links }, TimerProfile::Rfc.links(), "defaults are shown");
        assert_eq!(sctp, SctpTimers::rfc(), "defaults are shown");
        parse(text).expect("the example is valid as it stands");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error =
            parse("asap = [\"tcp://127.0.0.1:0\"]\npeer = []\n").expect_err("`peers` is right").to_string();
        assert!(error.contains("line 2") && error.contains("peer"), "{error}");
        let error = parse("[timing]\nheartbeat = 1\n").expect_err("no such timer").to_string();
        assert!(error.contains("line 2") && error.contains("heartbeat_cycle"), "{error}");
    }

    #[test]
    fn a_wrong_value_says_what_is_right() {
        let error = parse("enrp = \"10.0.0.1:9901\"").expect_err("no scheme").to_string();
        assert!(error.contains("tcp://HOST:PORT"), "{error}");
        let error = parse("[timing]\ndrain = -1").expect_err("negative").to_string();
        assert!(error.contains("line 2"), "{error}");
    }
}
