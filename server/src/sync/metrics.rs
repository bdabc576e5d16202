//! The metrics of connections.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters of all connections.
#[derive(Default)]
pub struct SyncMetrics {
    /// Connections open now.
    pub connections: Gauge,
    /// Messages received.
    pub received: Counter,
    /// Transitions sent.
    pub transitions: Counter,
    /// Results sent in Transitions.
    pub results: Counter,
    /// Responses to mutations and actions sent.
    pub responses: Counter,
    /// AuthErrors sent.
    pub auth_errors: Counter,
    /// Connections that broke the protocol.
    pub protocol_errors: Counter,
}

impl SyncMetrics {
    /// Counters, registered under `sync_*`.
    pub fn register(registry: &mut Registry) -> SyncMetrics {
        let metrics = SyncMetrics::default();
        let sync = registry.sub_registry_with_prefix("sync");
        sync.register(
            "connections",
            "WebSocket connections open",
            metrics.connections.clone(),
        );
        sync.register("received", "Messages received", metrics.received.clone());
        sync.register(
            "transitions",
            "Transitions sent",
            metrics.transitions.clone(),
        );
        sync.register("results", "Query results sent", metrics.results.clone());
        sync.register(
            "responses",
            "Mutation and action responses sent",
            metrics.responses.clone(),
        );
        sync.register(
            "auth_errors",
            "AuthErrors sent",
            metrics.auth_errors.clone(),
        );
        sync.register(
            "protocol_errors",
            "Connections closed for breaking the protocol",
            metrics.protocol_errors.clone(),
        );
        metrics
    }
}
