//! The last few runs of each cron, kept to be looked at.

use vestibule_schema::object;
use vestibule_schema::value::Value;

use super::{CronEnd, CronJob};
use crate::database::{
    Bound, BoundKind, DatabaseError, Order, Query, RawDocument, Source, Transaction,
};
use crate::functions::scheduled::{COMPONENT, component_in, set_component};

/// The table of runs.
pub const CRON_RUNS: &str = "_cron_runs";
/// Runs that are kept of each cron.
pub const CRON_RUNS_KEPT: usize = 5;
/// Longest result that is kept with a run, in bytes as JSON.
const RESULT_BYTES_MAX: usize = 1_024;
/// Bytes of log lines that are kept with a run.
const LOG_BYTES_MAX: usize = 16_384;

/// The outcome of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum CronStatus {
    /// It returned this.
    Success(Value),
    /// It threw this, or could not be run.
    Failed(String),
}

/// Keeps a run, and forgets the oldest beyond [`CRON_RUNS_KEPT`].
pub fn record(
    tx: &mut Transaction<'_>,
    cron: &CronJob,
    end: &CronEnd,
) -> Result<(), DatabaseError> {
    let (log_lines, is_truncated) = kept_lines(&end.log_lines);
    let mut run = object! {
        "name" => cron.name.as_str(),
        "ts" => cron.next_ms as f64,
        "function" => cron.function.canonical(),
        "args" => Value::Array(vec![Value::Object(cron.args.clone())]),
        "status" => status_value(&end.status),
        "logLines" => Value::Array(log_lines),
        "isTruncated" => is_truncated,
        "executionTime" => end.took.as_secs_f64(),
    };
    set_component(&mut run, COMPONENT, cron.function.component());
    tx.uncharged(|tx| {
        tx.insert(CRON_RUNS, run)?;
        forget(tx, cron, CRON_RUNS_KEPT)
    })
}

/// Forgets all runs of a cron but the newest `kept`.
pub fn forget(tx: &mut Transaction<'_>, cron: &CronJob, kept: usize) -> Result<(), DatabaseError> {
    let bound = Bound {
        kind: BoundKind::Eq,
        field: "name".into(),
        value: Some(Value::from(cron.name.as_str())),
    };
    let runs = Query {
        table: CRON_RUNS.into(),
        source: Source::IndexRange {
            index: "by_name".into(),
            bounds: vec![bound],
        },
        order: Order::Desc,
        operators: Vec::new(),
    };
    // Crons of several components may have one name.
    let component = cron.function.component();
    let is_its =
        |run: &RawDocument| component_in(&run.fields, COMPONENT).as_ref() == Some(component);
    let runs = tx.collect(&runs)?.into_iter().filter(is_its);
    for run in runs.skip(kept) {
        tx.delete(run.id)?;
    }
    Ok(())
}

fn status_value(status: &CronStatus) -> Value {
    Value::Object(match status {
        CronStatus::Success(result) => {
            let mut text = result.to_json().to_string();
            if text.len() > RESULT_BYTES_MAX {
                text.truncate(text.floor_char_boundary(RESULT_BYTES_MAX));
                text.push('…');
            }
            object! { "type" => "success", "result" => text }
        }
        CronStatus::Failed(error) => object! { "type" => "err", "error" => error.as_str() },
    })
}

fn kept_lines(lines: &[String]) -> (Vec<Value>, bool) {
    let mut bytes = 0;
    let fits = |line: &&String| {
        bytes += line.len();
        bytes <= LOG_BYTES_MAX
    };
    let kept: Vec<Value> = lines
        .iter()
        .take_while(fits)
        .map(|line| Value::from(line.as_str()))
        .collect();
    let is_truncated = kept.len() < lines.len();
    (kept, is_truncated)
}
