//! Figures that are read from the rooms when a client asks for metrics.

use std::sync::Weak;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::database::Database;
use crate::functions::Runs;
use crate::subscriptions::LiveQueries;

/// Reads gauges off the database and the live queries.
#[derive(Debug)]
pub(super) struct Gauges {
    pub database: Weak<Database>,
    pub live: Weak<LiveQueries>,
}

impl Gauges {
    fn encode_runs(
        &self,
        encoder: &mut DescriptorEncoder,
        live: &LiveQueries,
    ) -> Result<(), std::fmt::Error> {
        let functions = bounded(live.functions().registry().runs());
        let runs = encoder.encode_descriptor(
            "functions_runs",
            "Calls of functions",
            None,
            MetricType::Counter,
        )?;
        encode_by_function(runs, &functions, |function| function.runs)?;
        let errors = encoder.encode_descriptor(
            "functions_errors",
            "Calls of functions that failed",
            None,
            MetricType::Counter,
        )?;
        encode_by_function(errors, &functions, |function| function.errors)
    }
}

/// Functions that are told one by one. Those that ran least are told together, by kind.
const FUNCTIONS_TOLD_MAX: usize = 1_000;

/// The functions that ran most, and all others of a kind as one.
fn bounded(mut functions: Vec<Runs>) -> Vec<Runs> {
    if functions.len() <= FUNCTIONS_TOLD_MAX {
        return functions;
    }
    functions.sort_by(|one, other| (other.runs, &one.path).cmp(&(one.runs, &other.path)));
    let mut others: Vec<Runs> = Vec::new();
    for function in functions.drain(FUNCTIONS_TOLD_MAX..) {
        match others.iter_mut().find(|other| other.kind == function.kind) {
            Some(other) => {
                other.runs += function.runs;
                other.errors += function.errors;
            }
            None => others.push(Runs {
                path: "other".to_owned(),
                ..function
            }),
        }
    }
    functions.extend(others);
    functions
}

fn encode_by_function(
    mut family: MetricEncoder<'_>,
    functions: &[Runs],
    count: impl Fn(&Runs) -> u64,
) -> Result<(), std::fmt::Error> {
    for function in functions {
        let labels = [("path", function.path.as_str()), ("kind", function.kind)];
        ConstCounter::new(count(function)).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn encode_storage(
    encoder: &mut DescriptorEncoder,
    database: &Database,
) -> Result<(), std::fmt::Error> {
    let checkpoints = database.checkpoints();
    let counts = [
        (
            "storage_appends",
            "Batches of commits appended to the log, each with one sync",
            database.appends(),
        ),
        (
            "storage_checkpoints",
            "Checkpoints of the write-ahead log that came to their end",
            checkpoints.finished,
        ),
        (
            "storage_checkpoint_failures",
            "Checkpoints of the write-ahead log that failed and were left to a later one",
            checkpoints.failed,
        ),
    ];
    for (name, help, value) in counts {
        let count = ConstCounter::new(value);
        count.encode(encoder.encode_descriptor(name, help, None, count.metric_type())?)?;
    }
    let times = [
        (
            "storage_checkpoint",
            "Time that checkpoints took",
            checkpoints.time,
        ),
        (
            "storage_checkpoint_append_wait",
            "Time for which checkpoints held up appends",
            checkpoints.append_wait,
        ),
    ];
    for (name, help, time) in times {
        let seconds = ConstCounter::new(time.as_secs_f64());
        let unit = Some(&Unit::Seconds);
        seconds.encode(encoder.encode_descriptor(name, help, unit, seconds.metric_type())?)?;
    }
    Ok(())
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let (Some(database), Some(live)) = (self.database.upgrade(), self.live.upgrade()) else {
            return Ok(());
        };
        let census = live.census();
        let actions = live.functions().places().counts();
        let gauges = [
            (
                "actions_running",
                "Actions and HTTP actions that run in a place of their own",
                actions.running as i64,
            ),
            (
                "actions_waiting",
                "Actions and HTTP actions that wait for their turn",
                actions.waiting as i64,
            ),
            (
                "committer_queued",
                "Mutations waiting for the lane",
                database.committer().queued() as i64,
            ),
            (
                "durable_ts",
                "Timestamp of the newest durable commit",
                database.durable_ts().0 as i64,
            ),
            (
                "storage_folded_ts",
                "Timestamp of the newest commit that is in the tables; later ones are in the commit log",
                database.folded_ts().0 as i64,
            ),
            (
                "storage_document_bytes",
                "Memory that documents in slots take, about",
                i64::try_from(database.document_bytes()).unwrap_or(i64::MAX),
            ),
            (
                "live_queries",
                "Distinct live and cached queries",
                census.live_queries as i64,
            ),
            (
                "live_ranges",
                "Key ranges that live queries read",
                census.ranges as i64,
            ),
            (
                "subscribers",
                "Connections that may subscribe",
                census.subscribers as i64,
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        encode_storage(&mut encoder, &database)?;
        self.encode_runs(&mut encoder, &live)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_beyond_a_bound_are_told_together_and_nothing_is_lost() {
        let functions: Vec<Runs> = (0..1_500)
            .map(|number| Runs {
                path: format!("m:f{number}"),
                kind: if number % 2 == 0 { "query" } else { "mutation" },
                runs: number,
                errors: 1,
            })
            .collect();
        let told = bounded(functions.clone());
        assert_eq!(told.len(), FUNCTIONS_TOLD_MAX + 2);
        assert_eq!(told[0].path, "m:f1499");
        let sum = |runs: &[Runs]| -> (u64, u64) {
            let pairs = runs.iter().map(|runs| (runs.runs, runs.errors));
            pairs.fold((0, 0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1))
        };
        assert_eq!(sum(&told), sum(&functions));
        assert_eq!(bounded(functions[..3].to_vec()), functions[..3]);
    }
}
