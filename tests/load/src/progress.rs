//! The progress shown while a run goes on.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::measure::{Latencies, Window};

/// A line at the bottom of the terminal. Nothing is shown where standard error is not one.
pub struct Progress {
    bar: ProgressBar,
    shown: Cell<Option<Instant>>,
}

/// Twice a second is seen as often as it has to be.
const SHOW_EVERY: Duration = Duration::from_millis(250);

impl Progress {
    /// A bar of `length` steps for what is called `what`.
    pub fn new(what: &str, length: u64) -> Progress {
        let style = ProgressStyle::with_template("{prefix:>14} {bar:30} {elapsed} {msg}");
        let bar = ProgressBar::new(length).with_prefix(what.to_string());
        bar.set_style(style.expect("the template is well formed"));
        Progress {
            bar,
            shown: Cell::new(None),
        }
    }

    /// Shows how far `done` steps are.
    pub fn step(&self, done: u64, message: String) {
        self.bar.set_position(done);
        self.bar.set_message(message);
    }

    /// Shows how far a measured time has come, now and then; its steps are milliseconds.
    pub fn show(&self, now: Instant, window: &Window, latencies: &Latencies) {
        let is_early = |shown: Instant| now.duration_since(shown) < SHOW_EVERY;
        if self.shown.get().is_some_and(is_early) {
            return;
        }
        self.shown.set(Some(now));
        let passed = now.saturating_duration_since(window.start);
        let rate = window.count() as f64 / passed.as_secs_f64().max(0.001);
        let message = match passed.is_zero() {
            true => "warming up".to_string(),
            false => format!("{rate:.0}/s, p99 {:.2} ms", latencies.p99()),
        };
        self.step(passed.as_millis() as u64, message);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
