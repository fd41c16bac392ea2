//! What fails, and what is measured then. Hosts 1 and 2 have registrars, 3 and 4 elements, 5 the user; 6 is for who comes later.
use std::thread::sleep;
use std::time::{Duration, Instant};

use rserpool_interop::{Network, Process, Running};
use rserpool_interop_net::{Caller, Site, Timers};
use rustix::process::Signal;

use crate::Measured;

/// Longer than any failure takes.
const PATIENCE: Duration = Duration::from_secs(300);
/// How exact the times are that are not the user's own.
const POLL: Duration = Duration::from_millis(5);
/// How long the user is left alone before something fails: time for the caches to be as they are in the long run.
const SETTLED: Duration = Duration::from_millis(300);

/// The element that the user prefers, the one that remains, and one that comes later.
const PREFERRED: &str = "0x00000001";
const OTHER: &str = "0x00000002";
const LATER: &str = "0x00000003";

/// A failure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Case {
    ElementKilled,
    ElementSilent,
    ElementStopped,
    RegistrarKilled,
    RegistrarSilent,
}

impl Case {
    pub(crate) const ALL: [Self; 5] = [
        Self::ElementKilled,
        Self::ElementSilent,
        Self::ElementStopped,
        Self::RegistrarKilled,
        Self::RegistrarSilent,
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|case| case.name() == name)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ElementKilled => "element-killed",
            Self::ElementSilent => "element-silent",
            Self::ElementStopped => "element-stopped",
            Self::RegistrarKilled => "registrar-killed",
            Self::RegistrarSilent => "registrar-silent",
        }
    }

    /// For people.
    pub(crate) const fn what_fails(self) -> &'static str {
        match self {
            Self::ElementKilled => "the element's process is killed",
            Self::ElementSilent => "the element's cable is cut",
            Self::ElementStopped => "the element's process stands still",
            Self::RegistrarKilled => "the registrar's process is killed",
            Self::RegistrarSilent => "the registrar's cable is cut",
        }
    }

    /// Lets it fail once.
    pub(crate) fn measure(self, network: &Network, timers: Timers) -> Measured {
        let site = Site::new(network, 2).timers(timers);
        let registrars = site.start_registrars();
        let preferred = element(&site, 3, PREFERRED, "--policy=prio:9");
        let _other = element(&site, 4, OTHER, "--policy=prio:1");
        let (table, _) = site.agree(&[1, 2], &[PREFERRED, OTHER], PATIENCE);
        // Elements choose their home at random.
        let (home, other) = if table.home_of(PREFERRED) == Some(1) { (1, 2) } else { (2, 1) };
        let user = site.caller(5, &[]);
        sleep(SETTLED);
        match self {
            Self::ElementKilled => recovery(&site, user, || preferred.kill()),
            Self::ElementSilent => recovery(&site, user, || cut(network, 3)),
            Self::ElementStopped => recovery(&site, user, || preferred.signal(Signal::STOP)),
            Self::RegistrarKilled => {
                let dies = registrars.iter().zip(1..).find(|(_, host)| *host == home);
                replacement(&site, other, user, || {
                    dies.into_iter().for_each(|(one, _)| one.signal(Signal::KILL))
                })
            }
            Self::RegistrarSilent => replacement(&site, other, user, || cut(network, home)),
        }
    }
}

fn element(site: &Site<'_>, host: u8, id: &str, policy: &str) -> Process {
    let element = site.start_element(host, id, &[policy]);
    element.prints("ready ");
    element
}

#[allow(clippy::expect_used, reason = "the laboratory has these hosts")]
fn cut(network: &Network, host: u8) {
    network.cut(host, 1).expect("the host has a cable");
}

/// How long a user waits for an answer whose element fails.
fn recovery(site: &Site<'_>, user: Caller, fail: impl FnOnce()) -> Measured {
    let before = Instant::now();
    fail();
    // A signal takes a moment to arrive: what is answered until then is not served by another element.
    sleep(SETTLED);
    site.serves(&user);
    let log = user.finish();
    assert_eq!(log.lost, 0, "the user gave up");
    Measured::from([("until a user is answered".into(), milliseconds(log.longest_since(before)))])
}

/// How long it takes until the `other` registrar does all that the dead one did.
#[allow(clippy::expect_used, reason = "what cannot be started cannot be measured")]
fn replacement(site: &Site<'_>, other: u8, user: Caller, fail: impl FnOnce()) -> Measured {
    let before = Instant::now();
    fail();
    let failed = Instant::now();
    let mut resolving = Running::start(&mut site.resolve(6)).expect("the command can be started");
    let _later = site.start_element(6, LATER, &["--policy=prio:1"]);
    let (mut resolved, mut registered, mut adopted) = (None, None, None);
    site.until("another registrar serves", PATIENCE, || {
        if resolved.is_none() && matches!(resolving.child().try_wait(), Ok(Some(status)) if status.success())
        {
            resolved = Some(failed.elapsed());
        }
        let table = site.handlespace(other);
        let home_of = |id| table.as_ref()?.home_of(id);
        if registered.is_none() && home_of(LATER).is_some() {
            registered = Some(failed.elapsed());
        }
        if adopted.is_none() && home_of(PREFERRED) == Some(other) && home_of(OTHER) == Some(other) {
            adopted = Some(failed.elapsed());
        }
        sleep(POLL);
        resolved.is_some() && registered.is_some() && adopted.is_some()
    });
    let log = user.finish();
    assert_eq!(log.lost, 0, "the user gave up");
    let times = [
        ("until a new user has resolved the pool", resolved),
        ("until a new element is registered", registered),
        ("until the elements have a home again", adopted),
        ("longest wait of a user meanwhile", Some(log.longest_since(before))),
    ];
    times.into_iter().map(|(what, time)| (what.to_owned(), milliseconds(time.unwrap_or_default()))).collect()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
