//! The guest's side: the first process of the kernel, or of namespaces on this machine's own. It mounts what is missing, loads
//! SCTP, lays out the network, runs the commands, and powers off.
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, mount};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::system::{RebootCommand, reboot};

use crate::job::{Files, INSIDE, JOB_VARIABLE, Job, LAB_VARIABLE, OUTPUT_ENDS, OUTPUT_FOLLOWS};
use crate::kernel::Kernel;
use crate::machine::TIMED_OUT;
use crate::network::{self, Network};

/// In the order in which they need each other. Without `hmac` and `md5`, SCTP cannot listen. Not all kernels have all of
/// them as modules.
const MODULES: [&str; 17] = [
    "hmac",
    "md5",
    "sha1_generic",
    "sha256_generic",
    "crc32c_generic",
    "ipv6",
    "sctp",
    "sctp_diag",
    "dummy",
    "veth",
    "bridge",
    "sch_netem",
    "ip_tables",
    "iptable_filter",
    "xt_tcpudp",
    "xt_sctp",
    "xt_statistic",
];

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long tcpdump may take to begin.
const CAPTURES_BEGIN: Duration = Duration::from_secs(20);

/// The status of commands that could not even be started.
const NOT_RUN: i32 = 125;

/// If this process is the first one of a kernel, or of namespaces, for a job, does the job, and does not return.
pub fn run_as_first_process() {
    if std::process::id() != 1 || std::env::var_os(JOB_VARIABLE).is_none() {
        return;
    }
    let mut kernel = Kernel::UserMode;
    let ended = Files::of_environment().and_then(|files| {
        let job = Job::read(&files)?;
        kernel = job.kernel;
        let status = run(&job, &files).unwrap_or_else(|error| {
            println!("[lab] {error}");
            NOT_RUN
        });
        fs::write(&files.status, status.to_string())
    });
    if let Err(error) = ended {
        println!("[lab] the status could not be written: {error}");
    }
    if kernel == Kernel::Own {
        std::process::exit(0);
    }
    // The files are in this kernel's cache until then.
    rustix::fs::sync();
    let _ = reboot(RebootCommand::PowerOff);
    // The first process must not end.
    loop {
        thread::park();
    }
}

fn run(job: &Job, files: &Files) -> io::Result<i32> {
    mount("proc", "/proc", "proc", MountFlags::empty(), None)?;
    mount("sys", "/sys", "sysfs", MountFlags::empty(), None)?;
    // The host's is not for this kernel: namespaces and locks are kept there.
    mount("tmp", "/run", "tmpfs", MountFlags::empty(), None)?;
    if job.kernel == Kernel::UserMode {
        load_modules()?;
    }
    network::ip(&["link", "set", "lo", "up", "multicast", "on"])?;
    let network = Network::lay_out(job, files)?;
    let captures = match job.kernel {
        Kernel::UserMode if job.captures => start_captures(files, &network)?,
        Kernel::UserMode | Kernel::Own => Vec::new(),
    };

    println!("{OUTPUT_FOLLOWS}");
    let deadline = Instant::now() + job.time_limit;
    let mut first_failure = 0;
    for command in &job.commands {
        let status = run_command(command, job, files, deadline)?;
        if first_failure == 0 {
            first_failure = status;
        }
        if status == TIMED_OUT {
            break;
        }
    }
    println!("{OUTPUT_ENDS}");
    for capture in captures {
        end(capture, Signal::INT)?;
    }
    Ok(first_failure)
}

/// Modules are where the package put them, in a folder that modprobe does not look into.
fn load_modules() -> io::Result<()> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let release = release.trim();
    fs::create_dir_all("/run/modules/lib/modules")?;
    symlink(format!("/usr/lib/uml/modules/{release}"), format!("/run/modules/lib/modules/{release}"))?;
    for module in MODULES {
        let loaded =
            Command::new("modprobe").env("PATH", PATH).args(["-d", "/run/modules", module]).output()?;
        if !loaded.status.success() {
            println!("module {module}: {}", String::from_utf8_lossy(&loaded.stderr).trim());
        }
    }
    Ok(())
}

fn start_captures(files: &Files, network: &Network) -> io::Result<Vec<Child>> {
    let capture = |number| {
        Command::new("tcpdump")
            .env("PATH", PATH)
            // At once into the file, of every packet all; the kernel's clock is coarse enough as it is.
            .args(["-U", "--immediate-mode", "-Z", "root", "-i", &network::bridge(number), "-w"])
            .arg(files.capture(number))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
    };
    if network.hosts() == 0 {
        return Ok(Vec::new());
    }
    let captures = (1..=network.networks()).map(capture).collect::<io::Result<_>>()?;
    // What is not begun yet misses packets; on a busy machine, all of a short command's.
    let deadline = Instant::now() + CAPTURES_BEGIN;
    while !(1..=network.networks()).all(|number| files.capture(number).exists()) {
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "tcpdump does not begin to capture"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(captures)
}

fn run_command(words: &[String], job: &Job, files: &Files, deadline: Instant) -> io::Result<i32> {
    let Some((program, arguments)) = words.split_first() else { return Ok(0) };
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(&job.directory)
        .env_clear()
        .envs([("PATH", PATH), ("HOME", "/root"), (LAB_VARIABLE, INSIDE)])
        .env(JOB_VARIABLE, &files.job)
        .envs(&job.environment)
        .stdin(Stdio::null())
        // What stands for the console on this machine's own kernel is standard output alone.
        .stderr(io::stdout())
        .process_group(0)
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            // As a shell has it: 128 and more are signals.
            return Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)));
        }
        thread::sleep(Duration::from_millis(20));
    }
    println!("[lab] ended after {:?}: {}", job.time_limit, words.join(" "));
    end(child, Signal::KILL)?;
    Ok(TIMED_OUT)
}

fn end(mut child: Child, signal: Signal) -> io::Result<()> {
    // It may have ended by itself.
    let _ = kill_process_group(Pid::from_child(&child), signal);
    child.wait().map(|_| ())
}
