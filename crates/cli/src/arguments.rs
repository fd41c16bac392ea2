//! Arguments that several subcommands have in common, and how they read.
use std::fmt::Display;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use rserpool::machine::Endpoint;
use rserpool::wire::{Dialect, PeIdentifier, ServerId};
use rserpool::{Pool, PoolUser, ServiceSecurity, TimerProfile};
use tokio::time::sleep;
use tracing::warn;

use crate::failure::Failure;
use crate::security::{ClientKeys, Renewal, UserTls, diagnose};

/// When to say first what is waited for: a wrong address or key is wrong from the start.
pub(crate) const FIRST_REMINDER: Duration = Duration::from_secs(3);

/// How registrars are found, and spoken to.
#[derive(Debug, Args)]
pub(crate) struct Registrars {
    /// A registrar: tcp://HOST:PORT, sctp://HOST:PORT,HOST:PORT, and with TLS tls://… or sctp+tls://…; may be given several
    /// times
    #[arg(
        long = "registrar",
        value_name = "URL",
        value_parser = reachable,
        required_unless_present = "interfaces"
    )]
    pub(crate) registrars: Vec<Endpoint>,
    /// Hear announcements of registrars on this network interface; may be given several times
    #[arg(long = "discover", value_name = "IFACE")]
    pub(crate) interfaces: Vec<String>,
    #[command(flatten)]
    pub(crate) conventions: Conventions,
    #[command(flatten)]
    pub(crate) keys: ClientKeys,
}

impl Registrars {
    /// The outcome of `work`, which needs a registrar. Where that takes long, what keeps them from being reached is said meanwhile.
    pub(crate) async fn await_with_reminder<T>(&self, work: impl Future<Output = T>) -> T {
        let reminder = async {
            sleep(FIRST_REMINDER).await;
            if let Some(reason) = self.diagnose().await {
                warn!(reason, "no registrar answers; still trying");
            }
            std::future::pending().await
        };
        tokio::select! {
            done = work => done,
            never = reminder => never,
        }
    }

    /// `failure`, with what keeps the registrars from being reached if that is the reason.
    pub(crate) async fn explain(&self, failure: Failure) -> Failure {
        match self.diagnose().await {
            Some(reason) => Failure::new(format!("{failure} ({reason})")),
            None => failure,
        }
    }

    /// What keeps the registrars from being reached, if none of them is.
    pub(crate) async fn diagnose(&self) -> Option<String> {
        let security = self.keys.security(&self.registrars, None).ok()?;
        diagnose(&self.registrars, security.as_ref(), self.conventions.dialect).await
    }
}

/// What all members of an operational scope agree on.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Conventions {
    /// The timers: of the RFCs, or fast ones that fail over in fractions of a second [rfc, fast]
    #[arg(long, value_name = "PROFILE", default_value_t)]
    pub(crate) timers: TimerProfile,
    /// The wire format: of the RFCs, or of the reference implementation where it deviates [rfc, rsplib]
    #[arg(long, value_name = "DIALECT", default_value_t)]
    pub(crate) dialect: Dialect,
}

/// A pool user's arguments.
#[derive(Debug, Args)]
pub(crate) struct User {
    /// The pool handle
    #[arg(long, value_name = "NAME", value_parser = pool_handle)]
    pub(crate) pool: String,
    #[command(flatten)]
    pub(crate) registrars: Registrars,
    /// How long to go on trying while no registrar or no element answers [default: 30, fast: 10]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) patience: Option<Duration>,
}

impl User {
    /// How long to go on trying.
    pub(crate) fn patience(&self) -> Duration {
        let fallback = match self.registrars.conventions.timers {
            TimerProfile::Rfc => Duration::from_secs(30),
            TimerProfile::Fast => Duration::from_secs(10),
        };
        self.patience.unwrap_or(fallback)
    }

    /// How elements are spoken to; to be asked first.
    pub(crate) fn with_elements(
        &mut self,
        tls: &UserTls,
        renewal: &mut Renewal,
    ) -> Result<Option<ServiceSecurity>, Failure> {
        let Registrars { registrars, keys, .. } = &mut self.registrars;
        tls.security(&self.pool, registrars, keys, renewal)
    }

    /// Starts the pool user and names its pool.
    pub(crate) async fn pool(&self) -> Result<Pool, Failure> {
        self.renewed_pool(&mut Renewal::default()).await
    }

