//! What the gate counts.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// How a run of the provisioning function ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    Provisioned,
    Refused,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: Outcome,
}

/// The gate's counters and its waiting time.
pub struct GateMetrics {
    wait: Histogram,
    outcomes: Family<OutcomeLabel, Counter>,
    joined: Counter,
}

impl GateMetrics {
    /// Counters, registered under `gate_*`.
    pub fn register(registry: &mut Registry) -> GateMetrics {
        let metrics = GateMetrics {
            wait: Histogram::new(exponential_buckets(0.000_1, 2.0, 18)),
            outcomes: Family::default(),
            joined: Counter::default(),
        };
        let gate = registry.sub_registry_with_prefix("gate");
        gate.register(
            "wait_seconds",
            "Time an identity waited for its provisioning",
            metrics.wait.clone(),
        );
        gate.register(
            "outcomes",
            "Runs of the provisioning function by how they ended",
            metrics.outcomes.clone(),
        );
        gate.register(
            "joined",
            "Waits that joined a run already under way",
            metrics.joined.clone(),
        );
        metrics
    }

    pub(super) fn waited(&self, time: Duration) {
        self.wait.observe(time.as_secs_f64());
    }

    pub(super) fn ended(&self, outcome: Outcome) {
        self.outcomes.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(super) fn joined(&self) {
        self.joined.inc();
    }
}
