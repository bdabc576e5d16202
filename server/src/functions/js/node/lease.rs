//! The processor time of a process. One in an endless loop does not notice that the server is gone, so it may only use what
//! the server last gave it.

use std::time::Duration;

use tokio::process::Child;

/// Processor time beyond what a process may take between two answers, for each processor.
const LEASE: Duration = Duration::from_secs(5);
/// Threads of Node.js that run functions: the main one, and those of its thread pool.
const THREADS: usize = 5;

/// The processor time that a process may use before it has to answer again.
pub struct Lease {
    #[cfg(target_os = "linux")]
    pid: Option<rustix::process::Pid>,
    #[cfg(target_os = "linux")]
    time: Duration,
}

#[cfg(target_os = "linux")]
impl Lease {
    /// That of `child`, which may be busy for `step_max` without an answer.
    pub fn of(child: &Child, step_max: Duration) -> Lease {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        let pid = child.id().and_then(|id| Pid::from_raw(id as i32));
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        // A core file would hold variables and documents.
        let _ = pid.map(|pid| prlimit(Some(pid), Resource::Core, none));
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
        Lease {
            pid,
            time: (step_max + LEASE).saturating_mul(processors.min(THREADS) as u32),
        }
    }

    /// Lets it go on, after it has used `used`.
    pub fn renew(&self, used: Duration) {
        use rustix::process::{Resource, Rlimit, prlimit};
        let until = used.saturating_add(self.time).as_secs() + 1;
        let lease = Rlimit {
            current: Some(until),
            maximum: None,
        };
        if let Some(pid) = self.pid
            && let Err(error) = prlimit(Some(pid), Resource::Cpu, lease)
        {
            tracing::debug!(%error, "the processor time of a Node.js process has no bound");
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Lease {
    pub fn of(_: &Child, _: Duration) -> Lease {
        Lease {}
    }

    pub fn renew(&self, _: Duration) {}
}
