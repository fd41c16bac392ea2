//! What a registrar says that it has, as `/v1/handlespace` has it, and how it is asked.
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::Deserialize;

/// How long a registrar may take to answer: less than tests wait, more than a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(2);

/// A registrar's table of elements.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handlespace {
    /// Whether the registrar serves.
    pub ready: bool,
    /// The home of each element, and where users reach it.
    pub elements: BTreeMap<String, (String, String)>,
    /// The checksum over the elements of each registrar that has any.
    pub checksums: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Report {
    ready: bool,
    owners: Vec<Owner>,
    pools: Vec<Pool>,
}

#[derive(Deserialize)]
struct Owner {
    server: String,
    elements: usize,
    checksum: String,
}

#[derive(Deserialize)]
struct Pool {
    elements: Vec<Element>,
}

#[derive(Deserialize)]
struct Element {
    id: String,
    home: String,
    user_transport: String,
}

impl Handlespace {
    /// Asks the administrative service at `admin`, which this thread must reach.
    pub(crate) fn ask(admin: SocketAddr) -> io::Result<Self> {
        let report: Report = serde_json::from_str(&get(admin, "/v1/handlespace")?)?;
        let elements = report.pools.into_iter().flat_map(|pool| pool.elements);
        let owners = report.owners.into_iter().filter(|owner| owner.elements > 0);
        Ok(Self {
            ready: report.ready,
            elements: elements.map(|element| (element.id, (element.home, element.user_transport))).collect(),
            checksums: owners.map(|owner| (owner.server, owner.checksum)).collect(),
        })
    }

    /// The host of the registrar that is the home of an element.
    pub fn home_of(&self, element: &str) -> Option<u8> {
        let (home, _) = self.elements.get(element)?;
        u8::from_str_radix(home.strip_prefix("0x")?, 16).ok()
    }

    /// The homes of the elements, each once.
    pub fn homes(&self) -> Vec<&str> {
        let mut homes: Vec<_> = self.elements.values().map(|(home, _)| home.as_str()).collect();
        homes.sort_unstable();
        homes.dedup();
        homes
    }
}

/// The body of what is served at a path, over HTTP.
pub(crate) fn get(server: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("this is not HTTP"))?;
    Ok(body.to_owned())
}
