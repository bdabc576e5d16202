//! Times and counts of a run, as they gather.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::report::{Latency, Slices};

/// A distribution of latencies.
pub struct Latencies {
    nanos: Histogram<u64>,
}

/// The resolution: a microsecond at least, and three digits everywhere. Values above the longest count as the longest.
const SHORTEST: Duration = Duration::from_micros(1);
const LONGEST: Duration = Duration::from_secs(600);
const DIGITS: u8 = 3;
/// Points of a reported distribution, beside its ends.
const CURVE_POINTS: u32 = 100;

impl Default for Latencies {
    fn default() -> Self {
        let bounds = (SHORTEST.as_nanos() as u64, LONGEST.as_nanos() as u64);
        let nanos = Histogram::new_with_bounds(bounds.0, bounds.1, DIGITS);
        Latencies {
            nanos: nanos.expect("the bounds are in order"),
        }
    }
}

impl Latencies {
    /// Adds one.
    pub fn add(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.saturating_record(nanos);
    }

    /// Adds all of another distribution.
    pub fn add_all(&mut self, others: &Latencies) {
        let added = self.nanos.add(&others.nanos);
        added.expect("both have the same bounds");
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.nanos.len()
    }

    /// The 99th percentile, in milliseconds.
    pub fn p99(&self) -> f64 {
        millis(self.nanos.value_at_quantile(0.99))
    }

    /// The distribution, as it is told.
    pub fn told(&self, of: &str) -> Latency {
        let at = |quantile| millis(self.nanos.value_at_quantile(quantile));
        Latency {
            of: of.to_string(),
            count: self.nanos.len(),
            min: millis(self.nanos.min()),
            mean: self.nanos.mean() / 1e6,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: millis(self.nanos.max()),
            curve: self.curve(),
        }
    }

    /// Points that are as dense in each further nine as in the one before.
    fn curve(&self) -> Vec<(f64, f64)> {
        if self.nanos.is_empty() {
            return Vec::new();
        }
        let nines = (self.nanos.len() as f64).log10().max(1.0);
        let inner = (0..CURVE_POINTS).map(|point| {
            let nines = nines * f64::from(point) / f64::from(CURVE_POINTS);
            1.0 - 10f64.powf(-nines)
        });
        let point = |quantile| (quantile, millis(self.nanos.value_at_quantile(quantile)));
        inner.chain([1.0]).map(point).collect()
    }
}

fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

/// The measured time, and what was counted in it.
pub struct Window {
    /// When measuring begins.
    pub start: Instant,
    /// When it ends.
    pub end: Instant,
    slice: Duration,
    counts: Vec<u64>,
}

/// Slices of the measured time.
const SLICES: u32 = 100;
/// A shorter one would show nothing but chance.
const SLICE_MIN: Duration = Duration::from_millis(50);

impl Window {
    /// A window of `length` that begins at `start`.
    pub fn new(start: Instant, length: Duration) -> Window {
        let slice = (length / SLICES).max(SLICE_MIN);
        let slices = length.as_nanos().div_ceil(slice.as_nanos()).max(1);
        Window {
            start,
            end: start + length,
            slice,
            counts: vec![0; slices as usize],
        }
    }

    /// A window from `start` on, whose end is not known yet.
    pub fn open(start: Instant) -> Window {
        Window {
            start,
            end: start + Duration::from_secs(24 * 60 * 60),
            slice: SLICE_MIN,
            counts: Vec::new(),
        }
    }

    /// It ended, after all that was counted.
    pub fn close(&mut self, end: Instant) {
        self.end = end.max(self.start + Duration::from_micros(1));
    }

    /// Whether `at` is in it.
    pub fn holds(&self, at: Instant) -> bool {
        self.start <= at && at < self.end
    }

    /// Counts some units at `at`, if that is in the window, and says whether it is.
    pub fn add(&mut self, at: Instant, units: u64) -> bool {
        let holds = self.holds(at);
        if holds {
            let slice = ((at - self.start).as_nanos() / self.slice.as_nanos()) as usize;
            if slice >= self.counts.len() {
                self.counts.resize(slice + 1, 0);
            }
            self.counts[slice] += units;
        }
        holds
    }

    /// Everything counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long it is, in seconds.
    pub fn seconds(&self) -> f64 {
        (self.end - self.start).as_secs_f64()
    }

    /// The counts over time.
    pub fn slices(&self) -> Slices {
        Slices {
            seconds: self.slice.as_secs_f64(),
            counts: self.counts.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_what_was_added() {
        let mut latencies = Latencies::default();
        for millis in 1..=1_000 {
            latencies.add(Duration::from_millis(millis));
        }
        let told = latencies.told("answer");
        assert_eq!(told.count, 1_000);
        let near = |value: f64, millis: f64| (value / millis - 1.0).abs() < 0.002;
        assert!(near(told.p50, 500.0) && near(told.p99, 990.0) && near(told.max, 1_000.0));
        let (first, last) = (told.curve[0], told.curve[told.curve.len() - 1]);
        assert!(first.0 == 0.0 && last.0 == 1.0 && near(last.1, 1_000.0));
        assert!(told.curve.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
    }

    #[test]
    fn only_what_falls_into_the_window_counts() {
        let start = Instant::now();
        let mut window = Window::new(start, Duration::from_secs(10));
        assert!(!window.add(start + Duration::from_secs(10), 1));
        assert!(window.add(start, 2) && window.add(start + Duration::from_millis(9_999), 3));
        let slices = window.slices();
        assert_eq!((window.count(), slices.counts.len()), (5, 100));
        assert_eq!((slices.counts[0], slices.counts[99]), (2, 3));
    }
}
