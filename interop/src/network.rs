//! Hosts and networks inside: network namespaces, each with an interface on every bridge.
//!
//! Host 3 is namespace `n3`; on network 1 it is 10.9.0.3 and fd00:9::3, on network 2 10.10.0.3 and fd00:a::3, and so on. The
//! namespace of the bridges has no address there: it sees all packets, and is nobody.
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process_group};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::cargo::COMMAND_VARIABLE;
use crate::job::{Files, Job};

/// The hosts and networks of the kernel in which this process runs.
#[derive(Debug)]
pub struct Network {
    hosts: u8,
    networks: u8,
    folder: PathBuf,
}

impl Network {
    /// The one that was laid out before this process was started.
    ///
    /// # Errors
    /// If this process is not inside.
    pub fn current() -> io::Result<Self> {
        let files = Files::of_environment()?;
        Ok(Self::of_job(&Job::read(&files)?, &files))
    }

    fn of_job(job: &Job, files: &Files) -> Self {
        Self { hosts: job.hosts, networks: job.networks, folder: files.folder.clone() }
    }

    pub(crate) fn lay_out(job: &Job, files: &Files) -> io::Result<Self> {
        let laid_out = Self::of_job(job, files);
        let Self { hosts, networks, .. } = laid_out;
        if hosts == 0 {
            return Ok(laid_out);
        }
        for host in 1..=hosts {
            let namespace = namespace(host);
            ip(&["netns", "add", &namespace])?;
            ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
        }
        for network in 1..=networks {
            for bridge in [bridge(network), other_side(network)] {
                // No snooping: nobody here tells bridges which groups it is in.
                ip(&["link", "add", &bridge, "type", "bridge", "mcast_snooping", "0", "forward_delay", "0"])?;
                ip(&["link", "set", &bridge, "up"])?;
            }
            for host in 1..=hosts {
                laid_out.plug_in(host, network)?;
            }
        }
        Ok(laid_out)
    }

    fn plug_in(&self, host: u8, network: u8) -> io::Result<()> {
        let (namespace, interface, port) = (namespace(host), interface(network), port(host, network));
        ip(&["link", "add", &port, "type", "veth", "peer", "name", &interface, "netns", &namespace])?;
        ip(&["link", "set", &port, "master", &bridge(network), "up"])?;
        self.number(host, network, host)?;
        ip(&["-n", &namespace, "link", "set", &interface, "up", "multicast", "on"])?;
        if network == 1 {
            ip(&["-n", &namespace, "route", "add", "224.0.0.0/4", "dev", &interface])?;
        }
        Ok(())
    }

    /// Gives a host the addresses of the number `like`.
    pub(crate) fn number(&self, host: u8, network: u8, like: u8) -> io::Result<()> {
        let (namespace, interface) = (namespace(host), interface(network));
        let [v4, v6] = self.addresses(like, network);
        ip(&["-n", &namespace, "addr", "add", &format!("{v4}/24"), "dev", &interface])?;
        // No duplicate address detection: the address could not be used for a second.
        ip(&["-n", &namespace, "addr", "add", &format!("{v6}/64"), "dev", &interface, "nodad"])
    }

    /// How many hosts there are.
    pub fn hosts(&self) -> u8 {
        self.hosts
    }

    /// How many networks there are.
    pub fn networks(&self) -> u8 {
        self.networks
    }

    /// Where to leave what is to be read when the test fails.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The addresses of a host on a network; both count from 1.
    pub fn addresses(&self, host: u8, network: u8) -> [IpAddr; 2] {
        let site = network.saturating_add(8);
        [
            Ipv4Addr::new(10, site, 0, host).into(),
            Ipv6Addr::new(0xfd00, site.into(), 0, 0, 0, 0, 0, host.into()).into(),
        ]
    }

    /// Runs `body` on a thread that is on a host: the sockets that it opens are that host's.
    ///
    /// # Errors
    /// If there is no such host.
    pub fn within<T: Send>(&self, host: u8, body: impl FnOnce() -> T + Send) -> io::Result<T> {
        let namespace = File::open(format!("/run/netns/{}", namespace(host)))?;
        let entered = move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(body())
        };
        thread::scope(|scope| match scope.spawn(entered).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// A command that will run on a host.
    pub fn on(&self, host: u8, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &namespace(host)]).arg(program).stdin(Stdio::null());
        command
    }

    /// The project's command, to run on a host. Needs [`Lab::needs_command`](crate::Lab::needs_command).
    pub fn rserpool(&self, host: u8) -> Command {
        self.on(host, project_command_inside())
    }

    /// Pulls a host's cable: its packets on this network, and those to it, vanish without a sound.
    ///
    /// # Errors
    /// If there is no such host or network.
    pub fn cut(&self, host: u8, network: u8) -> io::Result<()> {
        ip(&["link", "set", &port(host, network), "nomaster"])
    }

    /// Puts hosts on the other side of this network: they reach each other, and nobody else.
    ///
    /// # Errors
    /// If there is no such host or network.
    pub fn partition(&self, hosts: &[u8], network: u8) -> io::Result<()> {
        hosts
            .iter()
            .try_for_each(|host| ip(&["link", "set", &port(*host, network), "master", &other_side(network)]))
    }

    /// Undoes [`cut`](Self::cut) and [`partition`](Self::partition) for a host.
    ///
    /// # Errors
    /// If there is no such host or network.
    pub fn heal(&self, host: u8, network: u8) -> io::Result<()> {
        ip(&["link", "set", &port(host, network), "master", &bridge(network)])
    }
}

/// Where the project's command is, to those inside.
pub(crate) fn project_command_inside() -> PathBuf {
    std::env::var_os(COMMAND_VARIABLE).unwrap_or_else(|| "rserpool".into()).into()
}

/// A process that is ended with the value, at the latest.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Starts a command, in a process group of its own.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        command.process_group(0).spawn().map(Self)
    }

    /// The process.
    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Its identifier, also that of the program on a host that it has become.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends it a signal, and those that it has started.
    ///
    /// # Errors
    /// If it has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process_group(Pid::from_child(&self.0), signal)?)
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// What the system says.
    pub fn stop(mut self) -> io::Result<ExitStatus> {
        // It may have ended by itself.
        let _ = self.signal(Signal::TERM);
        self.0.wait()
    }

    /// Ends it as if its host had lost power: it says goodbye to nobody. (Its kernel does, for its TCP and SCTP sockets; cut
    /// the cable before if it should not.)
    ///
    /// # Errors
    /// What the system says.
    pub fn kill(mut self) -> io::Result<ExitStatus> {
        let _ = self.signal(Signal::KILL);
        self.0.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.signal(Signal::KILL);
        let _ = self.0.wait();
    }
}

/// Runs ip(8).
pub(crate) fn ip(arguments: &[&str]) -> io::Result<()> {
    let done = Command::new("/usr/sbin/ip").args(arguments).stdin(Stdio::null()).output()?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(io::Error::other(format!("ip {}: {}", arguments.join(" "), said.trim())))
}

pub(crate) fn bridge(network: u8) -> String {
    format!("br{network}")
}

fn other_side(network: u8) -> String {
    format!("br{network}other")
}

pub(crate) fn namespace(host: u8) -> String {
    format!("n{host}")
}

pub(crate) fn interface(network: u8) -> String {
    format!("eth{network}")
}

fn port(host: u8, network: u8) -> String {
    format!("v{host}-{network}")
}
