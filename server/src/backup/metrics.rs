//! The metrics of backups.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The metrics of backups, since the start.
#[derive(Clone, Debug, Default)]
pub struct BackupMetrics {
    /// Backups that were sent and read back whole by their receiver.
    pub verified: Counter,
    /// Backups that ended early.
    pub failed: Counter,
    /// When the last verified backup began, in seconds since 1970; zero before there was one.
    pub last_time: Gauge<i64, AtomicI64>,
    /// The commit that it is the state of.
    pub last_ts: Gauge<u64, AtomicU64>,
    /// Bytes that were sent for it.
    pub last_bytes: Gauge<u64, AtomicU64>,
}

impl BackupMetrics {
    /// Registers them under `backup_*`.
    pub fn register(registry: &mut Registry) -> BackupMetrics {
        let metrics = BackupMetrics::default();
        let backup = registry.sub_registry_with_prefix("backup");
        let counter = metrics.verified.clone();
        backup.register("verified", "Backups read back whole", counter);
        let counter = metrics.failed.clone();
        backup.register("failed", "Backups that ended early", counter);
        let gauge = metrics.last_time.clone();
        let help = "When the last verified backup began, in seconds since 1970";
        backup.register("last_time_seconds", help, gauge);
        let gauge = metrics.last_ts.clone();
        let help = "The commit of the last verified backup";
        backup.register("last_ts", help, gauge);
        let gauge = metrics.last_bytes.clone();
        let help = "Bytes sent for the last verified backup";
        backup.register("last_bytes", help, gauge);
        metrics
    }
}
