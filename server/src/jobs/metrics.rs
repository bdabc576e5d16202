//! The metrics of the jobs room.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// The two kinds of job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Kind {
    Scheduled,
    Cron,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: Kind,
}

/// Counters of all jobs.
pub struct JobsMetrics {
    /// Scheduled functions that wait for their time or for room.
    pub waiting: Gauge,
    /// Scheduled functions that have ended and are still kept.
    pub ended: Gauge,
    /// Jobs that run.
    pub running: Gauge,
    started: Family<KindLabel, Counter>,
    failed: Family<KindLabel, Counter>,
    /// Attempts that the server could not bring to an end, and makes again.
    pub retried: Counter,
    lateness: Histogram,
}

impl JobsMetrics {
    /// Counters, registered under `jobs_*`.
    pub fn register(registry: &mut Registry) -> JobsMetrics {
        let metrics = JobsMetrics {
            waiting: Gauge::default(),
            ended: Gauge::default(),
            running: Gauge::default(),
            started: Family::default(),
            failed: Family::default(),
            retried: Counter::default(),
            lateness: Histogram::new(exponential_buckets(0.001, 4.0, 12)),
        };
        let jobs = registry.sub_registry_with_prefix("jobs");
        jobs.register(
            "waiting",
            "Scheduled functions that wait",
            metrics.waiting.clone(),
        );
        jobs.register(
            "ended",
            "Scheduled functions that have ended and are kept",
            metrics.ended.clone(),
        );
        jobs.register("running", "Jobs that run now", metrics.running.clone());
        jobs.register("started", "Jobs started", metrics.started.clone());
        jobs.register("failed", "Jobs that failed", metrics.failed.clone());
        jobs.register(
            "retried",
            "Attempts of jobs that the server makes again",
            metrics.retried.clone(),
        );
        jobs.register(
            "lateness_seconds",
            "Time from when a job was due to its start",
            metrics.lateness.clone(),
        );
        metrics
    }

    /// Counts a start.
    pub fn started(&self, kind: Kind, late: Duration) {
        self.started.get_or_create(&KindLabel { kind }).inc();
        self.lateness.observe(late.as_secs_f64());
    }

    /// Counts a job that failed.
    pub fn failed(&self, kind: Kind) {
        self.failed.get_or_create(&KindLabel { kind }).inc();
    }

    /// Jobs of this kind that were started.
    #[cfg(test)]
    pub fn starts(&self, kind: Kind) -> u64 {
        self.started.get_or_create(&KindLabel { kind }).get()
    }

    /// Jobs of this kind that failed.
    #[cfg(test)]
    pub fn failures(&self, kind: Kind) -> u64 {
        self.failed.get_or_create(&KindLabel { kind }).get()
    }
}
