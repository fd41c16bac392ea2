//! What goes wrong on networks short of a cut cable: packets that get lost or come late, and hosts whose address changes.
use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::network::{Network, interface, ip, namespace};

impl Network {
    /// Loses this share of the packets that come to a host, at random; 0 loses none any more.
    ///
    /// # Errors
    /// If there is no such host, or the kernel has no packet filter.
    pub fn lose(&self, host: u8, share: f64) -> io::Result<()> {
        // Where packets come in: for TCP, what its own host drops on the way out is not lost but congestion.
        for filter in ["iptables", "ip6tables"] {
            self.filter(host, filter, &["-F", "INPUT"])?;
            if share > 0.0 {
                let probability = share.to_string();
                let random = ["-m", "statistic", "--mode", "random", "--probability", &probability];
                // What a host says to itself takes no cable.
                let rule = [&["-A", "INPUT", "!", "-i", "lo"], &random[..], &["-j", "DROP"]].concat();
                self.filter(host, filter, &rule)?;
            }
        }
        Ok(())
    }

    /// Lets nothing from one host reach the other, in either direction, while all others reach both.
    ///
    /// # Errors
    /// If there is no such host, or the kernel has no packet filter.
    pub fn separate(&self, one: u8, other: u8) -> io::Result<()> {
        self.drop_between("-A", one, other)
    }

    /// Undoes [`separate`](Self::separate).
    ///
    /// # Errors
    /// If they are not separated.
    pub fn reunite(&self, one: u8, other: u8) -> io::Result<()> {
        self.drop_between("-D", one, other)
    }

    fn drop_between(&self, verb: &str, one: u8, other: u8) -> io::Result<()> {
        for (at, from) in [(one, other), (other, one)] {
            for network in 1..=self.networks() {
                for (filter, address) in
                    ["iptables", "ip6tables"].into_iter().zip(self.addresses(from, network))
                {
                    self.filter(at, filter, &[verb, "INPUT", "-s", &address.to_string(), "-j", "DROP"])?;
                }
            }
        }
        Ok(())
    }

    fn filter(&self, host: u8, filter: &str, arguments: &[&str]) -> io::Result<()> {
        // The kernels here have the older one of the two packet filters, if any.
        let legacy = format!("{filter}-legacy");
        run(self.on(host, legacy).args(["-w"]).args(arguments))
    }

    /// Delays each packet that a host sends on this network by about this long, half as much either way at random.
    ///
    /// # Errors
    /// If there is no such host or network, or the kernel has no `tc netem`.
    pub fn delay(&self, host: u8, network: u8, delay: Duration) -> io::Result<()> {
        let (interface, milliseconds) = (interface(network), delay.as_millis());
        let (mean, spread) = (format!("{milliseconds}ms"), format!("{}ms", milliseconds / 2));
        run(self
            .on(host, "tc")
            .args(["qdisc", "replace", "dev", &interface, "root", "netem", "delay", &mean, &spread]))
    }

    /// Lets TCP on a host send what was lost again after this long, at least, instead of 200 ms: on short paths of IPv4 it can.
    ///
    /// # Errors
    /// If there is no such host or network.
    pub fn retransmit_after(&self, host: u8, network: u8, least: Duration) -> io::Result<()> {
        let (namespace, interface) = (namespace(host), interface(network));
        let [address, _] = self.addresses(host, network);
        let (source, least) = (address.to_string(), format!("{}ms", least.as_millis()));
        let prefix = self.addresses(0, network)[0].to_string() + "/24";
        let route = [
            "route", "replace", &prefix, "dev", &interface, "proto", "kernel", "scope", "link", "src",
            &source,
        ];
        ip(&[&["-n", &namespace], &route[..], &["rto_min", &least]].concat())
    }

    /// Takes the IPv4 addresses of all hosts away, on all networks.
    ///
    /// # Errors
    /// What the system says.
    pub fn leave_ipv6_alone(&self) -> io::Result<()> {
        for host in 1..=self.hosts() {
            for network in 1..=self.networks() {
                ip(&["-4", "-n", &namespace(host), "addr", "flush", "dev", &interface(network)])?;
            }
        }
        Ok(())
    }

    /// Takes a host's addresses on this network away, and gives it those that a host of the number `like` would have.
    ///
    /// # Errors
    /// If there is no such host or network.
    pub fn renumber(&self, host: u8, network: u8, like: u8) -> io::Result<()> {
        let (namespace, interface) = (namespace(host), interface(network));
        ip(&["-n", &namespace, "addr", "flush", "dev", &interface, "scope", "global"])?;
        self.number(host, network, like)
    }
}

fn run(command: &mut Command) -> io::Result<()> {
    let done = command.stdin(Stdio::null()).output()?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(io::Error::other(format!("{command:?}: {}", said.trim())))
}
