//! The warnings of a run in its own log: that it, or a document that it wrote, came near a limit.

use std::time::Duration;

use vestibule_schema::id::DocumentId;
use vestibule_schema::value::{DOCUMENT_BYTES_MAX, DOCUMENT_NESTING_MAX, Value};

use crate::database::Transaction;
use crate::functions::Console;
use crate::functions::error::Result;

/// How much of a limit may be used without a word, in per cent.
const QUIET_PER_CENT: usize = 80;
const READ_LESS: &str = "Consider using smaller limits in your queries, paginating your queries, or using indexed queries with a selective index range expressions.";
const WRITE_LESS: &str =
    "Consider writing less in one mutation, and scheduling another for the rest.";
const PASS_LESS: &str = "Consider passing ids of documents or files in place of their content.";

const DO_LESS: &str =
    "Consider doing less in one function, or the work that needs no database in an action.";
const SPLIT: &str = "Consider storing less in one document.";
const FLATTEN: &str = "Consider nesting values less deeply.";

fn is_near(actual: usize, limit: usize) -> bool {
    actual <= limit && actual > limit.saturating_mul(QUIET_PER_CENT) / 100
}

fn text(what: &str, actual: usize, limit: usize, help: &str) -> String {
    format!("{what} (actual: {actual}, limit: {limit}). {help}")
}

/// The warnings about a document that was written, of this size and so deeply nested.
pub(super) fn of_document(id: DocumentId, bytes: usize, nesting: usize) -> [Option<String>; 2] {
    let warning = |what: &str, actual, limit, help| {
        let what = || format!("{what} document written with ID \"{id}\"");
        is_near(actual, limit).then(|| text(&what(), actual, limit, help))
    };
    [
        warning("Large", bytes, DOCUMENT_BYTES_MAX, SPLIT),
        warning("Deeply nested", nesting, DOCUMENT_NESTING_MAX, FLATTEN),
    ]
}

/// Logs that a function was near the end of its time.
pub(super) fn warn_of_time(taken: Duration, time_max: Duration, console: &mut Console) {
    let [taken, limit] = [taken, time_max].map(|time| time.as_millis() as usize);
    if is_near(taken, limit) {
        let seconds = time_max.as_secs_f64();
        console.warn(format!(
            "Function execution took a long time. (maximum duration: {seconds}s, actual duration: {taken}ms). {DO_LESS}"
        ));
    }
}

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
    let all = [
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
            "Many entries of search and vector indexes written in a single function execution",
            used.index_entries_written,
            limits.index_entries_written_max,
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
    for (what, actual, limit, help) in all {
        if is_near(actual, limit) {
            console.warn(text(what, actual, limit, help));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_takes_most_of_its_time_is_warned() {
        let told = |millis| {
            let mut console = Console::default();
            let second = Duration::from_secs(1);
            warn_of_time(Duration::from_millis(millis), second, &mut console);
            console.into_lines()
        };
        assert_eq!(told(800), Vec::<String>::new());
        assert_eq!(told(1_001), Vec::<String>::new());
        let text = "[WARN] Function execution took a long time. (maximum duration: 1s, actual duration: 850ms).";
        assert!(told(850)[0].starts_with(text));
    }

    #[test]
    fn only_much_of_a_limit_is_worth_a_word() {
        let id = "0400000000000000000000000000248".parse().unwrap();
        let told = |bytes, nesting| of_document(id, bytes, nesting).map(|told| told.is_some());
        assert_eq!(told(DOCUMENT_BYTES_MAX * 8 / 10, 12), [false, false]);
        assert_eq!(told(DOCUMENT_BYTES_MAX * 9 / 10, 13), [true, true]);
        assert_eq!(told(DOCUMENT_BYTES_MAX, 16), [true, true]);
        let [large, _] = of_document(id, 1_000_000, 1);
        let expected = format!(
            "Large document written with ID \"{id}\" (actual: 1000000, limit: 1048576). {SPLIT}"
        );
        assert_eq!(large, Some(expected));
    }
}
