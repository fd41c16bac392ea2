//! The `lab` command: runs commands, or the tests of a package, inside user-mode Linux. It is also the first process there.
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rserpool_interop::{Machine, Suite, run_as_first_process, test_programs};

const USAGE: &str = "\
Runs commands inside user-mode Linux, whose kernel has SCTP, on the files of this machine.

  lab run [OPTION]... -- COMMAND [ARGUMENT]...     runs a command; its status is that of lab
  lab test [OPTION]... PACKAGE [-- ARGUMENT]...    builds the tests of a package of the project, and runs them inside
  lab suite [--kernels N] [FILTER]                 runs the tests of the laboratory itself, N at once; those whose names
                                                   contain FILTER
  lab reach ADDRESS                                whether that host answers at all; status 0 or 1
  lab get HOST:PORT PATH                           what is served there over HTTP

Options
  --hosts N      network namespaces n1 to nN, with addresses 10.9.0.1 to 10.9.0.N (default 0)
  --networks N   as many interfaces for each host; 10.9.0.x, 10.10.0.x and so on (default 1)
  --seconds N    ends the command after this long, with status 124 (default 120)
  --env NAME=VALUE
  --keep         keeps the captures even if all went well";

type Problem = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    run_as_first_process();
    match run(std::env::args().skip(1).collect()) {
        Ok(status) => ExitCode::from(u8::try_from(status).unwrap_or(1)),
        Err(problem) => {
            eprintln!("lab: {problem}");
            ExitCode::from(125)
        }
    }
}

fn run(arguments: Vec<String>) -> Result<i32, Problem> {
    let mut arguments = arguments.into_iter();
    let verb = arguments.next().unwrap_or_default();
    if verb == "reach" {
        let host = arguments.next().ok_or(USAGE)?.parse()?;
        return Ok(i32::from(!answers(host)?));
    }
    if verb == "get" {
        let (server, path) = (arguments.next().ok_or(USAGE)?, arguments.next().ok_or(USAGE)?);
        println!("{}", get(&server, &path)?);
        return Ok(0);
    }
    if verb == "suite" {
        return suite(arguments);
    }
    let mut machine = Machine::default();
    let (mut keep, mut package, mut rest) = (false, None, Vec::new());
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--hosts" => machine.hosts = value()?.parse()?,
            "--networks" => machine.networks = value()?.parse()?,
            "--seconds" => machine.time_limit = Duration::from_secs(value()?.parse()?),
            "--env" => {
                let pair = value()?;
                let (name, value) = pair.split_once('=').ok_or("--env needs NAME=VALUE")?;
                machine.environment.insert(name.to_owned(), value.to_owned());
            }
            "--keep" => keep = true,
            "--" => rest = arguments.by_ref().collect(),
            _ if verb == "test" && package.is_none() && !argument.starts_with('-') => {
                package = Some(argument)
            }
            _ => return Err(format!("`{argument}` is not understood\n\n{USAGE}").into()),
        }
    }
    let commands = match (verb.as_str(), package) {
        ("run", None) if !rest.is_empty() => vec![rest],
        ("test", Some(package)) => test_commands(&package, &rest)?,
        ("help" | "--help" | "-h", _) => {
            println!("{USAGE}");
            return Ok(0);
        }
        _ => return Err(USAGE.into()),
    };
    let mut outcome = machine.run(&verb, &commands)?;
    if keep || outcome.status != 0 {
        outcome.kept.keep(true);
        eprintln!("lab: status {}; log and captures: {}", outcome.status, outcome.kept.folder().display());
    }
    Ok(outcome.status)
}

fn suite(mut arguments: impl Iterator<Item = String>) -> Result<i32, Problem> {
    let mut suite = Suite::default();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--kernels" => suite.kernels = arguments.next().ok_or(USAGE)?.parse()?,
            filter if !filter.starts_with('-') => suite.filter = filter.to_owned(),
            _ => return Err(format!("`{argument}` is not understood\n\n{USAGE}").into()),
        }
    }
    Ok(i32::from(!suite.run()?))
}

/// Whether a host answers a datagram to a port on which nobody listens: it says so, if it is reached.
fn answers(host: IpAddr) -> Result<bool, Problem> {
    const DISCARD: u16 = 9;
    let any: IpAddr =
        if host.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    socket.connect((host, DISCARD))?;
    socket.send(&[0])?;
    Ok(socket.recv(&mut [0; 1]).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused))
}

/// The body of what is served at a path, over HTTP.
fn get(server: &str, path: &str) -> Result<String, Problem> {
    let mut stream = TcpStream::connect(server)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("this is not HTTP")?;
    Ok(body.to_owned())
}

fn test_commands(package: &str, arguments: &[String]) -> Result<Vec<Vec<String>>, Problem> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let programs = test_programs(&manifest, package)?;
    let command = |program: &Path| {
        let program = program.to_str().ok_or("a test program's path is not UTF-8")?;
        Ok(std::iter::once(program.to_owned()).chain(arguments.iter().cloned()).collect())
    };
    programs.iter().map(|program| command(program)).collect()
}
