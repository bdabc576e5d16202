//! The warnings of a run in its own log: that it came near one of its limits.

use vestibule_schema::value::Value;

use crate::database::Transaction;
use crate::functions::Console;
use crate::functions::error::Result;

/// How much of a limit may be used without a word, in per cent.
const QUIET_PER_CENT: usize = 80;
const READ_LESS: &str = "Consider using smaller limits in your queries, paginating your queries, or using indexed queries with a selective index range expressions.";
const WRITE_LESS: &str =
    "Consider writing less in one mutation, and scheduling another for the rest.";
const PASS_LESS: &str = "Consider passing ids of documents or files in place of their content.";

/// Logs what a run used of its limits, where that is much.
pub(super) fn warn(
    tx: &mut Transaction<'_>,
    args_bytes: usize,
    returned: &Result<Value>,
    console: &mut Console,
) {
    let ranges = tx.ranges_read();
    let (used, limits) = (tx.usage(), *tx.limits());
    let result_bytes = returned.as_ref().map_or(0, Value::size);
    let values_max = limits.args_bytes_max;
    let near = [
        (
            "Large size of the function arguments",
            args_bytes,
            values_max,
            PASS_LESS,
        ),
        (
            "Many documents read in a single function execution",
            used.documents_read,
            limits.documents_read_max,
            READ_LESS,
        ),
        (
            "Many reads in a single function execution",
            ranges,
            limits.ranges_read_max,
            READ_LESS,
        ),
        (
            "Many bytes read in a single function execution",
            used.bytes_read,
            limits.bytes_read_max,
            READ_LESS,
        ),
        (
            "Many writes in a single function execution",
            used.documents_written,
            limits.documents_written_max,
            WRITE_LESS,
        ),
        (
            "Many bytes written in a single function execution",
            used.bytes_written,
            limits.bytes_written_max,
            WRITE_LESS,
        ),
        (
            "Many functions scheduled by this mutation",
            used.functions_scheduled,
            limits.functions_scheduled_max,
            WRITE_LESS,
        ),
        (
            "Large size of the function return value",
            result_bytes,
            values_max,
            READ_LESS,
        ),
    ];
    for (what, actual, limit, help) in near {
        if actual <= limit && actual > limit / 100 * QUIET_PER_CENT {
            console.warn(format!("{what} (actual: {actual}, limit: {limit}). {help}"));
        }
    }
}
