//! The metrics of the gate.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// How a run of the provisioning function ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    Provisioned,
    Refused,
    Failed,
    /// A document made elsewhere did not come in time.
    Missing,
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
    known: Counter,
    in_flight: Gauge,
    waiting: Gauge,
}

/// A run that is counted as under way until it is dropped.
pub(super) struct InFlight<'m>(&'m Gauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// An identity that counts as waiting until this is dropped.
pub(super) struct Waits(Arc<GateMetrics>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.waiting.dec();
    }
}

impl GateMetrics {
    /// Counters, registered under `gate_*`.
    pub fn register(registry: &mut Registry) -> GateMetrics {
        let metrics = GateMetrics {
            wait: Histogram::new(exponential_buckets(0.000_1, 2.0, 18)),
            outcomes: Family::default(),
            joined: Counter::default(),
            known: Counter::default(),
            in_flight: Gauge::default(),
            waiting: Gauge::default(),
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
        gate.register(
            "known",
            "Identities that were let in without a run",
            metrics.known.clone(),
        );
        gate.register(
            "waiting",
            "Connections and requests that wait for a user whom somebody else makes",
            metrics.waiting.clone(),
        );
        gate.register(
            "in_flight",
            "Runs of the provisioning function under way",
            metrics.in_flight.clone(),
        );
        metrics
    }

    pub(super) fn waited(&self, time: Duration) {
        self.wait.observe(time.as_secs_f64());
    }

    pub(super) fn ended(&self, outcome: Outcome) {
        self.outcomes.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(super) fn known(&self) {
        self.known.inc();
    }

    pub(super) fn run_began(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    pub(super) fn wait_begins(self: Arc<Self>) -> Waits {
        self.waiting.inc();
        Waits(self)
    }

    pub(super) fn joined(&self) {
        self.joined.inc();
    }
}
