//! What the server counts of itself, as it tells Prometheus.

use crate::http::Address;

/// Batches of commits appended, each with one sync.
pub const APPENDS: &str = "vestibule_storage_appends_total";

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
    }
}