    /// The same, its keys to be renewed.
    pub(crate) async fn renewed_pool(&self, renewal: &mut Renewal) -> Result<Pool, Failure> {
        let Registrars { registrars, interfaces, conventions, keys } = &self.registrars;
        let mut builder = PoolUser::builder()
            .registrars(registrars.iter().cloned())
            .timers(conventions.timers)
            .dialect(conventions.dialect)
            .patience(self.patience());
        for interface in interfaces {
            builder = builder.discover(interface);
        }
        if let Some(security) = keys.renewed_security(registrars, None, renewal)? {
            builder = builder.security(security);
        }
        Ok(builder.build().await?.pool(self.pool.clone()))
    }
}

/// Reads a pool handle: any text, but one that is empty comes from a variable that is not set.
pub(crate) fn pool_handle(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("the name of a pool is not empty".into()) } else { Ok(text.into()) }
}

/// Reads the endpoint of somebody to connect to.
pub(crate) fn reachable(text: &str) -> Result<Endpoint, String> {
    let endpoint: Endpoint = text.parse().map_err(|error| format!("{error}"))?;
    match endpoint.port() {
        0 => Err("port 0 takes a free port where it is listened on; write the one that came of it".into()),
        _ => Ok(endpoint),
    }
}

/// Reads an address and a port, or a name and a port.
pub(crate) fn place(text: &str) -> Result<String, String> {
    if text.parse::<SocketAddr>().is_ok() {
        return Ok(text.into());
    }
    let (host, port) = text.rsplit_once(':').unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match bare {
        // The zone may be the name of an interface, which the system looks up where there are no brackets.
        Some(address) => address.contains('%'),
        None => !host.is_empty() && !host.contains([':', '/', '[', ']']),
    };
    if !is_host || port.parse::<u16>().is_err() {
        return Err("write HOST:PORT, such as 127.0.0.1:8080, [::1]:8080 or localhost:8080".into());
    }
    Ok(format!("{}:{port}", bare.unwrap_or(host)))
}

/// Reads a place, or the URL of an endpoint.
pub(crate) fn place_or_url(text: &str) -> Result<String, String> {
    if text.contains("://") {
        return text
            .parse()
            .map(|endpoint: Endpoint| endpoint.to_string())
            .map_err(|error| error.to_string());
    }
    place(text)
}

/// Reads the identifier of an element.
pub(crate) fn element(text: &str) -> Result<PeIdentifier, String> {
    identifier(text)
}

/// Reads the identifier of a registrar, which 0 is not.
pub(crate) fn server(text: &str) -> Result<ServerId, String> {
    match identifier(text)? {
        ServerId::NONE => Err("0 identifies no registrar: write any other number".into()),
        id => Ok(id),
    }
}

fn identifier<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| {
        format!("{error}: write 0x and up to 8 hexadecimal digits, or a 32-bit decimal number")
    })
}

/// Reads a time in seconds, fractions allowed, more than 0.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let duration = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "write a number of seconds, such as 2.5".into())
}

/// Reads a number from 1 on.
pub(crate) fn count(text: &str) -> Result<u32, String> {
    text.parse().map(NonZeroU32::get).map_err(|_| "write a whole number from 1 on".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_documented_and_say_what_is_right() {
        assert_eq!(element("0x0000002a"), Ok(PeIdentifier(42)));
        assert!(server("0").expect_err("nobody").contains("any other number"));
        assert!(server("0x123456789").expect_err("33 bits").contains("8 hexadecimal digits"));
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for wrong in ["0", "-1", "NaN", "soon"] {
            assert!(seconds(wrong).expect_err(wrong).contains("2.5"));
        }
    }

    #[test]
    fn places_read_as_documented_and_say_what_is_right() {
        for right in
            ["127.0.0.1:80", "[::1]:80", "[fe80::1%2]:80", "localhost:80", "0.0.0.0:0", "a_b.example:1"]
        {
            assert_eq!(place(right).as_deref(), Ok(right));
        }
        assert_eq!(place("[fe80::1%lo]:80").as_deref(), Ok("fe80::1%lo:80"));
        for wrong in
            ["80", ":80", "::1:80", "[::1]", "localhost", "a:b", "a:70000", "tcp://a:1", "http://a:80/"]
        {
            assert!(place(wrong).expect_err(wrong).contains("[::1]:8080"));
        }
        assert_eq!(place_or_url("sctp://127.0.0.1:0").as_deref(), Ok("sctp://127.0.0.1:0"));
        assert!(place_or_url("http://127.0.0.1:0").expect_err("no endpoint").contains("tcp://HOST:PORT"));
        assert!(reachable("tcp://127.0.0.1:0").expect_err("no port").contains("free port"));
    }
}
