//! What a process holds of the system: what grows here, grows without bound some day.
use std::fmt;
use std::fs;
use std::io;

/// A look at a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Vitals {
    /// Memory that is resident, in kB.
    pub resident: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// Tasks of the runtime, where the process tells.
    pub tasks: u64,
}

impl Vitals {
    /// Those of a process now, all but the tasks.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn of(process: u32) -> io::Result<Self> {
        let count =
            |what| Ok::<_, io::Error>(fs::read_dir(format!("/proc/{process}/{what}"))?.count() as u64);
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = resident.and_then(|value| value.split_whitespace().next()?.parse().ok());
        Ok(Self {
            resident: kilobytes
                .ok_or_else(|| io::Error::other(format!("process {process} has no memory")))?,
            descriptors: count("fd")?,
            threads: count("task")?,
            tasks: 0,
        })
    }

    /// What has grown since `before`, by more than chance explains: memory by a tenth and a MB, the others by two.
    pub fn grown_since(&self, before: &Self) -> bool {
        self.resident > before.resident + before.resident / 10 + 1024
            || self.descriptors > before.descriptors + 2
            || self.threads > before.threads + 2
            || self.tasks > before.tasks + 2
    }
}

impl fmt::Display for Vitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resident, descriptors, threads, tasks } = self;
        write!(f, "{resident} kB, {descriptors} descriptors, {threads} threads, {tasks} tasks")
    }
}
