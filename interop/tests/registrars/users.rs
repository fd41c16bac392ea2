//! Users that go on asking while registrars come and go: of ours, of theirs, and new ones that have to ask a registrar first.
use std::time::{Duration, Instant};

use rserpool_interop::{Hosts, Process};
use serde_json::Value;

use crate::members::{OUR_POOL, THEIR_POOL, registrar_arguments};
use crate::table::OBSERVER;

/// A request that is not answered within this time is lost.
const ANSWERED: Duration = Duration::from_secs(10);

/// One user of each implementation in a session with an element of its own, and new users all the time.
pub(crate) struct Users<'a> {
    hosts: &'a Hosts<'a>,
    registrars: Vec<u8>,
    ours: Process,
    theirs: Process,
    requests: u32,
    lost: Vec<String>,
    longest: Duration,
}

impl<'a> Users<'a> {
    /// Starts them with these registrars to ask, and waits for their first answers.
    pub(crate) fn start(hosts: &'a Hosts<'a>, registrars: &[u8]) -> Self {
        let to_theirs = registrars.iter().map(|at| format!("-registrar={}:3863", hosts.addresses(*at, 1)[0]));
        let to_theirs: Vec<_> = to_theirs.chain([format!("-poolhandle={THEIR_POOL}")]).collect();
        let to_theirs: Vec<_> = to_theirs.iter().map(String::as_str).collect();
        let arguments = registrar_arguments(hosts, registrars);
        let pool = format!("--pool={OUR_POOL}");
        let mut to_ours = vec!["call", &pool];
        to_ours.extend(arguments.iter().map(String::as_str));
        let ours = hosts.rserpool(OBSERVER, &to_ours);
        let theirs = hosts.rsplib(OBSERVER, "rspterminal", &to_theirs);
        let (lost, longest) = (Vec::new(), Duration::ZERO);
        let registrars = registrars.to_vec();
        let mut users = Self { hosts, registrars, ours, theirs, requests: 0, lost, longest };
        users.ask();
        users
    }

    /// Each of them asks once.
    pub(crate) fn ask(&mut self) {
        self.requests += 1;
        let request = format!("request {}.", self.requests);
        let asked = Instant::now();
        for (user, name) in [(&mut self.ours, "ours"), (&mut self.theirs, "theirs")] {
            user.tell(&request);
            while !user.printed().contains(&request) {
                if asked.elapsed() > ANSWERED {
                    self.lost.push(format!("{request} of {name}"));
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        self.longest = self.longest.max(asked.elapsed());
        let pool = if self.requests.is_multiple_of(2) { OUR_POOL } else { THEIR_POOL };
        let asked = Instant::now();
        if homes(self.hosts, OBSERVER, &self.registrars, pool).is_empty() {
            self.lost.push(format!("{request} of a new user of {pool}"));
        }
        self.longest = self.longest.max(asked.elapsed());
    }

    /// Each of them asks for as long as that.
    pub(crate) fn ask_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.ask();
        }
    }

    /// Ends them.
    ///
    /// # Panics
    /// If any request was lost.
    pub(crate) fn end(self) {
        assert_eq!(self.lost, [""; 0], "lost, of {} requests", self.requests);
        println!("{} requests, none lost; the longest took {:?}", self.requests, self.longest);
    }
}

/// The homes of the elements of a pool, in order, as one of these registrars tells a user on a host; none if there is no such
/// pool, or no answer.
pub(crate) fn homes(hosts: &Hosts<'_>, user: u8, registrars: &[u8], pool: &str) -> Vec<u8> {
    let registrars = registrar_arguments(hosts, registrars);
    let pool = format!("--pool={pool}");
    let mut arguments = vec!["resolve", "--json", "--dialect=rsplib", "--patience=10", &pool];
    arguments.extend(registrars.iter().map(String::as_str));
    let answer: Option<Value> =
        hosts.ask(user, &arguments).ok().and_then(|json| serde_json::from_str(&json).ok());
    let elements = answer.as_ref().and_then(|answer| answer.get("elements")?.as_array());
    let home =
        |element: &Value| u8::from_str_radix(element.get("home")?.as_str()?.strip_prefix("0x")?, 16).ok();
    let mut homes: Vec<_> = elements.into_iter().flatten().filter_map(home).collect();
    homes.sort_unstable();
    homes
}
