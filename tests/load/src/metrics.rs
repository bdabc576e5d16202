//! The server's metrics, as it tells Prometheus.

use crate::http::Address;
use crate::report::Latency;

/// Batches of commits appended, each with one sync.
pub const APPENDS: &str = "vestibule_storage_appends_total";

/// Mutations in TypeScript that ran beside each other.
pub const BESIDE: &str = "vestibule_mutations_beside_total";
/// How often one of them ran again because a commit had overtaken it.
pub const BESIDE_RERUNS: &str = "vestibule_mutations_beside_reruns_total";

/// The newest durable commit.
pub const DURABLE_TS: &str = "vestibule_durable_ts";
/// How long identities waited for their provisioning, as a histogram.
pub const GATE_WAIT: &str = "vestibule_gate_wait_seconds";

/// The server's metrics at one moment.
#[derive(Clone, Debug)]
pub struct Metrics {
    text: String,
}

impl Metrics {
    /// Asks the server.
    pub fn of(address: &Address) -> anyhow::Result<Metrics> {
        let text = address.fetch("/metrics")?;
        Ok(Metrics { text })
    }

    /// The value of a metric by its name, with its labels where it has some.
    pub fn value(&self, name: &str) -> Option<f64> {
        let of_name = |line: &'_ str| {
            let value = line.strip_prefix(name)?.strip_prefix(' ')?;
            value.trim().parse().ok()
        };
        self.text.lines().find_map(of_name)
    }

    /// The sum of the values of all metrics whose name and labels begin so.
    pub fn sum(&self, prefix: &str) -> f64 {
        let of_prefix = |line: &'_ str| {
            let (_, value) = line.strip_prefix(prefix)?.rsplit_once(' ')?;
            value.trim().parse::<f64>().ok()
        };
        self.text.lines().filter_map(of_prefix).sum()
    }

    /// The observations of a histogram of seconds since `earlier`. Its quantiles are upper bounds: those of its
    /// buckets.
    pub fn latency_since(&self, earlier: &Metrics, name: &str, of: &str) -> Option<Latency> {
        let before: Vec<(f64, f64)> = earlier.buckets(name);
        let buckets: Vec<(f64, f64)> = (self.buckets(name).into_iter().enumerate())
            .map(|(at, (bound, count))| {
                let count_before = before.get(at).map_or(0.0, |(_, count)| *count);
                (bound * 1e3, count - count_before)
            })
            .collect();
        let count = buckets.last().map(|(_, count)| *count)?;
        if count == 0.0 {
            return None;
        }
        let sum = |metrics: &Metrics| metrics.value(&format!("{name}_sum"));
        let seconds = sum(self)? - sum(earlier).unwrap_or(0.0);
        let longest = buckets.iter().rev().find(|(bound, _)| bound.is_finite())?.0;
        let at = |quantile: f64| {
            let within = |(_, up_to): &&(f64, f64)| *up_to >= quantile * count;
            let bound = buckets
                .iter()
                .find(within)
                .map_or(longest, |(bound, _)| *bound);
            bound.min(longest)
        };
        let curve = buckets.iter().filter(|(bound, _)| bound.is_finite());
        Some(Latency {
            of: of.to_string(),
            count: count as u64,
            min: 0.0,
            mean: seconds * 1e3 / count,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
            curve: curve
                .map(|(bound, up_to)| (up_to / count, *bound))
                .collect(),
        })
    }

    /// The buckets of a histogram: upper bounds, ascending, and how many are at or below each.
    fn buckets(&self, name: &str) -> Vec<(f64, f64)> {
        let bucket = |line: &str| {
            let rest = line.strip_prefix(name)?.strip_prefix("_bucket{le=\"")?;
            let (bound, count) = rest.split_once("\"} ")?;
            Some((
                bound.replace("+Inf", "inf").parse().ok()?,
                count.trim().parse().ok()?,
            ))
        };
        self.text.lines().filter_map(bucket).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let text = "# HELP a_b x\na_b_c 1\na_b{x=\"1\"} 2\na_b 3.5\n".to_string();
        let metrics = Metrics { text };
        assert_eq!(metrics.value("a_b"), Some(3.5));
        assert_eq!(metrics.value("a_b{x=\"1\"}"), Some(2.0));
        assert_eq!(metrics.value("a"), None);
        let text = "a_sum{route=\"/x/1\"} 1.5\na_sum{route=\"/x/2\"} 2\na_sum{route=\"/y\"} 4\n"
            .to_string();
        let metrics = Metrics { text };
        assert_eq!(metrics.sum("a_sum{route=\"/x/"), 3.5);
    }

    #[test]
    fn a_histogram_is_told_by_what_it_gathered_since() {
        let metrics = |small: u32, all: u32, sum: f64| Metrics {
            text: format!(
                "w_sum {sum}\nw_count {all}\nw_bucket{{le=\"0.1\"}} {small}\nw_bucket{{le=\"1.0\"}} {all}\n\
                 w_bucket{{le=\"+Inf\"}} {all}\n"
            ),
        };
        let (before, after) = (metrics(1_000, 1_000, 50.0), metrics(1_060, 1_100, 80.0));
        let latency = after.latency_since(&before, "w", "waits").unwrap();
        assert_eq!(latency.count, 100);
        assert_eq!(
            (latency.p50, latency.p90, latency.mean),
            (100.0, 1_000.0, 300.0)
        );
        assert!(after.latency_since(&after, "w", "waits").is_none());
    }
}
