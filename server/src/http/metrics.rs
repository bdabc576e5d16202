//! The metrics of the HTTP room.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    route: String,
    status: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    code: &'static str,
}

/// The room's counters. Routes are labelled by their pattern, so their number is bounded.
pub(super) struct HttpMetrics {
    requests: Family<Ended, Counter>,
    durations: Family<Route, Histogram>,
    in_flight: Gauge,
    connections: Gauge,
    connections_max: Gauge,
    refused_connections: Counter,
    refused_upgrades: Family<Refused, Counter>,
    panics: Counter,
}

/// Counts something while it exists.
pub(super) struct Counted(Gauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl HttpMetrics {
    /// Counters, registered under `http_*`.
    pub fn register(registry: &mut Registry) -> HttpMetrics {
        let metrics = HttpMetrics {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.000_1, 2.0, 20))
            }),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            connections_max: Gauge::default(),
            refused_connections: Counter::default(),
            refused_upgrades: Family::default(),
            panics: Counter::default(),
        };
        let http = registry.sub_registry_with_prefix("http");
        http.register(
            "requests",
            "Requests answered, by route and status",
            metrics.requests.clone(),
        );
        http.register(
            "request_seconds",
            "Time from a request's header to its answer",
            metrics.durations.clone(),
        );
        http.register(
            "requests_in_flight",
            "Requests being answered",
            metrics.in_flight.clone(),
        );
        http.register(
            "connections",
            "Open connections, sockets included",
            metrics.connections.clone(),
        );
        http.register(
            "connections_max",
            "Connections that may be open, as the system's limit of open files allows",
            metrics.connections_max.clone(),
        );
        let refused = metrics.refused_connections.clone();
        http.register(
            "refused_connections",
            "Connections refused because too many are open",
            refused,
        );
        http.register(
            "refused_upgrades",
            "WebSocket handshakes refused, by code",
            metrics.refused_upgrades.clone(),
        );
        http.register(
            "panics",
            "Requests that ended in a panic",
            metrics.panics.clone(),
        );
        metrics
    }

    pub fn request_began(&self) -> Counted {
        count(&self.in_flight)
    }

    pub fn request_ended(&self, route: &str, status: u16, time: Duration) {
        let route = route.to_string();
        self.durations
            .get_or_create(&Route {
                route: route.clone(),
            })
            .observe(time.as_secs_f64());
        self.requests
            .get_or_create(&Ended {
                route,
                status: status.into(),
            })
            .inc();
    }

    /// Connections open now.
    pub fn open_connections(&self) -> usize {
        usize::try_from(self.connections.get()).unwrap_or_default()
    }

    pub fn connected(&self) -> Counted {
        count(&self.connections)
    }

    /// The bound of connections is known.
    pub fn connections_max(&self, max: usize) {
        self.connections_max
            .set(i64::try_from(max).unwrap_or(i64::MAX));
    }

    pub fn refused_connection(&self) {
        self.refused_connections.inc();
    }

    /// A handshake was refused. There are few codes.
    pub fn refused_upgrade(&self, code: &'static str) {
        self.refused_upgrades.get_or_create(&Refused { code }).inc();
    }

    pub fn panicked(&self) {
        self.panics.inc();
    }
}

fn count(gauge: &Gauge) -> Counted {
    gauge.inc();
    Counted(gauge.clone())
}
