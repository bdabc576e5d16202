//! The results of runs, as they are printed, kept as JSON and drawn as HTML.

mod charts;
mod compare;
mod html;
mod numbers;
mod svg;
mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use compare::{Comparison, comparisons};
pub use html::html;
pub use text::text;

/// Everything one invocation has shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// When it began, RFC 3339.
    pub started: String,
    /// The machine: cores, CPU model, memory, kernel, and the build profile of the server; as text, in the order in which it is shown.
    pub machine: Vec<(String, String)>,
    /// The runs, in the order in which they were made. Pairs of subjects alternate.
    pub runs: Vec<Run>,
}

/// One scenario at one setting on one server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Such as `transfers`.
    pub scenario: String,
    /// The measured server: `vestibule`, `node-sqlite`, `postgres`, or an address.
    pub subject: String,
    /// Runs of different subjects with the same number were made one right after the other.
    pub pair: u32,
    /// The flags, such as `clients` → `64`.
    pub settings: BTreeMap<String, String>,
    /// The unit that `rate` counts, such as `transfers` or `deliveries`.
    pub unit: String,
    /// Units that were answered in the measured time.
    pub count: u64,
    /// The measured time, in seconds, without warming up.
    pub seconds: f64,
    /// Units a second over the measured time.
    pub rate: f64,
    /// Units answered in each slice of the measured time.
    pub rate_over_time: Slices,
    /// Latencies by their kind, such as `answer`, `connect to first result` or `gate wait`; the most important one is
    /// first.
    pub latencies: Vec<Latency>,
    /// Other figures a scenario tells, such as `RSS per connection` in bytes.
    pub figures: Vec<Figure>,
    /// Failed calls, refusals and wrong answers, by kind.
    pub errors: BTreeMap<String, u64>,
    /// The checks at the end, such as the total balance.
    pub checks: Vec<Check>,
    /// The usage of the server's process; absent when the process is not ours to look at.
    pub server: Option<Usage>,
    /// The usage of the client's process.
    pub client: Usage,
}

/// Counts in slices of equal length.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Slices {
    /// The length of one, in seconds.
    pub seconds: f64,
    /// One count a slice.
    pub counts: Vec<u64>,
}

/// A distribution of latencies, in milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Latency {
    /// Its kind.
    pub of: String,
    /// How many were measured.
    pub count: u64,
    /// The smallest.
    pub min: f64,
    /// The mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    pub p999: f64,
    /// The largest.
    pub max: f64,
    /// The distribution: (quantile from 0 to 1, milliseconds), ascending, about a hundred points that are denser near 1.
    pub curve: Vec<(f64, f64)>,
}

/// One more number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// Its name, such as `RSS per connection`.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Its unit, such as `bytes`; empty for a plain count.
    pub unit: String,
}

impl Figure {
    /// A number by its name and its unit.
    pub fn new(name: &str, value: f64, unit: &str) -> Figure {
        Figure {
            name: name.to_string(),
            value,
            unit: unit.to_string(),
        }
    }
}

/// Something that has to hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Check {
    /// The condition, as a sentence.
    pub what: String,
    /// Whether it does.
    pub holds: bool,
    /// The observation.
    pub seen: String,
}

/// The usage of a process during the measured time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Usage {
    /// Seconds of CPU time in the process itself.
    pub user_cpu_seconds: f64,
    /// Seconds of CPU time in the kernel on its behalf.
    pub system_cpu_seconds: f64,
    /// Resident memory at the end, in bytes.
    pub rss_bytes: u64,
    /// Syncs to stable storage, where they can be counted.
    pub fsyncs: Option<u64>,
}
