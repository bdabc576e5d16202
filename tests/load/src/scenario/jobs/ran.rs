//! The traces that jobs left: which ran, when, and how often.

use std::time::Duration;

use serde_json::json;

use super::planning::{Plan, batches};
use crate::http::Address;
use crate::measure::Latencies;
use crate::report::Check;

/// Traces that one query reads.
const STRETCH: u32 = 2_000;
/// A clock of milliseconds may round a moment down.
const ROUNDED_MS: f64 = 1.0;

/// Jobs that ran, in the order of their numbers; one that ran twice is there twice.
pub struct Ran {
    traces: Vec<Trace>,
}

struct Trace {
    number: f64,
    due_ms: f64,
    at_ms: f64,
}

impl Ran {
    /// Reads them all.
    pub fn of(plan: &Plan, address: &Address) -> anyhow::Result<Ran> {
        let mut traces = Vec::new();
        for (first, count) in batches(plan.jobs, STRETCH) {
            let args = json!({ "first": plan.first + f64::from(first), "count": count });
            let found = address.call("query", "jobs:ran", &args)?;
            for trace in found.as_array().into_iter().flatten() {
                let field = |name: &str| trace[name].as_f64().unwrap_or(f64::NAN);
                traces.push(Trace {
                    number: field("number"),
                    due_ms: field("due"),
                    at_ms: field("at"),
                });
            }
        }
        Ok(Ran { traces })
    }

    /// How many ran.
    pub fn count(&self) -> usize {
        self.traces.len()
    }

    /// When each ran, in milliseconds since the epoch.
    pub fn moments(&self) -> impl Iterator<Item = f64> {
        self.traces.iter().map(|trace| trace.at_ms)
    }

    /// When the last ran.
    pub fn last_ms(&self) -> f64 {
        self.moments().fold(0.0, f64::max)
    }

    /// From when each was due to when it ran.
    pub fn lateness(&self) -> Latencies {
        let mut lateness = Latencies::default();
        for trace in &self.traces {
            let late_ms = (trace.at_ms - trace.due_ms).max(0.0);
            lateness.add(Duration::from_secs_f64(late_ms / 1e3));
        }
        lateness
    }

    /// Whether each job of the plan ran once, and none before its time.
    pub fn checks(&self, plan: &Plan) -> Vec<Check> {
        let mut next = plan.first;
        let mut again = 0;
        let mut is_complete = true;
        for trace in &self.traces {
            if trace.number < next {
                again += 1;
            } else {
                is_complete &= trace.number == next;
                next = trace.number + 1.0;
            }
        }
        is_complete &= next == plan.first + f64::from(plan.jobs);
        let is_early = |trace: &&Trace| trace.at_ms + ROUNDED_MS < trace.due_ms;
        let early = self.traces.iter().filter(is_early).count();
        vec![
            Check {
                what: "Each job ran exactly once.".into(),
                holds: is_complete && again == 0,
                seen: format!(
                    "{} of {} runs, {again} of them a job's second",
                    self.count(),
                    plan.jobs
                ),
            },
            Check {
                what: "No job ran before its time.".into(),
                holds: early == 0,
                seen: format!("{early} did"),
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(traces: &[(f64, f64, f64)]) -> Ran {
        let trace = |&(number, due_ms, at_ms): &(f64, f64, f64)| Trace {
            number,
            due_ms,
            at_ms,
        };
        Ran {
            traces: traces.iter().map(trace).collect(),
        }
    }

    #[test]
    fn a_job_that_ran_twice_never_or_early_is_seen() {
        let plan = Plan::of_numbers(100.0, 2);
        let hold = |traces: &[(f64, f64, f64)]| {
            let checks = ran(traces).checks(&plan);
            [checks[0].holds, checks[1].holds]
        };
        let (first, second) = ((100.0, 5.0, 5.0), (101.0, 6.0, 9.0));
        assert_eq!(hold(&[first, second]), [true, true]);
        assert_eq!(hold(&[first]), [false, true]);
        assert_eq!(hold(&[second]), [false, true]);
        assert_eq!(hold(&[first, first, second]), [false, true]);
        assert_eq!(hold(&[first, second, second]), [false, true]);
        assert_eq!(hold(&[first, (101.0, 9.0, 6.0)]), [true, false]);
        assert_eq!(ran(&[first, second]).lateness().count(), 2);
    }
}
