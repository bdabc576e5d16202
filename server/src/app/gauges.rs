//! Figures that are read off the rooms when someone asks for metrics.

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
        let functions = live.functions().registry().runs();
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
        let gauges = [
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
