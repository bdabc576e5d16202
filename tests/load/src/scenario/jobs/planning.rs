//! Plans jobs: all at once for one moment, or a little ahead of their times.

use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::Jobs;
use crate::http::Address;
use crate::progress::Progress;

/// Jobs that one call plans: as many as a mutation may schedule.
const PLANNED_MAX: u32 = 1_000;
/// Calls a second that plan jobs of a rate.
const PLANS_PER_SECOND: f64 = 10.0;
/// How long before its time a job of a rate is planned.
const LEAD: Duration = Duration::from_secs(2);
/// Jobs of one moment are planned no slower than this. Those that are tell it.
const PLANNED_PER_SECOND: f64 = 5_000.0;
/// Those that wait are due in a year, a second after each other.
const FAR_SECONDS: f64 = 365.0 * 24.0 * 3_600.0;

/// The jobs of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The number of the first; none of an earlier run on the same server has it.
    pub first: f64,
    /// How many.
    pub jobs: u32,
    /// When the first is due, in milliseconds since the epoch.
    pub due_ms: f64,
    /// When that is by this program's clock.
    start: Instant,
    /// Milliseconds from one to the next.
    gap_ms: f64,
    /// Jobs of one call.
    batch: u32,
    /// How long before its time a job may be planned.
    lead: Duration,
}

/// How planning went.
pub struct Planned {
    /// Jobs whose time had come before they were planned.
    pub late: u32,
}

impl Plan {
    /// The jobs that the flags ask for, from now on.
    pub fn new(flags: &Jobs) -> Plan {
        let now_ms = epoch_ms();
        let burst_lead = Duration::from_secs_f64(f64::from(flags.jobs) / PLANNED_PER_SECOND);
        let (jobs, gap_ms, batch, lead) = match flags.rate {
            Some(rate) => (
                (rate * flags.seconds).ceil() as u32,
                1e3 / rate,
                (rate / PLANS_PER_SECOND).ceil() as u32,
                LEAD,
            ),
            None => (flags.jobs, 0.0, PLANNED_MAX, LEAD + burst_lead),
        };
        Plan {
            // Milliseconds of the epoch times a thousand: below 2^53 for centuries.
            first: now_ms.floor() * 1e3,
            jobs,
            due_ms: now_ms + lead.as_secs_f64() * 1e3,
            start: Instant::now() + lead,
            gap_ms,
            batch: batch.clamp(1, PLANNED_MAX),
            lead,
        }
    }

    /// Some jobs by their numbers, due at once.
    #[cfg(test)]
    pub fn of_numbers(first: f64, jobs: u32) -> Plan {
        Plan {
            first,
            jobs,
            due_ms: 0.0,
            start: Instant::now(),
            gap_ms: 0.0,
            batch: PLANNED_MAX,
            lead: Duration::ZERO,
        }
    }

    /// Begins to plan, and tells when the first is due.
    pub fn begin(&self, address: &Address) -> (JoinHandle<anyhow::Result<Planned>>, Instant) {
        let (plan, address) = (self.clone(), address.clone());
        let planner = std::thread::spawn(move || plan.plan_all(&address));
        (planner, self.start)
    }

    fn plan_all(&self, address: &Address) -> anyhow::Result<Planned> {
        let progress = Progress::new("jobs", self.jobs.into());
        let mut planned = Planned { late: 0 };
        for (first, count) in batches(self.jobs, self.batch) {
            let after_ms = f64::from(first) * self.gap_ms;
            let due = self.start + Duration::from_secs_f64(after_ms / 1e3);
            let early = (due - self.lead).saturating_duration_since(Instant::now());
            std::thread::sleep(early);
            let number = self.first + f64::from(first);
            plan(address, number, count, self.due_ms + after_ms, self.gap_ms)?;
            if Instant::now() > due {
                planned.late += count;
            }
            progress.step((first + count).into(), "planned".into());
        }
        Ok(planned)
    }
}

/// Plans jobs that this run never sees due, and tells the seconds that it took.
pub fn plan_far_ahead(jobs: u32, address: &Address) -> anyhow::Result<f64> {
    let start = Instant::now();
    let due_ms = epoch_ms() + FAR_SECONDS * 1e3;
    let progress = Progress::new("waiting jobs", jobs.into());
    for (first, count) in batches(jobs, PLANNED_MAX) {
        // Their numbers are below those of all jobs that run.
        let after_ms = f64::from(first) * 1e3;
        plan(address, first.into(), count, due_ms + after_ms, 1e3)?;
        progress.step((first + count).into(), "planned".into());
    }
    Ok(start.elapsed().as_secs_f64())
}

fn plan(address: &Address, first: f64, count: u32, due_ms: f64, gap_ms: f64) -> anyhow::Result<()> {
    let args = json!({ "first": first, "count": count, "due": due_ms, "gap": gap_ms });
    address.call("mutation", "jobs:plan", &args)?;
    Ok(())
}

/// Stretches of at most `most` that are `all` together: where each begins, and how long it is.
pub fn batches(all: u32, most: u32) -> impl Iterator<Item = (u32, u32)> {
    let firsts = (0..all).step_by(most as usize);
    firsts.map(move |first| (first, most.min(all - first)))
}

fn epoch_ms() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64() * 1e3
}
