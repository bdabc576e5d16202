//! What a process has used, as the system counts it.

use std::fs;

use anyhow::Context;

use crate::report::Usage;

/// What a process has used since it began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    user_cpu_seconds: f64,
    system_cpu_seconds: f64,
    rss_bytes: u64,
}

impl Used {
    /// Of this process.
    pub fn by_us() -> anyhow::Result<Used> {
        Used::by(std::process::id())
    }

    /// Of the process `pid`.
    pub fn by(pid: u32) -> anyhow::Result<Used> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let stat = read("stat")?;
        // The name, in parentheses, may hold anything; the state is the first field after it.
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        let ticks = |field: usize| -> f64 {
            let ticks = fields
                .split(' ')
                .nth(field)
                .and_then(|ticks| ticks.parse().ok());
            ticks.unwrap_or(0.0)
        };
        let per_second = rustix::param::clock_ticks_per_second() as f64;
        let status = read("status")?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = rss.and_then(|rss| rss.trim().split(' ').next()?.parse::<u64>().ok());
        Ok(Used {
            user_cpu_seconds: ticks(11) / per_second,
            system_cpu_seconds: ticks(12) / per_second,
            rss_bytes: kibibytes.unwrap_or(0) << 10,
        })
    }

    /// Resident memory, in bytes.
    pub fn rss_bytes(&self) -> u64 {
        self.rss_bytes
    }

    /// What was used since `earlier`.
    pub fn since(&self, earlier: &Used) -> Usage {
        Usage {
            user_cpu_seconds: self.user_cpu_seconds - earlier.user_cpu_seconds,
            system_cpu_seconds: self.system_cpu_seconds - earlier.system_cpu_seconds,
            rss_bytes: self.rss_bytes,
            fsyncs: None,
        }
    }
}
