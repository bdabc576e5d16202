//! Forgetting scheduled functions that ended long ago, or that are too many.

use std::ops::ControlFlow;
use std::time::Duration;

use vestibule_schema::value::Value;

use crate::database::{
    Bound, BoundKind, DatabaseError, Order, Query, Source, StoredDocument, Transaction,
};
use crate::functions::scheduled::{SCHEDULED_FUNCTIONS, milliseconds};

use super::scheduled::STEP_DOCUMENTS_MAX;

/// How long a scheduled function that has ended is kept.
pub const RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How many of those are kept.
pub const ENDED_MAX: u64 = 1_000_000;
/// Bytes of documents that one step looks at.
const STEP_BYTES_MAX: usize = 4 << 20;
/// The index by the time of ending.
pub const BY_COMPLETED: &str = "by_completed";
const COMPLETED_TIME: &str = "completedTime";

/// Forgets the oldest of the scheduled functions that have ended: those older than [`RETENTION`], and `surplus` more of
/// any age; some at a time. Returns how many it forgot.
pub fn forget_oldest(tx: &mut Transaction<'_>, surplus: u64) -> Result<usize, DatabaseError> {
    let oldest_ms = milliseconds(tx.now()) - RETENTION.as_secs_f64() * 1_000.0;
    let expired = collect(tx, Some(oldest_ms), STEP_DOCUMENTS_MAX)?;
    let surplus = usize::try_from(surplus).unwrap_or(usize::MAX);
    let forgotten = match expired.len() >= surplus {
        true => expired,
        false => collect(tx, None, surplus.min(STEP_DOCUMENTS_MAX))?,
    };
    tx.uncharged(|tx| {
        let mut ids = forgotten.iter().map(StoredDocument::id);
        ids.try_for_each(|id| tx.delete(id))
    })?;
    Ok(forgotten.len())
}

/// The oldest that have ended, no later than `until_ms`.
fn collect(
    tx: &mut Transaction<'_>,
    until_ms: Option<f64>,
    max: usize,
) -> Result<Vec<StoredDocument>, DatabaseError> {
    let bound = |kind, value: Option<f64>| Bound {
        kind,
        field: COMPLETED_TIME.into(),
        value: value.map(Value::Float64),
    };
    let mut bounds = vec![bound(BoundKind::Gt, None)];
    bounds.extend(until_ms.map(|until| bound(BoundKind::Lte, Some(until))));
    let query = Query {
        table: SCHEDULED_FUNCTIONS.into(),
        source: Source::IndexRange {
            index: BY_COMPLETED.into(),
            bounds,
        },
        order: Order::Asc,
        operators: Vec::new(),
    };
    let mut found = Vec::new();
    let mut bytes = 0;
    if max == 0 {
        return Ok(found);
    }
    tx.uncharged(|tx| {
        tx.scan(&query, |document| {
            bytes += document.size();
            found.push(document);
            match found.len() >= max || bytes >= STEP_BYTES_MAX {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })
    })?;
    Ok(found)
}
