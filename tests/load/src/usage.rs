//! The usage of a process, as the system counts it.

use std::fs;

use anyhow::Context;

use crate::report::Usage;

/// The usage of a process since it began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    user_cpu_seconds: f64,
    system_cpu_seconds: f64,
    rss_bytes: u64,
    peak_bytes: u64,
    anonymous_bytes: u64,
    mapped_bytes: u64,
}

impl Used {
    /// Of this process.
    pub fn by_us() -> anyhow::Result<Used> {
        Used::by(std::process::id())
    }

    /// Of the process `pid`.
    pub fn by(pid: u32) -> anyhow::Result<Used> {
        let fields = Stat::of(pid)?;
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let bytes = |name: &str| {
            let told = status.lines().find_map(|line| line.strip_prefix(name));
            let kibibytes = told.and_then(|told| told.trim().split(' ').next()?.parse().ok());
            kibibytes.unwrap_or(0_u64) << 10
        };
        let per_second = rustix::param::clock_ticks_per_second() as f64;
        Ok(Used {
            user_cpu_seconds: fields.user_ticks / per_second,
            system_cpu_seconds: fields.system_ticks / per_second,
            rss_bytes: bytes("VmRSS:"),
            peak_bytes: bytes("VmHWM:"),
            anonymous_bytes: bytes("RssAnon:"),
            mapped_bytes: bytes("RssFile:"),
        })
    }

    /// Of the processes `roots` and all that they started, together. Memory that they share counts for each of them.
    pub fn by_all(roots: &[u32]) -> anyhow::Result<Used> {
        let mut processes = roots.to_vec();
        let parents = parents()?;
        // Each round finds the children of those of the round before.
        let mut from = 0;
        while from < processes.len() {
            let known = processes.len();
            for (pid, parent) in &parents {
                if processes[from..known].contains(parent) && !processes.contains(pid) {
                    processes.push(*pid);
                }
            }
            from = known;
        }
        let mut all = Used::default();
        // One that has ended meanwhile took its time with it.
        for used in processes.into_iter().filter_map(|pid| Used::by(pid).ok()) {
            all.user_cpu_seconds += used.user_cpu_seconds;
            all.system_cpu_seconds += used.system_cpu_seconds;
            all.rss_bytes += used.rss_bytes;
            all.peak_bytes += used.peak_bytes;
            all.anonymous_bytes += used.anonymous_bytes;
            all.mapped_bytes += used.mapped_bytes;
        }
        Ok(all)
    }

    /// Resident memory, in bytes.
    pub fn rss_bytes(&self) -> u64 {
        self.rss_bytes
    }

    /// The most resident memory there was, in bytes: since the process began, or since [`forget_peak`].
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes
    }

    /// Resident memory of its own, which no file holds, in bytes.
    pub fn anonymous_bytes(&self) -> u64 {
        self.anonymous_bytes
    }

    /// Resident pages of mapped files, its program's too, in bytes. The system takes them back when it needs them.
    pub fn mapped_bytes(&self) -> u64 {
        self.mapped_bytes
    }

    /// The usage since `earlier`.
    pub fn since(&self, earlier: &Used) -> Usage {
        Usage {
            user_cpu_seconds: self.user_cpu_seconds - earlier.user_cpu_seconds,
            system_cpu_seconds: self.system_cpu_seconds - earlier.system_cpu_seconds,
            rss_bytes: self.rss_bytes,
            fsyncs: None,
        }
    }
}

/// Lets the peak of a process count from now on. Where the system refuses, it counts from the process's beginning.
pub fn forget_peak(pid: u32) {
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// Some of what `/proc/PID/stat` says.
struct Stat {
    parent: u32,
    user_ticks: f64,
    system_ticks: f64,
}

impl Stat {
    fn of(pid: u32) -> anyhow::Result<Stat> {
        let path = format!("/proc/{pid}/stat");
        let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        // The name, in parentheses, may hold anything; the state is the first field after it.
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        let field = |at: usize| -> Option<u32> { fields.split(' ').nth(at)?.parse().ok() };
        Ok(Stat {
            parent: field(1).unwrap_or(0),
            user_ticks: field(11).unwrap_or(0).into(),
            system_ticks: field(12).unwrap_or(0).into(),
        })
    }
}

/// Every process, with the one that started it.
fn parents() -> anyhow::Result<Vec<(u32, u32)>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot read /proc")? {
        let pid = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some((pid, stat)) = pid.and_then(|pid| Some((pid, Stat::of(pid).ok()?))) {
            parents.push((pid, stat.parent));
        }
    }
    Ok(parents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_counts_together_with_those_it_started() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let me = std::process::id();
        assert!(parents().unwrap().contains(&(child.id(), me)));
        let (alone, all) = (Used::by(me).unwrap(), Used::by_all(&[me]).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(alone.rss_bytes() > 0 && all.rss_bytes() > alone.rss_bytes() / 2);
        assert!(Used::by(child.id()).is_err());
    }
}
